"""Legacy, enhanced and the safe migration service: one in the place of the other, as far as an application can tell."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from gnomon_memory.enhanced import EnhancedMemory
from gnomon_memory.errors import StoreError
from gnomon_memory.legacy import LegacyMemory, legacy_store
from gnomon_memory.rental_service import RentalMemoryService, rental_store

pytestmark = pytest.mark.safe_migration

NOWHERE = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}\+00:00")
MODULES = ("gnomon_memory.operations", "gnomon_memory.safe_migration_service")

DEEP: dict[str, Any] = {}
for _ in range(64):
    DEEP = {"deeper": DEEP}

GOOD: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("recent", ("zoë",), {}),
    ("save", ("zoë", "preference", "area: Łódź"), {}),
    ("save", ("zoë", "preference", "area: Porto", {"slot": "area", "value": "Porto"}), {}),
    (
        "save",
        ("zoë", "property", ""),
        {"metadata": {"price": 950.0, "n": 1, "garage": True, "none": None, "l": [1, {}]}},
    ),
    ("save", (), {"user_id": "zoë", "memory_type": "🏠", "content": "x" * 100_000, "metadata": None}),
    ("save", ("z" * 256, "t" * 256, "text", {"tuple": (1, 2)}), {}),
    ("save", ("zoë", "conversation", "Hello", {"conversation_id": "talk", "role": "user"}), {}),
    ("recent", ("zoë",), {}),
    ("recent", ("zoë", "preference"), {}),
    ("recent", ("zoë", "preference", 1), {}),
    ("recent", ("zoë",), {"limit": 10_000}),
    ("recent", (), {"user_id": "zoë", "memory_type": None, "limit": 2}),
    ("recent", ("zoë", "no such type"), {}),
    ("recent", ("nobody",), {}),
    ("send", ("nobody", "I need a flat."), {}),
    ("send", ("nobody", "Thanks, bye", "talk"), {}),
    ("send", (), {"user_id": "zoë", "message": "", "conversation_id": "talk"}),
    ("send", ("zoë", "Hello 🏠", None), {}),
]

BAD_KEYS = ["", None, 5, 1.5, b"bytes", ["u"], {"u": 1}, "k" * 257, "a\x00b", "\ud800"]
BAD_TEXTS = [None, 5, b"bytes", ["text"], "a\x00b", "\udfff"]
BAD_METADATA = [
    ["a"],
    "text",
    5,
    {1: "one"},
    {"a": object()},
    {"a": {1, 2}},
    {"a": b"bytes"},
    {"a": float("nan")},
    {"a": [float("inf")]},
    {"a": "b\x00"},
    {"a\x00": "b"},
    {"a": "\ud800"},
    {"too": DEEP},
    {"a": 10**5000},
]
BAD_LIMITS = [0, -1, 10_001, 10**30, 1.5, True, None, "3", [3]]
BAD: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *(("save", (bad, "note", "text"), {}) for bad in BAD_KEYS),
    *(("save", ("u", bad, "text"), {}) for bad in BAD_KEYS),
    *(("save", ("u", "note", bad), {}) for bad in BAD_TEXTS),
    *(("save", ("u", "note", "text", bad), {}) for bad in BAD_METADATA),
    *(("recent", (bad,), {}) for bad in BAD_KEYS),
    *(("recent", ("u", bad), {}) for bad in BAD_KEYS if bad is not None),
    *(("recent", ("u",), {"limit": bad}) for bad in BAD_LIMITS),
    *(("send", (bad, "Hello"), {}) for bad in BAD_KEYS),
    *(("send", ("u", bad), {}) for bad in BAD_TEXTS),
    *(("send", ("u", "Hello", bad), {}) for bad in BAD_KEYS if bad is not None),
    ("save", (), {}),
    ("save", ("u", "note"), {}),
    ("save", ("u", "note", "text", None, "one too many"), {}),
    ("save", ("u", "note", "text"), {"user_id": "twice"}),
    ("save", ("u", "note", "text"), {"no_such_argument": 1}),
    ("recent", (), {}),
    ("recent", ("u", None, 10, 11), {}),
    ("recent", ("u",), {"count": 3}),
    ("send", ("u",), {}),
    ("send", ("u", "Hello"), {"no_such_argument": 1}),
]

APPLICATION = """\
{imported}


def main():
    saved = save_chat_memory("zoë", "preference", "area: Porto", metadata={{"slot": "area", "value": "Porto"}})
    assert get_recent_memories("zoë", limit=5) == [saved]
    print({{**saved, "id": "", "created_at": ""}})
    print(chat_client.send_message("zoë", "I need a flat.", "talk")["reply"])
    try:
        get_recent_memories("zoë", limit=0)
    except ValueError as error:
        print(type(error), error)


main()
"""
IMPORTED = "from {module} import save_chat_memory, get_recent_memories, chat_client"
APPLICATIONS_OWN = """\
from gnomon_memory.legacy import LegacyMemory

_legacy = LegacyMemory()
save_chat_memory, get_recent_memories, chat_client = (
    _legacy.save_chat_memory, _legacy.get_recent_memories, _legacy.chat_client
)
"""


@dataclass(frozen=True)
class Side:
    """What an application imports, of one of the systems."""

    name: str
    save: Callable[..., Any]
    recent: Callable[..., Any]
    chat_client: Any

    @classmethod
    def of(cls, name: str, system: Any) -> "Side":
        return cls(name, system.save_chat_memory, system.get_recent_memories, system.chat_client)

    @property
    def calls(self) -> dict[str, Callable[..., Any]]:
        return {"save": self.save, "recent": self.recent, "send": self.chat_client.send_message}


@contextmanager
def legacy_at(url: str) -> Iterator[Side]:
    system = LegacyMemory(legacy_store(url))
    yield Side.of("legacy", system)
    system.store.close()


@contextmanager
def enhanced_at(url: str) -> Iterator[Side]:
    system = EnhancedMemory(RentalMemoryService(rental_store(url)))
    yield Side.of("enhanced", system)
    system.service.store.close()


@contextmanager
def service_with(environment: dict[str, str]) -> Iterator[Any]:
    """Import the service anew, as a process with this environment does."""
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - kept.keys():
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        service = importlib.import_module("gnomon_memory.safe_migration_service")
        operations = sys.modules["gnomon_memory.operations"]
        try:
            yield service
        finally:
            operations.client.close()
            operations.legacy.store.close()
            operations.enhanced.service.store.close()
            for name in MODULES:
                del sys.modules[name]
            sys.modules.update({name: module for name, module in before.items() if module is not None})


def urls(folder: Path) -> dict[str, str]:
    return {
        "GNOMON_MEMORY_LEGACY_URL": f"sqlite:///{folder}/service-legacy.db",
        "GNOMON_MEMORY_ENHANCED_URL": f"sqlite:///{folder}/service-enhanced.db",
    }


@pytest.fixture
def reference(tmp_path: Path) -> Iterator[Side]:
    with legacy_at(f"sqlite:///{tmp_path}/reference.db") as side:
        yield side


@pytest.fixture(params=["legacy", "enhanced", "service", pytest.param("capturing", marks=pytest.mark.slow)])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    """Each of the three, with stores of its own; the service also while it captures."""
    match request.param:
        case "legacy":
            with legacy_at(f"sqlite:///{tmp_path}/legacy.db") as side:
                yield side
        case "enhanced":
            with enhanced_at(f"sqlite:///{tmp_path}/enhanced.db") as side:
                yield side
        case "service":
            with service_with(urls(tmp_path)) as service:
                yield Side.of("service", service)
        case "capturing":
            redis_url = request.getfixturevalue("valkey_url")
            with service_with({**urls(tmp_path), "GNOMON_REDIS_URL": redis_url}) as service:
                yield Side.of("capturing", service)
                assert service.client.flush()
                counted = service.get_metrics()
            assert counted["eligible"] == counted["captured"] + counted["not_sampled"] + counted["unserialisable"]


def comparable(value: Any) -> Any:
    """Replace what is minted by what it looks like; types as in JSON, and as in Python."""
    if isinstance(value, dict):
        return {type(value): [(key, comparable(item)) for key, item in value.items()]}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, str) and (ID.fullmatch(value) or TIME.fullmatch(value)):
        return "ID" if ID.fullmatch(value) else "TIME"
    return type(value), value


def refused(fn: Callable[..., Any], args: Any, kwargs: Any) -> tuple[type, str]:
    try:
        answered = fn(*args, **kwargs)
    except Exception as error:
        return type(error), str(error).replace("EnhancedMemory.", "LegacyMemory.")
    pytest.fail(f"not refused: {answered!r:.200}")


def test_names_signatures_and_docstrings(side, reference):
    """Each call has legacy's name, signature, declared types and meaning."""
    for name, original in reference.calls.items():
        call = side.calls[name]
        assert inspect.signature(original) == inspect.signature(call)
        assert original.__name__ == call.__name__
        assert get_type_hints(original) == get_type_hints(call)
        assert inspect.getdoc(call)
        assert inspect.iscoroutinefunction(call) is False
    if side.name in {"service", "capturing"}:
        assert [inspect.getdoc(call) for call in side.calls.values()] == [
            inspect.getdoc(call) for call in reference.calls.values()
        ]


def test_the_chat_client_has_what_legacys_has(side, reference):
    """Whatever is public on legacy's chat client is there."""
    for name in (name for name in dir(reference.chat_client) if not name.startswith("_")):
        assert callable(getattr(reference.chat_client, name)) is callable(getattr(side.chat_client, name))
    with pytest.raises(AttributeError):
        side.chat_client.no_such_attribute  # noqa: B018


def test_good_calls(side, reference):
    """The same calls, one after another, are answered with the same shapes, types and values, in the same order."""
    for name, args, kwargs in GOOD:
        expected = reference.calls[name](*args, **kwargs)
        actual = side.calls[name](*args, **kwargs)
        assert comparable(expected) == comparable(actual)
        assert json.loads(json.dumps(actual)) == actual


def test_bad_calls(side, reference):
    """The same calls are refused, with the same class and message; and nothing of them is stored."""
    for name, args, kwargs in BAD:
        expected = refused(reference.calls[name], args, kwargs)
        actual = refused(side.calls[name], args, kwargs)
        assert expected == actual, (name, expected)
    assert reference.recent("u") == side.recent("u") == []


def test_arguments_and_answers_are_the_callers(side):
    """What was given is not changed, and what the caller does to an answer is seen by nobody."""
    metadata = {"nested": {"pets": ["cat"]}}
    saved = side.save("u", "property", "home", metadata)
    saved["metadata"]["nested"]["pets"].append("parrot")
    assert metadata == {"nested": {"pets": ["cat"]}}
    (again,) = side.recent("u")
    assert again["metadata"] == metadata
    again["metadata"].clear()
    assert side.recent("u")[0]["metadata"] == metadata


def test_a_store_that_fails(tmp_path):
    """Where legacy's store cannot be reached, the service raises what legacy raises."""
    with service_with({**urls(tmp_path), "GNOMON_MEMORY_LEGACY_URL": NOWHERE}) as service, legacy_at(NOWHERE) as legacy:
        for name, args, kwargs in GOOD[:2]:
            expected = refused(legacy.calls[name], args, kwargs)
            assert expected == refused(Side.of("service", service).calls[name], args, kwargs)
            assert expected[0] is StoreError


def test_the_import_is_all_that_changes(tmp_path):
    """An application that imports the service in the place of its own memory prints the same, to the letter."""
    (tmp_path / "memories.py").write_text(APPLICATIONS_OWN)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}
    printed = []
    for number, module in enumerate(("memories", "gnomon_memory.safe_migration_service")):
        source = APPLICATION.format(imported=IMPORTED.format(module=module))
        command = [sys.executable, "-W", "error", "-c", source]
        environment = {
            **kept,
            "PYTHONPATH": str(tmp_path),
            "GNOMON_MEMORY_LEGACY_URL": f"sqlite:///{tmp_path}/{number}.db",
        }
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        printed.append(done.stdout)
    assert printed[0] == printed[1]
    assert len(printed[0].splitlines()) == 3
