"""Finds the operations that captures name, in the modules that the settings name."""

import importlib
from collections.abc import Iterable, Mapping

from gnomon import Gnomon
from gnomon.errors import ConfigurationError
from gnomon.operation import Binding


def clients(modules: Iterable[str]) -> list[Gnomon]:
    """Return the clients of the modules; raises ConfigurationError for a module that has none or cannot be loaded."""
    found: dict[int, Gnomon] = {}
    for name in modules:
        of_module = [value for value in vars(_module(name)).values() if isinstance(value, Gnomon)]
        if not of_module:
            raise ConfigurationError("GNOMON_OPERATIONS", f"{name} holds no Gnomon client", "modules with operations")
        found.update({id(client): client for client in of_module})
    return list(found.values())


def load_operations(modules: Iterable[str]) -> Mapping[str, Binding]:
    """Return all operations of the modules by name; raises ConfigurationError where one is there twice."""
    operations: dict[str, Binding] = {}
    for client in clients(modules):
        for name, binding in client.operations.items():
            if name in operations:
                raise ConfigurationError("GNOMON_OPERATIONS", f"{name!r} is registered twice", "each operation once")
            operations[name] = binding
    return operations


def _module(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError("GNOMON_OPERATIONS", f"cannot load {name!r} ({error})", "importable modules") from None
