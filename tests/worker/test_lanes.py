"""A lane in Redis as workers see it: one holder, entries in order, bytes that add up, poison that is named."""

import pickle
import zlib

import msgspec
import pytest

from gnomon.lane_figures import read_lanes
from gnomon.scripts import ENTRY_BYTES
from gnomon.wire import Capture, Kind, Side, encode, pack
from ledger import Finding, KeptDifference, Outcome, Sent
from worker import lanes

pytestmark = pytest.mark.slow

LANE = 2


def line(end: int, name: str | None = None, **more) -> bytes:
    raw = msgspec.Raw(b"1")
    made = {"v": 1, "op": "note.save", "user": "ann", "start": end - 1, "epoch": 1}
    side = Side(1, returned=raw)
    capture = Capture(id=name or f"c-{end}", kind=Kind.WRITE, end=end, args=raw, legacy=side, **{**made, **more})
    return encode(capture)


def found(name: str, **more) -> Finding:
    return Finding(capture_id=name, operation="o", epoch=1, user="ann", called_at_us=1, outcome=Outcome.MATCH, **more)


@pytest.fixture
def append(make_producer):
    """Append entries as a producer does: each a list of lines, or raw bytes with a count."""
    producer = make_producer("p")

    def run(*entries, watermark=0, lane=LANE, cap=10**9) -> str:
        packed = [entry if isinstance(entry, tuple) else (len(entry), pack(entry)) for entry in entries]
        return producer.append(lane, *(("digest", *entry) for entry in packed), watermark=watermark, cap=cap)

    return run


@pytest.fixture
def beat(make_producer):
    """Beat as a producer of that name with that watermark."""
    return lambda name, watermark, lifetime_ms=10_000: make_producer(name).beat(watermark, lifetime_ms=lifetime_ms)


# --- the lease


def test_one_worker_holds_a_lane(store, make_store):
    """Who comes second gets none; another lane is another matter."""
    token = store.lease(LANE)
    assert token
    assert make_store().lease(LANE) is None
    assert make_store().lease(LANE + 1)


def test_a_lane_given_back_can_be_taken(store, make_store):
    """At once."""
    store.release(LANE, store.lease(LANE))
    assert make_store().lease(LANE)


def test_a_lease_ends_by_itself_unless_extended(store, server, keys):
    """A worker that died holds nothing for longer than its lease; one that lives holds on."""
    token = store.lease(LANE)
    lease = keys.lane(LANE).lease
    assert 0 < server.pttl(lease) <= lanes.LEASE_MS
    server.pexpire(lease, 1_000)
    assert store.extend(LANE, token)
    assert 1_000 < server.pttl(lease) <= lanes.LEASE_MS


def test_only_the_holder_extends_and_releases(store, make_store, server, keys):
    """A token that holds no more changes nothing for who has the lane now."""
    old = store.lease(LANE)
    server.delete(keys.lane(LANE).lease)
    assert not store.extend(LANE, old)
    new = make_store().lease(LANE)
    assert not store.extend(LANE, old)
    store.release(LANE, old)
    assert server.get(keys.lane(LANE).lease) == new.encode()


def test_giving_back_a_lane_with_entries_asks_for_a_hint(store, append, server, keys):
    """So that nothing waits for the sweeper; an empty one is no longer marked as asked for."""
    token = store.lease(LANE)
    append([line(5)])
    assert store.release(LANE, token)
    assert server.exists(keys.lane(LANE).scheduled)
    [entry] = store.read(LANE, (0, 0), 10).entries
    token = store.lease(LANE)
    store.trim(LANE, token, (entry.id[0] + 1, 0), entry.appended)
    assert not store.release(LANE, token)
    assert not server.exists(keys.lane(LANE).scheduled)


def test_ready_lanes_hold_entries_and_have_no_holder(store, append):
    """What a drain may take further, and a sweeper must ask for."""
    for lane in (0, 1, 3):
        append([line(5)], lane=lane)
    store.lease(1)
    assert store.ready(range(4)) == [0, 3]


def test_a_lost_hint_is_asked_for_once(store, append, server, keys):
    """Where nobody holds the lane and nobody was asked; the sweep that asks leaves its mark for the next."""
    append([line(5)], lane=0)
    append([line(5)], lane=1)
    assert store.unhinted(range(4)) == []
    server.delete(keys.lane(1).scheduled)  # the hint got lost, its mark has run out
    assert store.unhinted(range(4)) == [1]
    assert store.unhinted(range(4)) == []
    assert 0 < server.pttl(keys.lane(1).scheduled) <= 10_000


# --- the watermark


def test_without_producers_the_watermark_is_the_servers_time(store, server):
    """Whoever wrote the lanes has said goodbye: everything may be replayed."""
    seconds, micros = server.time()
    assert 0 <= store.lookout.look().watermark - (seconds * 1_000_000 + micros) < 5_000_000


def test_the_watermark_is_the_lowest_of_the_live_producers(store, beat, server, keys):
    """One that says goodbye or is not heard of any more holds nobody back."""
    beat("a", 1_790_000_000_000_007)
    beat("b", 1_790_000_000_000_003)
    beat("c", 1_790_000_000_000_001, lifetime_ms=0)
    assert store.lookout.look().watermark == 1_790_000_000_000_003
    server.zrem(keys.producers, "b")
    server.zrem(keys.watermarks, "b")
    assert store.lookout.look().watermark == 1_790_000_000_000_007


def test_looking_at_the_watermark_is_no_beat(store, server, keys):
    """A worker is no producer; all that is noted is that somebody was heard."""
    store.lookout.look()
    assert list(server.scan_iter("*")) == [keys.heard.encode()]
    assert store.producers() == []


def test_live_producers_are_listed(store, beat):
    """With what their heartbeats say."""
    beat("a", 7)
    beat("gone", 3, lifetime_ms=-5_000)
    assert store.producers() == [{"beat": "1", "watermark": "7"}]


# --- reading and trimming


def test_entries_are_read_oldest_first_from_anywhere(store, append):
    """Page by page; each with its captures, the producer's watermark and the bytes up to it."""
    for end in (10, 20, 30):
        append([line(end), line(end + 1)], watermark=end - 5)
    everything = store.read(LANE, (0, 0), 10).entries
    assert [[item.order for item in entry.items] for entry in everything] == [
        [(end, f"c-{end}"), (end + 1, f"c-{end + 1}")] for end in (10, 20, 30)
    ]
    assert [entry.watermark for entry in everything] == [5, 15, 25]
    assert store.read(LANE, (0, 0), 2).entries == everything[:2]
    assert store.read(LANE, everything[1].id, 10).entries == everything[2:]
    assert store.read(LANE, everything[2].id, 10).entries == []


def test_bytes_appended_and_trimmed_add_up(store, append, server, keys):
    """What is trimmed makes room under the lane's cap; trimming again, or less, takes nothing back."""
    payloads = [pack([line(end)]) for end in (10, 20, 30)]
    append(*((1, payload) for payload in payloads))
    entries = store.read(LANE, (0, 0), 10).entries
    sizes = [len(payload) + ENTRY_BYTES for payload in payloads]
    assert [entry.appended for entry in entries] == [sizes[0], sizes[0] + sizes[1], sum(sizes)]
    state, token = keys.lane(LANE).state, store.lease(LANE)
    for _ in range(2):
        store.trim(LANE, token, entries[2].id, entries[1].appended)
        assert int(server.hget(state, "trimmed")) == sizes[0] + sizes[1]
    store.trim(LANE, token, entries[1].id, entries[0].appended)
    assert int(server.hget(state, "trimmed")) == sizes[0] + sizes[1]
    assert store.read(LANE, (0, 0), 10).entries == entries[2:]
    assert append([line(40)], cap=sizes[2] + len(pack([line(40)])) + ENTRY_BYTES) == "appended"
    assert append([line(50)], cap=sizes[2] + len(pack([line(40)])) + ENTRY_BYTES) == "full"


def test_what_lies_in_all_lanes_is_told_whatever_goes(store, append, server, keys):
    """Bytes and the oldest entry of each lane, after appending, trimming, and removing from the middle."""
    for end in (10, 20, 30):
        append([line(end)])
    append([line(10)], lane=0)
    token = store.lease(LANE)
    first, second, third = store.read(LANE, (0, 0), 10).entries
    sizes = {LANE: third.appended, 0: read_lanes(server, keys).sizes_bytes[0]}
    assert read_lanes(server, keys).sizes_bytes == sizes
    store.remove(LANE, token, [second])  # the first stays, so nothing is cut off
    assert read_lanes(server, keys).sizes_bytes == sizes
    store.remove(LANE, token, [first])  # what was removed before it goes with it
    assert read_lanes(server, keys).sizes_bytes == {**sizes, LANE: third.appended - first.appended}
    assert server.zscore(keys.oldest, LANE) == third.id[0]
    store.remove(LANE, token, [third])
    found = read_lanes(server, keys)
    assert (found.sizes_bytes, list(found.lags_s), found.size_bytes) == ({0: sizes[0]}, [0], sizes[0])
    assert int(server.hget(keys.stock, "total")) == sizes[0]


def test_what_was_captured_and_what_waits_is_counted(store, append):
    """Over all lanes."""
    append([line(10), line(11)], [line(12)], lane=0)
    append([line(10)], lane=3)
    assert (store.captured(range(4)), store.waiting(range(4))) == (4, 3)


def test_what_was_sent_is_told_once_it_has_changed(store, append, server, keys):
    """By lane and process, whatever an operation is called; what was taken in is not told again."""
    append([line(10)], lane=1)
    [producer] = server.zrange(keys.lane(1).senders, 0, -1)
    server.hset(keys.lane(1).sender(producer.decode()), mapping={"a.b|1|eligible": 3, "a|b|2|shed": 1, "x|1|shed": "?"})
    told = store.senders.changed(range(4))
    assert told.sent == {1: {producer.decode(): Sent(1, {"a.b|1|eligible": 3, "a|b|2|shed": 1})}}
    store.senders.taken(told)
    assert store.senders.changed(range(4)).sent == {}
    append([line(11)], lane=1)
    assert list(store.senders.changed(range(4)).sent) == [1]


def test_a_lane_tells_all_that_was_sent_to_it(store, append, server, keys):
    """Of one moment, with what waits; of that behind an entry alone where it is asked so."""
    append([line(10), line(11)], [line(12)], lane=1)
    entries, captures, sent = store.senders.stock(1)
    assert (entries, captures) == (2, 3)
    assert store.senders.stock(1, store.read(1, (0, 0), 1).entries[0].id)[:2] == (2, 1)
    [producer] = server.zrange(keys.lane(1).senders, 0, -1)
    assert {name: told.entries for name, told in sent.items()} == {producer.decode(): 2}
    assert store.senders.stock(2) == (0, 0, {})


def test_a_lane_beyond_measure_is_not_counted(store, server, keys, monkeypatch):
    """Redis has others to serve."""
    monkeypatch.setattr("worker.senders.MOST_ENTRIES", 300)
    for _ in range(600):
        server.xadd(keys.lane(1).stream, {"n": 2})
    assert store.senders.stock(1)[:2] == (600, None)


# --- the journal


def test_the_journal_gives_back_what_was_kept(store, make_store):
    """To the next holder, whole: differences, severities, bytes and absent sides."""
    kept = KeptDifference(
        group="1:ab", path="$.a", kind="lost", severity="major", explanation="…", legacy=[1, None, "ü"]
    )
    findings = [
        found("c-1", differences=(kept,), reason="1 lost", enhanced_returned=True),
        found("c-2", payload=b"\x00\xff"),
    ]
    assert store.write_journal(LANE, store.lease(LANE), findings)
    assert make_store().left(LANE).findings == {one.capture_id: one for one in findings}
    store.clear_journal(LANE, ["c-1"])
    assert list(store.left(LANE).findings) == ["c-2"]


def test_only_the_holder_writes_the_journal(store, server, keys):
    """Whoever has lost the lane is told, and nothing is kept."""
    token = store.lease(LANE)
    server.delete(keys.lane(LANE).lease)
    assert not store.write_journal(LANE, token, [found("c-1")])
    store.lease(LANE)
    assert not store.write_journal(LANE, token, [found("c-1")])
    assert store.left(LANE).findings == {}


def test_the_journal_takes_a_whole_batch_of_one_user(store):
    """Ten thousand reads between two writes are kept in one go."""
    findings = [found(f"c-{n}") for n in range(10_000)]
    assert store.write_journal(LANE, store.lease(LANE), findings)
    assert len(store.left(LANE).findings) == 10_000


def test_a_journal_of_another_version_costs_a_replay_at_most(store, server, keys):
    """What cannot be read was not kept: an upgrade between a crash and the next holder must not stop a lane."""
    server.hset(keys.lane(LANE).journal, "c-1", b'{"of": "another version"}')
    assert store.left(LANE).findings == {}


# --- poison


def orders(store) -> list[tuple]:
    return [item.order for entry in store.read(LANE, (0, 0), 10).entries for item in entry.items]


def reasons(store) -> list[str]:
    return [item.reason for entry in store.read(LANE, (0, 0), 10).entries for item in entry.items]


BOMB = zlib.compress(b"x" * (65 * 1024 * 1024))


@pytest.mark.parametrize(
    "payload",
    [b"", b"no zlib", zlib.compress(b"cut short")[:-3], pickle.dumps({"op": "note.save"}), BOMB],
    ids=["empty", "no zlib", "cut short", "pickle", "bomb"],
)
def test_a_payload_that_cannot_be_unpacked_is_as_many_unreadable_captures_as_it_says(store, append, payload):
    """Each of them is accounted for, under a place and name of its own, with the payload for people to look at."""
    append((3, payload), [line(10)])
    [poison, good] = store.read(LANE, (0, 0), 10).entries
    assert [(item.capture, item.reason, item.line) for item in poison.items] == [(None, "malformed", payload)] * 3
    assert len({item.order for item in poison.items}) == 3
    assert all(item.order[0] // 1_000 == poison.id[0] for item in poison.items)
    assert good.items[0].capture.id == "c-10"


def test_a_pickle_is_never_loaded(store, append, tmp_path):
    """Neither as a payload nor as a line within one."""

    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'owned')!r}, 'w')",))

    evil = pickle.dumps(Evil(), protocol=0)
    append((1, evil), (1, zlib.compress(evil.replace(b"\n", b" "))))
    assert reasons(store) == ["malformed", "malformed"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"not json", "malformed"),
        (b"", "malformed"),
        (b"[]", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'{"v":1}', "malformed"),
        (b'{"v":2,"id":"x","end":10}', "unknown_version"),
        (b'{"v":99}', "unknown_version"),
        (line(10, v=2), "unknown_version"),
        (line(10).replace(b'"write"', b'"destroy"'), "malformed"),
        (line(10).replace(b'"start":9', b'"start":"nine"'), "malformed"),
        (line(10, "c" * 1_000), "malformed"),
        (line(10, "c\x00"), "malformed"),
        (line(10, op="x" * 10_000), "malformed"),
        (line(10, op="before\x00after"), "malformed"),
        (line(10, epoch=2**63), "malformed"),
        (line(10, epoch=-1), "malformed"),
        (line(10, start=2**100), "malformed"),
        (line(10, start=-(10**18)), "malformed"),
        (line(10, v=2, start=2**100), "unknown_version"),
    ],
    ids=[
        *("text", "nothing", "list", "bytes", "deep", "fields", "next version", "no order", "of 2", "kind", "type"),
        *("long id", "NUL in the id", "long operation", "NUL in the operation", "huge epoch", "negative epoch"),
        *("huge time", "time before all", "huge time of 2"),
    ],
)
def test_a_line_that_is_no_capture_is_named_and_its_neighbours_are_read(store, append, bad, reason):
    """Malformed, or of a version that this worker does not know; it is placed where it arrived."""
    append([line(5), bad, line(20)])
    assert reasons(store) == ["", reason, ""]
    [entry] = store.read(LANE, (0, 0), 10).entries
    poison = entry.items[1]
    assert (poison.capture, poison.line) == (None, bad)
    assert poison.order[0] == entry.id[0] * 1_000


@pytest.mark.parametrize(
    ("number", "lines", "expected"),
    [
        ("2", 2, ["", ""]),
        ("4", 2, ["", "", "malformed", "malformed"]),
        ("1", 2, ["", ""]),
        ("0", 2, ["", ""]),
        ("-3", 1, [""]),
        ("many", 1, [""]),
        ("1.5", 1, [""]),
    ],
)
def test_a_count_that_is_wrong_loses_no_line(store, server, keys, number, lines, expected):
    """Every line there is is read; what the entry says it holds beyond them is accounted for as malformed."""
    payload = pack([line(10 + n) for n in range(lines)])
    server.xadd(keys.lane(LANE).stream, {"u": "d", "n": number, "w": "5", "b": "7", "p": payload})
    assert reasons(store) == expected
    assert len(set(orders(store))) == len(expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"p": pack([line(10)])},
        pytest.param(
            {"p": pack([line(10)]), "n": "1", "w": "soon", "b": "7"},
        ),
        pytest.param(
            {"p": pack([line(10)]), "n": "1", "w": "5", "b": "heavy"},
        ),
    ],
    ids=["missing", "watermark", "bytes"],
)
def test_an_entry_with_odd_fields_is_read(store, server, keys, fields):
    """One foreign entry must not stop a lane: what it does not say is taken as nothing."""
    server.xadd(keys.lane(LANE).stream, fields)
    [entry] = store.read(LANE, (0, 0), 10).entries
    assert [item.capture.id for item in entry.items] == ["c-10"]


def test_a_huge_count_is_not_believed(store, server, keys):
    """An entry that says it holds a billion captures costs no billion."""
    server.xadd(keys.lane(LANE).stream, {"u": "d", "n": str(10**9), "p": b"no zlib"})
    assert 0 < len(reasons(store)) < 10_000
