"""`gnomon status`: both sums as they stand, the backlog, and who is alive."""

import contextlib
import time
from typing import Annotated, Any

import redis
import typer
from rich.console import Group
from rich.live import Live as LiveDisplay
from rich.text import Text

from console.ending import exiting
from console.options import Json, Live, Place, RunName, place
from console.output import out, print_json
from console.render import outcomes_table
from console.report import Report, build
from ledger import Ledger

REFRESH_S = 2.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(exiting(status))


def status(
    *,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every 2 s until Ctrl-C.")] = False,
) -> int:
    """Show where every eligible call is: both sums, the backlog, live producers.

    Example: gnomon status --watch
    """
    found = place(run, live=live)
    if json:
        print_json(_document(found))
        return 0
    out.print(_screen(found))
    if watch:
        with contextlib.suppress(KeyboardInterrupt), LiveDisplay(console=out, auto_refresh=False) as display:
            while True:
                time.sleep(REFRESH_S)
                display.update(_screen(found), refresh=True)
    return 0


def _document(found: Place) -> dict[str, Any]:
    report, queue = _report(found), _queue(found)
    document = report.as_json()
    names = ("eligible", "funnel", "outcomes", "operations")
    figures = {name: document[name] for name in names}
    return {**figures, "imbalance": report.imbalance, **queue, "lanes": _lanes(found)}


def _lanes(found: Place) -> dict[int, dict[str, Any]]:
    """Return how far each lane is drained: the newest entry read, and the end of the last call done."""
    ledger = found.ledger()
    with contextlib.closing(ledger), ledger.reading() as reading:
        positions = reading.positions()
    return {lane: {"read": "{}-{}".format(*p.read), "done_until_us": p.cut[0]} for lane, p in positions.items()}


def _screen(found: Place) -> Group:
    report, queue = _report(found), _queue(found)
    lost = {name: count for name, count in report.funnel.items() if count and name != "captured"}
    alarms = [Text(f"The sums are not exact: {line}", style="bold red") for line in report.imbalance]
    summary = f"{report.eligible:,} eligible, {report.funnel['captured']:,} captured, not captured: {lost or 'none'}"
    lanes = (
        f"Redis {queue['redis']}, {queue['waiting_entries']:,} entries wait, {len(queue['producers'])} live producers"
    )
    return Group(Text(summary), Text(lanes), outcomes_table(report), *alarms)


def _report(found: Place) -> Report:
    ledger = found.ledger()
    try:
        if not found.ended:
            _fold(found, ledger)
        return build(ledger, found.kinds(), oldest_pending=found.oldest_pending())
    finally:
        ledger.close()


def _fold(found: Place, ledger: Ledger) -> None:
    with contextlib.closing(found.lanes()) as lanes, contextlib.suppress(redis.RedisError):
        ledger.fold_funnels(lanes.funnels(found.all_lanes))


def _queue(found: Place) -> dict[str, Any]:
    if found.ended:
        return {"redis": "gone, the run has ended", "waiting_entries": 0, "producers": []}
    with contextlib.closing(found.lanes()) as lanes:
        try:
            return {"redis": "ok", "waiting_entries": lanes.waiting(found.all_lanes), "producers": lanes.producers()}
        except redis.RedisError as error:
            return {"redis": f"does not answer ({type(error).__name__})", "waiting_entries": 0, "producers": []}
