"""Finds the operations that captures name, in the modules that the settings name."""

import importlib
from collections.abc import Iterable, Mapping

from gnomon import Gnomon
from gnomon.errors import ConfigurationError, GnomonError
from gnomon.operation import Binding
from gnomon.readiness import UserData
from worker.verification import Together


def clients(modules: Iterable[str]) -> list[Gnomon]:
    """Return the clients of the modules; raises ConfigurationError for a module that has none or cannot be loaded."""
    found: dict[int, Gnomon] = {}
    modules = tuple(modules)
    if not modules:
        raise ConfigurationError("GNOMON_OPERATIONS", "names no module", "modules that register operations, by comma")
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


def user_data_of(modules: Iterable[str]) -> UserData | None:
    """Return what verifies the data of the modules' users, all of theirs together; None where nothing does."""
    parts = [client.user_data for client in clients(modules) if client.user_data is not None]
    return Together(parts) if len(parts) > 1 else next(iter(parts), None)


def _module(name: str) -> object:
    try:
        return importlib.import_module(name)
    except GnomonError:
        raise  # it says itself what is wrong
    except ImportError as error:
        why = str(error)
    except Exception as error:  # the module is the application's: whatever it raises, its name is what helps
        why = f"it raises {type(error).__name__}"
    raise ConfigurationError("GNOMON_OPERATIONS", f"cannot load {name!r} ({why})", "importable modules")
