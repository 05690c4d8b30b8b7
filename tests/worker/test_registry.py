"""Operations are found by module name; what is wrong with a module is said by name, before the first replay."""

import re
import sys
from types import ModuleType

import pytest

from gnomon import Gnomon
from gnomon.errors import ConfigurationError
from worker.registry import clients, load_operations


@pytest.fixture
def module(monkeypatch):
    """Make modules with what they hold."""

    def make(name: str, **holds: object) -> str:
        made = ModuleType(name)
        vars(made).update(holds)
        monkeypatch.setitem(sys.modules, name, made)
        return name

    return make


def client_with(*names: str) -> Gnomon:
    client = Gnomon.from_env({})
    for name in names:
        client.operation(name, kind="read", user="user")(lambda user: user)
    return client


def test_the_operations_of_all_modules_are_found(module):
    """By name, whatever the client's variable is called."""
    modules = [module("ops_one", gnomon=client_with("a.x", "a.y")), module("ops_two", _hidden=client_with("b.z"))]
    assert sorted(load_operations(modules)) == ["a.x", "a.y", "b.z"]


def test_a_client_shared_by_modules_counts_once(module):
    """One module imports it from another."""
    client = client_with("a.x")
    modules = [module("ops_one", gnomon=client), module("ops_two", gnomon=client, again=client)]
    assert clients(modules) == [client]
    assert list(load_operations(modules)) == ["a.x"]


def test_an_operation_registered_twice_is_refused(module):
    """Two clients with one name: nobody could tell whose replay it would be."""
    modules = [module("ops_one", gnomon=client_with("a.x")), module("ops_two", gnomon=client_with("a.x"))]
    with pytest.raises(ConfigurationError, match=r"^GNOMON_OPERATIONS: 'a\.x' is registered twice"):
        load_operations(modules)


def test_an_unknown_module_is_refused(module):
    """By name, with the reason."""
    with pytest.raises(ConfigurationError, match=r"^GNOMON_OPERATIONS: cannot load 'nowhere\.operations' .*No module"):
        load_operations(["nowhere.operations"])


def test_a_module_without_a_client_is_refused(module):
    """It registers nothing: most likely another one was meant."""
    with pytest.raises(ConfigurationError, match=r"^GNOMON_OPERATIONS: ops_none holds no Gnomon client"):
        load_operations([module("ops_none", gnomon="no client", Gnomon=Gnomon)])


@pytest.mark.parametrize(
    ("text", "name"),
    [("raise ValueError('at import')", "ops_raises"), ("def broken(:", "ops_broken"), ("1 / 0", "ops_divides")],
)
def test_a_module_that_fails_at_import_is_refused_by_name(tmp_path, monkeypatch, text, name):
    """Whatever it raises: the message names the module, and no traceback reaches a person."""
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="^" + re.escape(f"GNOMON_OPERATIONS: cannot load '{name}'")):
        load_operations([name])


@pytest.mark.parametrize("modules", [[".operations"], []], ids=["relative", "none"])
def test_names_that_load_nothing_are_refused(modules):
    """Without an operation every capture would be parked."""
    with pytest.raises(ConfigurationError, match=r"^GNOMON_OPERATIONS"):
        load_operations(modules)
