"""Lines as they lie in a file: one at a time, whatever its size, gzip'd or not; what cannot be read is named."""

import gzip
import tracemalloc

import pytest

from console import sources
from console.errors import UsageError
from console.sources import BadLine, Line, Source, open_source

LINES = [b'{"a": 1}\n', b"\n", b'{"b": 2}\r\n', b"last"]


@pytest.fixture
def written(tmp_path):
    def write(content: bytes, name: str = "traffic.jsonl"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


def read(path) -> list[Line | BadLine]:
    source = open_source(path)
    try:
        return list(source)
    finally:
        source.close()


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_lines_come_with_their_numbers(written, packed):
    """Numbered from 1, empty ones too, the last also without an end; whether it is gzip'd is seen, not named."""
    expected = [Line(number, text) for number, text in enumerate(LINES, start=1)]
    assert read(written(packed(b"".join(LINES)))) == expected


def test_a_byte_order_mark_is_no_part_of_the_first_line(written):
    """As editors on Windows write it."""
    assert read(written(b"\xef\xbb\xbf{}\n{}\n")) == [Line(1, b"{}\n"), Line(2, b"{}\n")]


def test_of_a_large_file_one_line_is_held_at_a_time(written):
    """64 MB, and gzip'd 64 MB: some hundred kilobytes at most."""
    content = (b"x" * 1_023 + b"\n") * 65_536
    for path in (written(content, "plain"), written(gzip.compress(content, 1), "packed")):
        source = open_source(path)
        tracemalloc.start()
        try:
            assert sum(1 for _ in source) == 65_536
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()
            source.close()


def test_how_far_it_has_come_is_told_in_bytes_of_the_file(written):
    """From nothing to all of it; never backwards."""
    content = gzip.compress(b"".join(b"%d\n" % number for number in range(100_000)))
    source = open_source(written(content))
    seen = [source.position_bytes for _ in source]
    source.close()
    assert source.total_bytes == len(content)
    assert seen == sorted(seen)
    assert seen[-1] == len(content)


def test_a_line_without_end_is_named_and_the_next_one_read(written, monkeypatch):
    """Its rest is passed over; it is held in memory up to the limit alone."""
    monkeypatch.setattr(sources, "LONGEST_BYTES", 2**20)
    long = b"x" * (5 * 2**20 // 2) + b"\n"
    assert read(written(b"{}\n" + long + b"next\n" + long.strip())) == [
        Line(1, b"{}\n"),
        BadLine(2, "is longer than 1 MiB"),
        Line(3, b"next\n"),
        BadLine(4, "is longer than 1 MiB"),
    ]


@pytest.mark.parametrize("damage", [lambda packed: packed[:-20], lambda packed: packed[:-2_000] + b"z" * 2_000])
def test_a_damaged_gzip_file_is_read_up_to_there(written, damage):
    """What came before is run; the place is named."""
    packed = gzip.compress(b"".join(b"%d\n" % (number**3) for number in range(5_000)))
    *before, last = read(written(damage(packed)))
    assert isinstance(last, BadLine)
    assert "damaged or incomplete" in last.problem
    assert last.number == len(before) + 1 > 1_000


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
def test_what_cannot_be_opened_is_named(tmp_path, name):
    """A missing file, a folder."""
    with pytest.raises(UsageError, match=str(tmp_path / name)):
        open_source(tmp_path / name)


def test_lines_in_memory_are_a_source_too():
    """For the demo, which makes its own."""
    source = Source.of_lines([b"a", b"b"], "built in")
    assert (list(source), source.total_bytes, source.position_bytes) == ([Line(1, b"a\n"), Line(2, b"b")], 3, 3)
