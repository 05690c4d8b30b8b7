"""Puts a call's arguments where a target wants them: `{user_id}` in a path, a query, a header or a body. Pure.

`{name}` is an argument of the call, `{name.key}` something in it; `{gnomon.origin}`, `{gnomon.capture_id}` and
`{gnomon.operation}` are what legacy returned, the capture's id and the operation's name.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec

from worker.targets.errors import UnsendableError

OURS: Final = "gnomon"
OWN: Final = frozenset({"origin", "capture_id", "operation"})
_PLACE: Final = re.compile(r"\{([^{}]*)\}")
_NAME: Final = re.compile(r"[^.\s]+(\.[^.\s]+)*\Z")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places in it."""

    text: str

    def problem(self) -> str | None:
        """Say what is wrong with it; None where nothing is."""
        for name in self.names:
            if not _NAME.match(name):
                return f"{{{name}}} names no argument"
            first, _, rest = name.partition(".")
            if first == OURS and rest.partition(".")[0] not in OWN:
                return f"{{{name}}} is none of {', '.join(f'{{{OURS}.{own}}}' for own in sorted(OWN))}"
        left = _PLACE.sub("", self.text)
        return "a brace that opens or closes nothing" if "{" in left or "}" in left else None

    @property
    def names(self) -> tuple[str, ...]:
        """What its places name."""
        return tuple(found.group(1) for found in _PLACE.finditer(self.text))

    @property
    def arguments(self) -> frozenset[str]:
        """The arguments among them."""
        return frozenset(name.partition(".")[0] for name in self.names) - {OURS}

    def path(self, given: Mapping[str, Any]) -> str:
        """Return it as a path; no argument leads out of its segment."""
        return _PLACE.sub(lambda found: _segment(_value(found.group(1), given)), self.text)

    def header(self, given: Mapping[str, Any]) -> str:
        """Return it as the value of a header: printable ASCII, everything else in percent form."""
        return _PLACE.sub(lambda found: quote(_text(_value(found.group(1), given)), safe=_PRINTABLE), self.text)

    def value(self, given: Mapping[str, Any]) -> Any:
        """Return it as a value: what its only place names, of whatever type; else text."""
        whole = _PLACE.fullmatch(self.text)
        if whole:
            return _value(whole.group(1), given)
        return _PLACE.sub(lambda found: _text(_value(found.group(1), given)), self.text)


_PRINTABLE: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def _segment(value: Any) -> str:
    text = _text(value)
    if text in ("", ".", ".."):  # a path would mean another thing with it
        raise UnsendableError("an argument that cannot be part of a path")
    return quote(text, safe="")


def _value(name: str, given: Mapping[str, Any]) -> Any:
    value: Any = given
    for part in name.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise UnsendableError(f"the call has no {name}")
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, list | dict):
        raise UnsendableError("an argument that is no text, number or truth where one is needed")
    return msgspec.json.encode(value).decode()


def query_of(wanted: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return values as a query: nothing for None, a list one by one."""
    pairs: list[tuple[str, str]] = []
    for name, value in wanted.items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        pairs += [(name, _text(one)) for one in values]
    return pairs


def filled(body: Any, given: Mapping[str, Any]) -> Any:
    """Return a body with its places filled."""
    if isinstance(body, dict):
        return {key: filled(value, given) for key, value in body.items()}
    if isinstance(body, list):
        return [filled(value, given) for value in body]
    return Template(body).value(given) if isinstance(body, str) else body


def templates_in(body: Any) -> Iterator[Template]:
    """Return every text of a body."""
    if isinstance(body, dict):
        body = list(body.values())
    if isinstance(body, list):
        for inner in body:
            yield from templates_in(inner)
    elif isinstance(body, str):
        yield Template(body)
