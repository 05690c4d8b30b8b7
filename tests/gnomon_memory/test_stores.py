"""Where the memories are kept: by URL, opened when needed, by several threads and processes at once."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import select, text

from gnomon_memory.errors import SettingError, StoreError
from gnomon_memory.legacy import LegacyMemory, legacy_store
from gnomon_memory.rental_service import RentalMemoryService, rental_store
from gnomon_memory.rental_tables import TABLES
from gnomon_memory.urls import store_url as url_of

pytestmark = pytest.mark.enhanced_memory

SAVERS = """
import sys, threading
from gnomon_memory.enhanced import EnhancedMemory
from gnomon_memory.legacy import LegacyMemory, legacy_store
from gnomon_memory.rental_service import RentalMemoryService, rental_store

process, threads, saves, legacy_url, enhanced_url = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]
legacy, enhanced = legacy_store(legacy_url), rental_store(enhanced_url)
systems = LegacyMemory(legacy), EnhancedMemory(RentalMemoryService(enhanced))
failures = []

def save(thread):
    try:
        for number in range(saves):
            for system in systems:
                user = f"user-{number % 3}"
                system.save_chat_memory(user, "preference", process, {"conversation_id": "c", "slot": "a", "value": 1})
                system.get_recent_memories(user)
    except Exception as error:
        failures.append(repr(error))

running = [threading.Thread(target=save, args=(thread,)) for thread in range(threads)]
[thread.start() for thread in running]
[thread.join() for thread in running]
legacy.close()
enhanced.close()
sys.exit("; ".join(failures[:3]) or None)
"""

FORKING = """
import os, sys
from gnomon_memory.enhanced import EnhancedMemory
from gnomon_memory.rental_service import RentalMemoryService, rental_store

store = rental_store(sys.argv[1])
system = EnhancedMemory(RentalMemoryService(store))
system.save_chat_memory("u", "note", "parent, before")
child = os.fork()
if child == 0:
    system.save_chat_memory("u", "note", "child")
    store.close()
    os._exit(0)  # as forked workers leave: without the interpreter's farewell to what is the parent's
_, status = os.waitpid(child, 0)
assert status == 0, status
system.save_chat_memory("u", "note", "parent, after")
assert [m["content"] for m in system.get_recent_memories("u")] == ["parent, after", "child", "parent, before"]
store.close()
"""


def python(script: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", script, *map(str, args)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def finish(*processes: subprocess.Popen[str]) -> None:
    told = [process.communicate(timeout=60)[1] for process in processes]
    assert [""] * len(processes) == told
    assert {process.returncode for process in processes} == {0}


def test_processes_and_threads_at_once(store_url):
    """Two processes of 16 threads each find no tables, create them once, and save all they are given."""
    urls = store_url("legacy"), store_url("enhanced")
    finish(*(python(SAVERS, name, 16, 5, *urls) for name in ("one", "two")))
    legacy, service = LegacyMemory(legacy_store(urls[0])), RentalMemoryService(rental_store(urls[1]))
    counts = [
        sum(len(read(f"user-{number}", None, 1000)) for number in range(3))
        for read in (legacy.get_recent_memories, service.recent)
    ]
    legacy.store.close()
    service.store.close()
    assert counts == [2 * 16 * 5] * 2


def test_a_fork_opens_its_own_connections(store_url):
    """A child that is forked after the store was used saves beside its parent, and neither disturbs the other."""
    finish(python(FORKING, store_url("enhanced")))


def test_threads_open_one_engine(store_url):
    """However many threads are first, the store is opened once."""
    store = legacy_store(store_url("legacy"))
    barrier, seen = threading.Barrier(8), set()

    def use() -> None:
        barrier.wait()
        with store.reading() as connection:
            seen.add(connection.engine.pool)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert len(seen) == 1


def test_sqlite_waits_and_checks(tmp_path):
    """A SQLite store has WAL, foreign keys, no fsync a commit, and 30 s of patience, on every connection."""
    store = rental_store(f"sqlite:///{tmp_path}/e.sqlite3")
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    with store.reading() as first, store.reading() as second:
        for connection in (first, second):
            assert [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names] == ["wal", 1, 1, 30_000]
    store.close()


def test_a_failed_write_leaves_nothing(store_url):
    """What a write stores is stored together or not at all; the failure tells the database's code, not the row."""
    store = rental_store(store_url("enhanced"))
    users = TABLES.tables["rental_users"]
    rows = [("zoë", "2026-01-05T08:02:09.827000+00:00"), ("secret", "not a time")]

    def write() -> None:
        with store.writing() as connection:
            for row in rows:
                connection.execute(users.insert().values(row))

    with pytest.raises(StoreError) as caught:
        write()
    with store.reading() as connection:
        assert connection.execute(select(users)).all() == []
    store.close()
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith("the enhanced memory store failed: ")
    assert caught.value.__cause__ is None


def test_erasing_a_user_takes_all_that_refers_to_them(systems):
    """The relations hold a user together: deleting the user deletes conversations, memories and attributes."""
    for user in ("ana", "ben"):
        systems.save(user, "preference", "area: Porto", {"conversation_id": "c", "slot": "area", "value": "Porto"})
    users = TABLES.tables["rental_users"]
    store = systems.enhanced.service.store
    with store.writing() as connection:
        connection.execute(users.delete().where(users.c.user_id == "ana"))
    with store.reading() as connection:
        left = {name: connection.execute(select(table.c.user_id)).all() for name, table in TABLES.tables.items()}
    assert all(users == [("ben",)] for users in left.values()), left


def test_defaults_and_environment(tmp_path, monkeypatch):
    """The URL is read from the environment at the first use; without one, it is a file below the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GNOMON_MEMORY_LEGACY_URL", raising=False)
    monkeypatch.setenv("GNOMON_MEMORY_ENHANCED_URL", f"sqlite:///{tmp_path}/a/b/e.db")
    for store in (legacy_store(), rental_store()):
        with store.reading():
            pass
        store.close()
    assert Path(".gnomon/memory/legacy.sqlite3").exists()
    assert Path("a/b/e.db").exists()


@pytest.mark.parametrize(
    "url",
    [
        "secret",
        "mysql://u:secret@h/d",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://u:secret@h:port/d",
        "postgresql+psycopg2://u:secret@h/d",
        "://secret",
    ],
)
def test_malformed_urls(url, monkeypatch):
    """A URL that names no store is one error that names the variable and what is expected, never the URL."""
    monkeypatch.setenv("GNOMON_MEMORY_ENHANCED_URL", url)
    with pytest.raises(SettingError) as caught, rental_store().reading():
        pass
    assert str(caught.value) == (
        "GNOMON_MEMORY_ENHANCED_URL must be sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_spellings(scheme):
    """However a provider spells PostgreSQL, it is reached by psycopg 3."""
    url = url_of(f"{scheme}://u:p@h:5433/d?sslmode=require", variable="X")
    assert url.render_as_string(hide_password=False) == "postgresql+psycopg://u:p@h:5433/d?sslmode=require"


def test_a_store_that_cannot_be_opened(tmp_path, monkeypatch):
    """A store that is no database, lies where nothing can be made, or does not answer, is told by its variable."""
    (tmp_path / "file").write_text("no database, but long enough to be looked at as one" * 20)
    urls = {
        f"sqlite:///{tmp_path}/file": "DatabaseError (SQLITE_NOTADB)",
        "postgresql://u:secret@127.0.0.1:1/d": "OperationalError",
    }
    for url, reason in urls.items():
        monkeypatch.setenv("GNOMON_MEMORY_LEGACY_URL", url)
        with pytest.raises(StoreError) as caught:
            LegacyMemory().get_recent_memories("u")
        assert str(caught.value) == (
            f"the legacy memory store failed: {reason} on opening what GNOMON_MEMORY_LEGACY_URL names"
        )
    with pytest.raises(SettingError, match="X must be a file in a folder that can be made"):
        url_of(f"sqlite:///{tmp_path}/file/below/it", variable="X")
