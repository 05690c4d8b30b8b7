"""The arithmetic of scale, the page that shows it, and the model of lanes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.lanes_model import Costs, Plan, Simulation
from bench.scale import Inputs, columns, main, needs, table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
COSTS = Costs(batch_s=0.002, capture_s=0.0003)


def simulated(rate: float, **plan):
    return Simulation(Plan(**{"rate": rate, "seconds": 6, "lanes": 64, "processes": 2, **plan}), COSTS).run()


def test_the_page_shows_what_the_command_prints():
    """Whoever changes an input changes the page."""
    assert "\n".join(table(columns(Inputs()))) in PAGE.read_text()


def test_what_a_load_takes_grows_with_it():
    """Cores, memory and rows in proportion; namespaces where one ledger is not enough."""
    one, ten = needs(1_000, Inputs()), needs(10_000, Inputs())
    for name in ("worker_cores", "live_cores", "redis_gb", "rows_per_day", "ledger_gb"):
        assert getattr(ten, name) == pytest.approx(10 * getattr(one, name))
    assert (one.namespaces, needs(1_000_000, Inputs()).namespaces > 1) == (1, True)
    assert needs(1_000, replace(Inputs(), share_writes=0.5, share_reads_sampled=0.1)).captured_per_s == 550


def test_what_was_measured_replaces_an_input(tmp_path, capsys):
    """From the document that the benchmarks print; and one by hand."""
    rows = [{"name": "CPU/capture: ours", "median": 100.0}, {"name": "Redis/capture: ours", "median": 300.0}]
    (tmp_path / "measured.json").write_text(json.dumps({"benchmarks": [{"name": "engine", "rows": rows}]}))
    assert main(["--measured", str(tmp_path / "measured.json"), "--set", "busy=0.5"]) == 0
    shown = capsys.readouterr().out
    assert "worker_cpu_us=100" in shown
    assert "redis_bytes=300" in shown
    assert "busy=0.5" in shown


@pytest.mark.parametrize("setting", ["colour=1", "busy=0", "busy=much", "busy=inf", "busy"])
def test_an_input_that_is_none_is_named(setting, capsys):
    """With those that there are, or what is expected."""
    with pytest.raises(SystemExit):
        main(["--set", setting])
    said = capsys.readouterr().err
    assert ("no input 'colour'; there are backlog_minutes" if "colour" in setting else "busy is") in said


def test_the_model_serves_every_call_and_no_more_than_it_can():
    """Below what two processes can serve, as many as come; above, as many as they can."""
    assert simulated(1_000).per_s == pytest.approx(1_000, rel=0.1)
    most = 2 * COSTS.most_per_s
    assert 0.8 * most < simulated(3 * most).per_s <= 1.001 * most


def test_the_models_lag_has_the_watermark_for_its_floor_and_no_end_under_overload():
    """Hardly any load: a beat's half and the gathering; more load, more lag; too much, ever more."""
    lags = [simulated(rate).lag_s for rate in (10, 1_000, 4_000)]
    assert 0.125 < lags[0] < 0.25
    assert lags == sorted(lags)
    assert simulated(9_000, seconds=6).lag_s > 1.5 * simulated(9_000, seconds=3).lag_s


def test_more_processes_and_fewer_batches_bring_lag_down():
    """As in any queue; the same seed is the same run."""
    assert simulated(4_000, processes=4).lag_s < simulated(4_000).lag_s
    assert simulated(2_000) == simulated(2_000)
