"""A database that does not answer is one error of ours, whatever its driver calls it, and never names a password."""

import contextlib
import select
import socket
import sqlite3
import threading

import psycopg
import pytest
import sqlalchemy as sa

from ledger import Ledger, LedgerError, LedgerUnreachableError, Sent, database_url
from ledger import engine as engines

SECRET = "open-sesame"


@pytest.fixture
def refused_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused at once
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("sqlite:///ledger.sqlite3", "sqlite"),
        ("sqlite:////var/lib/ledger.sqlite3", "sqlite"),
        ("postgres://ann@db/ledger", "postgresql+psycopg"),
        ("postgresql://ann@db/ledger", "postgresql+psycopg"),
        ("postgresql+psycopg2://ann@db/ledger", "postgresql+psycopg"),
    ],
)
def test_urls_get_the_driver_that_is_there(text, driver):
    """Whichever driver a PostgreSQL URL asks for, the one installed is used."""
    assert database_url(text).drivername == driver


@pytest.mark.parametrize(
    "text",
    [
        "",
        SECRET,
        "sqlite://",
        f"mysql://ann:{SECRET}@db/ledger",
        f"redis://:{SECRET}@db/0",
        pytest.param(
            f"postgresql://ann:{SECRET}@db:port/ledger",
        ),
        pytest.param(
            "sqlite:///:memory:",
        ),
    ],
)
def test_what_is_no_database_for_a_ledger_is_refused(text):
    """As a LedgerUnreachableError that says what is expected and repeats no secret."""
    with pytest.raises(LedgerUnreachableError, match="expected sqlite:///FILE or postgresql://") as refused:
        database_url(text)
    assert SECRET not in str(refused.value)


def test_a_folder_for_the_file_is_made(tmp_path):
    """An embedded ledger needs no preparation."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'a' / 'b' / 'ledger.sqlite3'}")
    ledger.migrate()
    ledger.check()
    ledger.close()


def _no_database(folder):
    (folder / "file").write_text("certainly no database: " + "x" * 4096)
    return folder / "file"


def _folder(folder):
    return folder


def _below_a_file(folder):
    (folder / "file").touch()
    return folder / "file" / "ledger.sqlite3"


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(
            _no_database,
        ),
        _folder,
        pytest.param(_below_a_file),
    ],
)
def test_a_file_that_cannot_be_a_ledger_is_one_clear_error(place, tmp_path):
    """No database in it, a folder, below a file: a LedgerError, so that a command ends in one line."""
    with pytest.raises(LedgerError):
        Ledger(f"sqlite:///{place(tmp_path)}").check()


@pytest.mark.parametrize(
    "secret",
    [
        "ann:{secret}@127.0.0.1:{port}/ledger",
        pytest.param(
            "127.0.0.1:{port}/ledger?user=ann&password={secret}",
        ),
    ],
    ids=["user and password", "in the query"],
)
def test_a_postgres_that_refuses_is_named_without_its_password(refused_port, secret):
    """Every use of the ledger says where it tried, and keeps the password to itself."""
    ledger = Ledger("postgresql://" + secret.format(port=refused_port, secret=SECRET))
    for use in (ledger.check, ledger.migrate, lambda: ledger.take(0), lambda: ledger.fold({0: {"p": Sent()}})):
        with pytest.raises(LedgerUnreachableError) as unreachable:
            use()
        assert f"127.0.0.1:{refused_port}/ledger" in str(unreachable.value)
        assert SECRET not in str(unreachable.value)
        assert unreachable.value.__cause__ is None
    ledger.close()


@pytest.mark.slow
def test_a_database_that_is_not_there_is_named(postgres_server):
    """The server answers, the database does not exist."""
    ledger = Ledger(postgres_server.get_uri("nowhere"))
    with pytest.raises(LedgerUnreachableError, match=r'nowhere.*"nowhere" does not exist'):
        ledger.check()
    ledger.close()


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_a_locked_file_is_an_error_after_the_wait(empty_url, tmp_path, monkeypatch, read, hold, finding):
    """A writer waits for another, then says so; once the other is gone it goes on."""
    monkeypatch.setattr(engines, "BUSY_MS", 50)
    ledger = Ledger(empty_url)
    ledger.migrate()
    holder = hold(ledger)
    with sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnreachableError, match=r"ledger\.sqlite3: database is locked"):
            ledger.commit(holder.next(finding()))
        assert read(ledger, "done") == 0
        other.execute("ROLLBACK")
    other.close()
    holder.commit(finding())
    assert read(ledger, "done") == 1
    ledger.close()


@pytest.mark.slow
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_server_that_goes_away_in_the_middle_counts_nothing(url, read, hold, finding):
    """A commit whose connection is ended from the other side is unreachable; the next one finds the server again."""
    ledger, raised = Ledger(url), []
    holder = hold(ledger)
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE lanes IN ACCESS EXCLUSIVE MODE")

        def commit() -> None:
            try:
                ledger.commit(holder.next(finding()))
            except Exception as error:
                raised.append(error)

        thread = threading.Thread(target=commit)
        thread.start()
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as admin:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
            for _ in range(1_000):
                if admin.execute(ended).fetchall() or not thread.is_alive():
                    break
        thread.join(10)
    assert [type(error) for error in raised] == [LedgerUnreachableError]
    assert read(ledger, "done") == 0
    holder.commit(finding())
    assert read(ledger, "done") == 1
    ledger.close()


@pytest.mark.slow
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_who_stands_still_in_a_transaction_holds_nobody_up(url, read, hold, finding, monkeypatch):
    """The server ends a session that was frozen in the midst of a commit; what it had done is undone."""
    monkeypatch.setattr(engines, "IDLE_MS", 300)
    ledger, frozen = Ledger(url), engines.open_engine(url)
    holder = hold(ledger)
    late = frozen.connect()
    late.execute(sa.text("UPDATE lanes SET done = 99"))
    holder.commit(finding())  # waits for the row
    with pytest.raises(sa.exc.DBAPIError, match="idle-in-transaction timeout"):
        late.execute(sa.text("SELECT 1"))
    late.invalidate()
    late.close()
    assert read(ledger, "done") == 1
    ledger.close()
    frozen.dispose()


@pytest.mark.slow
def test_a_worker_frozen_while_it_sends_rows_holds_nobody_up(migrated_postgres_url, hold, finding, read, monkeypatch):
    """The server waits for the rest of them, takes it to be at work, and knows no idle transaction there."""
    monkeypatch.setattr(engines, "IDLE_MS", 100)
    ledger, frozen = Ledger(migrated_postgres_url), Ledger(migrated_postgres_url)
    holder, before, late = hold(ledger), read(ledger, "done"), contextlib.ExitStack()
    with monkeypatch.context() as patch:
        patch.setattr(engines, "TRANSACTION_MS", 1_000)
        sending = late.enter_context(frozen._transaction()).connection.driver_connection
    late.enter_context(sending.pipeline())
    sending.execute("UPDATE lanes SET done = done + 99")
    sending.pgconn.send_flush_request()
    while sending.pgconn.flush():
        pass
    assert select.select([sending.fileno()], [], [], 10)[0]  # the row is the frozen one's: the server has answered
    holder.commit(finding())  # waits for the row
    assert read(ledger, "done") == before + 1
    with pytest.raises(LedgerUnreachableError, match="connection is lost"):
        late.close()
    ledger.close()
    frozen.close()


@pytest.mark.slow
def test_what_a_url_says_of_its_sessions_stands(migrated_postgres_url):
    """Ours are defaults."""
    name = "idle_in_transaction_session_timeout"
    said = sa.make_url(migrated_postgres_url).update_query_dict({"options": f"-c {name}=7s"})
    for url, expected in ((migrated_postgres_url, f"{engines.IDLE_MS // 1000}s"), (said, "7s")):
        engine = engines.open_engine(sa.make_url(url).render_as_string(hide_password=False))
        with engine.connect() as connection:
            assert connection.scalar(sa.text(f"SHOW {name}")) == expected
        engine.dispose()


def test_readers_do_not_wait_for_a_writer(ledger, read, hold, finding, url):
    """A report is read while a commit is under way, and shows what was before it."""
    hold(ledger).commit(finding())
    with sa.create_engine(url).connect() as writer:
        writer.exec_driver_sql("BEGIN IMMEDIATE" if url.startswith("sqlite") else "SELECT 1")
        writer.execute(sa.text("UPDATE lanes SET done = 99"))
        assert read(ledger, "done") == 1
    writer.engine.dispose()
