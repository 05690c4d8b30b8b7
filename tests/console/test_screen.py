"""A status on one screen: it fits whatever there is to say, and says the most urgent first."""

import io
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from console.facts import facts
from console.picture import InLedger, InRedis, Picture
from console.producers import Ended, Producer
from console.report import Sums
from console.screen import Screen
from gnomon.flags import SHARE, SWITCHES, StoredFlags
from gnomon.lane_figures import LaneFigures
from gnomon.metrics import summary
from ledger import Measure, OperationSums, Outcome, PairSums

SIZES = [(80, 24), (120, 40), (80, 10), (80, 1), (50, 24), (200, 60)]
AT = datetime(2026, 11, 22, 21, 30, tzinfo=UTC)
READINESS = {
    "dual_below": 10_000,
    "ready_below": 7_200,
    "dual_users": 3,
    "ready_users": 2,
    "exceptions": 0,
    "held": 0,
    "everybody_excepted": False,
    "waiting": "none",
}
COUNTS = {
    "legacy_calls": 12_345,
    "enhanced_calls": 1_000,
    "errors": 1,
    "fallbacks": 1,
    "error|TimeoutError": 1,
    "fallback|timeout": 1,
    "answers": 2_000,
    "answers|enhanced": 500,
    "op|memory.recent|legacy|calls": 1_000,
    "op|memory.recent|legacy|us": 2_000_000,
    "op|memory.recent|enhanced|calls": 1_000,
    "op|memory.recent|enhanced|us": 1_000_000,
}


def producer(number=0, *, flags=12, **said) -> Producer:
    facts = {"host": f"web-{number}", "build": "b7", "clock_error_us": 400, "buffered": 3, "killed": False}
    facts["eligible"] = 0
    return Producer(
        **{"id": f"p{number}", "pid": 1000 + number, "flags": flags, "silent_s": 0.1, "said": {}, **facts, **said}
    )


def ended(number=0, buffered=12) -> Ended:
    return Ended(id=f"e{number}", host="web-9", pid="77", buffered=buffered, noticed_s_ago=200.0)


def stored(**changes) -> StoredFlags:
    flags = {**dict.fromkeys(SWITCHES, True), SHARE: 10}
    more = {"enabled": frozenset({"ann"}), "segments": {"staff": frozenset({"bob", "eve"})}, **changes}
    return StoredFlags(version=12, epoch=3, flags=flags, **more)


def in_redis(**changes) -> InRedis:
    plain = {
        "at_ms": int(AT.timestamp() * 1_000),
        "flags": stored(),
        "live": (producer(1), producer(2)),
        "ended": (),
        "readiness": READINESS,
        "metrics": summary(COUNTS),
        "complaints": 0,
        "entries": 3,
        "oldest": AT - timedelta(seconds=2),
        "lanes": LaneFigures(
            sizes_bytes={3: 1 << 20}, lags_s={3: 2.0}, cap_bytes=40 << 20, set_bytes=40 << 20, shed_share=0
        ),
    }
    return InRedis(**{**plain, **changes})


def sums(operations=3, count=100, outcomes=("match", "diverged")) -> Sums:
    def of(_):
        each = Counter(dict.fromkeys(outcomes, count))
        captured = count * len(outcomes) + 5
        return OperationSums(funnel=Counter(eligible=captured + 7, captured=captured, shed=7), outcomes=each)

    found = {f"memory.operation_{number}": of(number) for number in range(operations)}
    return Sums(operations=found, done=operations * count * len(outcomes))


def picture(**changes) -> Picture:
    in_ledger = InLedger(sums=changes.pop("sums", sums()), lanes={}, pairs=changes.pop("pairs", {}))
    plain = {"of": "namespace default", "in_redis": in_redis(), "in_ledger": in_ledger}
    return Picture(**{**plain, **changes})


BUSY = picture(
    of="run 20261122-213000-abcd",
    in_redis=in_redis(
        live=tuple(
            producer(n, host="a-very-long-host-name.of.some.cluster.example", build="x" * 90) for n in range(300)
        ),
        ended=tuple(ended(n, 10**9) for n in range(50)),
        complaints=10**6,
        lanes=LaneFigures(
            sizes_bytes={3: 10**15}, lags_s={3: 10**9}, cap_bytes=10**15, set_bytes=10**15, shed_share=0.999
        ),
        entries=10**12,
        metrics=summary({**COUNTS, **{f"error|{'Very' * 20}LongError{n}": 10**9 for n in range(20)}}),
        readiness={
            **READINESS,
            "everybody_excepted": True,
            "exceptions": 10**6,
            "waiting": "acknowledgement by 9 processes",
        },
        flags=stored(segments={f"a rather long segment name {n}": frozenset({"x"}) for n in range(50)}),
    ),
    sums=sums(operations=40, count=10**10, outcomes=tuple(map(str, list(Outcome)[:-1]))),
)
DOWN = Picture(of="namespace default", redis="does not answer (TimeoutError)", ledger=f"postgresql://{'x' * 300}: no")
ENDED = picture(redis="gone, the run has ended", in_redis=None)
EMPTY = picture(
    in_redis=in_redis(live=(), flags=StoredFlags(), metrics=summary({}), entries=0, oldest=None),
    sums=sums(operations=0),
)
UNREADABLE = picture(in_redis=in_redis(flags=None, readiness=None))
PICTURES = {"plain": picture(), "busy": BUSY, "down": DOWN, "ended": ENDED, "empty": EMPTY, "unreadable": UNREADABLE}


def shown(what: Picture, width=80, height=24) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    console.print(Screen(what, height), end="")
    text = console.file.getvalue()
    return [line.rstrip() for line in text.split("\n")[:-1]]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("name", PICTURES)
def test_it_fits(name, width, height):
    """No more lines than the terminal has, none wider than it is."""
    lines = shown(PICTURES[name], width, height)
    assert 0 < len(lines) <= height
    assert max(map(cell_len, lines)) <= width


def test_all_of_a_small_deployment_fits_80_by_24():
    """Stage, readiness, calls, both sums, backlog, losses, every operation, every process."""
    found = picture(in_redis=in_redis(ended=(ended(),), readiness={**READINESS, "waiting": "lanes"}))
    text = "\n".join(shown(found))
    for said in (
        "namespace default at 2026-11-22 21:30:00 UTC",
        "10 % of users · epoch 3 · memory on · rental on · chat on",
        "version 12, acknowledged by 2 of 2 live processes",
        "one by one 1 enabled, 0 disabled · 1 segment: staff 2",
        "dual 10 % and 3 users · ready 7.2 % and 2 users · 0 exceptions",
        "waiting for lanes",
        "legacy 12,345 · enhanced 1,000 · success 99.9 % · adoption 25 %",
        "average gain +50.0 %",
        "1 (TimeoutError 1) · fallbacks 1 (timeout 1) · complaints 0",
        "615 of 636 eligible · 21 shed",
        "15 captures pending · 3 entries waiting · the oldest for 2 s",
        "possible loss: 1 live process ended without goodbye; up to 12",
        "memory.operation_0      205   100       0      100      0       5",
        "all                     615   300       0      300      0      15",
        "web-1    1001 b7    ±0.4 ms        3    12 ok",
        "web-9      77                     12       ended 3 min ago",
    ):
        assert said in text


def test_120_columns_are_used():
    """What stands on two lines at 80 stands on one, and processes say when they were heard."""
    narrow, wide = shown(picture(), 80, 40), shown(picture(), 120, 40)
    assert len(wide) < len(narrow)
    assert any(line.endswith("adoption 25 % · average gain +50.0 %") for line in wide)
    assert any("heard" in line for line in wide)
    assert not any("heard" in line for line in narrow)


def test_rare_outcomes_stand_together_where_there_is_no_room():
    """At 80 columns as `other`, named below; at 200 each in a column of its own."""
    found = picture(sums=sums(outcomes=tuple(map(str, list(Outcome)[:-1]))))
    narrow, wide = "\n".join(shown(found, 80, 40)), "\n".join(shown(found, 200, 40))
    assert "other: 300 inconclusive, 300 excluded, 300 parked, 300 expired" in narrow
    assert " lost " not in narrow.split("other:")[0]
    assert "other" not in wide
    assert "inconclusive excluded parked expired discarded erased lost pending" in " ".join(wide.split())


def test_what_does_not_fit_is_counted():
    """Of operations those with the most differences stay, of processes those in trouble; the rest is a number."""
    live = (*(producer(n) for n in range(20)), producer(20, flags=11), producer(21, killed=True))
    harmed = sums(operations=20)
    harmed.operations["memory.operation_17"].outcomes["failed"] = 1
    lines = shown(picture(in_redis=in_redis(live=live), sums=harmed))
    text = "\n".join(lines)
    assert "memory.operation_17" in text
    assert "not shown" in text
    assert "behind" in text
    assert "killed" in text
    assert lines[-1].startswith("and ")
    assert lines[-1].endswith(" more")


def test_who_does_not_know_the_flags_is_told():
    """By number above, by name below."""
    text = "\n".join(shown(picture(in_redis=in_redis(live=(producer(1), producer(2, flags=11))))))
    assert "version 12, acknowledged by 1 of 2 live processes" in text
    [line] = [line for line in text.splitlines() if "behind" in line]
    assert line.startswith("web-2    1002")


def test_one_failure_in_thousands_is_not_hidden():
    """99.96 % is not 100 %."""
    counts = {**COUNTS, "enhanced_calls": 10_000, "errors": 4}
    text = "\n".join(shown(picture(in_redis=in_redis(metrics=summary(counts)))))
    assert "success 99.9 %" in text


def test_sums_that_are_not_exact_are_told_first():
    """An alarm, above everything else."""
    wrong = sums()
    wrong.operations["memory.operation_0"].funnel["captured"] += 1
    lines = shown(picture(sums=Sums(operations=wrong.operations, done=wrong.done)))
    assert lines[1].startswith("sums       not exact: eligible calls and where they ended differ by -1")


def test_no_user_is_named():
    """Of users one by one only how many."""
    text = "\n".join(" ".join(fact.parts) for fact in facts(picture()))
    assert not {"ann", "bob", "eve"} & set(text.replace(",", " ").split())
    assert not {"ann", "bob", "eve"} & set(str(picture().as_json()["flags"]).replace("'", " ").split())


def test_names_that_others_chose_are_no_markup():
    """An unreadable line may say anything of itself; the terminal shows it and obeys none of it."""
    hostile = sums(operations=1)
    hostile.operations["x[/nope]\x1b[31m"] = next(iter(hostile.operations.values()))
    lines = shown(picture(in_ledger=InLedger(sums=hostile, lanes={})), width=120)
    assert any("x[/nope]\N{REPLACEMENT CHARACTER}[31m" in line for line in lines)


def test_pairs_have_a_line_once_there_are_any():
    """How many, what is gained, and how many were not taken."""
    found = PairSums(counts=Counter(wins=300, losses=100, ties=12, capped=7))
    found.histograms[Measure.RATIO] = Counter({-23: 412})
    [line] = [line for line in shown(picture(pairs={"memory.recent": found})) if line.startswith("pairs")]
    assert line.split(maxsplit=1)[1] == "memory.recent 412, median gain +20.1 %, 7 not taken"
    assert not any(line.startswith("pairs") for line in shown(picture()))
