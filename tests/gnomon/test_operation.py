"""Wrapping a legacy callable: it stays what it was, and what it is given and gives is captured."""

import asyncio
import inspect
from typing import Any

import pytest

from gnomon import Gnomon, OperationError
from gnomon.operation import Binding
from gnomon.settings import ClientSettings


@pytest.fixture
def client() -> Gnomon:
    return Gnomon(ClientSettings())


def test_wrapped_keeps_what_the_callable_was(client):
    """Name, docstring, signature and hints are legacy's."""

    def save(user_id: str, content: str, *, tags: tuple[str, ...] = ()) -> dict[str, str]:
        """Save it."""
        return {"user": user_id, "content": content, "tags": ",".join(tags)}

    wrapped = client.operation("memory.save", kind="write", user="user_id")(save)
    assert (wrapped.__name__, wrapped.__doc__) == ("save", "Save it.")
    assert inspect.signature(wrapped) == inspect.signature(save)
    assert wrapped.__annotations__ == save.__annotations__
    assert wrapped("ann", content="hi", tags=("a",)) == {"user": "ann", "content": "hi", "tags": "a"}


def test_async_stays_async(client):
    """A coroutine function is still one, and returns what legacy returns."""

    @client.operation("memory.recent", kind="read", user="user_id")
    async def recent(user_id: str) -> list[str]:
        await asyncio.sleep(0)
        return [user_id]

    assert inspect.iscoroutinefunction(recent)
    assert asyncio.run(recent("ann")) == ["ann"]


def test_enhanced_is_registered_and_returned_unchanged(client):
    """`.enhanced(fn)` gives back fn itself; a second one is refused."""

    @client.operation("chat.send", kind="generate", user="user_id")
    def send(user_id: str) -> str:
        return user_id

    def better(user_id: str) -> str:
        return user_id * 2

    assert send.enhanced(better) is better
    assert client.operations["chat.send"].enhanced is better
    with pytest.raises(OperationError, match=r"chat\.send.*enhanced callable already"):
        send.enhanced(better)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"kind": "delete", "user": "user_id"}, "kind='delete'; expected one of read, write, generate"),
        ({"kind": "read", "user": "who"}, "user='who' is no parameter of legacy"),
        ({"kind": "write", "user": "user_id", "sample": 0.5}, "writes can't be sampled"),
        ({"kind": "read", "user": ["user_id"]}, "user=['user_id'] is no parameter of legacy"),
        ({"kind": "read", "user": None}, "user=None is no parameter of legacy"),
        ({"kind": None, "user": "user_id"}, "kind=None; expected one of read, write, generate"),
        ({"kind": "read", "user": "user_id", "sample": 1.5}, "sample must be a number from 0 to 1, not 1.5"),
        ({"kind": "read", "user": "user_id", "sample": "ten"}, "sample must be a number from 0 to 1, not 'ten'"),
        ({"kind": "read", "user": "user_id", "sample": True}, "sample must be a number from 0 to 1, not True"),
        ({"kind": "read", "user": "user_id", "timeout_s": 0}, "timeout_s must be above 0"),
        ({"kind": "read", "user": "user_id", "timeout_s": "1"}, "(seconds), or None; not '1'"),
        ({"kind": "read", "user": "user_id", "timeout_s": float("nan")}, "timeout_s must be above 0"),
        ({"kind": "read", "user": "user_id", "timeout_s": float("inf")}, "at most 86,400"),
        ({"kind": "read", "user": "user_id", "flag": "nope"}, "unknown flag 'nope'"),
        ({"kind": "read", "user": "user_id", "flag": ["nope"]}, "unknown flag ['nope']"),
        ({"kind": "write", "user": "user_id", "rejects": "ValueError"}, "rejects='ValueError'; expected classes"),
        ({"kind": "write", "user": "user_id", "rejects": (3,)}, "rejects=(3,); expected classes of exceptions"),
        ({"kind": "write", "user": "user_id", "rejects": (int,)}, "expected classes of exceptions"),
    ],
)
def test_an_operation_that_cannot_work_is_refused_at_import(client, options, problem):
    """The error names the operation and what is wrong."""

    def legacy(user_id: str) -> None: ...

    with pytest.raises(OperationError) as caught:
        client.operation("memory.x", **options)(legacy)
    assert "memory.x" in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize("name", [None, 3, ["memory.x"], "", "a|b", "a\0b", "x" * 201])
def test_what_is_no_name_is_refused_before_anything_is_wrapped(client, name):
    """The error says what a name is; a long one is shortened."""
    with pytest.raises(OperationError, match="a name") as caught:
        client.operation(name, kind="read", user="user_id")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("rejects", [ValueError, [ValueError], (ValueError,), {ValueError}])
def test_rejects_is_one_class_or_several(client, rejects):
    """However they are handed over, they are told by isinstance."""

    def legacy(user_id: str) -> None: ...

    client.operation("memory.x", kind="write", user="user_id", rejects=rejects)(legacy)
    assert client.operations["memory.x"].rejects == (ValueError,)


def test_a_callable_that_tells_no_parameters_is_refused(client):
    """Some that are written in C don't."""
    with pytest.raises(OperationError, match=r"memory\.x.*does not tell its parameters"):
        client.operation("memory.x", kind="read", user="user_id")(min)


def test_a_name_is_registered_once(client):
    """The second registration of a name is refused."""

    def legacy(user_id: str) -> None: ...

    client.operation("memory.x", kind="read", user="user_id")(legacy)
    with pytest.raises(OperationError, match="registered already"):
        client.operation("memory.x", kind="read", user="user_id")


def test_parameters_without_a_name_are_refused(client):
    """What cannot be captured by name cannot be replayed."""

    def legacy(user_id: str, *rest: Any) -> None: ...

    with pytest.raises(OperationError, match="'rest' has no name"):
        client.operation("memory.x", kind="read", user="user_id")(legacy)


def _binding(legacy) -> Binding:
    from gnomon.wire import Kind

    return Binding(name="memory.x", kind=Kind.READ, user="user_id", legacy=legacy)


def test_arguments_are_named_with_their_defaults():
    """A capture holds every argument, also those the caller left out."""

    def legacy(user_id: str, limit: int = 10, *, newest: bool = True) -> None: ...

    binding = _binding(legacy)
    assert binding.named(("ann",), {"limit": 3}) == {"user_id": "ann", "limit": 3, "newest": True}


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), (("a", "b", "c"), {}), (("a",), {"user_id": "b"})])
def test_a_wrong_call_is_left_to_the_callable(args, kwargs):
    """What legacy will refuse is no call to capture."""

    def legacy(user_id: str, limit: int = 10) -> None: ...

    assert _binding(legacy).named(args, kwargs) is None


def test_arguments_come_back_in_the_declared_types():
    """JSON has no datetime and no tuple: the replay gets what the callable declares."""
    from datetime import UTC, datetime

    def legacy(user_id: str, since: datetime, tags: tuple[str, ...] = (), limit: int = 10) -> None: ...

    typed = _binding(legacy).typed({"user_id": "a", "since": "2026-01-05T08:00:00Z", "tags": ["x"], "limit": "ten"})
    assert typed == {"user_id": "a", "since": datetime(2026, 1, 5, 8, tzinfo=UTC), "tags": ("x",), "limit": "ten"}
