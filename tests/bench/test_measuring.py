"""What is told of samples: medians, ratios of medians, and a table that a person can read."""

from dataclasses import replace

import pytest
from rich.console import Console

from bench import memories
from bench.measuring import BenchError, Benchmark, Result, Rounds
from bench.printing import show
from bench.workers import wait_for

pytestmark = pytest.mark.performance


@pytest.fixture
def rounds():
    made = Rounds()
    for ours, theirs in ((900.0, 9.0), (1_100.0, 10.0), (1_000.0, 50.0)):
        made.add("ours", ours)
        made.add("theirs", theirs)
    return made


def test_a_ratio_is_that_of_the_medians(rounds):
    """One disturbed round changes neither."""
    row = rounds.row("ours", "/s", over="theirs", of="by hand")
    assert (row.median, row.times, row.of) == (1_000.0, 100.0, "by hand")


def test_a_row_becomes_json_with_all_its_samples(rounds):
    """So that whoever doubts a median can look."""
    assert rounds.row("theirs", "/s").as_json() == {
        "group": "",
        "name": "theirs",
        "point": "",
        "unit": "/s",
        "median": 10.0,
        "min": 9.0,
        "max": 50.0,
        "samples": (9.0, 10.0, 50.0),
        "times": None,
        "of": "",
    }


def test_a_table_fits_a_terminal(rounds):
    """Name, median, spread and ratio within 80 columns, nothing cut."""
    console = Console(record=True, width=80, highlight=False)
    row = rounds.row("ours", "/s", over="theirs", of="by hand")
    show(Benchmark(name="speed", title="how fast", run=lambda _: Result(rows=())), Result(rows=[row]), console)
    shown = console.export_text().splitlines()
    assert shown[-1].split() == ["ours", "1,000", "/s", "900", "to", "1,100", "100", "x", "by", "hand"]


def test_rows_of_a_group_become_one_table(rounds):
    """A line for each name, a column for each point and for what it is a multiple of, within 80 columns."""
    console = Console(record=True, width=80, highlight=False)
    rows = [
        replace(rounds.row("theirs", "µs"), name="bare", group="paced", point="p50"),
        replace(rounds.row("ours", "µs", over="theirs", of="bare"), name="wrapped", group="paced", point="p50"),
    ]
    show(Benchmark(name="speed", title="how fast", run=lambda _: Result(rows=())), Result(rows=rows), console)
    shown = console.export_text().splitlines()
    assert shown[-4].strip() == "paced (x: times bare)"
    assert [line.split() for line in shown[-3:]] == [["p50,", "µs", "x"], ["bare", "10.0"], ["wrapped", "1,000", "100"]]


def test_a_tenth_of_the_answers_differ():
    """In exactly one item, and the answer is otherwise legacy's."""
    numbers = [number for number in range(2_560) if memories.differs(number)]
    assert len(numbers) == 256
    assert len({memories.user_of(number) for number in numbers}) == memories.USERS
    before = memories.answer(memories.user_of(3), 3)
    after = memories.edited(before, 3)
    assert [place for place in range(memories.ITEMS) if before[place] != after[place]] == [3]


def test_work_that_stands_still_is_named(monkeypatch):
    """A wait has an end, and says how far it came."""
    monkeypatch.setattr("bench.workers._STUCK_S", 0.05)
    with pytest.raises(BenchError, match="7 of 10 done"):
        wait_for(lambda: 7, 10)
