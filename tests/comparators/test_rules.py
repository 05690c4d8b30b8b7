"""Rules: what a person allows at one place, exactly there, and never what is critical."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparators import NO_RULES, PatternError, Rule, RuleSet, Severity, checked_pattern, wildcard
from comparators.judging import MAX_DIFFERENCES
from comparators.paths import below

MAJOR, MINOR, CRITICAL = Severity.MAJOR, Severity.MINOR, Severity.CRITICAL
STEPS = st.lists(st.one_of(st.integers(0, 10**6), st.text(max_size=70)), max_size=6)


def rules(*places: tuple[str, str], operation: str = "memory.recent") -> RuleSet:
    numbered = enumerate(places, 1)
    return RuleSet(7, [Rule(id=n, operation=operation, path=path, kind=kind) for n, (path, kind) in numbered])


def test_without_rules_nothing_is_allowed():
    """And the empty set is false, so that nobody need ask it."""
    assert not NO_RULES
    assert NO_RULES.rule_on("memory.recent", [("$[0].score", "changed", MINOR)]) == ((0,), False)


def test_a_pair_whose_every_difference_is_allowed_is_ignored():
    """Each names its rule, and the reason names all of them."""
    found = [("$[0].score", "changed", MINOR), ("$[12].score", "changed", MAJOR), ("$[3].tag", "lost", MINOR)]
    ruling = rules(("$[*].score", "changed"), ("$[*].tag", "lost")).rule_on("memory.recent", found)
    assert (ruling.rules, ruling.ignored, ruling.reason) == ((1, 1, 2), True, "rules 1, 2")


def test_a_pair_with_one_difference_more_is_not():
    """What is left is for people."""
    found = [("$[0].score", "changed", MINOR), ("$[0].content", "changed", MINOR)]
    ruling = rules(("$[*].score", "changed")).rule_on("memory.recent", found)
    assert (ruling.rules, ruling.ignored, ruling.reason) == ((1, 0), False, "rule 1")


def test_what_is_critical_is_never_allowed():
    """A rule of its place and kind does not change that."""
    ruling = rules(("$[*].score", "changed")).rule_on("memory.recent", [("$[0].score", "changed", CRITICAL)])
    assert ruling == ((0,), False)


def test_what_merely_adds_needs_no_rule_of_its_own():
    """Minor additions are ignored by themselves, so beside what a rule allows they are too."""
    found = [("$[0].score", "changed", MINOR), ("$[0].hint", "added", MINOR)]
    assert rules(("$[*].score", "changed")).rule_on("memory.recent", found) == ((1, 0), True)
    assert rules(("$[*].tag", "lost")).rule_on("memory.recent", found) == ((0, 0), False)


def test_a_pair_that_was_not_told_to_its_end_is_never_ignored():
    """What was not told may be anything."""
    found = [(f"$[{n}].score", "changed", MINOR) for n in range(MAX_DIFFERENCES)]
    assert not rules(("$[*].score", "changed")).rule_on("memory.recent", found).ignored
    assert rules(("$[*].score", "changed")).rule_on("memory.recent", found[1:]).ignored


@pytest.mark.parametrize(
    ("operation", "path", "kind"),
    [
        ("memory.recent", "$[*].paid_id", "changed"),
        ("memory.recent", "$[*].id.id", "changed"),
        ("memory.recent", "$.id", "changed"),
        ("memory.recent", "$[*].idx", "changed"),
        ("memory.recent", "$[*].ID", "changed"),
        ("memory.recent", "$[*][*].id", "changed"),
        ("memory.recent", "$[*]['id ']", "changed"),
        ("memory.recent", "$[*].id", "lost"),
        ("memory.recent2", "$[*].id", "changed"),
        ("memory", "$[*].id", "changed"),
    ],
)
def test_a_rule_is_anchored_on_all_sides(operation, path, kind):
    """Neither another place, nor another kind, nor another operation, however alike."""
    allowing = rules(("$[*].id", "changed"))
    assert allowing.names("memory.recent", "$[3].id", "changed") == 1
    assert allowing.names(operation, path, kind) == 0


@pytest.mark.parametrize("text", ["$", "$[*].content", "$.metadata['a key']", "$[*][*]", r"$['it\'s']", "$['[*]']"])
def test_what_groups_show_is_a_pattern(text):
    """It is taken as it stands."""
    assert checked_pattern(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "content", "$.", "$..a", "$[", "$[*", "$.a b", "$.a*", ".*", "$.a\n", "$['a]", "$[-1]", "$.*", "$é", "$.a…"],
)
def test_what_is_no_path_is_refused(text):
    """By name, with what a path looks like."""
    with pytest.raises(PatternError, match="is no path"):
        checked_pattern(text)


@pytest.mark.parametrize(
    ("text", "meant"), [("$[3].content", "$[*].content"), ("$.u12345.x", "$[*].x"), ("$['a@b.de']", "$[*]")]
)
def test_an_index_or_an_id_is_refused_with_what_was_meant(text, meant):
    """It would never match: kinds of difference have neither."""
    with pytest.raises(PatternError) as caught:
        checked_pattern(text)
    assert f"did you mean {meant}?" in str(caught.value)


def test_a_pattern_without_end_is_refused():
    """In no time."""
    with pytest.raises(PatternError, match="longer than"):
        checked_pattern("$" + "['" * 1_000_000)


@given(STEPS)
def test_what_a_path_is_generalised_to_is_a_pattern_that_names_it(steps):
    """Whatever the keys are; and generalising it again changes nothing."""
    path = below("$", steps)
    general = wildcard(path)
    if len(general) <= 200:
        assert checked_pattern(general) == general
        assert rules((general, "changed")).names("memory.recent", path, "changed") == 1


@given(STEPS, STEPS)
def test_a_rule_names_what_is_generalised_alike_and_nothing_else(one, other):
    """Two places share a rule where they share a group."""
    here, there = below("$", one), below("$", other)
    named = rules((wildcard(here), "changed")).names("memory.recent", there, "changed")
    assert bool(named) == (wildcard(here) == wildcard(there))


FOUND = st.lists(
    st.tuples(
        st.sampled_from(["$[0].a", "$[1].a", "$[0].b", "$.c", "$"]),
        st.sampled_from(["changed", "lost", "added"]),
        st.sampled_from(list(Severity)),
    ),
    max_size=6,
)
PLACES = st.lists(
    st.tuples(st.sampled_from(["$[*].a", "$[*].b", "$.c", "$"]), st.sampled_from(["changed", "lost", "added"])),
    max_size=5,
    unique=True,
)


@given(FOUND, PLACES, PLACES)
def test_more_rules_never_make_a_divergence(found, some, more):
    """What is allowed stays allowed, what is ignored stays ignored; and nothing critical ever is either."""
    before = rules(*some).rule_on("memory.recent", found)
    after = rules(*some, *more).rule_on("memory.recent", found)
    assert all(now for was, now in zip(before.rules, after.rules, strict=True) if was)
    assert after.ignored >= before.ignored
    critical = [rule for rule, (_, _, severity) in zip(after.rules, found, strict=True) if severity is CRITICAL]
    assert not any(critical)
    assert not (critical and after.ignored)


@given(FOUND, PLACES)
def test_the_order_of_differences_changes_nothing(found, places):
    """A rule decides on each by itself."""
    here, there = (rules(*places).rule_on("memory.recent", order) for order in (found, found[::-1]))
    assert (here.rules[::-1], here.ignored, here.reason) == (there.rules, there.ignored, there.reason)


def test_a_reason_names_a_few_rules():
    """Every combination is counted by itself, so there must not be too many."""
    places = [(f"$.f{letter}", "lost") for letter in "abcd"]
    ruling = rules(*places).rule_on("memory.recent", [(*place, MINOR) for place in places])
    assert (ruling.reason, ruling.named) == ("rules 1, 2 and more", (1, 2, 3, 4))
