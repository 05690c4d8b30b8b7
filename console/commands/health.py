"""`gnomon health`: whether Redis, ledger, operations and workers answer."""

import contextlib
from collections.abc import Callable

import typer
from rich.text import Text

from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK
from console.options import Json, Live, Place, RunName, place
from console.output import out, print_json
from gnomon import GnomonError
from ledger import LedgerError

PING_S = 2.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health")(exiting(health))


def health(*, run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Check each part: exit code 0 when all answer, 1 when one does not.

    Example: gnomon health --json
    """
    found = place(run, live=live)
    checks = {"redis": _redis, "ledger": _ledger, "operations": _operations, "workers": _workers}
    details = {name: _outcome(check, found) for name, check in checks.items()}
    healthy = all(ok for ok, _ in details.values())
    if json:
        shown = {name: {"ok": ok, "detail": detail} for name, (ok, detail) in details.items()}
        print_json({"status": "healthy" if healthy else "unhealthy", "details": shown})
    else:
        for name, (ok, detail) in details.items():
            out.print(Text(f"{name:<11}{'ok' if ok else 'FAIL':<6}", style="green" if ok else "red").append(detail))
    return EXIT_OK if healthy else EXIT_FINDINGS


def _outcome(check: Callable[[Place], str], found: Place) -> tuple[bool, str]:
    if found.ended and check in (_redis, _workers):
        return False, "gone, the run has ended"
    try:
        return True, check(found)
    except (GnomonError, LedgerError) as error:
        return False, str(error)
    except Exception as error:  # whatever is wrong with one part, the others are looked at
        return False, f"does not answer ({type(error).__name__})"


def _redis(found: Place) -> str:
    with contextlib.closing(found.lanes()) as lanes:
        return f"{lanes.waiting(found.all_lanes):,} entries wait, {len(lanes.producers())} live producers"


def _ledger(found: Place) -> str:
    ledger = found.ledger()
    with contextlib.closing(ledger), ledger.reading() as reading:
        return f"{reading.done():,} captures judged"


def _operations(found: Place) -> str:
    return ", ".join(found.kinds())


def _workers(found: Place) -> str:
    from celery import Celery  # a second of start-up that only this check needs

    app = Celery(broker=found.settings.broker_url, broker_connection_retry=False)
    app.conf.broker_transport_options = {"socket_connect_timeout": PING_S, "max_retries": 0}
    answered = app.control.ping(timeout=PING_S)
    if not answered:
        raise LookupError("no worker")
    return ", ".join(name for answer in answered for name in answer)
