import pytest

from comparators import Difference, Kind, Severity, explain


@pytest.mark.parametrize(
    ("operation", "path", "kind", "sentence"),
    [
        ("memory.recent", "$[3]", "lost", "a memory that legacy returns is missing from enhanced's answer"),
        ("memory.recent", "$", "lost", "enhanced's answer is empty where legacy's is not"),
        ("memory.recent", "$[3].content", "changed", "content has another value in enhanced's answer"),
        ("memory.recent", "$[3]", "leak", "enhanced returns a memory that belongs to another user"),
        ("memory.recent", "$", "order", "enhanced returns the same items as legacy in another order"),
        ("listing.get", "$.a.b", "type", "a.b is of another type in enhanced's answer"),
        ("listing.get", "$['ann@example.com'].b", "lost", "b is missing from enhanced's answer"),
        ("listing.get", "$", "failure", "enhanced raises an exception where legacy answers"),
        ("listing.get", "$.type", "exception", "both raise, and the exception's type differs"),
        ("chat.send", "$.reply", "amnesia", "enhanced says that it has no information where legacy answers"),
    ],
)
def test_a_group_is_explained_in_a_plain_sentence(operation, path, kind, sentence):
    """What it means, without anybody's values."""
    assert explain(operation, Difference(path, Kind(kind), Severity.MAJOR, "secret", "secret")) == sentence


def test_every_kind_has_a_sentence_everywhere():
    """No kind, place or odd key is left unexplained, and none shows a value."""
    for kind in Kind:
        for operation in ("memory.recent", "chat.send", "listing.get"):
            for path in ("$", "$[0]", "$[0].a", "$.reply", "$['{0}']", "$.a[1].b"):
                for severity in Severity:
                    sentence = explain(operation, Difference(path, kind, severity, "secret", "secret"))
                    assert sentence
                    assert "secret" not in sentence


def test_enriched_replies_are_told_from_unsupported_ones():
    """The severity tells which."""
    minor, major = (Difference("$.reply", Kind.ADDED, severity) for severity in (Severity.MINOR, Severity.MAJOR))
    assert explain("chat.send", minor) == "enhanced says what legacy says and adds what it was told"
    assert explain("chat.send", minor) != explain("chat.send", major)
