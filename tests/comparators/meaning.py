"""What an answer means, worked out without a line of the comparators: what `judge` calls a match must mean the same.

Slow and short on purpose. Numbers are fractions, moments are seconds, text is normalised letter by letter; of a record
only what its operation declares is left out. Two answers that mean the same may still be told apart by `judge`, never
the other way round.
"""

import datetime as dt
import re
import unicodedata
from collections import Counter
from fractions import Fraction

LEFT_OUT = {
    "memory": {"id", "created_at", "updated_at"},
    "chat": {"id", "created_at"},
}
BAG = {"facts", "tags"}  # of a memory: their order means nothing
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,12})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
EPOCH = dt.datetime(1, 1, 1, tzinfo=dt.UTC)


def meaning(operation, answer, given=()):
    """Return what `answer` of `operation` means; `given` are the arguments of the call that had a value."""
    family = operation.partition(".")[0]
    left_out = set(LEFT_OUT.get(family, ()))
    if family in LEFT_OUT and "conversation_id" not in given:
        left_out.add("conversation_id")
    if isinstance(answer, list):
        return ("list", [_record(each, family, left_out) for each in answer])
    return _record(answer, family, left_out)


def _record(value, family, left_out):
    if not isinstance(value, dict):
        return _value(value, family, "")
    kept = {name: each for name, each in value.items() if _text(name) not in left_out}
    if family == "memory" and kept.get("metadata", 0) in (None, {}):
        del kept["metadata"]
    return _value(kept, family, "")


def _value(value, family, name):
    match value:
        case None | bool():
            return ("constant", value)
        case int() | float():
            return ("number", Fraction(value))
        case str():
            is_reply = family == "chat" and name in {"", "reply"} and not MOMENT.fullmatch(value)
            return ("reply", _words(value)) if is_reply else _text(value)
        case list():
            items = [_value(each, family, "item") for each in value]
            return ("bag", Counter(map(repr, items))) if family == "memory" and name in BAG else ("list", items)
        case dict():
            return ("object", {_text(key): _value(each, family, key) for key, each in value.items()})
    raise TypeError(type(value).__name__)


def _text(text):
    if MOMENT.fullmatch(text):
        try:
            return ("moment", _moment(text))
        except (ValueError, OverflowError):
            pass
    return unicodedata.normalize("NFC", text)


def _moment(text):
    fraction = MOMENT.fullmatch(text)[1] or ""
    plain = text[:10] + "T" + text[11:].replace(fraction, "", 1) if fraction else text[:10] + "T" + text[11:]
    zone = "+00:00" if plain[-1] in "Zz" else plain[-6:]
    seconds = (dt.datetime.fromisoformat(plain[:19] + zone).astimezone(dt.UTC) - EPOCH).total_seconds()
    return Fraction(int(seconds)) + Fraction("0" + fraction if fraction else 0)


def _words(reply):
    """Return the words of a reply: letters and digits, in one case; how they are set apart means nothing."""
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFC", reply).casefold())
