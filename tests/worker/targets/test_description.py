"""What is wrong with a file of targets is told at start-up, with file, table and key; a secret is never repeated."""

import re

import pytest

from gnomon.errors import ConfigurationError
from tests.worker.targets.conftest import FILE, limits
from worker.settings import load
from worker.targets.binding import bind
from worker.targets.description import read

GOOD = {"GNOMON_REDIS_URL": "redis://127.0.0.1:6379/0", "GNOMON_DATABASE_URL": "sqlite:///ledger.sqlite3"}


def refused(says: str):
    return pytest.raises(ConfigurationError, match="^" + re.escape(f"GNOMON_TARGETS: targets.toml: {says}"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[targets", "is no TOML: "),
        ("targetz = 1", "Object contains unknown field `targetz`"),
        ("allow_hosts = 1", "allow_hosts: Expected `array`, got `int`"),
        ("[targets.a]", "[targets.a]: Object missing required field `url`"),
        ('[targets.a]\nurl = "http://h"\ntimeot_s = 1', "[targets.a]: Object contains unknown field `timeot_s`"),
        ('[targets.a]\nurl = "http://h"\ntimeout_s = "1"', "[targets.a] timeout_s: Expected `float | null`, got `str`"),
        ('[targets.a]\nurl = "http://h"\nread_timeout_s = 0', "[targets.a] read_timeout_s: is 0"),
        ('[targets.a]\nurl = "http://h"\nanswer_depth = -1', "[targets.a] answer_depth: is -1"),
        (
            '[targets.a]\nurl = "http://h"\nheaders = { Host = "x" }',
            "[targets.a] headers.Host: is set by Gnomon itself",
        ),
        ('[targets.a]\nurl = "http://h"\nheaders = { "X Y" = "x" }', "[targets.a] headers.X Y: is no name"),
        ('[targets.a]\nurl = "http://h"\nheaders = { X = "a\\nb" }', "[targets.a] headers.X: is no line of ASCII"),
        ('[targets.a]\nurl = "ftp://h"', "[targets.a] url: has the scheme 'ftp'"),
        ('[targets.a]\nurl = "http://ann:pw@h"', "[targets.a] url: holds a user or password"),
        ('[targets.a]\nurl = "http://h?x=1"', "[targets.a] url: holds a query"),
        (
            '[targets.a]\nurl = "http://elsewhere:81"',
            "allow_hosts: does not name elsewhere:81, the host of [targets.a]",
        ),
        ('[targets.a]\nurl = "http://h"\nhealth = "up"', "[targets.a] health: is 'up'"),
        ('[targets.a]\nurl = "http://h"\nclient_cert = "x"', "[targets.a] client_cert: without its other half"),
        ('[operations.x]\ntarget = "b"', "[operations.\"x\"] target: names 'b'"),
        (
            '[targets.a]\nurl = "http://h"\n[operations.x]\ntarget = "a"\nmethod = "get"',
            "[operations.\"x\"] method: is 'get'",
        ),
        ('[targets.a]\nurl = "http://h"\n[operations.x]\ntarget = "a"\npath = "x"', "[operations.\"x\"] path: is 'x'"),
        (
            '[targets.a]\nurl = "http://h"\n[operations.x]\ntarget = "a"\npath = "/?a=1"',
            '[operations."x"] path: holds a query',
        ),
        (
            '[targets.a]\nurl = "http://h"\n[operations.x]\ntarget = "a"\npath = "/{"',
            "[operations.\"x\"]: '/{': a brace",
        ),
        (
            '[targets.a]\nurl = "http://h"\n[operations.x]\ntarget = "a"\npath = "/{gnomon.secret}"',
            "[operations.\"x\"]: '/{gnomon.secret}': {gnomon.secret} is none of",
        ),
        (
            '[targets.a]\nurl = "http://h"\n[operations.x]\ntarget = "a"\nmethod = "GET"\nbody = {}',
            '[operations."x"] body: with method GET',
        ),
        (
            '[targets.a]\nurl = "http://h"\n[operations.x]\ntarget = "a"\nvalue = "data"',
            "[operations.\"x\"] value: is 'data'",
        ),
        (
            '[targets.a]\nurl = "http://h"\n[operations.x]\ntarget = "a"\nnull_on = [200]',
            '[operations."x"] null_on: names 200',
        ),
        (
            '[targets.a]\nurl = "http://h"\n[operations.x]\ntarget = "a"\nraises = { 409 = "not a name" }',
            "[operations.\"x\"] raises.409: is 'not a name'",
        ),
    ],
)
def test_the_shape_is_checked_with_the_settings(tmp_path, monkeypatch, text, says):
    """Wherever settings are read: a worker with a bad file never starts."""
    file = tmp_path / "targets.toml"
    file.write_text(text if text.startswith(("allow", "targetz")) else f'allow_hosts = ["h"]\n{text}')
    with refused(says):
        read(file)
    for name, value in {**GOOD, "GNOMON_TARGETS": str(file)}.items():
        monkeypatch.setenv(name, value)
    with refused(says):
        load()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with refused("cannot be read (No such file"):
        read(tmp_path / "targets.toml")


@pytest.mark.parametrize(
    ("operation", "table", "says"),
    [
        ("note.find", "", '[operations."note.find"]: no such operation; expected one of GNOMON_OPERATIONS: chat.send'),
        (
            "note.list",
            'path = "/{who}"',
            "[operations.\"note.list\"]: '/{who}' names no parameter of note.list; expected",
        ),
        ("note.save", 'method = "GET"', '[operations."note.save"] method: is GET, and note.save writes'),
        ("note.save", 'origin = "text"', "[operations.\"note.save\"] origin: note.save has a parameter 'text'"),
    ],
)
def test_what_the_operations_do_not_have_is_told_where_calls_are_made(application, described, operation, table, says):
    with refused(says):
        bind(application.client.operations, limits(described(1, operation=operation, table=table)))


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("timeout_s = 3.9", "[targets.notes] timeout_s: is 3.9; expected at most 3.6: a replay may take 4 s"),
        ('headers = { X = "${SECRET_NOTES}" }', "[targets.notes] headers.X: what SECRET_NOTES holds is no line"),
        (
            'headers = { X = "${NOTHING_OF_IT}" }',
            "[targets.notes] headers.X: NOTHING_OF_IT is not set; expected the var",
        ),
        ('headers = { X = "${FILED}" }', "[targets.notes] headers.X: the file that FILED_FILE names cannot be read"),
    ],
)
def test_what_a_target_needs_is_told_where_calls_are_made(application, described, monkeypatch, target, says):
    """And what a secret is, is not."""
    monkeypatch.setenv("SECRET_NOTES", "open\nsesame")
    monkeypatch.setenv("FILED_FILE", "/nowhere/at/all")
    with refused(says) as told:
        bind(application.client.operations, limits(described(1, target=target)))
    assert "sesame" not in str(told.value)


def test_a_network_that_is_none_is_named(application, described):
    text = 'allow_networks = ["169.254.0.0/99"]\n' + FILE
    with refused("allow_networks: holds '169.254.0.0/99'"):
        bind(application.client.operations, limits(described(1, text=text)))


def test_certificates_that_cannot_be_used_are_named(application, described, tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    text = FILE.replace("http://", "https://")
    with refused("[targets.notes] ca_file: cannot be used"):
        bind(application.client.operations, limits(described(1, text=text, target=f'ca_file = "{tmp_path}/ca.pem"')))


def test_operations_without_a_table_keep_what_they_have(application, described):
    """And what a table names is replaced, also where nothing was registered."""
    application.client.operations["chat.send"].enhanced = print
    application.client.operations["note.list"].enhanced = print
    bound = bind(application.client.operations, limits(described(1)))
    assert bound.operations["chat.send"].enhanced is print
    assert bound.operations["note.list"].enhanced is not print
    assert application.client.operations["note.list"].enhanced is print  # the live side is not touched
    assert [guard.name for guard in bound.guards.all if guard.name == "notes"] == ["notes"]
    bound.close()


def test_without_a_file_everything_is_as_it_was(application):
    bound = bind(application.client.operations, limits(None))
    assert bound.operations == dict(application.client.operations)
