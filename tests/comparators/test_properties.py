"""What holds for any values: reflexivity, mirror images, fingerprints that know no values, every mutation found."""

import copy
import json

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from comparators import Difference, Kind, Observation, Severity, Verdict, fingerprint, judge

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["2026-01-05T12:00:00Z", "2026-01-05T13:00:00+01:00", "e\u0301", "\u00e9", "", "id", "3pm"])
)
KEYS = st.sampled_from(["id", "user_id", "content", "metadata", "created_at", "reply", "facts", "a b"]) | st.text(
    max_size=3
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
OPERATIONS = st.sampled_from(["memory.recent", "memory.save", "chat.send", "listing.search"])
MIRRORS = {"lost": "added", "duplicated": "deduplicated"}
MIRRORS |= {mirror: kind for kind, mirror in MIRRORS.items()}


def judged(operation, legacy, enhanced):
    return judge(operation, Observation.returned(legacy), Observation.returned(enhanced))


@settings(max_examples=150)
@given(OPERATIONS, VALUES)
def test_every_value_matches_itself(operation, value):
    """A value that can be judged matches itself, and a copy of it; what cannot be judged is inconclusive."""
    verdict = judged(operation, value, value).verdict
    assert verdict in {Verdict.MATCH, Verdict.INCONCLUSIVE}
    assert judged(operation, value, copy.deepcopy(value)).verdict == verdict


@settings(max_examples=150)
@given(st.just("listing.search"), VALUES, VALUES)
def test_swapping_the_sides_mirrors_the_differences(operation, left, right):
    """What is lost one way is added the other way; as many differences, of the mirrored kinds."""
    there, back = judged(operation, left, right), judged(operation, right, left)
    assert there.verdict == back.verdict
    if there.verdict is Verdict.INCONCLUSIVE:
        return
    mirrored = sorted(MIRRORS.get(found.kind, found.kind.value) for found in back.differences)
    assert sorted(found.kind.value for found in there.differences) == mirrored


@settings(max_examples=150)
@given(VALUES, VALUES)
def test_no_unequal_pair_matches(left, right):
    """A match of an undeclared operation means equal: as text, with numbers by value and instants by moment."""

    def plain(value):
        text = json.dumps(_spelled(value), sort_keys=True)
        return text.replace("2026-01-05T13:00:00+01:00", "2026-01-05T12:00:00Z").replace("e\\u0301", "\\u00e9")

    if judged("listing.search", left, right).verdict is Verdict.MATCH:
        assert plain(left) == plain(right)


def _spelled(value):
    match value:
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case list():
            return [_spelled(item) for item in value]
        case dict():
            return {key: _spelled(item) for key, item in value.items()}
    return value


@given(
    st.sampled_from(list(Kind)),
    st.lists(st.integers(0, 9999), min_size=2, max_size=2),
    VALUES,
    st.sampled_from(list(Severity)),
)
def test_fingerprints_know_operation_path_and_kind_alone(kind, indices, value, severity):
    """Indices, values and severity leave the fingerprint as it is."""
    some, other = (Difference(f"$[{index}].content", kind, severity, value, index) for index in indices)
    plain = Difference("$[*].content", kind, Severity.MINOR)
    assert fingerprint("memory.recent", some) == fingerprint("memory.recent", other)
    assert fingerprint("memory.recent", some) == fingerprint("memory.recent", plain)


@pytest.mark.parametrize("position", range(6))
@pytest.mark.parametrize("mutation", ["drop", "duplicate", "swap", "edit", "foreign", "truncate"])
def test_every_planted_mutation_is_found(page, copied, mutation, position):
    """A memory dropped, doubled, swapped, edited or another user's, or a list cut short, never passes."""
    legacy, enhanced = page(8), copied(page(8))
    match mutation:
        case "drop":
            del enhanced[position]
        case "duplicate":
            enhanced.insert(position, enhanced[position])
        case "swap":
            enhanced[position], enhanced[position + 1] = enhanced[position + 1], enhanced[position]
        case "edit":
            enhanced[position]["metadata"]["turn"] += 1
        case "foreign":
            enhanced[position]["user_id"] = "ben"
        case "truncate":
            del enhanced[position:]
    assert judged("memory.recent", legacy, enhanced).verdict is Verdict.DIVERGED
    assert judged("memory.recent", enhanced, legacy).verdict is Verdict.DIVERGED
