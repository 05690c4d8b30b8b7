"""A whole rollout through the commands, in simulated time: a good candidate, and all that can be wrong with one."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from comparators import mask
from console.producers import await_acknowledged
from gnomon.flags import SHARE, SWITCHES
from gnomon.keys import Keys
from gnomon.switchboard import read_flags, store_flags
from ledger import Ledger
from ledger.engine import open_engine
from ledger.models import EpochRow
from ledger.rollout_models import ApprovalRow, AuditRow
from tests.console.rehearsing import Candidate, Rehearsal, diverge, history, moved
from tests.worker.processes import eventually

pytestmark = pytest.mark.slow

KEYS = Keys("default")
GOOD = Candidate()
OFF = {**dict.fromkeys(SWITCHES, False), SHARE: 0}


@pytest.fixture
def rollout(gnomon, server, valkey_url, tmp_path) -> Rehearsal:
    """A deployment before its first stage, under the migration plan's policy."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    gnomon.environ |= {"GNOMON_REDIS_URL": valkey_url, "GNOMON_DATABASE_URL": url}
    assert gnomon("migrate").code == 0
    return Rehearsal(gnomon, url)


def climbed(rollout: Rehearsal, share: int) -> None:
    """Bring a rollout up to a stage."""
    while True:
        with_share = read_share(rollout)
        if with_share >= share:
            return
        rollout.hours(50, GOOD)
        assert rollout.minute() == "eligible", rollout("gate").out
        ran = rollout.approve_and_promote()
        assert ran.code == 0, ran.err
        assert ran.json["was"] == with_share


def read_share(rollout: Rehearsal) -> int:
    ledger = Ledger(rollout.database_url)
    with ledger.reading() as reading:
        share = reading.rollout.opened().share
    ledger.close()
    return share


@pytest.mark.long
def test_a_good_candidate_goes_all_the_way(rollout, server):
    """0, 1, 10, 25, 50, 100: each stage on evidence of its own and a person's word, and all of it in the audit."""
    assert rollout.minute() == "collecting"
    climbed(rollout, 100)
    stored = read_flags(server, KEYS)
    assert stored.flags == {**dict.fromkeys(SWITCHES, True), SHARE: 100}
    assert stored.epoch == 6
    ran = rollout("promote", "--by", "ann")
    assert (ran.code, ran.out) == (1, "")
    assert "Refused for namespace default, and nothing was changed: 100 % is the last stage" in ran.err
    assert "rows hold" in rollout("audit", "verify").out
    replayed = rollout("audit", "replay", "--json").json
    assert replayed["decisions"] >= 15
    assert replayed["differing"] == []


# --- candidates that are not good


@pytest.mark.long
def test_one_that_turns_bad_is_rolled_back(rollout, server, live_client, live_process):
    """At 25 %, in the hour under way: legacy serves everybody within 2 s of the look, before anybody is asked."""
    climbed(rollout, 25)
    clients = [live_client() for _ in range(3)]
    for _ in range(2):
        live_process()
    store_flags(server, KEYS, dict.fromkeys(SWITCHES, True))
    rollout.hours(40, GOOD)
    rollout.hours(1, Candidate(success=0.7))
    assert rollout.minute() == "rollback"
    stored = read_flags(server, KEYS)
    assert stored.flags == OFF
    acknowledged = await_acknowledged(server, KEYS, stored.version, within_s=2.0)
    assert (len(acknowledged.live), acknowledged.missing) == (5, [])
    reasons = {str(decision.reason) for client in clients for decision in client.flags.for_user("ann").values()}
    assert reasons == {"disabled"}
    assert read_share(rollout) == 0
    gate = rollout("gate")
    assert gate.code == 1
    assert "rolled back (rollback: " in " ".join(gate.out.split())
    assert "out of reach" in " ".join(rollout("audit", "list").out.split())
    assert rollout.minutes(4) == "hold"  # whatever comes, this build stays out
    refused = rollout("resume", "--by", "ann", "--why", "let us see")
    assert (refused.code, "harm was proven of build ''" in refused.err) == (1, True)
    begun = rollout("resume", "--build", "mended", "--by", "ann", "--why", "the sort order is mended", "--json")
    assert (begun.code, begun.json["epoch"]) == (0, 6)
    assert read_flags(server, KEYS).flags == {**dict.fromkeys(SWITCHES, True), SHARE: 0}
    rollout.hours(50, GOOD)
    assert rollout.minutes(3) == "eligible"
    assert rollout.approve_and_promote().json["share"] == 1


def test_one_that_is_too_slow_is_not_promoted(rollout):
    """However right its answers are."""
    rollout.hours(50, Candidate(success=1.0, ratio=1.4))
    assert rollout.minute() == "hold"
    criteria = {one["name"]: one for one in rollout("gate", "--json").json["criteria"]}
    assert criteria["performance:memory.recent"]["passed"] is False
    refused = rollout("approve", "--by", "ann")
    assert (refused.code, "the gate does not allow it: hold: " in refused.err) == (1, True)


def test_thin_traffic_is_inconclusive(rollout):
    """After 14 days of too few calls more of the same would not decide."""
    rollout.hours(15 * 24, GOOD, calls=1, users=150)
    assert rollout.minute() == "inconclusive"
    assert rollout("promote", "--by", "ann").code == 1


def test_calls_that_are_missing_are_held_against_it(rollout):
    """5 % of the captures were shed: what was compared may be the better part."""
    rollout.hours(50, Candidate(success=1.0, coverage=0.95))
    assert rollout.minute() == "hold"
    criteria = {one["name"]: one for one in rollout("gate", "--json").json["criteria"]}
    assert criteria["coverage:memory.recent:shadow"]["passed"] is False
    assert criteria["coverage:memory.recent:shadow"]["observed"] == 0.95


# --- complaints


def test_a_complaint_holds_until_another_person_has_dismissed_it(rollout, server):
    """And then for three clean looks; its user stays with legacy."""
    climbed(rollout, 1)
    added = rollout("complaint", "add", "--user", "ann", "--text", "mail me at a@b.example", "--by", "tom", "--json")
    assert added.code == 0
    name = added.json["complaint"]
    assert read_flags(server, KEYS).disabled == {"ann"}
    rollout.hours(50, GOOD)
    assert rollout.minute() == "hold"
    assert rollout("approve", "--by", "tom").code == 1
    [listed] = rollout("complaint", "list", "--json").json
    assert (listed["id"], listed["share"], listed["state"]) == (name, 1, "open")
    assert listed["text"] == mask("mail me at a@b.example") != "mail me at a@b.example"
    own = rollout("complaint", "dismiss", name, "--by", "Tom", "--why", "not so bad")
    assert (own.code, "was filed by Tom: another person has to decide" in own.err) == (2, True)
    assert rollout("complaint", "dismiss", name, "--by", "eve", "--why", "the user had mistyped").code == 0
    twice = rollout("complaint", "dismiss", name, "--by", "eve", "--why", "again")
    assert (twice.code, "was dismissed by eve already" in twice.err) == (2, True)
    assert [rollout.minute() for _ in range(3)] == ["hold", "hold", "eligible"]
    assert "No complaint is open." in rollout("complaint", "list").out


def test_a_confirmed_complaint_takes_everybody_back(rollout, server, live_client):
    """A user's own complaint, by the client, is enough to begin with."""
    climbed(rollout, 10)
    live_client().complain("bob", "it told me somebody else's address", conversation_id="c-7")
    rollout.hours(50, GOOD)
    assert rollout.minute() == "hold"
    assert server.llen(KEYS.complaints) == 0  # it is in the ledger
    [one] = rollout("complaint", "list", "--json").json
    assert (one["conversation"], one["share"], one["filed_by"]) == ("c-7", 10, "")
    assert rollout("complaint", "confirm", one["id"], "--by", "eve", "--why", "a leak").code == 0
    assert read_flags(server, KEYS).flags == OFF
    assert read_share(rollout) == 0
    assert rollout.minute() == "hold"
    assert rollout("resume", "--by", "eve", "--why", "the prompt is mended").code == 0


# --- people


def test_groups_have_to_be_decided_first(rollout):
    """What is new or critical in the epoch stands in the way of an approval; a bug does even when decided."""
    diverge(rollout)
    rollout.hours(50, GOOD)
    assert rollout.minute() == "eligible"
    refused = rollout("approve", "--by", "ann")
    assert (refused.code, "1 group stand in the way" in refused.err) == (1, True)
    [group] = [one["id"] for one in rollout("groups", "--json").json]
    assert f"group {group} (changed at $[*].content)" in " ".join(rollout("gate").out.split())
    noise = rollout("group", group, "noise", "--by", "ann", "--why", "who knows")
    assert (noise.code, "critical, which is never noise" in noise.err) == (2, True)
    assert rollout("group", group, "bug", "--by", "ann", "--why", "it is").code == 0
    assert "a bug, says ann" in rollout("approve", "--by", "ann").err
    assert rollout("group", group, "accept", "--by", "ann", "--why", "the old text was wrong").code == 0
    assert rollout("approve", "--by", "ann").code == 0
    assert rollout("group", group, "reopen", "--by", "tom", "--why", "I doubt it").code == 0
    assert rollout("promote", "--by", "ann").code == 1
    assert rollout("group", group, "accept", "--by", "tom", "--why", "it is").code == 0
    stale = rollout("promote", "--by", "ann")
    assert (stale.code, "groups, rules or policy have changed since ann has approved" in stale.err) == (1, True)
    assert rollout("group", "nothing", "accept", "--by", "ann", "--why", "it is").code == 2


def test_an_approval_is_needed_and_holds_for_an_hour(rollout):
    """Nobody promotes alone by typing fast, nor on what was seen yesterday."""
    rollout.hours(50, GOOD)
    assert rollout.minute() == "eligible"
    alone = rollout("promote", "--by", "ann")
    assert (alone.code, "nobody has approved this epoch's evidence" in alone.err) == (1, True)
    approved = rollout("approve", "--by", "ann", "--why", "seen with Tom", "--json").json
    assert (approved["approved"], approved["to"], approved["valid_s"]) == (True, 1, 3600)
    moved(rollout, sa.update(ApprovalRow).values(at=datetime.now(UTC) - timedelta(minutes=61)))
    old = rollout("promote", "--by", "ann")
    assert (old.code, "is 61 minutes old, and holds for 60" in old.err) == (1, True)


def test_of_two_who_promote_at_once_one_does(rollout, server):
    """The other is told, and the share is raised by one stage."""
    rollout.hours(50, GOOD)
    rollout.minute()
    assert rollout("approve", "--by", "ann").code == 0
    both = [rollout.gnomon.start("promote", "--by", name) for name in ("ann", "tom")]
    told = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) in ([0, 1], [0, 2]), told
    assert read_share(rollout) == read_flags(server, KEYS).flags[SHARE] == 1


def test_another_build_begins_anew_at_its_stage(rollout, live_client):
    """As soon as every live process names it; while they differ, nothing is known to have changed."""
    climbed(rollout, 1)
    live_client(build="b7")
    rollout.minute()
    with contextlib.closing(Ledger(rollout.database_url)) as ledger, ledger.reading() as reading:
        opened = reading.rollout.opened()
    assert (opened.build, opened.share, opened.why) == ("b7", 1, "another build")
    live_client(build="b8")
    rollout.minute()
    assert read_share(rollout) == 1
    assert [one["build"] for one in rollout("audit", "list", "--json").json if one["action"] == "build"] == ["b7"]


def test_a_complaint_counts_before_anybody_has_taken_it_in(rollout, live_client):
    """The gate looks where it waits."""
    climbed(rollout, 1)
    rollout.hours(50, GOOD)
    assert rollout.minute() == "eligible"
    live_client().complain("bob", "it is wrong")
    refused = rollout("approve", "--by", "ann")
    assert (refused.code, "1 complaint is open" in refused.err) == (1, True)


def test_a_pause_holds_and_is_none_of_the_dwell(rollout):
    """Twice is an error, and so is going on with what goes on."""
    assert rollout("pause", "--by", "ann", "--why", "the database moves").code == 0
    twice = rollout("pause", "--by", "tom", "--why", "it does")
    assert (twice.code, "paused already" in twice.err) == (2, True)
    rollout.hours(50, GOOD)
    assert rollout.minute() == "hold"
    assert "paused by ann: the database moves" in " ".join(rollout("gate").out.split())
    assert rollout("resume", "--by", "ann", "--why", "it has moved").code == 0
    again = rollout("resume", "--by", "ann", "--why", "once more")
    assert (again.code, "not paused" in again.err) == (2, True)
    assert [rollout.minute() for _ in range(3)] == ["hold", "hold", "eligible"]


def test_who_and_why_are_asked_for(rollout):
    """In words, before anything is looked at."""
    for arguments in (("approve", "--by", " "), ("pause", "--by", "ann", "--why", "")):
        ran = rollout(*arguments)
        assert (ran.code, "is needed" in ran.err) == (2, True)


# --- what breaks on the way


def test_a_promotion_that_did_not_reach_the_flags_is_completed(rollout, server, monkeypatch):
    """The stage is open and not in force: the gate holds, and promoting again goes on where it stopped."""
    rollout.hours(50, GOOD)
    rollout.minute()
    assert rollout("approve", "--by", "ann").code == 0
    server.config_set("maxmemory", "1")  # it answers, and takes nothing
    try:
        ran = rollout("promote", "--by", "ann")
    finally:
        server.config_set("maxmemory", "0")
    assert ran.code == 2, ran.err
    assert (read_share(rollout), read_flags(server, KEYS).flags) == (1, {})
    assert rollout.minute() == "hold"
    completed = rollout("promote", "--by", "ann", "--json")
    assert (completed.code, completed.json["completed"], completed.json["share"]) == (0, True, 1)
    assert read_flags(server, KEYS).flags[SHARE] == 1


def test_a_rollback_by_command_is_recorded_by_the_next_look(rollout, server):
    """It needs no ledger; who did it and why is in the audit all the same."""
    climbed(rollout, 10)
    assert rollout("rollback", "--by", "eve", "--why", "the phone does not stop").code == 0
    assert rollout.minute() == "hold"
    assert read_share(rollout) == 0
    last = [entry for entry in rollout("audit", "list", "--json").json if entry["action"] == "rollback"]
    assert [(entry["actor"], entry["why"]) for entry in last] == [("eve", "the phone does not stop")]
    assert rollout("resume", "--by", "eve", "--why", "it does").code == 0


def test_a_clock_that_was_set_back_holds(rollout):
    """A stage that has not begun yet proves nothing."""
    rollout.hours(50, GOOD)
    moved(rollout, sa.update(EpochRow).values(opened_at=datetime.now(UTC) + timedelta(hours=1)))
    assert rollout.minute() == "hold"
    assert "a clock went backwards" in " ".join(rollout("gate").out.split())
    assert rollout("approve", "--by", "ann").code == 1


def test_harm_is_acted_upon_where_the_ledger_takes_nothing(rollout, server):
    """The flags first: what could not be recorded is recorded later."""
    climbed(rollout, 1)
    rollout.hours(50, Candidate(success=0.5))
    engine = open_engine(rollout.database_url)
    full = {table: f"full_{table}" for table in ("epochs", "rollout", "audit", "evaluations", "complaints")}
    with engine.begin() as connection:
        for table, name in full.items():
            trigger = f"CREATE TRIGGER {name} BEFORE INSERT ON {table} BEGIN SELECT RAISE(FAIL, 'full'); END"
            connection.execute(sa.text(trigger))
    assert rollout.minute() == "None"  # nobody could record it
    assert read_flags(server, KEYS).flags == OFF
    with engine.begin() as connection:
        for name in full.values():
            connection.execute(sa.text(f"DROP TRIGGER {name}"))
    engine.dispose()
    assert [rollout.minute() for _ in range(2)] == ["rollback", "hold"]
    assert read_share(rollout) == 0
    assert rollout("resume", "--build", "mended", "--by", "ann", "--why", "it is").code == 0
    assert read_flags(server, KEYS).flags == {**dict.fromkeys(SWITCHES, True), SHARE: 0}  # as before the rollback
    assert [one["actor"] for one in rollout("audit", "list", "--json").json if one["action"] == "rollback"] == ["gate"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (sa.update(AuditRow).where(AuditRow.number == 2).values(actor="somebody"), "row 2 was edited"),
        (sa.delete(AuditRow).where(AuditRow.number == 2), "row 2 was deleted"),
        (sa.delete(AuditRow).where(AuditRow.number == 3), "row 3 was deleted: the end of the audit was cut off"),
    ],
)
def test_the_audit_names_what_was_done_to_it(rollout, change, told):
    """Edited, deleted, cut off."""
    rollout("pause", "--by", "ann", "--why", "lunch")
    rollout("resume", "--by", "ann", "--why", "eaten")
    rollout("pause", "--by", "ann", "--why", "tea")
    head = rollout("audit", "verify", "--json").json["head"]
    assert rollout("audit", "verify", "--head", head).code == 0
    moved(rollout, change)
    ran = rollout("audit", "verify")
    assert (ran.code, told in ran.err) == (1, True), ran.err


def test_a_key_signs_the_audit(rollout):
    """Whoever has none writes no chain that holds."""
    rollout.gnomon.environ["GNOMON_AUDIT_KEY"] = "known to few"
    rollout("pause", "--by", "ann", "--why", "lunch")
    assert rollout("audit", "verify").code == 0
    del rollout.gnomon.environ["GNOMON_AUDIT_KEY"]
    assert rollout("audit", "verify").code == 1


def test_beat_asks_for_it(rollout):
    """A worker with a beat looks by itself, and keeps what it saw; complaints are taken in on the way."""
    rollout.gnomon.environ["GNOMON_EVALUATE_S"] = "1"
    worker = rollout.gnomon.start("worker", "--beat", "--concurrency", "1")
    assert eventually(lambda: len(history(rollout)) >= 2)
    worker.terminate()
    worker.communicate(timeout=60)
    assert {one.state for one in history(rollout)} == {"collecting"}
    told = rollout("gate", "--history", "2", "--json").json
    assert [(one["epoch"], one["share"], one["state"]) for one in told] == [(1, 0, "collecting")] * 2
    assert "epoch 1, 0 %  collecting: not enough evidence" in rollout("gate", "--history", "1").out
    assert "policy" in [entry["action"] for entry in rollout("audit", "list", "--json").json]
