"""What comes next for those who are to be served: pure, so that every order of events can be tried."""

from dataclasses import dataclass, field

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gnomon.flags import SHARE, SWITCHES, EnvironmentFlags, FlagState, StoredFlags
from gnomon.hashing import BUCKETS, bucket_of, user_digest
from gnomon.readiness import Readiness
from worker.steps import HELD, Facts, Heartbeat, Step, Wanted, advance, excepted, pristine, trusted, wanted

USERS = [f"u{n}" for n in range(6)]
DIGESTS = {user_digest(user): user for user in USERS}
BELOW = st.sampled_from([0, *sorted(bucket_of(user) + 1 for user in USERS), BUCKETS])
SOME = st.frozensets(st.sampled_from(sorted(DIGESTS)))
TIMES = st.integers(0, 9)
ANY = st.integers(0, 9)

heartbeats = st.builds(
    Heartbeat,
    flags=st.integers(0, 4),
    readiness=st.integers(0, 6),
    watermark_us=TIMES,
    clock_error_us=st.integers(0, 2),
)
facts = st.builds(Facts, heartbeats=st.lists(heartbeats, max_size=3), now_us=st.integers(1, 9), done_us=TIMES)


@st.composite
def readinesses(draw) -> Readiness:
    """Draw any that an arbiter may have stored."""
    dual_below, version, dual = draw(BELOW), draw(st.integers(1, 5)), draw(SOME)
    return Readiness(
        version=version,
        lowered=draw(st.integers(0, 3)),
        dual_below=dual_below,
        ready_below=draw(BELOW.filter(lambda below: below <= dual_below)),
        dual=dual,
        ready=draw(SOME) & dual,
        asked=draw(st.integers(0, version)),
        acknowledged_us=draw(TIMES),
        cursor=draw(st.sampled_from(["", "u3"])),
    )


@st.composite
def whom(draw) -> Wanted:
    enabled, disabled = draw(SOME), draw(SOME)
    return Wanted(
        lowered=draw(st.integers(0, 3)),
        below=draw(BELOW),
        enabled={digest: DIGESTS[digest] for digest in enabled - disabled},
        disabled={digest: DIGESTS[digest] for digest in disabled},
    )


@st.composite
def situations(draw) -> tuple[Readiness, Wanted, Facts]:
    """Draw any at all, or one in which the readiness has followed the flags."""
    readiness, people, known = draw(readinesses()), draw(whom()), draw(facts)
    if draw(st.booleans()):
        readiness = msgspec.structs.replace(
            readiness,
            lowered=people.lowered,
            dual_below=max(people.below, readiness.dual_below),
            dual=readiness.dual | people.enabled.keys(),
            ready=readiness.ready - people.disabled.keys(),
        )
    return readiness, people, known


@given(situations())
def test_dual_never_shrinks(situation):
    """And holds all who are wanted: a rollback loses no write."""
    before, people, known = situation
    after = advance(before, people, known)
    held = after if isinstance(after, Readiness) else before
    assert held.dual_below >= max(before.dual_below, people.below)
    assert held.dual >= before.dual | people.enabled.keys()


@given(situations())
def test_nobody_is_ready_who_is_not_dual(situation):
    """Whatever comes next, those who are trusted included."""
    before, people, known = situation
    after = advance(before, people, known)
    if after is Step.VERIFICATION:
        after = trusted(before, people)
        assert advance(after, people, known) is Step.NONE
    if isinstance(after, Readiness):
        assert after.version == before.version + 1
        assert after.ready_below <= after.dual_below
        assert after.ready <= after.dual


@given(situations())
def test_a_step_makes_nobody_ready(situation):
    """Only verification does; steps take away."""
    before, people, known = situation
    after = advance(before, people, known)
    if isinstance(after, Readiness):
        assert after.ready_below <= before.ready_below
        assert after.ready <= before.ready - people.disabled.keys()


@given(situations())
def test_flags_that_were_lowered_begin_anew(situation):
    """Nobody is ready, nothing is acknowledged, nobody was verified."""
    before, people, known = situation
    assume(people.lowered != before.lowered)
    after = advance(before, people, known)
    assert isinstance(after, Readiness)
    assert after.lowered == people.lowered
    assert pristine(after)
    assert after.asked == after.version


@given(situations())
def test_whoever_becomes_dual_is_acknowledged_anew(situation):
    """Those who are ready stay so; a walk through users by buckets goes on unless there are new buckets."""
    before, people, known = situation
    before = msgspec.structs.replace(before, lowered=people.lowered)
    assume(people.below > before.dual_below or not people.enabled.keys() <= before.dual)
    after = advance(before, people, known)
    assert isinstance(after, Readiness)
    assert (after.asked, after.acknowledged_us) == (after.version, 0)
    assert after.ready_below == before.ready_below
    assert after.cursor == ("" if people.below > before.dual_below else before.cursor)


@settings(max_examples=600)
@given(situations())
def test_it_is_acknowledged_once_all_live_processes_know(situation):
    """The version asked for, or a later one that was ever stored; and the flags since they were last lowered."""
    before, people, known = situation
    after = advance(before, people, known)
    if isinstance(after, Readiness) and after.acknowledged_us and not before.acknowledged_us:
        assert all(before.asked <= beat.readiness <= before.version for beat in known.heartbeats)
        assert all(beat.flags >= before.lowered for beat in known.heartbeats)
        assert after.asked == before.asked
        assert after.acknowledged_us >= known.now_us
    if after is Step.ACKNOWLEDGEMENT:
        assert before.acknowledged_us == 0
        assert known.unaware(before) > 0


def test_a_version_of_a_former_redis_acknowledges_nothing():
    """Redis has lost what it knew: until its next beat, a process tells of a version that nobody stored since."""
    people = Wanted(below=10, enabled={}, disabled={})
    before = Readiness(version=2, dual_below=10, asked=2)
    lost = Facts(heartbeats=[Heartbeat(readiness=7, watermark_us=5)], now_us=9, done_us=9)
    assert advance(before, people, lost) is Step.ACKNOWLEDGEMENT
    known = Facts(heartbeats=[Heartbeat(readiness=2, watermark_us=5)], now_us=9, done_us=9)
    assert advance(before, people, known) == Readiness(version=3, dual_below=10, asked=2, acknowledged_us=9)


def test_a_clock_that_may_be_ahead_is_waited_for():
    """A process stamps with its own clock: the moment must lie behind it."""
    people = Wanted(below=10, enabled={}, disabled={})
    before = Readiness(version=2, dual_below=10, asked=2)
    beats = [Heartbeat(readiness=2, clock_error_us=3), Heartbeat(readiness=2, clock_error_us=40)]
    after = advance(before, people, Facts(heartbeats=beats, now_us=100, done_us=100))
    assert isinstance(after, Readiness)
    assert after.acknowledged_us == 140


@settings(max_examples=600)
@given(situations())
def test_writes_begun_before_are_in_their_lanes_before_lanes_count(situation):
    """Then, and not before, there is a moment by which all of them had ended."""
    before, people, known = situation
    after = advance(before, people, known)
    if isinstance(after, Readiness) and before.asked and not after.asked:
        assert all(beat.watermark_us >= before.acknowledged_us > 0 for beat in known.heartbeats)
        assert after.acknowledged_us >= known.now_us


@settings(max_examples=600)
@given(situations())
def test_nobody_is_verified_before_every_lane_is_replayed(situation):
    """Up to that moment."""
    before, people, known = situation
    if advance(before, people, known) is Step.VERIFICATION:
        assert before.asked == 0
        assert 0 < before.acknowledged_us <= known.done_us


@given(situations())
def test_nothing_is_done_for_nobody(situation):
    """Where all who are wanted are ready, and only there, nothing is left to do."""
    before, people, known = situation
    after = advance(before, people, known)
    if isinstance(after, Step):
        ready = people.below <= before.ready_below and people.enabled.keys() <= before.ready
        assert ready == (after is Step.NONE)


@given(readinesses(), whom(), st.dictionaries(st.sampled_from(sorted(DIGESTS)), st.sampled_from([5, HELD])))
def test_who_is_disabled_is_held_and_nobody_else(readiness, people, exceptions):
    """In a ready bucket; who is not disabled any more has an ordinary exception, and a second look finds nothing."""
    marks = excepted(readiness, people, exceptions, 7)
    found = {**exceptions, **marks}
    for digest, user in DIGESTS.items():
        if digest in people.disabled and bucket_of(user) < readiness.ready_below:
            assert found[digest] == HELD
        if digest not in people.disabled:
            assert found.get(digest) != HELD
            assert digest in found or digest not in exceptions
    assert excepted(readiness, people, found, 8) == {}


ENVIRONMENTS = st.fixed_dictionaries(
    {},
    optional={
        "ENHANCED_MEMORY": st.sampled_from(["true", "false"]),
        "RENTAL_MEMORY_ARCH": st.sampled_from(["true", "false"]),
        "ENHANCED_CHAT_CLIENT": st.sampled_from(["true", "false"]),
        "ENHANCED_ROLLOUT_PERCENTAGE": st.sampled_from(["0", "37.0001", "100"]),
    },
).map(EnvironmentFlags.from_env)
PEOPLE = st.frozensets(st.sampled_from(USERS))
SHARES = st.sampled_from(
    [0, 0.0005, 37.123, *(100 * (bucket_of(user) + 1) / BUCKETS for user in USERS), 100, "all", -1]
)
STORED = st.builds(
    StoredFlags,
    version=st.just(3),
    flags=st.fixed_dictionaries(
        {}, optional={**dict.fromkeys(SWITCHES, st.sampled_from([True, False, "yes"])), SHARE: SHARES}
    ),
    enabled=PEOPLE,
    disabled=PEOPLE,
    segments=st.dictionaries(st.sampled_from(["staff", "testers"]), PEOPLE),
    lowered=st.integers(0, 3),
)


@settings(max_examples=300)
@given(STORED, ENVIRONMENTS)
def test_wanted_are_those_whom_live_processes_let_in(flags, environment):
    """By the same flags in the same environment; a share never misses a bucket by a rounding."""
    state = FlagState(environment, None)
    state.take(3, msgspec.json.encode(flags))
    people = wanted(flags, environment)
    for user in USERS:
        let_in = any(state.decide(flag, user).enabled for flag in SWITCHES)
        meant = bucket_of(user) < people.below or user_digest(user) in people.enabled
        assert let_in == (meant and user_digest(user) not in people.disabled)
    assert people.lowered == flags.lowered
    assert people.disabled == {user_digest(user): user for user in flags.disabled}


def test_nobody_is_wanted_once_enhanced_serves_alone():
    """Retired: there are no two sides any more."""
    flags = StoredFlags(flags={**dict.fromkeys(SWITCHES, True), SHARE: 100}, enabled=frozenset(USERS), retired=True)
    people = wanted(flags, EnvironmentFlags())
    assert (people.below, people.enabled) == (0, {})


@dataclass
class Process:
    """A live process of the model: what it knows, what it last said, and the writes it has under way."""

    knows: Readiness
    flags: int
    said: Heartbeat
    writes: list["Write"] = field(default_factory=list)


@dataclass
class Write:
    """A write under way; `single` where legacy alone has it."""

    user: str
    start: int
    single: bool
    end: int | None = None


class Rollout(RuleBasedStateMachine):
    """Live processes, lanes, a drain and an arbiter in any order; nobody can verify anything."""

    @initialize(below=BELOW, processes=st.integers(0, 3))
    def begin(self, below: int, processes: int) -> None:
        self.now = 1
        self.flags, self.lowered, self.below, self.enabled = 1, 0, below, frozenset[str]()
        self.stored = Readiness()
        self.alive: list[Process] = []
        self.lane: list[Write] = []
        self.done = 0
        for _ in range(processes):
            self.join()

    def time(self) -> int:
        self.now += 1
        return self.now

    def one(self, number: int) -> list[Process]:
        """Return a process by any number, none where there is none."""
        return [self.alive[number % len(self.alive)]] if self.alive else []

    @rule()
    def join(self) -> None:
        self.alive.append(Process(self.stored, self.flags, Heartbeat(watermark_us=self.time())))

    @rule(number=ANY)
    def leave(self, number: int) -> None:
        """End in peace: all that it wrote is in the lane."""
        for process in self.one(number):
            for write in process.writes:
                write.end = write.end or self.time()
                self.lane.append(write)
            self.alive.remove(process)

    @rule()
    def all_beat(self) -> None:
        for number in range(len(self.alive)):
            self.beat(number)

    @rule(number=ANY)
    def beat(self, number: int) -> None:
        for process in self.one(number):
            low = min([write.start for write in process.writes], default=self.time())
            process.said = Heartbeat(flags=process.flags, readiness=process.knows.version, watermark_us=low)
            process.knows, process.flags = self.stored, self.flags

    @rule(number=ANY, user=st.sampled_from(USERS))
    def write(self, number: int, user: str) -> None:
        for process in self.one(number):
            process.writes.append(Write(user, self.time(), single=not process.knows.is_dual(user)))

    @rule(number=ANY)
    def end(self, number: int) -> None:
        for process in self.one(number):
            for write in process.writes[:1]:
                write.end = write.end or self.time()

    @rule(number=ANY)
    def append(self, number: int) -> None:
        for process in self.one(number):
            self.lane += [write for write in process.writes if write.end is not None]
            process.writes = [write for write in process.writes if write.end is None]

    @rule()
    def drain(self) -> None:
        cut = min((process.said.watermark_us for process in self.alive), default=self.time())
        self.lane = [write for write in self.lane if write.end is not None and write.end > cut]
        self.done = max(self.done, cut)

    @rule(below=BELOW)
    def share(self, below: int) -> None:
        self.flags += 1
        if below < self.below:
            self.lowered = self.flags
        self.below = below

    @rule(users=SOME)
    def enable(self, users: frozenset[str]) -> None:
        self.flags += 1
        self.enabled = users

    @rule()
    def tick(self) -> None:
        step = self.step()
        while isinstance(step, Readiness):
            self.stored = step
            step = self.step()
        if step is Step.VERIFICATION:
            self.stored = trusted(self.stored, self.people())

    def people(self) -> Wanted:
        enabled = {digest: DIGESTS[digest] for digest in self.enabled}
        return Wanted(lowered=self.lowered, below=self.below, enabled=enabled, disabled={})

    def step(self) -> Readiness | Step:
        now = self.time()
        known = Facts(
            heartbeats=[process.said for process in self.alive], now_us=now, done_us=self.done if self.lane else now
        )
        return advance(self.stored, self.people(), known)

    @invariant()
    def nobody_is_ready_whom_enhanced_may_lack_a_write_of(self) -> None:
        if not hasattr(self, "stored") or self.stored.lowered != self.lowered:
            return
        under_way = [write for process in self.alive for write in process.writes]
        for write in (*self.lane, *under_way):
            assert not (write.single and self.stored.is_ready(write.user))


TestRollout = Rollout.TestCase
TestRollout.settings = settings(max_examples=150, stateful_step_count=60)
