from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest

from comparators.canonical import MAX_BYTES, MAX_DEPTH, MAX_ITEMS, Unjudgeable, canonical, encoded, same
from tests.comparators.making import nested


class Colour(Enum):
    RED = "red"


@dataclass
class Memory:
    content: str
    tags: set[str]


def test_values_that_mean_the_same_have_one_form():
    """NFC, instants in UTC, tuples as lists, sets and keys sorted, whole floats as integers."""
    value = {"b": ("e\u0301", datetime(2026, 1, 5, tzinfo=UTC)), "a": {2.0, 1}, 3: Colour.RED}
    assert encoded(canonical(value)) == encoded(
        {"3": "red", "a": [1, 2], "b": ["\u00e9", "2026-01-05T00:00:00Z"]},
    )


def test_further_types_are_what_the_wire_makes_of_them():
    """Dataclasses, decimals, UUIDs and bytes take the form that a capture holds."""
    value = [Memory("x", {"t"}), Decimal("1.50"), UUID(int=1), b"abc"]
    assert canonical(value) == [{"content": "x", "tags": ["t"]}, "1.50", str(UUID(int=1)), "YWJj"]


def test_subclasses_are_read_past_their_overrides():
    """A subclass of a JSON type is that type, whatever it overrides."""

    class Text(str):
        __slots__ = ()

        def __str__(self):
            return "other"

    class Number(int):
        pass

    assert canonical([Text("a"), Number(7), type("D", (dict,), {})(a=1)]) == ["a", 7, {"a": 1}]


def test_numbers_are_equal_by_value_and_true_is_no_number():
    """1.0 is 1 as far as a float is exact; 2**53 as a float is no integer; True is not 1."""
    assert canonical([1.0, -0.0, 2.0**52]) == [1, 0, 2**52]
    assert not same(canonical(2.0**53), canonical(2**53))
    assert not same(canonical(2**53), canonical(2**53 + 1))
    assert not same(canonical(True), canonical(1))
    assert not same(canonical(10**400), canonical(10**400 + 1))


@pytest.mark.parametrize(
    ("value", "fence"),
    [
        (nested(MAX_DEPTH + 1), "depth"),
        (nested(10_000), "depth"),
        (["x"] * (MAX_ITEMS + 1), "items"),
        ({str(number): [0] * 10 for number in range(MAX_ITEMS // 10)}, "items"),
        ("x" * (MAX_BYTES + 1), "bytes"),
        ("\u20ac" * (MAX_BYTES // 2), "bytes"),
        (["x" * 1000] * (MAX_BYTES // 1000), "bytes"),
        (float("nan"), "number"),
        (float("-inf"), "number"),
        (10**100_000, "integer"),
        ("\ud800", "text"),
        ("a" + "\u0301\u0323" * 50_000, "text"),
        (object(), "unserialisable"),
        ({b"k": 1, (1, 2): 2}, "depth"),
        ({1: "a", "1": "b"}, "keys"),
        ({"\u00e9": 1, "e\u0301": 2}, "keys"),
        ({None: 1}, "key"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_what_is_past_a_fence_is_unjudgeable(value, fence):
    """The reason begins with the fence; nothing else is ever raised."""
    with pytest.raises(Unjudgeable) as stopped:
        canonical(value)
    assert stopped.value.reason.startswith(fence)


def test_recursive_structures_end_at_the_depth_fence():
    """A list or an object that holds itself."""
    array, mapping = [], {}
    array.append(array)
    mapping["self"] = mapping
    for value in (array, mapping):
        with pytest.raises(Unjudgeable, match="depth"):
            canonical(value)


def test_what_is_at_a_fence_is_judged():
    """The fences themselves are within."""
    assert canonical(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    assert len(canonical([0] * MAX_ITEMS)) == MAX_ITEMS
    assert len(canonical("x" * (MAX_BYTES - 2))) == MAX_BYTES - 2
