"""The list of all faults: each module beside this one adds its own."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.chaos.rig import Spec
from tests.chaos.trial import SETTLE_S, Fault, Trial

FAULTS: Final[dict[str, Fault]] = {}

Inflicting = Callable[[Trial], Iterator[None]]


def fault(name: str, done: str, *, patience_s: float = SETTLE_S, **spec: Any) -> Callable[[Inflicting], Fault]:
    """Put a fault on the list, under the name that the table and the tests have for it."""

    def listed(inflicting: Inflicting) -> Fault:
        assert name not in FAULTS
        FAULTS[name] = Fault(
            name=name,
            done=done,
            inflicted=contextlib.contextmanager(inflicting),
            spec=Spec(**spec),
            patience_s=patience_s,
        )
        return FAULTS[name]

    return listed
