"""`gnomon run` from end to end: real Valkey, real Celery worker, SQLite and PostgreSQL."""

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FUNNEL = ["not_sampled", "unserialisable", "oversize", "shed", "publish_failed", "captured"]
OUTCOMES = (
    "match ignored diverged failed inconclusive excluded parked expired discarded erased lost pending".split()  # noqa: SIM905
)


def check_sums(report) -> None:
    """Both sums are exact and every name is there."""
    assert list(report["funnel"]) == FUNNEL
    assert list(report["outcomes"]) == OUTCOMES
    assert report["eligible"] == sum(report["funnel"].values())
    assert report["funnel"]["captured"] == sum(report["outcomes"].values())
    assert list(report["failures"]) == ["error", "timeout", "refused", "garbage", "oversize"]
    assert sum(report["failures"].values()) == report["outcomes"]["failed"]
    for name in OUTCOMES:
        assert report["outcomes"][name] == sum(op["outcomes"][name] for op in report["operations"].values())


def check_pairs(report) -> None:
    """Reads were timed side by side: each that was wanted is in one place, and the gate says what they prove."""
    [(operation, found)] = report["pairs"].items()
    assert operation == "memory.recent"
    wanted = report["operations"][operation]["outcomes"]
    assert found["pairs"] == found["wins"] + found["losses"] + found["ties"] > 0
    assert found["pairs"] + sum(found["unpaired"].values()) == wanted["match"] + wanted["diverged"]
    assert found["noise"]["repeated"] == found["pairs"]
    assert found["noise"]["noisy"] == found["failed"] == 0
    assert 0 < found["legacy_ms"]["p50"] <= found["legacy_ms"]["p95"]
    criteria = {criterion["name"]: criterion for criterion in report["gate"]["criteria"]}
    performance = criteria[f"performance:{operation}"]
    assert performance["n"] == found["wins"] + found["losses"]
    assert performance["observed"] == found["wins"] / performance["n"]
    assert criteria[f"tail:{operation}"]["n"] == found["pairs"]


def test_real_calls_are_captured_replayed_and_judged(calm, conversations, left_running):
    """Every call eligible, both sums exact, nothing pending, memory all match; nothing is left running."""
    assert calm.ran.code == 0
    report = calm.ran.json
    check_sums(report)
    assert report["eligible"] == len(conversations)
    assert report["outcomes"]["pending"] == report["outcomes"]["excluded"] == report["outcomes"]["failed"] == 0
    for name in ("memory.save", "memory.recent"):
        operation = report["operations"][name]
        assert operation["outcomes"]["match"] == operation["eligible"] > 0
    assert {group["operation"] for group in report["groups"]} <= {"chat.send"}
    assert report["gate"]["state"] in ("collecting", "hold")
    assert {criterion["name"] for criterion in report["gate"]["criteria"]} >= {"dwell", "users", "evidence"}
    assert report["comparisons_per_s"] > 0
    check_pairs(report)
    assert left_running(calm.gnomon.folder) == []


def test_the_latest_run_can_be_looked_at_afterwards(calm):
    """report, groups, gate and status read the ledger of the run, which needs nothing running."""
    gnomon, first = calm.gnomon, calm.ran.json
    again = gnomon("report", "--json").json
    moving = ("seconds", "comparisons_per_s", "gate", "driven")  # how it was driven, only the run can tell
    assert {key: again[key] for key in again if key not in moving} == {
        key: first[key] for key in first if key not in moving
    }
    groups = gnomon("groups", "--json").json  # and how each develops
    assert [{key: group[key] for key in told} for told, group in zip(first["groups"], groups, strict=True)] == first[
        "groups"
    ]
    gate = gnomon("gate", "--json")
    assert (gate.code, gate.json["state"]) == (1, first["gate"]["state"])
    status = gnomon("status", "--json").json
    assert (status["eligible"], status["imbalance"]) == (first["eligible"], [])
    assert gnomon("health", "--json").json["details"]["ledger"]["ok"]
    text = gnomon("report").out
    assert "What was captured" in text
    assert "The gate" in text
    assert "Both systems side by side" in text
    assert status["pairs"] == first["pairs"]


def test_the_gate_goes_by_the_policy_that_is_named(calm):
    """One's own limits take the place of the migration plan's; a file that cannot be meant is named in one line."""
    gnomon = calm.gnomon
    policy = gnomon.folder / "policy.toml"
    policy.write_text("[limits]\nusers = 3\n")
    for command in ("gate", "report"):
        told = gnomon(command, "--json", GNOMON_POLICY=str(policy)).json
        criteria = {each["name"]: each for each in told.get("gate", told)["criteria"]}
        assert criteria["users"]["threshold"] == 3
        assert criteria["dwell"]["threshold"] == 48
    policy.write_text("[limits]\nuser = 3\n")
    refused = gnomon("gate", GNOMON_POLICY=str(policy))
    assert refused.code == 2
    assert refused.err == f"gnomon: {policy}: limits.user: is not known; expected 'users'\n"


def test_what_the_enhanced_system_drops_is_found_and_nothing_else(gnomon, traffic, conversations):
    """As many divergent reads as an independent count says; each one a loss."""
    report = gnomon("run", traffic, "--json", GNOMON_OPERATIONS="examples.variants.drops_every_50th").json
    saved: defaultdict[str, list[str]] = defaultdict(list)
    hit = 0
    for entry in conversations:
        mine, args = saved[entry["user_id"]], entry["args"]
        if entry["operation"] == "memory.save":
            mine.append(args["memory_type"])
        elif entry["operation"] == "memory.recent":
            wanted = args.get("memory_type")
            places = [n for n, kind in enumerate(mine, 1) if wanted in (None, kind)][-args.get("limit", 10) :]
            hit += any(place % 50 == 0 for place in places)
    assert hit > 0
    assert report["operations"]["memory.recent"]["outcomes"]["diverged"] == hit
    [group] = [group for group in report["groups"] if group["operation"] == "memory.recent"]
    assert (group["kind"], group["severity"], group["count"]) == ("lost", "critical", hit)


def test_killing_the_worker_changes_no_count(gnomon, traffic, calm, left_running):
    """kill -9 of the worker's whole group in the middle of a run: a new one goes on, the counts are the same."""
    running = gnomon.start("run", traffic, "--json")
    killed = threading.Event()
    runs = gnomon.folder / ".gnomon" / "runs"
    while not killed.wait(0.05):
        assert running.poll() is None, "the run ended before its worker could be killed"
        log = next(runs.glob("*/worker.log"), None)
        if log is not None and b"gnomon.drain" in log.read_bytes():
            for pid in workers_among(left_running(log.parent)):
                os.killpg(pid, signal.SIGKILL)
                killed.set()
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    report = json.loads(out)
    check_sums(report)
    assert {key: report[key] for key in ("eligible", "funnel", "outcomes", "operations")} == {
        key: calm.ran.json[key] for key in ("eligible", "funnel", "outcomes", "operations")
    }
    assert "The worker had died" in err


def workers_among(pids: list[int]) -> list[int]:
    """The workers' main processes: those that lead a process group."""
    return [pid for pid in pids if os.getpgid(pid) == pid and "beat" in _command(pid)]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def test_postgres_and_a_configured_redis_give_the_same_counts(gnomon, traffic, calm, postgres_url, valkey_url):
    """The configured servers instead of the embedded ones, twice on the same: each run has its own tables and lanes."""
    servers = {"GNOMON_DATABASE_URL": postgres_url, "GNOMON_REDIS_URL": valkey_url}
    for _ in range(2):
        ran = gnomon("run", traffic, "--json", **servers)
        assert ran.code == 0, ran.err
        check_sums(ran.json)
        assert [ran.json[key] for key in ("eligible", "funnel", "outcomes")] == [
            calm.ran.json[key] for key in ("eligible", "funnel", "outcomes")
        ]


def test_recorded_outcomes_are_used_instead_of_calling_legacy(gnomon, conversations):
    """`returned` and `raised` in the file are legacy's outcome; enhanced is replayed against them."""
    base = {"at": "2026-01-05T08:00:00Z", "user_id": "ann"}
    recent = {**base, "operation": "memory.recent", "args": {"memory_type": None, "limit": 5}}
    lines = [
        {**recent, "returned": [], "duration_ms": 12.5},
        {**recent, "returned": [{"id": "x", "user_id": "ann", "memory_type": "note", "content": "c", "metadata": {}}]},
        {**recent, "raised": {"type": "TimeoutError", "message": "slow"}},
    ]
    (gnomon.folder / "recorded.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = gnomon("run", "recorded.jsonl", "--json").json
    check_sums(report)
    assert (report["outcomes"]["match"], report["outcomes"]["diverged"]) == (1, 2)
    assert report["pairs"] == {}  # what legacy once did is all that is known of it


def test_an_access_log_is_driven_at_a_rate(gnomon):
    """Gzip'd, from standard input: reads are made at the pace asked for, the rest is counted and named."""
    at = 'h - - [10/Oct/2026:13:55:36 +0000] "GET'
    lines = [f'{at} /users/u{number % 5}/memories?limit=3 HTTP/1.1" 200 9 "-" "-"' for number in range(40)]
    lines += [f'{at} /users/ann/memories HTTP/1.1" 500 9', f'{at} / HTTP/1.1" 200 9']
    (gnomon.folder / "log.toml").write_text('map = ["GET /users/{user_id}/memories?limit={limit} = memory.recent"]')
    ran = subprocess.run(
        [sys.executable, "-m", "console", "run", "-", "--template", "log.toml", "--rate", "80", "--json"],
        input=gzip.compress("\n".join([*lines, "damaged"]).encode()),
        cwd=gnomon.folder,
        env=gnomon.environ,
        capture_output=True,
        timeout=120,
        check=False,
    )
    err = ran.stderr.decode()
    assert (ran.returncode, "Traceback" in err) == (1, False), err
    report = json.loads(ran.stdout)
    check_sums(report)
    assert report["operations"]["memory.recent"]["outcomes"]["match"] == report["eligible"] == 40
    driven = report["driven"]
    assert driven["passed_over"] == {"unmatched": 1, "not_2xx": {"5xx": 1}, "no_user": 0}
    assert (driven["calls"], driven["bad_lines"], driven["asked_per_s"]) == (40, 1, 80)
    assert 0 < driven["reached_per_s"] < 90
    assert "gnomon: line 43: is no line of an access log in combined form" in err
    assert "1 like GET /*, the first in line 42" in err


def test_sampling_as_in_production_leaves_most_chat_out(gnomon, traffic):
    """`--sample`: chat is sampled by user, and what is left out is counted."""
    report = gnomon("run", traffic, "--json", "--sample").json
    check_sums(report)
    assert report["funnel"]["not_sampled"] > 0


def test_real_traffic_in_full(gnomon):
    """46,015 calls of 152 users: all memory calls match, chat differs in a handful of groups."""
    shared = Path(__file__).parents[2] / ".." / "shared" / "data" / "homes_traffic.jsonl"
    if not shared.exists():
        pytest.skip("the real traffic is not beside this checkout")
    if not os.environ.get("GNOMON_TEST_FULL"):
        pytest.skip("a minute long: GNOMON_TEST_FULL=1 runs it")
    report = gnomon("run", str(shared), "--json").json
    check_sums(report)
    assert report["eligible"] == 46_015
    memory = [report["operations"][name]["outcomes"]["match"] for name in ("memory.save", "memory.recent")]
    assert memory == [29_064, 6_536]
    assert 0 < len(report["groups"]) < 6
