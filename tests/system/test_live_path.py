"""The live path as a whole: several processes, changing flags, rollback and death, and nothing lost."""

import os
import random
import time

import pytest

from gnomon.flags import with_segment, with_user
from gnomon.hashing import BUCKETS, bucket_of
from gnomon.switchboard import change_flags, read_flags, store_flags
from gnomon_memory.enhanced import EnhancedMemory
from gnomon_memory.legacy import LegacyMemory, legacy_store
from gnomon_memory.rental_service import RentalMemoryService, rental_store

pytestmark = [pytest.mark.slow, pytest.mark.long]

FULL = "GNOMON_TEST_FULL" in os.environ  # before the deployment takes such variables away
FLIP_S = 0.2
IN_FORCE_S = 2.0


def flip(deployment, chance, users, number):
    """Change some flag, as a person in a hurry would."""

    def one_by_one(stored):
        user = f"user-{chance.randrange(users)}"
        return with_user(stored, user, enabled=chance.choice([True, True, False, None]))

    def segment(stored):
        members = [f"user-{chance.randrange(users)}" for _ in range(20)]
        return with_segment(stored, "staff", chance.choice([members, []]))

    server, keys = deployment.server, deployment.keys
    if number % 40 == 39:
        store_flags(server, keys, {"enhanced_memory_enabled": False})
    elif number % 40 == 0:
        deployment.share(chance.choice([25, 50, 75]))
    else:
        change_flags(server, keys, chance.choice([one_by_one, one_by_one, segment]))


def test_flags_may_be_flipped_under_load(deployment):
    """8 processes: no call fails, every acknowledged save is read by everybody, all agree ≤ 2 s after the last flip."""
    users, seconds = (2_000, 60) if FULL else (300, 10)
    deployment.work()
    eventually = deployment.eventually
    everybody = [f"user-{number}" for number in range(users)]
    processes = [deployment.live() for _ in range(8)]
    for process in processes:
        assert eventually(lambda asked=process: asked.ask("knows"))
    deployment.share(50)
    served = eventually(lambda: "served" in processes[0].ask("phases", users=everybody).values())
    assert served, "nobody was ever served"
    for seed, process in enumerate(processes):
        process.tell("roam", users=users, seconds=seconds, pause_s=0.01, seed=seed)
    chance, number, until = random.Random(7), 1, time.monotonic() + seconds
    while time.monotonic() < until:
        flip(deployment, chance, users, number)
        number += 1
        time.sleep(FLIP_S)  # the pace of the flips is the test
    reports = [process.answer() for process in processes]
    print("enhanced failed live:", [report["metrics"]["errors_by_kind"] for report in reports])
    assert [(report["failed"], report["missing"], report["errors"]) for report in reports] == [(0, 0, [])] * 8
    deployment.share(40)
    last = time.monotonic()
    wanted = _decided_at(deployment.server, deployment.keys, everybody)

    def agreed():
        return all(process.ask("decisions", users=everybody) == wanted for process in processes)

    assert eventually(agreed, within_s=IN_FORCE_S, every_s=0.01)
    assert time.monotonic() - last <= IN_FORCE_S
    served = [report["metrics"]["operations"]["memory.recent"].get("enhanced", {"calls": 0}) for report in reports]
    print(f"{sum(report['calls'] for report in reports)} calls, {sum(side['calls'] for side in served)} reads served")
    assert all(side["calls"] > 0 for side in served)


def test_a_rollback_loses_nothing_and_a_promotion_after_it_neither(deployment):
    """Every memory ever saved is readable through legacy after the rollback, through enhanced after re-promotion."""
    deployment.work()
    eventually = deployment.eventually
    users = [f"user-{number}" for number in range(60)]
    inside = [user for user in users if bucket_of(user) < BUCKETS // 2]
    first, second = deployment.live(), deployment.live()
    for process in (first, second):
        process.ask("saves", users=users, each=2)
    deployment.share(50)
    for process in (first, second):
        assert eventually(lambda asked=process: _all_served(asked, inside)), process.ask("phases", users=inside)
    for process in (first, second):
        process.tell("roam", users=60, seconds=4, pause_s=0.002, seed=process.pid)
    time.sleep(2)  # the rollback comes in the middle
    deployment.command("rollback")
    reports = [first.answer(), second.answer()]
    assert [(report["failed"], report["missing"]) for report in reports] == [(0, 0), (0, 0)]
    first.ask("saves", users=users, each=1)
    assert first.ask("reads", users=users, each=1) == 0
    assert set(first.ask("phases", users=inside).values()) == {"dual"}  # still written to both
    deployment.share(50)
    for process in (first, second):
        assert eventually(lambda asked=process: _all_served(asked, inside))
    assert second.ask("reads", users=users, each=1) == 0
    assert first.ask("flush")
    assert second.ask("flush")
    assert deployment.settled()
    saved = sum(len(deployment.saved(user)) for user in users)
    assert _same_on_both(deployment, users) == saved > 3 * len(users)
    print(f"{saved} memories acknowledged, all on both sides, in the same order")


def test_users_of_a_killed_process_are_in_a_gap(deployment):
    """Their reads are excluded until verified, never diverged; what else was lost is reported as possible loss."""
    deployment.work()
    users = [f"user-{number}" for number in range(30)]
    victim, heir = deployment.live(), deployment.live()
    victim.ask("saves", users=users, each=1)
    assert victim.ask("flush")
    assert heir.ask("reads", users=users, each=1) == 0
    victim.tell("saves", users=users, each=3, then="die")
    with pytest.raises(AssertionError, match="ended"):
        victim.answer()
    for _ in range(4):
        assert heir.ask("reads", users=users, each=1) == 0
        assert heir.ask("flush")
    assert deployment.settled()
    found = deployment.outcomes()["memory.recent"]
    assert (found["diverged"], found["failed"]) == (0, 0)
    assert found["excluded"] > 0
    before = found["match"]
    assert heir.ask("reads", users=users, each=2) == 0
    assert heir.ask("flush")
    assert deployment.settled()
    after = deployment.outcomes()["memory.recent"]
    assert (after["diverged"], after["match"] - before) == (0, 2 * len(users))
    assert "possible loss" in deployment.command("status", "--live")
    _same_on_both(deployment, users)


def _decided_at(server, keys, users):
    """What follows from the stored flags, worked out apart from the code under test."""
    stored = read_flags(server, keys)
    staff = {user for members in stored.segments.values() for user in members}

    def decided(user):
        if user in stored.disabled:
            return ["False", "user_disabled"]
        if user in stored.enabled:
            return ["True", "user_enabled"]
        if user in staff:
            return ["True", "segment"]
        return [str(bucket_of(user) < stored.flags["rollout_percentage"] / 100 * BUCKETS), "split"]

    return {user: decided(user) for user in users}


def _all_served(process, users):
    return set(process.ask("phases", users=users).values()) == {"served"}


def _same_on_both(deployment, users):
    legacy = LegacyMemory(legacy_store(deployment.environment["GNOMON_MEMORY_LEGACY_URL"]))
    enhanced = EnhancedMemory(RentalMemoryService(rental_store(deployment.environment["GNOMON_MEMORY_ENHANCED_URL"])))
    found = 0
    try:
        for user in users:
            memories = legacy.get_recent_memories(user, limit=10_000)
            assert enhanced.get_recent_memories(user, limit=10_000) == memories
            assert set(deployment.saved(user)) <= {memory["id"] for memory in memories}
            found += len(memories)
        return found
    finally:
        legacy.store.close()
        enhanced.service.store.close()
