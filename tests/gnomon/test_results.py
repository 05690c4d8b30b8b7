"""Whether what enhanced returned may take legacy's place: by the type legacy declares, and nothing raises over it."""

import enum
import typing
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, NewType, Protocol, TypedDict, TypeVar
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.results import InvalidResultError, check_of, declared_types, discard, has_json_form

T = TypeVar("T")
UserId = NewType("UserId", str)


class Memory(TypedDict):
    id: int
    content: str


class Partial(TypedDict, total=False):
    note: str


@dataclass
class Row:
    id: int
    tags: list[str]


class Point(NamedTuple):
    x: int
    y: int


class Reply(msgspec.Struct):
    text: str


class Colour(enum.Enum):
    RED = "red"


class Plain:
    """A class of the application's own, of which nothing is known."""


class Speaking(Protocol):
    def speak(self) -> str: ...


def accepts(declared: Any, value: Any) -> bool:
    def legacy() -> Any: ...

    legacy.__annotations__["return"] = declared
    return check_of(legacy)(value)


NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
ROW = {"id": 1, "content": "c"}

CASES = [
    (None, [None], [0, "", False]),
    (str, ["", "a"], [b"a", 1, None]),
    (int, [0, -1], [True, 1.0, "1"]),
    (float, [1.5, 1], [True, "1.5", None]),
    (bool, [True, False], [1, 0, "true"]),
    (bytes, [b"a"], ["a", 1]),
    (list, [[], [1, "a"]], [(), {}, "[]"]),
    (list[int], [[], [1]], [["1"], [None], (1,), {1}]),
    (list[Memory], [[], [ROW]], [[{"id": 1}], [{**ROW, "id": "1"}], [None], ROW]),
    (Memory, [ROW, {**ROW, "more": 1}], [{}, {"id": 1}, {**ROW, "content": None}, Row(1, [])]),
    (Partial, [{}, {"note": "n"}], [{"note": 1}, []]),
    (dict[str, list[int]], [{}, {"a": [1]}], [{"a": 1}, [], {"a": ["1"]}]),
    (tuple[int, str], [(1, "a")], [[1, "a"], (1,), (1, 2)]),
    (tuple[int, ...], [(), (1, 2)], [[1], ("a",)]),
    (set[str], [set(), {"a"}], [["a"], {1}]),
    (frozenset[int], [frozenset({1})], [{1}, [1]]),
    (Sequence[int], [[1], (1,)], ["1", {1}, ["a"]]),
    (Mapping[str, int], [{"a": 1}], [[("a", 1)], {"a": "1"}]),
    (str | None, ["a", None], [1, b"a"]),
    (typing.Optional[int], [1, None], ["1"]),  # noqa: UP045 — as older applications write it
    (int | list[int], [1, [1]], ["1", {}]),
    (Literal["a", "b"], ["a", "b"], ["c", 1, None]),
    (UserId, ["ann"], [1, None]),
    (typing.Annotated[int, "positive"], [1], ["1"]),
    (datetime, [NOW], ["2026-01-05T08:00:00Z", date(2026, 1, 5), 0]),
    (date, [date(2026, 1, 5)], ["2026-01-05", 1]),
    (UUID, [uuid4()], [str(uuid4()), 1]),
    (Decimal, [Decimal("1.5")], [1.5, "1.5"]),
    (Colour, [Colour.RED], ["red", None]),
    (Row, [Row(1, ["a"])], [{"id": 1, "tags": []}, None, Plain()]),
    (Point, [Point(1, 2)], [(1, 2), [1, 2]]),
    (Reply, [Reply("hi")], [{"text": "hi"}, "hi", None]),
    (Plain, [Plain()], [Reply("hi"), None, {}]),
    (Iterator[str], [iter("ab")], ["ab", ["a"]]),
    (Any, [1, "a", None, [{}]], [object(), {1: object()}, lambda: None]),
    (object, [1, "a", None], []),
    (T, [1, None], [object()]),
    (Speaking, [{"a": 1}], [object()]),
]


@pytest.mark.parametrize(("declared", "valid", "invalid"), CASES, ids=[str(declared) for declared, _, _ in CASES])
def test_what_a_declared_type_takes(declared, valid, invalid):
    """Exactly what legacy could have returned; nothing is converted on the way."""
    assert [value for value in valid if not accepts(declared, value)] == []
    assert [value for value in invalid if accepts(declared, value)] == []


def test_nothing_declared_takes_what_has_a_json_form():
    """What cannot be captured cannot be compared either."""

    def legacy(user): ...

    check = check_of(legacy)
    assert (check({"a": [1, None]}), check(object()), check({1, 2})) == (True, False, True)


def test_hints_that_cannot_be_resolved_declare_nothing():
    """A name that only a type checker knows."""

    def legacy(user: "Unknown") -> "AlsoUnknown": ...  # noqa: F821

    assert declared_types(legacy) == {}
    assert check_of(legacy)("anything")


def test_a_coroutine_is_no_result_and_is_closed():
    """Whatever is declared; nobody is warned that it was never awaited."""

    async def forgotten() -> str:
        return "a"

    for declared in (str, Any, Awaitable):
        value = forgotten()
        if declared is not Awaitable:
            assert not accepts(declared, value)
        discard(value)
        assert value.cr_frame is None
    discard("no coroutine")


def test_a_value_in_a_circle_is_none():
    """It has no JSON form."""
    circle: list[Any] = []
    circle.append(circle)
    assert not has_json_form(circle)
    assert not accepts(list[Any], circle) or not has_json_form(circle)


def test_the_error_tells_the_type_alone():
    """An answer is personal."""
    assert str(InvalidResultError("ann lives in Berlin")) == "a str is no valid result"


DECLARED = st.sampled_from([declared for declared, _, _ in CASES])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes() | st.uuids(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner) | st.builds(Plain),
    max_leaves=5,
)


@given(DECLARED, VALUES)
def test_no_value_raises(declared, value):
    """A check says yes or no."""
    assert accepts(declared, value) in {True, False}
