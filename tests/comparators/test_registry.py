import pytest

from comparators import ABSENT, Difference, Kind, Observation, Schema, Severity, judge, register, registry
from comparators.structure import compare_structure


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))


def test_a_second_registration_is_refused():
    """Two comparators of one operation are an error at import, not a surprise at night."""
    register("listing.get")
    for operation in ("listing.get", "memory.recent", "chat.*"):
        with pytest.raises(ValueError, match="registered already"):
            register(operation)


def test_an_operation_falls_to_its_nearest_prefix_else_to_structure():
    """A name, then `a.b.*`, then `a.*`, then the structural comparator."""
    register("memory.search.*", schema=Schema(key="ref"))
    assert registry.entry_of("memory.search.fuzzy").schema.key == "ref"
    assert registry.entry_of("memory.anything.else") == registry.entry_of("memory.recent")
    assert registry.entry_of("chat.stream") == registry.entry_of("chat.send")
    for unknown in ("listing.get", "memory", "memoryrecent", "", "."):
        assert registry.entry_of(unknown).compare is compare_structure


def test_a_schema_alone_is_enough():
    """An operation that is compared by structure declares its noise and no more."""
    register("listing.get", schema=Schema(volatile=frozenset({"etag"})))
    left, right = Observation.returned({"etag": 1, "rent": 2}), Observation.returned({"etag": 9, "rent": 2})
    assert judge("listing.get", left, right).verdict == "match"


def test_a_comparator_is_a_function():
    """What it yields is the judgement."""

    def compare(pair):
        yield Difference("$", Kind.CHANGED, Severity.MINOR, pair.legacy, ABSENT)

    register("listing.get", compare)
    judgement = judge("listing.get", Observation.returned(1), Observation.returned(2))
    assert (judgement.verdict, judgement.differences[0].legacy) == ("diverged", 1)
