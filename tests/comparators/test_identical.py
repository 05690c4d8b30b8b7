"""What is the same to the byte is a match before anything is decoded, and only where `judge` would say so."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparators import Observation, Verdict, identical, judge
from comparators.canonical import MAX_BYTES, MAX_DEPTH, MAX_ITEMS

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@given(JSON)
def test_what_is_identical_matches(value):
    """Whatever it is."""
    line = msgspec.json.encode(value)
    assert identical(line, line)
    observed = Observation.returned(msgspec.json.decode(line))
    assert judge("memory.recent", observed, observed).verdict is Verdict.MATCH


@given(JSON, JSON)
def test_other_bytes_are_never_identical(one, other):
    """They may match all the same: that is for `judge` to tell."""
    lines = msgspec.json.encode(one), msgspec.json.encode(other)
    assert identical(*lines) == (lines[0] == lines[1])


@pytest.mark.parametrize(
    ("line", "within"),
    [
        (nested(MAX_DEPTH), True),
        (nested(MAX_DEPTH + 1), False),
        (b"[" + b",".join([nested(3)] * 100) + b"]", True),
        (b"[" + b"1," * (MAX_ITEMS + 1) + b"1]", False),
        (b'"' + b"a" * (MAX_BYTES - 2) + b'"', True),
        (b'"' + b"a" * MAX_BYTES + b'"', False),
    ],
    ids=["deep", "too deep", "wide", "too wide", "large", "too large"],
)
def test_beyond_a_fence_nothing_is_identical(line, within):
    """However equal: it is left to `judge`, which says why it cannot tell."""
    assert identical(line, line) is within
