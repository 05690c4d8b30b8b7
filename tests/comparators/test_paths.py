import pytest

from comparators.paths import below, item, member, wildcard


def test_paths_read_as_jsonpath():
    """Indices in brackets, identifiers after a dot, other keys quoted."""
    assert below("$", [3, "metadata", "slot"]) == "$[3].metadata.slot"
    assert member(item("$", 0), "a b") == "$[0]['a b']"
    assert member("$", "it's \\") == "$['it\\'s \\\\']"
    assert member("$", "é") == "$['é']"


@pytest.mark.parametrize(
    ("path", "general"),
    [
        ("$", "$"),
        ("$[3].content", "$[*].content"),
        ("$[3].metadata.slot", "$[*].metadata.slot"),
        ("$['a b'].c", "$['a b'].c"),
        ("$['a[3]'].c", "$['a[3]'].c"),
        ("$.users['42'].name", "$.users[*].name"),
        ("$.users.u12345.name", "$.users[*].name"),
        ("$.line_2", "$.line_2"),
        ("$['ann@example.com'].name", "$[*].name"),
        ("$['6ba7b810-9dad-11d1-80b4-00c04fd430c8']", "$[*]"),
    ],
)
def test_wildcards_stand_for_indices_and_ids(path, general):
    """What names one item or one person is generalised, what names a field stays."""
    assert wildcard(path) == general


def test_a_key_as_long_as_a_payload_is_cut_and_generalised():
    """A key can't carry a payload into a path or a group."""
    path = member("$", "x" * 10_000)
    assert len(path) < 80
    assert wildcard(path) == "$[*]"
