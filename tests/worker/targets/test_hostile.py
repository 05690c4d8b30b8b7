"""A real worker asks a service that answers with anything but an answer: it tells them apart, and outlives them."""

from collections import Counter
from pathlib import Path

import pytest

from ledger import Outcome
from tests.worker.processes import PATIENCE_S, done, eventually
from tests.worker.targets.conftest import answering
from tests.worker.targets.hostile import HOSTILE

pytestmark = pytest.mark.slow

MOST_MORE_KB = 64 * 1024  # of any process of the worker, over what it had before
SHOWN = ("a gigabyte", "10,000 deep", "a byte now and then", "a redirect to metadata", "invalid UTF-8")
ROUNDS = 3
APPLICATION = """
from gnomon import Gnomon

gnomon = Gnomon.from_env()

@gnomon.operation("note.list", kind="read", user="user")
def listed(user: str) -> list[str]:
    return [user]
"""
TARGETS = """
allow_hosts = ["127.0.0.1"]

[targets.notes]
url = "http://127.0.0.1:{port}"
timeout_s = 1.0

[operations."note.list"]
target = "notes"
method = "GET"
path = "/of/{{user}}"
"""


@pytest.fixture
def application(make_application, make_service, tmp_path):
    """Let users be answered by what they are called; those who are called by nothing known, as legacy answers them."""

    def answer(connection, asked) -> None:
        user = asked.path.rpartition("/")[2]
        said = HOSTILE[SHOWN[int(user)]][0] if user.isdigit() else answering([user])
        connection.sendall(said) if isinstance(said, bytes) else said(connection, asked)

    targets = tmp_path / "targets.toml"
    targets.write_text(TARGETS.format(port=make_service(answer).port))
    return make_application("notes_for_hostile_targets", APPLICATION, GNOMON_TARGETS=str(targets))


def peaks_kb(group: int) -> dict[int, int]:
    """Return the most memory that each process of a group ever held, by its id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            of_group = int((folder / "stat").read_text().rpartition(")")[2].split()[2]) == group
            status = (folder / "status").read_text() if of_group else ""
        except OSError:  # it has ended meanwhile
            continue
        if "VmHWM:" in status:
            found[int(folder.name)] = int(status.split("VmHWM:")[1].split()[0])
    return found


def test_a_worker_outlives_whatever_a_target_answers(application, start_worker, ledger):
    """Every hostile answer in its class, those between them judged, the same processes at the end and no larger."""
    worker = start_worker()
    calls = 0

    def call(*users: str) -> None:
        nonlocal calls
        for user in users:
            application.listed(user)
        calls += len(users)
        assert application.gnomon.flush(5)
        assert eventually(lambda: done(ledger) == calls), worker.said

    call(*(f"early-{number}" for number in range(200)))
    before = peaks_kb(worker.process.pid)
    for turn in range(ROUNDS):
        call(*(f"{number}" for number in range(len(SHOWN))), *(f"user-{turn}-{number}" for number in range(20)))
    after = peaks_kb(worker.process.pid)
    assert set(after) == set(before), worker.said
    assert max(after[process] - before[process] for process in before) < MOST_MORE_KB
    with ledger.reading() as reading:
        reasons = Counter({reason: count for _, outcome, reason, count in reading.reasons() if outcome == "failed"})
        found = reading.sums()["note.list"]
    hostile = [HOSTILE[name] for name in SHOWN] * ROUNDS
    assert +found.outcomes == {Outcome.MATCH: calls - len(hostile), Outcome.FAILED: len(hostile)}
    assert +found.failures == Counter(str(failure) for _, failure, _ in hostile)
    assert reasons == Counter(f"raised {error}" for _, _, error in hostile)
    worker.process.terminate()
    assert worker.process.wait(PATIENCE_S) == 0
    assert eventually(lambda: worker.gone)
