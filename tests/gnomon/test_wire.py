"""The wire format: what is encoded comes back, and what is no capture is refused without harm."""

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.errors import WireError
from gnomon.wire import MAX_PACK_BYTES, Capture, Kind, Raised, Side, decode, encode, encode_value, pack, unpack

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def capture(returned=None, **more) -> Capture:
    side = Side(12, returned=msgspec.Raw(encode_value(returned)))
    fields = {"id": "p-1", "op": "memory.recent", "kind": Kind.READ, "user": "ann", "start": 1, "end": 2, "epoch": 1}
    return Capture(v=1, args=msgspec.Raw(b"{}"), legacy=side, **{**fields, **more})


@given(json_values, st.text(min_size=1))
def test_decode_undoes_encode(value, user):
    """Whatever a side returned and whoever the user is, the capture comes back the same."""
    before = capture(value, user=user)
    after = decode(encode(before))
    assert (after.id, after.user, after.order) == (before.id, before.user, before.order)
    assert msgspec.json.decode(after.legacy.returned) == value


def test_an_exception_travels_as_data():
    """Class, message and whether the write said no on purpose."""
    raised = Raised("ValueError", "no", rejected=True)
    before = msgspec.structs.replace(capture(), legacy=Side(3, raised=raised))
    assert decode(encode(before)).legacy == Side(3, raised=raised)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "malformed"),
        (b"\x80\x04\x95 a pickle", "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'{"v":1,"id":"x"}', "malformed"),
        (b'{"v":2,"id":"x","new":"shape"}', "unknown_version"),
        (b'{"v":1,"id":"\xff"}', "malformed"),
    ],
)
def test_what_is_no_capture_is_refused(line, reason):
    """The reason is a word, never a piece of the payload."""
    with pytest.raises(WireError) as caught:
        decode(line)
    assert caught.value.reason == reason


def test_a_newer_version_with_our_fields_is_not_read_as_ours():
    """A capture of an unknown major version is never decoded."""
    with pytest.raises(WireError, match="unknown_version"):
        decode(encode(msgspec.structs.replace(capture(), v=2)))


@given(st.lists(st.binary(max_size=50).filter(lambda line: b"\n" not in line), min_size=1))
def test_unpack_undoes_pack(lines):
    """Lines come back in order."""
    assert unpack(pack(lines)) == lines


@pytest.mark.parametrize("payload", [b"", b"not zlib", zlib.compress(b"x" * 100)[:-3]])
def test_a_payload_that_is_none_is_refused(payload):
    """Truncated or foreign bytes raise, they do not pass as fewer captures."""
    with pytest.raises(WireError, match="malformed"):
        unpack(payload)


def test_a_bomb_is_refused():
    """A payload that grows beyond the cap is not inflated to its end."""
    with pytest.raises(WireError, match="malformed"):
        unpack(zlib.compress(b"0" * (MAX_PACK_BYTES + 1), 9))


def test_sets_are_given_an_order():
    """A set has one encoding, whatever order the process keeps it in."""
    assert encode_value({"b", "a", "c"}) == b'["a","b","c"]'
