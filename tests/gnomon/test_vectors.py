"""The golden vectors of `live/wire`: what every client of every language computes, writes and reads alike."""

import base64
import json
from pathlib import Path

import msgspec
import pytest

from gnomon import hashing
from gnomon.appending import HINT_LIFETIME_MS, SENDER_LIFETIME_MS
from gnomon.buffer import MOST_GAPS, WRITE_HOLDS_US
from gnomon.complaints import LONGEST_TEXT, Complaint
from gnomon.errors import WireError
from gnomon.flags import LONGEST_USER, STALE_S, SWITCHES, EnvironmentFlags, FlagState, Reason, StoredFlags
from gnomon.hashing import bucket_of, cluster_of, lane_of, sampled, stable_hash, user_digest
from gnomon.keys import Keys, LaneKeys
from gnomon.outbox import BATCH_CAPTURES, KEEP_BYTES, KEEP_S, PACK_BYTES, PACK_CAPTURES
from gnomon.pressure import CALM_MS, ROOM, STEP_MS
from gnomon.publisher import BEAT_S
from gnomon.readiness import MOST_EXCEPTIONS, Readiness
from gnomon.scripts import BEAT_LIFETIME_MS, ENTRY_BYTES, SET_BACK_MS, SET_FORWARD_MS
from gnomon.shedding import CLOSED_S, FEWEST, FULL, HIGH, LESS, LOW, MORE, shed_place
from gnomon.sides import MESSAGE_CHARS
from gnomon.wire import MAX_PACK_BYTES, VERSION, Capture, Phase, Raised, Side, decode, encode, pack, unpack

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "wire.md").read_text(encoding="utf-8")
WIRE = ROOT / "live" / "wire"
HASHES = json.loads((WIRE / "hashes.json").read_text(encoding="ascii"))
CAPTURES = json.loads((WIRE / "captures.json").read_text(encoding="ascii"))
PHASES = json.loads((WIRE / "phases.json").read_text(encoding="ascii"))
LINES = {vector["name"]: vector["line"] for vector in CAPTURES["captures"]}


def vectors(kind):
    return [pytest.param(vector, id=vector["name"]) for vector in CAPTURES[kind]]


def decoded(capture):
    """A capture as plain JSON values, with what its line left out filled in."""
    document = {name: getattr(capture, name) for name in capture.__struct_fields__}
    sides = {
        name: side_of(document.pop(name)) for name in ("legacy", "enhanced") if document[name] is not msgspec.UNSET
    }
    present = {name: value for name, value in document.items() if value is not msgspec.UNSET}
    return {**present, "args": json.loads(bytes(capture.args)), **sides}


def side_of(side):
    document = {"duration_us": side.duration_us}
    if side.returned is not msgspec.UNSET:
        document["returned"] = json.loads(bytes(side.returned))
    if side.raised is not msgspec.UNSET:
        raised = side.raised
        document["raised"] = {name: getattr(raised, name) for name in raised.__struct_fields__}
    return {**document, "context": list(side.context)}


@pytest.mark.parametrize("vector", HASHES["users"], ids=lambda vector: ascii(vector["user"])[:30])
def test_a_user_has_the_same_places_everywhere(vector):
    """Lane, rollout bucket, sample, cluster and digest, whatever characters the id is made of."""
    user = vector["user"]
    assert lane_of(user, HASHES["sizes"]["lane"]) == vector["lane"]
    assert bucket_of(user) == vector["bucket"]
    assert stable_hash(hashing.SAMPLE_SALT, user, hashing.SAMPLES) == vector["sample"]
    assert shed_place(user) == vector["shed"]
    assert cluster_of(user) == vector["cluster"]
    assert user_digest(user) == vector["digest"]


@pytest.mark.parametrize("vector", HASHES["users"], ids=lambda vector: ascii(vector["user"])[:30])
def test_a_user_is_sampled_above_their_place(vector):
    """Half a place below, the user is outside; half a place above, inside."""
    assert not sampled(vector["user"], (vector["sample"] - 0.5) / hashing.SAMPLES)
    assert sampled(vector["user"], (vector["sample"] + 0.5) / hashing.SAMPLES)


def test_salts_and_sizes_are_frozen():
    """Changing one would move every user at once."""
    salts = {
        name.removesuffix("_SALT").lower(): value for name, value in vars(hashing).items() if name.endswith("_SALT")
    }
    assert salts == HASHES["salts"]
    sizes = {"bucket": hashing.BUCKETS, "sample": hashing.SAMPLES, "cluster": hashing.CLUSTERS}
    assert {**sizes, "shed": hashing.SHED_PLACES, "lane": HASHES["sizes"]["lane"]} == HASHES["sizes"]


@pytest.mark.parametrize("vector", vectors("captures"))
def test_a_capture_is_read_as_it_was_meant(vector):
    """Every field, and the default of each that was left out."""
    assert decoded(decode(vector["line"].encode())) == vector["decoded"]


@pytest.mark.parametrize("vector", vectors("captures"))
def test_a_capture_is_written_as_it_was(vector):
    """This client leaves out what has its default, and keeps its order of fields."""
    assert encode(decode(vector["line"].encode())).decode() == vector["line"]


@pytest.mark.parametrize("vector", vectors("unknown_fields"))
def test_an_unknown_field_is_passed_over(vector):
    """A client may know more than its reader."""
    assert decode(vector["line"].encode()) == decode(LINES[vector["same_as"]].encode())


@pytest.mark.parametrize("vector", vectors("refused"))
def test_what_is_no_capture_of_this_version_is_refused(vector):
    """With the same word in every reader, for it is counted under it."""
    with pytest.raises(WireError) as caught:
        decode(vector["line"].encode())
    assert caught.value.reason == vector["reason"]


@pytest.mark.parametrize("vector", vectors("packs"))
def test_a_pack_is_its_lines(vector):
    """Compressed bytes may differ between writers, what comes out may not."""
    lines = [line.encode() for line in vector["lines"]]
    assert unpack(base64.b64decode(vector["payload_base64"])) == lines
    assert unpack(pack(lines)) == lines


@pytest.mark.parametrize("case", PHASES["cases"], ids=lambda case: case["name"])
def test_a_user_is_in_the_same_phase_everywhere(case, tmp_path, monkeypatch):
    """From what is stored and what the environment says, every client decides alike, and tells the same reason."""
    kill_file = tmp_path / "kill"
    state = FlagState(EnvironmentFlags.from_env(case["environment"]), kill_file)
    if case["kill_file"]:
        kill_file.touch()
    state.look_at_kill_file()
    if case["readiness"] is not None:
        state.take_readiness(1, case["readiness"].encode())
    pairs = [str(part).encode() for pair in case["exceptions"].items() for part in pair]
    state.standing.take_exceptions(1, [*pairs, b"version", b"1"])
    if case["flags_age_s"] is not None:
        state.take(case["flags_version"], (case["flags"] or "").encode())
        monkeypatch.setattr(state, "_read_at", state._read_at - case["flags_age_s"])
    for user, expected in case["users"].items():
        decided = {flag: state.decide(flag, user) for flag in SWITCHES}
        told = {flag: {"enabled": d.enabled, "reason": d.reason, "phase": d.phase} for flag, d in decided.items()}
        assert (user, told) == (user, expected)


def test_the_phase_vectors_cover_every_reason_and_phase():
    """But `no_flag`, which needs an operation without one, and `off`, which no flag can bring about."""
    found = [decision for case in PHASES["cases"] for user in case["users"].values() for decision in user.values()]
    assert {decision["reason"] for decision in found} == set(Reason) - {Reason.NO_FLAG}
    assert {decision["phase"] for decision in found} == set(Phase) - {Phase.OFF}


def test_the_page_names_every_field():
    """`docs/wire.md` describes captures, sides and exceptions, flags, readiness and complaints as they are."""
    kinds = (Capture, Side, Raised, StoredFlags, Readiness, Complaint)
    fields = {name for kind in kinds for name in kind.__struct_fields__}
    assert {name for name in fields if f"`{name}`" not in PAGE} == set()


def test_the_page_names_every_key():
    """`docs/wire.md` lists all Redis keys."""
    keys, lane = Keys("NS"), Keys("NS").lane(7)
    found = [getattr(lane, name) for name in vars(LaneKeys) if isinstance(vars(LaneKeys)[name], property)]
    found += [getattr(keys, name) for name in vars(Keys) if isinstance(vars(Keys)[name], property)]
    found += [lane.sender("PRODUCER"), lane.users("PRODUCER"), keys.producer("PRODUCER")]
    assert [key for key in found if f"`{key.replace('NS:7', 'NS:L')}`" not in PAGE] == []


def test_the_page_names_every_reason_and_script():
    """Every reason of a decision, and every script that a producer runs."""
    names = [*Reason, *Phase, "APPEND", "BEAT", "LEAVE", "PACE", "STORE", "MARK_UNREADY", "CLEAR_UNREADY"]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


@pytest.mark.slow
def test_the_page_names_what_a_heartbeat_says(make, server, eventually):
    """Every field that a live process really writes."""
    client = make()
    client._publisher.start()
    said = eventually(lambda: server.hgetall(Keys("default").producer(client._publisher.producer)))
    assert [name.decode() for name in said if name != b"beat" and f"`{name.decode()}`" not in PAGE] == []


def test_the_page_states_the_limits():
    """`docs/wire.md` has the figures of the code."""
    assert f"A pack ends at {PACK_CAPTURES} captures" in PAGE
    assert f"would exceed {PACK_BYTES // 1024} KiB" in PAGE
    assert f"at most {BATCH_CAPTURES} captures" in PAGE
    assert f"grows beyond {MAX_PACK_BYTES // 1024**2} MiB" in PAGE
    assert f"its first {MESSAGE_CHARS} characters" in PAGE
    assert f"more than {LONGEST_USER:,} characters is" in PAGE
    assert f"Every {BEAT_S * 1_000:.0f} ms" in PAGE
    assert f"its id, life ({BEAT_LIFETIME_MS:,} ms)" in PAGE
    assert f"unheard of for {BEAT_LIFETIME_MS // 1_000} s" in PAGE
    assert f"more than {SET_BACK_MS // 1_000} s ahead of Redis's clock" in PAGE
    assert f"more than {SET_FORWARD_MS // 1_000} s behind" in PAGE
    assert f"life of the scheduled flag ({HINT_LIFETIME_MS:,} ms)" in PAGE
    assert f"is known of a sender ({SENDER_LIFETIME_MS:,} ms)" in PAGE
    assert f"what has arrived for {KEEP_S:.0f} s more, at most {KEEP_BYTES // 1024**2} MiB" in PAGE
    assert f"in flight for more than {WRITE_HOLDS_US // 1_000_000} s holds" in PAGE
    assert f"were not read for {STALE_S:.0f} s" in PAGE
    assert f"Beyond {MOST_GAPS:,} users" in PAGE
    assert f"the most there may be ({MOST_EXCEPTIONS:,};" in PAGE
    assert f"(1 to {LONGEST_TEXT:,} characters)" in PAGE


def test_the_vectors_are_of_this_version():
    """A new version has vectors of its own."""
    assert {vector["decoded"]["v"] for vector in CAPTURES["captures"]} == {VERSION}


def test_the_page_states_the_rule_of_shedding():
    """`docs/wire.md` has the figures by which every client sheds the same users."""
    assert f"{STEP_MS} ms after the last, or {CALM_MS:,} ms" in PAGE
    assert f"`{ROOM} * maxmemory - (used_memory - bytes in the lanes)`" in PAGE
    assert f"`min({(FULL + HIGH) / 2:g}, {HIGH} * age / GNOMON_SHED_LAG_S)`" in PAGE
    assert f"| `fill >= {FULL}` | `1` |" in PAGE
    assert f"| `fill >= {HIGH}`, and more bytes lie there than at the last step | `1 - {MORE} * (1 - share)` |" in PAGE
    assert f"| `fill < {LOW}` | `share - {LESS} * (1 - fill / {LOW})`; below {FEWEST}: `0` |" in PAGE
    assert f"every user of the lane for {CLOSED_S:g} s" in PAGE
    assert f"its payload and {ENTRY_BYTES} for the entry itself" in PAGE
