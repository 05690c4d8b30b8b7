"""All faults, in the order in which the table has them."""

from typing import Final

from tests.chaos import (
    clock_break,
    delivery_break,
    ledger_break,
    network_break,
    poison_break,
    pressure_break,
    processes_break,
    valkey_break,
)
from tests.chaos.naming import FAULTS
from tests.chaos.trial import Fault

MODULES: Final = (
    processes_break,
    valkey_break,
    network_break,
    ledger_break,
    delivery_break,
    poison_break,
    clock_break,
    pressure_break,
)


def in_order() -> list[Fault]:
    """Return the faults, module by module."""
    return [fault for module in MODULES for fault in FAULTS.values() if fault.inflicted.__module__ == module.__name__]


__all__ = ["FAULTS", "in_order"]
