from comparators import Observation, judge

RETURNED = Observation.returned({"id": 1})


def raised(kind="ValueError", message="no"):
    return Observation.raised(kind, message)


def outcome(legacy, enhanced):
    judgement = judge("memory.save", legacy, enhanced)
    return judgement.verdict, [(found.kind, found.severity, found.path) for found in judgement.differences]


def test_both_raising_alike_match():
    """The same class and message is the same behaviour."""
    assert outcome(raised(), raised()) == ("match", [])


def test_both_raising_differently_diverge():
    """Another class is major, another message of the same class minor."""
    assert outcome(raised(), raised("KeyError")) == ("diverged", [("exception", "major", "$.type")])
    assert outcome(raised(), raised(message="nope")) == ("diverged", [("exception", "minor", "$.message")])


def test_legacy_alone_raising_diverges():
    """Enhanced answers where legacy refuses: for a person to look at."""
    assert outcome(raised(), RETURNED) == ("diverged", [("exception", "major", "$")])


def test_enhanced_alone_raising_fails():
    """Failed, not diverged; the difference holds the exception and none of the answer."""
    judgement = judge("memory.save", RETURNED, raised("TimeoutError", "after 2 s"))
    assert judgement.verdict == "failed"
    assert judgement.differences[0].enhanced == {"type": "TimeoutError", "message": "after 2 s"}
    assert outcome(RETURNED, raised()) == ("failed", [("failure", "major", "$")])
