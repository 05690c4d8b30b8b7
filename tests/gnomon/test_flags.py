"""Flags: precedence, environment, staleness, and changes that are refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon import ConfigurationError, FlagError
from gnomon.flags import (
    STALE_S,
    SWITCHES,
    EnvironmentFlags,
    FlagDecision,
    FlagState,
    Reason,
    StoredFlags,
    changed,
    with_epoch,
)
from gnomon.hashing import BUCKETS, bucket_of
from gnomon.readiness import Readiness
from gnomon.wire import Phase

pytestmark = pytest.mark.feature_flags

ON = {"enhanced_memory_enabled": True, "rental_memory_architecture_enabled": True, "rollout_percentage": 100}


def state_with(flags=None, environ=None, kill_file=None) -> FlagState:
    state = FlagState(EnvironmentFlags.from_env(environ or {}), kill_file)
    state.take(*((1, msgspec.json.encode(StoredFlags(1, 1, flags))) if flags is not None else (0, b"")))
    return state


def test_all_flags_on_serve_everybody():
    """Stored flags and a share of 100 put every user inside."""
    assert state_with(ON).decide("enhanced_memory_enabled", "ann").enabled


def test_without_a_flag_nobody_is_served():
    """`flag=None` is always shadow."""
    assert state_with(ON).decide(None, "ann").reason is Reason.NO_FLAG


def test_environment_false_beats_stored_true():
    """The environment can always say no."""
    decision = state_with(ON, {"ENHANCED_MEMORY": "false"}).decide("enhanced_memory_enabled", "ann")
    assert (decision.enabled, decision.reason) == (False, Reason.KILLED)


def test_environment_zero_share_is_a_kill():
    """A percentage of 0 in the environment forces legacy."""
    decision = state_with(ON, {"GNOMON_ENHANCED_ROLLOUT_PERCENTAGE": "0"}).decide("enhanced_memory_enabled", "ann")
    assert decision.reason is Reason.KILLED


def test_environment_true_is_only_a_default():
    """Stored flags beat the environment's defaults."""
    environ = {"ENHANCED_MEMORY": "true", "RENTAL_MEMORY_ARCH": "true", "ENHANCED_ROLLOUT_PERCENTAGE": "100"}
    assert state_with(None, environ).decide("enhanced_memory_enabled", "ann").enabled
    stored = {**ON, "enhanced_memory_enabled": False}
    assert state_with(stored, environ).decide("enhanced_memory_enabled", "ann").reason is Reason.DISABLED


def test_memory_needs_the_architecture_flag_too():
    """Enhanced memory without the rental architecture is off."""
    stored = {**ON, "rental_memory_architecture_enabled": False}
    assert not state_with(stored).decide("enhanced_memory_enabled", "ann").enabled


def test_kill_file_forces_legacy(tmp_path):
    """While the file exists legacy serves; when it is gone, the flags decide again."""
    kill_file = tmp_path / "kill"
    state = state_with(ON, kill_file=kill_file)
    kill_file.touch()
    state.look_at_kill_file()
    assert state.decide("enhanced_memory_enabled", "ann").reason is Reason.KILLED
    kill_file.unlink()
    state.look_at_kill_file()
    assert state.decide("enhanced_memory_enabled", "ann").enabled


def test_never_read_means_legacy():
    """Flags that could not be read are stale."""
    state = FlagState(EnvironmentFlags(), None)
    assert state.decide("enhanced_memory_enabled", "ann").reason is Reason.STALE


def test_the_share_splits_by_bucket():
    """A user is inside exactly when the bucket lies below the share."""
    state = state_with({**ON, "rollout_percentage": 25})
    for user in (f"user-{n}" for n in range(200)):
        assert state.decide("enhanced_memory_enabled", user).enabled == (bucket_of(user) < BUCKETS // 4)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rollout_percentage": 101}, "expected a number from 0 to 100"),
        ({"rollout_percentage": "ten"}, "expected a number from 0 to 100"),
        ({"rollout_percentage": True}, "expected a number from 0 to 100"),
        ({"rollout_percentage": 50}, "may only be lowered here"),
        ({"enhanced_memory": True}, "unknown flag 'enhanced_memory'"),
        ({"enhanced_memory_enabled": "yes"}, "expected True or False"),
    ],
)
def test_changes_that_are_refused(changes, problem):
    """The error names the flag and what it takes."""
    with pytest.raises(FlagError, match=problem):
        changed(StoredFlags(3, 1, {"rollout_percentage": 25}), changes)


def test_a_change_makes_a_new_version():
    """Versions grow by one; the epoch stays; a lowered share is remembered, so that nobody counts as ready any more."""
    after = changed(StoredFlags(3, 2, {"rollout_percentage": 25}), {"rollout_percentage": 10})
    assert after == StoredFlags(4, 2, {"rollout_percentage": 10}, lowered=4)


# --- precedence

MEMORY, CHAT = "enhanced_memory_enabled", "enhanced_chat_client_enabled"


def state_of(document, *, environ=None, kill_file=None) -> FlagState:
    """A process that has just read `document` (bytes, or stored flags)."""
    state = FlagState(EnvironmentFlags.from_env(environ or {}), kill_file)
    raw = document if isinstance(document, bytes) else msgspec.json.encode(document)
    state.take(1, raw)
    return state


@pytest.fixture
def kill_file(tmp_path):
    file = tmp_path / "kill"
    file.touch()
    return file


def test_precedence_from_the_top(kill_file, monkeypatch):
    """Kill > environment > global flags > user disabled > enabled > segment > share: each beats all that follow."""
    stored = StoredFlags(
        version=1,
        flags={**ON, "rollout_percentage": 0},
        enabled=frozenset({"ann", "ben"}),
        disabled=frozenset({"ann"}),
        segments={"staff": frozenset({"ann", "ben", "cy"})},
    )
    off = msgspec.structs.replace(stored, flags={**stored.flags, MEMORY: False})

    def reason(state, user="ann"):
        state.look_at_kill_file()
        return state.decide(MEMORY, user).reason

    assert reason(state_of(off, environ={"ENHANCED_MEMORY": "0"}, kill_file=kill_file)) is Reason.KILLED
    kill_file.unlink()
    assert reason(state_of(off, environ={"ENHANCED_MEMORY": "0"}, kill_file=kill_file)) is Reason.KILLED
    assert reason(state_of(off)) is Reason.DISABLED
    assert reason(state_of(stored)) is Reason.USER_DISABLED
    assert reason(state_of(stored), "ben") is Reason.USER_ENABLED
    assert reason(state_of(stored), "cy") is Reason.SEGMENT
    assert reason(state_of(stored), "dee") is Reason.SPLIT
    assert not state_of(stored).decide(MEMORY, "dee").enabled
    stale = state_of(stored)
    monkeypatch.setattr(stale, "_read_at", stale._read_at - STALE_S - 1)
    assert {reason(stale, user) for user in ("ann", "ben", "cy", "dee")} == {Reason.STALE}


def test_chat_and_memory_have_flags_of_their_own():
    """One is off, the other goes on; the architecture flag concerns memory alone."""
    state = state_of(StoredFlags(1, 1, {CHAT: True, MEMORY: True, "rollout_percentage": 100}))
    assert state.decide(CHAT, "ann").enabled
    assert state.decide(MEMORY, "ann").reason is Reason.MISSING
    killed = state_of(StoredFlags(1, 1, {**ON, CHAT: True}), environ={"RENTAL_MEMORY_ARCH": "false"})
    assert (killed.decide(CHAT, "ann").enabled, killed.decide(MEMORY, "ann").reason) == (True, Reason.KILLED)


def test_flags_turn_stale_and_come_back(monkeypatch):
    """Unreadable for 30 s means legacy; read once more, they hold again at once."""
    state = state_of(StoredFlags(1, 1, ON))
    monkeypatch.setattr(state, "_read_at", state._read_at - STALE_S + 5)
    assert not state.stale
    assert state.decide(MEMORY, "ann").enabled
    monkeypatch.setattr(state, "_read_at", state._read_at - 6)
    assert state.decide(MEMORY, "ann").reason is Reason.STALE
    state.take(1, b"")
    assert state.decide(MEMORY, "ann").enabled


def test_flags_that_are_gone_are_not_read(monkeypatch):
    """A Redis that lost its data says nothing about flags: what was known turns stale, it does not become missing."""
    state = state_of(StoredFlags(1, 1, ON))
    monkeypatch.setattr(state, "_read_at", state._read_at - STALE_S - 1)
    state.take(0, b"")
    assert state.decide(MEMORY, "ann").reason is Reason.STALE


@pytest.mark.parametrize("problem", ["kill", "environment", "malformed"])
def test_a_firm_no_does_not_age(problem, kill_file):
    """Killed is killed, and malformed is malformed, however old the flags are."""
    environ = {"ENHANCED_MEMORY": "off"} if problem == "environment" else {}
    state = FlagState(EnvironmentFlags.from_env(environ), kill_file if problem == "kill" else None)
    if problem == "malformed":
        state.take(1, b"not JSON")
    state.look_at_kill_file()
    expected = Reason.MALFORMED if problem == "malformed" else Reason.KILLED
    assert (state.known, state.decide(MEMORY, "ann").reason) == (False, expected)


def test_a_kill_file_that_cannot_be_looked_at_counts_as_there():
    """Whoever cannot tell serves legacy."""

    class Unreadable:
        def exists(self):
            raise PermissionError

    state = FlagState(EnvironmentFlags(), Unreadable())
    state.look_at_kill_file()
    assert state.decide(MEMORY, "ann").reason is Reason.KILLED


@pytest.mark.slow
def test_the_kill_file_is_seen_by_a_live_process(phased, sync_pair, tmp_path, eventually):
    """Looked at every half second: legacy serves while it is there, enhanced again when it is gone."""
    kill_file = tmp_path / "kill"
    read = sync_pair(phased("served", GNOMON_KILL_FILE=str(kill_file)), "read")
    assert read("ann") == "new"
    kill_file.touch()
    assert eventually(lambda: read("ann") == "old")
    assert read.client.health().details["killed"]
    kill_file.unlink()
    assert eventually(lambda: read("ann") == "new")


# --- the environment

SPELLED = [("true", True), ("TRUE", True), ("1", True), ("yes", True), ("On", True), (" true ", True)]
SPELLED += [("false", False), ("False", False), ("0", False), ("no", False), ("OFF", False), (" 0 ", False)]


@pytest.mark.parametrize("prefix", ["", "GNOMON_", "REACT_APP_"])
@pytest.mark.parametrize(("flag", "name"), SWITCHES.items())
@pytest.mark.parametrize(("text", "on"), SPELLED)
def test_every_spelling_of_a_switch(prefix, flag, name, text, on):
    """Three prefixes, upper and lower case, spaces around: on is a default, off kills."""
    flags = EnvironmentFlags.from_env({prefix + name: text})
    assert (flags.defaults.get(flag), flag in flags.killed) == (True if on else None, not on)


@pytest.mark.parametrize("prefix", ["", "GNOMON_", "REACT_APP_"])
@pytest.mark.parametrize(("text", "share"), [("25", 25), (" 12.5 ", 12.5), ("100", 100), ("0.1", 0.1)])
def test_every_spelling_of_the_share(prefix, text, share):
    """A number from 0 to 100, with or without a fraction; the default until flags are stored."""
    flags = EnvironmentFlags.from_env({f"{prefix}ENHANCED_ROLLOUT_PERCENTAGE": text})
    assert (flags.defaults, flags.killed) == ({"rollout_percentage": share}, frozenset())


@pytest.mark.parametrize("text", ["0", "0.0", "-0", "0e5"])
def test_every_spelling_of_nobody_kills(text):
    """A share of nothing in the environment forces legacy for all flags."""
    assert EnvironmentFlags.from_env({"ENHANCED_ROLLOUT_PERCENTAGE": text}).killed == set(SWITCHES)


@pytest.mark.parametrize("text", ["101", "-1", "nan", "inf", "ten", "10%", "1,5", "true"])
def test_a_share_that_is_none_is_named_at_start(text):
    """Naming the variable, and what it takes."""
    with pytest.raises(ConfigurationError, match=r"REACT_APP_ENHANCED_ROLLOUT_PERCENTAGE.*a percentage from 0 to 100"):
        EnvironmentFlags.from_env({"REACT_APP_ENHANCED_ROLLOUT_PERCENTAGE": text})


def test_our_own_prefix_wins():
    """`GNOMON_` before `REACT_APP_` before none; an empty variable says nothing."""
    environ = {"GNOMON_ENHANCED_MEMORY": "false", "REACT_APP_ENHANCED_MEMORY": "true", "ENHANCED_MEMORY": "true"}
    assert MEMORY in EnvironmentFlags.from_env(environ).killed
    assert EnvironmentFlags.from_env({**environ, "GNOMON_ENHANCED_MEMORY": " "}).defaults == {MEMORY: True}


def test_the_environment_alone_can_switch_on():
    """Nothing is stored: switches and share of the environment hold, once Redis was asked."""
    environ = {"ENHANCED_MEMORY": "1", "RENTAL_MEMORY_ARCH": "1", "ENHANCED_ROLLOUT_PERCENTAGE": "100"}
    state = FlagState(EnvironmentFlags.from_env(environ), None)
    assert state.decide(MEMORY, "ann").reason is Reason.STALE
    state.take(0, b"")
    assert state.decide(MEMORY, "ann") == FlagDecision(True, Reason.SPLIT, Phase.DUAL)


# --- any document at all

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from([*StoredFlags.__struct_fields__, "unknown"])
flag_names = st.sampled_from([*SWITCHES, "rollout_percentage", "unknown"])
documents = st.one_of(
    st.binary(max_size=40),
    json_values.map(msgspec.json.encode),
    st.dictionaries(fields, json_values, max_size=6).map(msgspec.json.encode),
    st.dictionaries(flag_names, json_values, max_size=5).map(
        lambda flags: msgspec.json.encode({"version": 1, "flags": flags})
    ),
)


@given(documents, st.text(max_size=20))
def test_no_document_raises(document, user):
    """Whatever lies in Redis: a decision with a reason, and enhanced only where every value is what it should be."""
    state = state_of(document)
    for flag in SWITCHES:
        decision = state.decide(flag, user)
        assert decision.reason in Reason
        if decision.enabled and not state.stored.retired:
            assert state.value(flag) is True
            assert user


@given(documents, documents, st.text(min_size=1, max_size=20))
def test_no_readiness_raises(flags, readiness, user):
    """Nor does any document about readiness; nobody is served by one that cannot be read."""
    state = state_of(flags)
    state.take_readiness(1, readiness)
    for flag in SWITCHES:
        decision = state.decide(flag, user)
        if decision.phase is Phase.SERVED:
            assert state.standing.shared.is_ready(user)
            assert not state.standing.malformed


@given(st.sampled_from([MEMORY, "rental_memory_architecture_enabled"]), json_values)
def test_a_switch_is_on_only_where_it_is_true(flag, value):
    """Not where it is 1, "true" or [true]: legacy, with the reason."""
    decision = state_of(StoredFlags(1, 1, {**ON, flag: value})).decide(MEMORY, "ann")
    assert decision.enabled is (value is True)
    if value is not True:
        assert decision.reason in {Reason.DISABLED, Reason.MISSING, Reason.MALFORMED}


@given(json_values)
def test_a_share_is_a_number_from_0_to_100(value):
    """Anything else lets nobody in."""
    decision = state_of(StoredFlags(1, 1, {**ON, "rollout_percentage": value})).decide(MEMORY, "ann")
    valid = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
    assert decision.enabled is (valid and bucket_of("ann") < value * 1_000)
    assert decision.reason is (Reason.SPLIT if valid or value is None else Reason.MALFORMED)


def test_unknown_fields_are_passed_over():
    """A later version may store more."""
    document = msgspec.json.encode({"version": 1, "flags": {**ON, "later_flag": 3}, "later": {"a": 1}})
    assert state_of(document).decide(MEMORY, "ann").enabled


def test_a_document_that_can_be_read_again_holds_again():
    """Malformed until then, never for ever."""
    state = state_of(b"not JSON")
    state.take(2, msgspec.json.encode(StoredFlags(2, 1, ON)))
    assert state.decide(MEMORY, "ann").enabled


@pytest.mark.parametrize("user", ["", None])
def test_nobody_has_no_phase_but_shadow(user):
    """An empty user is legacy's whatever is stored, also where everybody is written to both."""
    state = state_of(StoredFlags(1, 1, ON))
    state.take_readiness(1, msgspec.json.encode(Readiness(version=1, dual_below=BUCKETS, ready_below=BUCKETS)))
    assert state.decide(MEMORY, user) == FlagDecision(False, Reason.NO_USER, Phase.SHADOW)


# --- what a change remembers


@given(st.lists(st.tuples(flag_names.filter(lambda name: name != "unknown"), st.floats(0, 100) | st.booleans())))
def test_versions_grow_and_lowered_is_the_last_loss(changes):
    """By one with every change; `lowered` where somebody may have left the rollout, never ahead of the version."""
    stored = StoredFlags()
    for flag, value in changes:
        is_flag = flag != "rollout_percentage"
        if is_flag is not isinstance(value, bool):
            continue
        before = stored
        stored = changed(stored, {flag: value}, may_raise=True)
        assert stored.version == before.version + 1
        loses = before.flags.get(flag) is not False and value is False if is_flag else value < before.flags.get(flag, 0)
        assert stored.lowered == (stored.version if loses else before.lowered)


@pytest.mark.parametrize(
    ("before", "changes", "lowered"),
    [
        ({"rollout_percentage": 25}, {"rollout_percentage": 50}, False),
        ({"rollout_percentage": 25}, {"rollout_percentage": 25}, False),
        ({"rollout_percentage": 25}, {"rollout_percentage": 24.9}, True),
        ({MEMORY: True}, {MEMORY: False}, True),
        ({MEMORY: False}, {MEMORY: False}, False),
        ({}, {MEMORY: False}, True),  # the environment may have said true
        ({MEMORY: False}, {MEMORY: True}, False),
        ({}, {}, False),
    ],
)
def test_what_counts_as_lowered(before, changes, lowered):
    """Whoever is lowered must be verified anew before enhanced serves them again."""
    stored = changed(StoredFlags(3, 1, before), changes, may_raise=True)
    assert stored.lowered == (4 if lowered else 0)


def test_a_lowered_flag_takes_readiness_with_it():
    """Back up again: dual, and verified anew; not served at once as if nothing had been."""
    state = state_of(StoredFlags(1, 1, ON))
    state.take_readiness(1, msgspec.json.encode(Readiness(version=1, dual_below=BUCKETS, ready_below=BUCKETS)))
    assert state.decide(MEMORY, "ann").phase is Phase.SERVED
    off = changed(state.stored, {MEMORY: False})
    state.take(off.version, msgspec.json.encode(off))
    assert state.decide(MEMORY, "ann") == FlagDecision(False, Reason.DISABLED, Phase.DUAL)
    again = changed(off, {MEMORY: True}, may_raise=True)
    state.take(again.version, msgspec.json.encode(again))
    assert state.decide(MEMORY, "ann") == FlagDecision(True, Reason.SPLIT, Phase.DUAL)


def test_a_later_epoch_changes_nothing_else():
    """Nor does an earlier one: epochs only go on."""
    stored = StoredFlags(version=7, epoch=3, flags=ON, enabled=frozenset({"ann"}), lowered=5)
    assert with_epoch(stored, 4) == msgspec.structs.replace(stored, version=8, epoch=4)
    assert with_epoch(stored, 3) is with_epoch(stored, 2) is stored
