"""Bad input ends in one clear line and exit code 2, or in bad lines named and the rest run."""

import json
import socket

import pytest

pytestmark = pytest.mark.slow


def refused_port() -> int:
    """A port that was free a moment ago: nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def one_line(ran) -> str:
    lines = [line for line in ran.err.splitlines() if line.startswith("gnomon: ")]
    assert len(lines) == 1, ran.err
    return lines[0]


def test_a_missing_file_is_named(gnomon):
    """The file and what is wrong with it."""
    ran = gnomon("run", "nowhere.jsonl")
    assert (ran.code, one_line(ran)) == (2, "gnomon: nowhere.jsonl: No such file or directory")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("GNOMON_REDIS_URL", "localhost", "GNOMON_REDIS_URL: cannot use 'localhost'"),
        ("GNOMON_DATABASE_URL", "mysql://u:secret@h/db", "GNOMON_DATABASE_URL"),
        ("GNOMON_DATABASE_URL", "nonsense", "GNOMON_DATABASE_URL"),
        ("GNOMON_OPERATIONS", "no.such.module", "GNOMON_OPERATIONS: cannot load 'no.such.module'"),
        ("GNOMON_OPERATIONS", "json", "GNOMON_OPERATIONS: json holds no Gnomon client"),
        ("GNOMON_LANES", "many", "GNOMON_LANES"),
        ("GNOMON_CAPTURE", "off", "GNOMON_CAPTURE"),
    ],
)
def test_a_malformed_setting_is_named(gnomon, traffic, variable, value, said):
    """One line naming the variable, exit code 2, no password."""
    ran = gnomon("run", traffic, **{variable: value})
    assert ran.code == 2
    assert said in one_line(ran)
    assert "secret" not in ran.err


def test_an_unreachable_redis_is_named(gnomon, traffic):
    """Refused: one line, exit code 2."""
    ran = gnomon("run", traffic, GNOMON_REDIS_URL=f"redis://127.0.0.1:{refused_port()}/0")
    assert ran.code == 2
    assert "GNOMON_REDIS_URL: Redis does not answer" in one_line(ran)


def test_an_unreachable_database_is_named(gnomon, traffic):
    """Refused: one line, exit code 2, no password."""
    url = f"postgresql://ann:secret@127.0.0.1:{refused_port()}/ledger"
    ran = gnomon("run", traffic, GNOMON_DATABASE_URL=url)
    assert ran.code == 2
    assert "GNOMON_DATABASE_URL" in one_line(ran)
    assert "secret" not in ran.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rate", "0"], "--rate is 0; expected a number above 0"),
        (["--speed", "inf"], "--speed is inf; expected a number above 0"),
        (["--rate", "5", "--speed", "2"], "--rate and --speed exclude each other"),
        (["--map", "GET /{user_id} = memory.recent"], "--map is for access logs"),
        (["--format", "combined"], "--format combined needs at least one --map"),
        (["--format", "combined", "--map", "GET /{user_id} = memory.save"], "memory.save is a write operation"),
    ],
)
def test_options_of_a_run_that_cannot_be_used_are_named(gnomon, traffic, options, said):
    """One line, exit code 2."""
    ran = gnomon("run", traffic, *options)
    assert ran.code == 2
    assert said in one_line(ran)


def test_bad_lines_are_named_and_the_rest_runs(gnomon, conversations):
    """The line's number and what is wrong; exit code 1 at the end; the good lines are judged."""
    good = [json.dumps(entry) for entry in conversations[:6]]
    entry = conversations[0]
    bad = {
        2: ("{not json", "is not JSON"),
        4: (json.dumps({k: v for k, v in entry.items() if k != "user_id"}), "user_id"),
        6: (json.dumps({**entry, "operation": "memory.forget"}), "unknown operation 'memory.forget'"),
        8: (json.dumps({**entry, "args": {"colour": "red"}}), "colour"),
        9: (json.dumps({**entry, "at": "yesterday"}), "at"),
        10: (json.dumps({**entry, "user_id": ""}), "user_id is empty"),
        12: ("[" * 5000, "Expected `object`"),
    }
    lines = iter(good)
    numbered = [bad[n][0] if n in bad else next(lines) for n in range(1, len(good) + len(bad) + 1)]
    (gnomon.folder / "mixed.jsonl").write_text("\n".join(numbered) + "\n")
    ran = gnomon("run", "mixed.jsonl", "--json")
    assert ran.code == 1
    assert (ran.json["eligible"], ran.json["outcomes"]["pending"]) == (6, 0)
    for number, (_, problem) in bad.items():
        [line] = [line for line in ran.err.splitlines() if line.startswith(f"gnomon: line {number}:")]
        assert problem in line


@pytest.mark.parametrize("command", ["report", "groups", "gate", "status", "health", "worker", "rollback"])
def test_without_run_and_settings_a_command_says_what_is_missing(gnomon, command):
    """Nothing to look at: one line naming the variable."""
    ran = gnomon(command)
    assert ran.code == 2
    assert "GNOMON_REDIS_URL: is not set" in one_line(ran)


def test_an_unknown_run_is_named(gnomon):
    """`--run` with a name that is none."""
    assert "there is no run 'x'" in one_line(gnomon("report", "--run", "x"))


def test_a_ledger_without_tables_is_named(gnomon, valkey_url):
    """A worker does not start on a ledger it cannot use, and says how to make it usable."""
    settings = {"GNOMON_REDIS_URL": valkey_url, "GNOMON_DATABASE_URL": f"sqlite:///{gnomon.folder}/ledger.sqlite3"}
    ran = gnomon("worker", **settings)
    assert ran.code == 2
    assert "gnomon migrate" in one_line(ran)
    assert gnomon("migrate", **settings).code == 0


def test_a_worker_names_the_log_levels_it_knows(gnomon):
    """Before it asks anybody for anything."""
    ran = gnomon("worker", "--log-level", "chatty")
    assert ran.code == 2
    assert one_line(ran) == "gnomon: --log-level: 'chatty' is none; expected one of DEBUG, INFO, WARNING, ERROR"
