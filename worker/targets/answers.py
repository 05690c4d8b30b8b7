"""Reads what a target answers, and no more than anybody asked for: bytes, depth, time."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from worker.targets.errors import BadAnswerError, ResponseTooLarge

_GZIP: Final = 31  # zlib: a gzip header is expected, and the largest window
_NO_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, ValueError)


def read_body(chunks: Iterable[bytes], *, encoding: str, declared: str, limit: int) -> bytes:
    """Return a body, unpacked; raises ResponseTooLarge as soon as it is known to be longer than `limit` bytes.

    `encoding` and `declared` are its headers Content-Encoding and Content-Length. At no moment are more than `limit`
    bytes kept, and what a few bytes may unpack to is never seen in full.
    """
    if declared.isdigit() and int(declared) > limit:
        raise ResponseTooLarge(f"announced more than {limit:,} bytes")
    body = bytearray()
    for piece in _unpacked(chunks, encoding.strip().lower(), limit):
        body += piece
        if len(body) > limit:
            raise ResponseTooLarge(f"answered more than {limit:,} bytes")
    return bytes(body)


def _unpacked(chunks: Iterable[bytes], encoding: str, limit: int) -> Iterator[bytes]:
    if encoding in ("", "identity"):
        yield from chunks
        return
    if encoding not in ("gzip", "x-gzip"):
        raise BadAnswerError("answered in an encoding that was not asked for")
    inflater = zlib.decompressobj(_GZIP)
    try:
        for chunk in chunks:
            yield inflater.decompress(chunk, limit + 1)  # longer than the limit is long enough to know
            if inflater.unconsumed_tail:
                raise ResponseTooLarge(f"unpacks to more than {limit:,} bytes")
    except zlib.error:
        raise BadAnswerError("said that it is gzip, and is not") from None
    if not inflater.eof:
        raise BadAnswerError("its gzip ends too early")


def decoded(body: bytes, depth: int) -> Any:
    """Return the value of a JSON body, None for an empty one; raises BadAnswerError, and ResponseTooLarge too deep."""
    if not body.strip():
        return None
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise ResponseTooLarge(f"nested deeper than {depth} levels") from None
    except _NO_JSON as error:
        raise BadAnswerError(f"answered with no JSON ({type(error).__name__})") from None
    # each level opens a bracket: where there are no more of them than levels allowed, none need be counted
    if body.count(b"[") + body.count(b"{") > depth and _is_deeper(value, depth):
        raise ResponseTooLarge(f"nested deeper than {depth} levels")
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return False
    return True


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [inner for inner in value.values() if isinstance(inner, dict | list)]
    return [inner for inner in value if isinstance(inner, dict | list)] if isinstance(value, list) else ()


def at(value: Any, pointer: tuple[str, ...]) -> Any:
    """Return what stands at a JSON pointer (RFC 6901), given as its parts; raises KeyError where nothing does."""
    for part in pointer:
        if isinstance(value, dict):
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise KeyError(part)
    return value


def pointer_of(text: str) -> tuple[str, ...]:
    """Return the parts of a JSON pointer; raises ValueError."""
    if not text:
        return ()
    if not text.startswith("/"):
        raise ValueError("a JSON pointer such as /data/memories, or nothing for all of it")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))
