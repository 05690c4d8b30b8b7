"""The quickest of all judgements, before anything is decoded: two answers whose JSON is the same to the byte.

It says yes only where `judge` would say match of what the bytes stand for; anything else is left to that.
"""

from typing import Final

from comparators.canonical import MAX_BYTES, MAX_DEPTH, MAX_ITEMS

_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def identical(legacy: bytes, enhanced: bytes) -> bool:
    """Tell whether two answers, as JSON, are certainly equal and within the fences; False tells nothing."""
    return legacy == enhanced and len(legacy) <= MAX_BYTES and fits(legacy)


def fits(line: bytes) -> bool:
    """Tell from an answer's JSON whether it has few enough values and levels; a doubt says no."""
    if len(line) > 2 * MAX_ITEMS and line.count(b",") > MAX_ITEMS:  # no value but the last takes fewer than two bytes
        return False
    if line.count(b"{") + line.count(b"[") <= MAX_DEPTH:  # no deeper than there are of them
        return True
    brackets = line.translate(None, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return not brackets
