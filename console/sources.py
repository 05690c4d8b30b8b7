"""Where a run's lines come from: a file or standard input, gzip'd or not, read as they are asked for.

A source holds one line at a time, however large the file is; how far it has come is told in bytes of the file.
"""

import gzip
import io
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from console.errors import UsageError

STDIN: Final = "-"
LONGEST_BYTES: Final = 16 * 1024 * 1024  # twice what the largest capture may have
_GZIP: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line with its number, from 1."""

    number: int
    text: bytes


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be run, and why. Never holds a piece of the line: it is personal."""

    number: int
    problem: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.problem}"


class Source:
    """The lines of an open file; to be gone through once."""

    def __init__(self, file: io.BufferedReader, name: str, total_bytes: int | None = None) -> None:
        self.name = name
        self.total_bytes = total_bytes  #: None where nobody knows how much is to come
        self._file = file
        self._lines: io.BufferedReader | gzip.GzipFile = file
        if file.peek(len(_GZIP)).startswith(_GZIP):
            self._lines = gzip.GzipFile(fileobj=file)

    @classmethod
    def of_lines(cls, lines: Iterable[bytes], name: str) -> "Source":
        """Return a source of lines that are in memory."""
        content = b"\n".join(lines)
        return cls(io.BufferedReader(io.BytesIO(content)), name, len(content))

    @property
    def position_bytes(self) -> int:
        """How much of the file, as it lies, has been read; 0 where that cannot be told."""
        return 0 if self.total_bytes is None else self._file.tell()

    def __iter__(self) -> Iterator[Line | BadLine]:
        number = 0
        try:
            while text := self._lines.readline(LONGEST_BYTES):
                number += 1
                if len(text) == LONGEST_BYTES and not self._ended(text):
                    yield BadLine(number, f"is longer than {LONGEST_BYTES // 2**20} MiB")
                else:
                    yield Line(number, text.removeprefix(_BOM) if number == 1 else text)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            yield BadLine(number + 1, "from here on the gzip'd file is damaged or incomplete: nothing more was read")
        except OSError as error:
            yield BadLine(number + 1, f"from here on it cannot be read: {error.strerror or type(error).__name__}")

    def _ended(self, text: bytes) -> bool:
        """Tell whether a piece is a whole line; of one that is not, the rest is passed over."""
        whole = text.endswith(b"\n")
        while text and not text.endswith(b"\n"):
            text = self._lines.readline(LONGEST_BYTES)
        return whole

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_source(path: Path) -> Source:
    """Open a file, or standard input for `-`; raises UsageError where it cannot be read."""
    try:
        if str(path) == STDIN:
            return Source(open(sys.stdin.fileno(), "rb", closefd=False), "standard input")
        file = path.open("rb")
        total = path.stat().st_size if path.is_file() else None
        return Source(file, path.name, total)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or type(error).__name__}") from None
