"""Everything is broken for real, and the evidence stays right."""

import pytest

from tests.chaos.faults import FAULTS, in_order
from tests.chaos.rig import Spec, Store
from tests.chaos.trial import LONG, SHORT, Runner

PROXY, POSTGRES, CLOCKS = Spec(proxy=True), Spec(store=Store.POSTGRES), Spec(clocks=True)
TWO = FAULTS["worker frozen past its lease"].spec
#: a deployment, and the faults that follow one another on it
GROUPS = {
    "processes": (Spec(), ("pool child killed", "worker killed", "live process killed")),
    "takeover": (TWO, ("worker frozen past its lease", "entries twice", "entries shuffled")),
    "valkey": (Spec(), ("Valkey killed", "Valkey stopped", "Valkey frozen", "Valkey full", "clients thrown out")),
    "loss": (Spec(), ("Valkey loses its last second", "Valkey loses everything")),
    "buffers": (FAULTS["Valkey full, small buffers"].spec, ("Valkey full, small buffers",)),
    "network": (PROXY, ("network late", "connections reset", "half-open connections", "connections silent for ever")),
    "postgres": (POSTGRES, ("PostgreSQL stopped", "PostgreSQL row locked", "PostgreSQL table locked")),
    "captures": (Spec(), ("SQLite locked", "hints doubled and dropped", "two wire versions", "unreadable and deep")),
    "poison": (Spec(), ("poison",)),
    "disks": (Spec(small=("ledger", "valkey")), ("ledger's disk full", "Valkey's disk full")),
    "pressure": (FAULTS["ten times too much"].spec, ("ten times too much",)),
    "clocks": (CLOCKS, ("live process's clock ± 1 h", "worker's clock ± 1 h", "Valkey's clock ± 1 h")),
}


@pytest.mark.chaos
@pytest.mark.parametrize("fault", in_order(), ids=lambda fault: fault.name)
def test_at_length(fault, make_rig, table):
    """One fault on a deployment of its own, for as long as such things take."""
    with make_rig(fault.spec, users=LONG.users) as rig:
        row = Runner(rig, LONG).run(fault)
    table.append(row)
    assert row.violations == []


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("group", GROUPS)
def test_in_short(group, make_rig, table):
    """Several faults, one after another, on the same deployment."""
    spec, names = GROUPS[group]
    assert all(spec.suffices(FAULTS[name].spec) for name in names)
    with make_rig(spec, users=SHORT.users) as rig:
        runner = Runner(rig, SHORT)
        for name in names:
            row = runner.run(FAULTS[name])
            table.append(row)
            assert row.violations == [], name  # what follows on this deployment would say nothing
