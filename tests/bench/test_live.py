"""What keeps `bench live` honest: a wrong count ends it, and the faults are the faults they are called."""

import contextlib
import socket
import sys
from pathlib import Path

import pytest
import redis

from bench import __main__ as command
from bench.counts import check, check_lanes
from bench.faults import faults
from bench.helper import Helper
from bench.measuring import BenchError, Benchmark
from console.errors import EXIT_ERROR

pytestmark = pytest.mark.performance

RIGHT = {"eligible": 10, "captured": 7, "publish_failed": 2, "shed": 1}


def test_counts_that_add_up_pass():
    """Every call made ended in one place, and the client says the same."""
    check("ours", made=10, told={name: RIGHT[name] for name in ("captured", "publish_failed", "shed")}, counted=RIGHT)
    check_lanes("ours", ["a-1", "a-2"], {"captured": 2})


@pytest.mark.parametrize(
    ("made", "told", "counted"),
    [
        (11, RIGHT, RIGHT),
        (10, RIGHT, RIGHT | {"captured": 6}),
        (10, RIGHT, RIGHT | {"eligible": 11}),
        (10, RIGHT | {"captured": 6, "shed": 2}, RIGHT),
    ],
    ids=["a call is missing", "an end is missing", "one too many", "told otherwise"],
)
def test_a_wrong_count_is_an_error(made, told, counted):
    """Whichever of the three is off."""
    with pytest.raises(BenchError, match="ours: "):
        check("ours", made=made, told=told, counted=counted)


@pytest.mark.parametrize("ids", [["a-1"], ["a-1", "a-1"]], ids=["missing", "doubled"])
def test_a_capture_that_lies_in_no_lane_or_twice_is_an_error(ids):
    """What is counted as captured is looked for."""
    with pytest.raises(BenchError, match="2 counted as captured"):
        check_lanes("ours", ids, {"captured": 2})


def test_an_error_is_told_by_the_exit_code(monkeypatch, capsys):
    """One line on stderr, and no document."""

    def wrong(_quick):
        raise BenchError("10 calls made, 9 eligible")

    monkeypatch.setattr(command, "BENCHMARKS", (Benchmark(name="wrong", title="", run=wrong),))
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["bench", "wrong", "--json"])
    assert command.main() == EXIT_ERROR
    said = capsys.readouterr()
    assert said.out == ""
    assert "10 calls made, 9 eligible" in said.err


@pytest.mark.slow
def test_what_goes_wrong_in_a_live_process_is_told():
    """By name, and the process goes on."""
    with contextlib.closing(Helper("bench.caller", "bare", "")) as helper:
        with pytest.raises(BenchError, match=r"bench\.caller bare .*TypeError"):
            helper.ask(calls="many", period_s=0)
        assert helper.ask(calls=100, period_s=0)["max"] > 0


@pytest.mark.slow
def test_a_process_that_ended_is_told():
    """Rather than waited for."""
    with contextlib.closing(Helper("bench.caller", "no such way", "")) as helper, pytest.raises(BenchError):
        helper.ask(calls=1, period_s=0)


@pytest.fixture(scope="module")
def befalling(tmp_path_factory):
    with faults(Path(tmp_path_factory.mktemp("faults"))) as found:
        yield {fault.name: fault for fault in found}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["healthy", "stopped", "frozen", "slow"])
def test_what_was_stored_before_a_fault_is_there_after_it(befalling, name):
    """Under the same address, whatever befell the server."""
    fault = befalling[name]
    with redis.Redis.from_url(fault.url) as server:
        server.set("key", b"x" * 200_000)
    with fault.inflicted():
        pass
    with redis.Redis.from_url(fault.url) as server:
        assert server.get("key") == b"x" * 200_000


@pytest.mark.slow
def test_a_stopped_server_refuses(befalling):
    """At once, and its port stays its own."""
    fault = befalling["stopped"]
    with fault.inflicted(), redis.Redis.from_url(fault.url) as server:
        with pytest.raises(redis.ConnectionError):
            server.ping()
        with socket.socket() as other, pytest.raises(OSError):
            other.bind(("127.0.0.1", int(fault.url.rpartition(":")[2].removesuffix("/0"))))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frozen", "slow"])
def test_a_server_that_is_frozen_or_slow_accepts_and_does_not_answer_in_time(befalling, name):
    """A connection is made; a fifth of a second later there is no answer."""
    fault = befalling[name]
    server = redis.Redis.from_url(fault.url, socket_timeout=0.2)
    with fault.inflicted(), contextlib.closing(server), pytest.raises(redis.TimeoutError):
        server.ping()
