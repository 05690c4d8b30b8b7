"""Under backlog users are shed whole, the same ones everywhere; every call is in its place, and no write is missed."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon import pressure
from gnomon.hashing import SHED_PLACES, user_digest
from gnomon.keys import Keys
from gnomon.shedding import FULL, HIGH, LOW, Backlog, Shedding, next_below, shed_place
from gnomon.usual import new_board

KEYS = Keys("default")
USERS = [f"user-{number}" for number in range(400)]
PLACES = st.integers(0, SHED_PLACES)
SIZES = st.integers(0, 2_000)


def backlog(size: int, before: int = 0, *, cap: int = 1_000, lag_s: float = 0.0) -> Backlog:
    return Backlog(size_bytes=size, before_bytes=before, cap_bytes=cap, lag_s=lag_s, lag_limit_s=600)


# --- the rule


@settings(deadline=None)  # a busy machine
@given(PLACES, SIZES, SIZES)
def test_a_step_goes_the_way_that_the_backlog_does(below, size, before):
    """Above half: more, unless it shrinks; below a quarter: less; in between nobody is shed or taken back."""
    after = next_below(below, backlog(size, before))
    assert 0 <= after <= SHED_PLACES
    if size >= FULL * 1_000:
        assert after == SHED_PLACES
    elif size >= HIGH * 1_000:
        assert after >= below if size > before else after == below
    elif size < LOW * 1_000:
        assert after <= below
    else:
        assert after == below


@settings(deadline=None)  # a busy machine
@given(PLACES, SIZES, SIZES, SIZES)
def test_the_fuller_the_lanes_the_more_are_shed(below, size, more, before):
    """From the same share and the same backlog before."""
    fuller = size + more
    assert next_below(below, backlog(fuller, before)) >= next_below(below, backlog(size, before))


def course(
    offered: float, seconds: int, *, fill_s: float, below: int = 0, size: float = 0.0
) -> list[tuple[int, float]]:
    """Follow the rule: so much is offered for each that is drained; it would fill the lanes in so many seconds."""
    cap, before, found = abs(offered - 1) * fill_s, 0.0, []
    for _ in range(2 * seconds):
        told = Backlog(
            size_bytes=round(size * 1e6),
            before_bytes=round(before * 1e6),
            cap_bytes=round(cap * 1e6),
            lag_s=0,
            lag_limit_s=600,
        )
        below = next_below(below, told)
        before, size = size, max(0.0, size + 0.5 * (offered * (1 - below / SHED_PLACES) - 1))
        found.append((below, size / cap))
    return found


@pytest.mark.parametrize(("offered", "fill_s"), [(10, 10), (10, 60), (2, 10), (100, 10), (1.2, 30)])
def test_an_overload_comes_to_rest_below_the_cap(offered, fill_s):
    """Whatever is offered, the lanes never fill, and in the end no more is captured than is drained, nearly."""
    found = course(offered, 120, fill_s=fill_s)
    assert max(fill for _, fill in found) < FULL
    captured = [offered * (1 - below / SHED_PLACES) for below, _ in found[-120:]]
    assert 0.5 < sum(captured) / len(captured) < 1.2


def test_once_the_lanes_are_empty_nobody_is_shed_within_seconds():
    """The share falls by itself."""
    found = course(0.0, 10, fill_s=1, below=SHED_PLACES)
    assert found[-1][0] == 0
    assert [below for below, _ in found] == sorted((below for below, _ in found), reverse=True)


def test_an_old_backlog_counts_like_a_large_one():
    """The lanes are nearly empty, and nobody comes to replay: users are shed step by step, never all at once."""
    assert next_below(0, backlog(10, 5, lag_s=599)) == 0
    assert next_below(0, backlog(10, 5, lag_s=600)) == 250_000
    assert next_below(250_000, backlog(10, 10, lag_s=700)) == 250_000
    assert next_below(250_000, backlog(10, 5, lag_s=10**9)) == 437_500
    assert next_below(437_500, backlog(10, 5, lag_s=299)) < 437_500


@pytest.fixture
def aged(make, monkeypatch):
    """Tell a process, so many seconds later, an age by Redis's clock; return what it takes the oldest entry for."""
    now_s = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    looking = make()._publisher.pressure

    def look(after_s: float, age_s: float | None, *, stepped_s: float = 0.0) -> float:
        nonlocal now_s
        now_s += after_s
        at_ms = 10**12
        oldest = b"" if age_s is None else str(at_ms - age_s * 1_000).encode()
        step = [b"1", b"0", b"1000", b"0", str(round(stepped_s * 1_000)).encode()]
        looking.take(at_ms, [step, b"10", oldest])
        return looking.lag_s

    return look


def test_age_follows_the_clock_that_is_not_set(aged):
    """Forward: nothing has waited for longer than was watched. Back: nothing has waited, until time catches up."""
    assert [aged(0.25, age) for age in (0, 0.25, 0.5)] == [0, 0.25, 0.5]
    assert [aged(0.25, 3_600 + age) for age in (0.75, 1.0)] == [0.75, 1.0]
    assert [aged(0.25, age) for age in (0.1, None)] == [0.1, 0]  # it was replayed, as ever
    assert [aged(0.25, age) for age in (-3_600, -3_599.75)] == [0, 0]
    assert aged(700, 700) == 700  # nobody was asked meanwhile: Redis was away


def test_age_goes_on_from_what_others_have_found(aged):
    """A process that has just begun has watched nothing; what it is told later counts no more."""
    assert aged(0, 5_000, stepped_s=650) == 650
    assert aged(1, 5_001, stepped_s=9_000) == 651
    assert aged(1, 20) == 20


@settings(deadline=None)  # a busy machine
@given(st.text(min_size=1), PLACES, PLACES)
def test_raising_the_share_only_adds_users(user, one, other):
    """Who is shed at a lower share is shed at a higher one."""
    lower, higher = Shedding(new_board()), Shedding(new_board())
    lower.take(min(one, other))
    higher.take(max(one, other))
    assert higher.sheds(user, 0) or not lower.sheds(user, 0)


def test_a_full_lane_sheds_all_its_users_for_a_while(monkeypatch):
    """And those of no other lane."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    shedding = Shedding(new_board())
    shedding.close(3)
    assert (shedding.active, shedding.sheds("ann", 3), shedding.sheds("ann", 4)) == (True, True, False)
    now = 101.9
    shedding.reopen()
    assert shedding.closed_lanes == 1
    now = 102.1
    shedding.reopen()
    assert (shedding.active, shedding.sheds("ann", 3)) == (False, False)


# --- a live process


@pytest.fixture
def press(server):
    """Have a step taken, as by another process, that sheds a share of the users until the end of the test."""

    def run(share: float) -> None:
        at_ms = 10**15  # as if it had just been taken, for as long as the test may run
        server.hset(KEYS.pressure, mapping={"at": at_ms, "below": round(share * SHED_PLACES), "cap_bytes": 10**9})

    return run


@pytest.fixture
def pressed(make, press, eventually, monkeypatch):
    """A client that sheds a share of its users."""
    monkeypatch.setattr(pressure.Pressure, "_is_due", lambda *_: False)

    def run(share: float, **settings: str):
        press(share)
        client = make(**settings)
        client._publisher.start()
        assert eventually(lambda: client._buffer.shedding.share == share)
        return client

    return run


@pytest.mark.slow
def test_users_are_shed_whole(pressed, sync_pair, funnel, captures, gaps):
    """Below the share no call of any kind is captured and each write opens a gap; above it nothing is missing."""
    client = pressed(0.4)
    pairs = {kind: sync_pair(client, kind, f"memory.{kind}") for kind in ("read", "write", "generate")}
    for user in USERS:
        for pair in pairs.values():
            assert pair(user) == "old"
    assert client.flush(5)
    shed = {user for user in USERS if shed_place(user) < 400_000}
    assert 0.3 < len(shed) / len(USERS) < 0.5
    found = [(capture.user, str(capture.kind)) for capture in captures()]
    assert sorted(found) == sorted((user, kind) for user in USERS if user not in shed for kind in pairs)
    assert set(gaps()) == {user_digest(user) for user in shed}
    assert funnel() == {"eligible": 1_200, "captured": 3 * (400 - len(shed)), "shed": 3 * len(shed)}
    metrics = client.metrics()
    assert (metrics["shed"], metrics["captured"]) == (3 * len(shed), 3 * (400 - len(shed)))
    assert metrics["legacy_calls"] == 1_200


@pytest.mark.slow
def test_a_gap_begins_with_the_write_that_is_shed_and_is_told_once_it_was_made(
    pressed, sync_pair, gaps, server, eventually, release
):
    """Told before, it could be made good before the write is there; until then the watermark stays at its start."""
    client = pressed(1.0)
    write = sync_pair(client, "write")
    seen = []

    def legacy(**_):
        start_us = client._buffer.clock.now_us()
        producer = client._publisher.producer
        eventually(lambda: server.zscore(KEYS.watermarks, producer) and client._publisher._beats > beats + 2)
        beat = server.hgetall(KEYS.producer(producer))
        seen.append((start_us, dict(gaps()), int(beat[b"watermark"]) + int(beat[b"clock_error_us"])))

    beats, before_us = client._publisher._beats, client._buffer.clock.now_us()
    write.legacy = legacy
    write("ann")
    assert client.flush(5)
    [(start_us, gaps_then, watermark)] = seen
    assert gaps_then == {}
    assert before_us < watermark <= start_us
    assert before_us < int(gaps()[user_digest("ann")]) <= start_us


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["dual", "served"])
def test_who_is_shed_is_served_as_before(pressed, phased, sync_pair, funnel, captures, phase):
    """Shedding is about capturing alone: both sides are written, enhanced answers, fallbacks work."""
    client = phased(phase, client=pressed(1.0))
    read, write = sync_pair(client, "read"), sync_pair(client, "write", "memory.y")
    assert (read("ann"), write("ann")) == ("new" if phase == "served" else "old", "old")
    assert write.calls == ["legacy", "enhanced"]
    assert client.flush(5)
    assert captures() == []
    assert funnel() == {"eligible": 2, "shed": 2, **({"missed_served": 1} if phase == "served" else {})}


@pytest.mark.slow
def test_a_write_that_legacy_refused_on_purpose_opens_no_gap(pressed, sync_pair, funnel, gaps):
    """Nothing was stored, so nothing is missing."""
    client = pressed(1.0)
    refused = sync_pair(client, "write", rejects=(ValueError,))
    refused.legacy = lambda **_: (_ for _ in ()).throw(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        refused("ann")
    assert client.flush(5)
    assert (funnel(), gaps()) == ({"eligible": 1, "shed": 1}, {})


@pytest.mark.slow
def test_a_shed_call_needs_no_form_and_costs_no_budget(pressed, sync_pair, funnel, gaps):
    """What cannot be captured anyway is shed all the same; a generate call that is shed leaves the budget alone."""
    client = pressed(0.5, GNOMON_GENERATE_BUDGET="1")
    write, generate = sync_pair(client, "write"), sync_pair(client, "generate", "memory.g")
    shed = next(user for user in USERS if shed_place(user) < 500_000)
    other = next(user for user in USERS if shed_place(user) >= 500_000)
    write(shed, item=object())
    for user in (shed, shed, other, other):
        generate(user)
    assert client.flush(5)
    assert funnel() == {"eligible": 5, "shed": 3, "captured": 1, "not_sampled": 1}
    assert list(gaps()) == [user_digest(shed)]


@pytest.mark.slow
def test_all_lanes_together_are_capped_and_recover(make, sync_pair, funnel, server, eventually, monkeypatch):
    """Nobody drains: users are shed before the cap is reached; emptied, everybody is captured again, unaided."""
    monkeypatch.setattr(pressure, "STEP_MS", 0)  # with every beat
    client = make(GNOMON_TOTAL_BYTES="200000")
    read = sync_pair(client, "read")

    def pile_up() -> bool:
        for user in USERS:
            read(user, item=os.urandom(150).hex())
        assert client.flush(5)  # a loop is faster than the daemon thread packs: the buffer would be full
        return client._buffer.shedding.share == 1.0

    assert eventually(pile_up, 15)
    assert client.flush(5)
    assert int(server.hget(KEYS.stock, "total")) <= 200_000
    health = client.health()
    assert (health.status, health.details["problems"]) == ("degraded", ["shedding"])
    assert health.details["lanes"]["shed_share"] == 1.0
    before = funnel()
    assert before["eligible"] == before["captured"] + before["shed"]
    for lane in map(KEYS.lane, range(64)):
        server.delete(lane.stream, lane.state)
    server.delete(KEYS.stock, KEYS.oldest)
    assert eventually(lambda: client._buffer.shedding.share == 0.0, 15)
    read("ann")
    assert client.flush(5)
    assert funnel()["captured"] == before["captured"] + 1
    assert client.health().status == "healthy"


@pytest.mark.slow
@pytest.mark.parametrize(("found_s", "share"), [(0, 0.0), (700, 0.25)], ids=["by nobody", "by others"])
def test_a_redis_whose_clock_is_set_forward_sheds_nobody(make, server, eventually, monkeypatch, found_s, share):
    """The oldest entry is an hour old at once: that counts as far as somebody has seen it wait."""
    monkeypatch.setattr(pressure, "STEP_MS", 0)  # with every beat
    monkeypatch.setattr(pressure, "CALM_MS", 0)
    hour_ago_ms = server.time()[0] * 1_000 - 3_600_000
    server.zadd(KEYS.oldest, {"7": hour_ago_ms})
    server.hset(KEYS.stock, "total", 10)
    server.hset(KEYS.pressure, mapping={"at": 1, "below": 0, "size_bytes": 5, "lag_ms": found_s * 1_000})
    client = make()
    client._publisher.start()
    assert eventually(lambda: client._publisher._beats >= 4)
    assert client._buffer.shedding.share == share
    assert found_s <= client.health().details["lanes"]["lag_s"] < found_s + 60


@pytest.mark.slow
def test_the_cap_is_less_where_redis_has_less_memory(make, server, eventually):
    """Four fifths of it, less what else lies there; what was set where it is unlimited, or not told."""
    client = make(GNOMON_TOTAL_BYTES="300000000")
    used = server.info("memory")["used_memory"]
    server.config_set("maxmemory", used + 100_000_000)
    try:
        client._publisher.start()
        assert eventually(lambda: client._publisher.pressure.told.cap_bytes > 0)
        room = 0.8 * (used + 100_000_000) - used
        assert client._publisher.pressure.cap_bytes == pytest.approx(room, rel=0.1)
        assert server.hget(KEYS.pressure, "total_bytes") == b"300000000"
    finally:
        server.config_set("maxmemory", 0)
    server.hset(KEYS.pressure, "at", 1)
    assert eventually(lambda: client._publisher.pressure.cap_bytes == 300_000_000)


@pytest.mark.slow
def test_a_redis_that_does_not_tell_its_memory_is_taken_at_its_word(make, server, valkey_url, eventually):
    """Managed ones may refuse; then what was set is all there is to go by."""
    server.acl_setuser("quiet", enabled=True, nopass=True, commands=["+@all", "-info"], keys=["*"], channels=["*"])
    try:
        client = make(GNOMON_TOTAL_BYTES="1000", GNOMON_REDIS_URL=valkey_url.replace("//", "//quiet:x@"))
        server.hset(KEYS.stock, "total", 950)
        client._publisher.start()
        assert eventually(lambda: client._buffer.shedding.share == 1.0)
        assert client._publisher.pressure.cap_bytes == 1_000
        assert client.health().details["redis"] == "ok"
        client.close()
    finally:
        server.acl_deluser("quiet")
