"""Templates that say which call a request was: `GET /users/{user_id}/memories?limit={limit} = memory.recent`.

On the left method, path and query with places for arguments, on the right the operation and arguments that stand fixed.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, get_origin
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from console.errors import UsageError
from gnomon import Kind
from gnomon.operation import Binding
from gnomon.results import declared_types

TYPES: Final[Mapping[str, Any]] = {"str": str, "int": int, "float": float, "bool": bool}
GRAMMAR: Final = "METHOD /path/{argument}?name={argument} = operation argument=value …"
_TEMPLATE: Final = re.compile(r"^\s*([A-Z]+)\s+(/\S*)\s+=\s+(\S+)(?:\s+(.*\S))?\s*$")
_PLACE: Final = re.compile(r"\{([A-Za-z_]\w*)(?::(\w+))?\}")
_BRACES: Final = re.compile(r"[{}]")
_FIXED: Final = re.compile(r"^([A-Za-z_]\w*)=(.*)$", re.DOTALL)


class UnusableError(ValueError):
    """A request that matches and cannot be made a call; its message holds nothing of the request."""


@dataclass(frozen=True, slots=True)
class Target:
    """What was requested: the path's segments decoded, the query as it stands."""

    segments: tuple[str, ...]
    query: str

    @classmethod
    def of(cls, target: str) -> "Target":
        """Split a request's target, also one that names its host. What is no path has no segments."""
        if not target.startswith("/"):
            parts = urlsplit(target) if "://" in target else None
            target = f"{parts.path or '/'}?{parts.query}" if parts else ""
        path, _, query = target.partition("#")[0].partition("?")
        return cls(tuple(unquote(part, errors="surrogateescape") for part in path.split("/")[1:]), query)


@dataclass(frozen=True)
class Template:
    """One template as it is written."""

    text: str
    method: str
    segments: tuple[str, ...]  #: with places in braces
    query: tuple[tuple[str, str], ...]
    operation: str
    fixed: Mapping[str, str]

    @cached_property
    def places(self) -> dict[str, str | None]:
        """The arguments that it takes from a request, each with the type that it names."""
        parts = [*self.segments, *(value for _, value in self.query)]
        return {found[1]: found[2] for part in parts for found in _PLACE.finditer(part)}

    @cached_property
    def patterns(self) -> tuple[re.Pattern[str], ...]:
        """What each segment of a path must look like."""
        return tuple(_pattern(segment) for segment in self.segments)


def _pattern(text: str) -> re.Pattern[str]:
    """Return what matches a text with places: a place takes one character at least."""
    parts, end = [], 0
    for place in _PLACE.finditer(text):
        parts += [re.escape(unquote(text[end : place.start()])), f"(?P<{place[1]}>.+)"]
        end = place.end()
    return re.compile("".join([*parts, re.escape(unquote(text[end:]))]), re.DOTALL)


def parse_template(text: str) -> Template:
    """Read a template; raises UsageError naming it and what is wrong with it."""
    found = _TEMPLATE.match(text)
    if found is None:
        raise UsageError(f"template {text!r}: expected {GRAMMAR}")
    method, target, operation, fixed = found.groups()
    path, _, query = target.partition("?")
    made = Template(text, method, tuple(path.split("/")[1:]), tuple(_pairs(text, query)), operation, {})
    given = dict(_fixed(text, fixed or ""))
    names = [place[1] for place in _PLACE.finditer(target)] + [*given]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"template {text!r}: {doubled[0]} is given twice")
    for part in (*made.segments, *(value for _, value in made.query)):
        _check_places(text, part)
    return Template(text, method, made.segments, made.query, operation, given)


def _pairs(text: str, query: str) -> Iterator[tuple[str, str]]:
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        if not (name and equals) or "{" in name:
            raise UsageError(f"template {text!r}: expected name=value or name={{argument}} in the query")
        yield unquote(name), value


def _fixed(text: str, given: str) -> Iterator[tuple[str, str]]:
    try:
        words = shlex.split(given)
    except ValueError as error:
        raise UsageError(f"template {text!r}: {error}") from None
    for word in words:
        found = _FIXED.match(word)
        if found is None:
            raise UsageError(f"template {text!r}: expected argument=value after the operation")
        yield found[1], found[2]


def _check_places(text: str, part: str) -> None:
    if _BRACES.search(_PLACE.sub("", part)):
        raise UsageError(f"template {text!r}: a place is written {{argument}} or {{argument:type}}")
    if "}{" in part:
        raise UsageError(f"template {text!r}: two places with nothing between them cannot be told apart")
    for place in _PLACE.finditer(part):
        if place[2] is not None and place[2] not in TYPES:
            raise UsageError(f"template {text!r}: unknown type {place[2]!r}; known are {', '.join(TYPES)}")


class Route:
    """A template and the operation that it names: makes arguments of what a request says."""

    def __init__(self, template: Template, operations: Mapping[str, Binding]) -> None:
        self.template = template
        self.binding = _checked(template, operations)
        self._query = [(name, _pattern(value)) for name, value in template.query]
        declared = declared_types(self.binding.legacy)
        self._types = {name: declared.get(name, str) for name in (*template.places, *template.fixed)}
        self._types |= {name: TYPES[kind] for name, kind in template.places.items() if kind is not None}
        self._fixed = self._converted({name: [value] for name, value in template.fixed.items()}, template.text)
        self.names_user = self.binding.user in self._types

    def match(self, method: str, target: Target) -> dict[str, list[str]] | None:
        """Return what a request says of each argument; None where it is another request."""
        if method != self.template.method or len(target.segments) != len(self.template.patterns):
            return None
        found: dict[str, list[str]] = {}
        for pattern, segment in zip(self.template.patterns, target.segments, strict=True):
            said = pattern.fullmatch(segment)
            if said is None:
                return None
            found |= {name: [value] for name, value in said.groupdict().items()}
        return self._with_query(found, target.query) if self._query else found

    def _with_query(self, found: dict[str, list[str]], query: str) -> dict[str, list[str]] | None:
        asked: dict[str, list[str]] = {}
        for name, value in parse_qsl(query, keep_blank_values=True, errors="surrogateescape"):
            asked.setdefault(name, []).append(value)
        for name, pattern in self._query:
            said = [match for value in asked.get(name, ()) if (match := pattern.fullmatch(value))]
            if not said and self._needs(pattern):
                return None
            for argument in pattern.groupindex if said else ():
                found[argument] = [match[argument] for match in said]
        return found

    def _needs(self, pattern: re.Pattern[str]) -> bool:
        """Whether a request without this part of the query is another one; arguments with defaults may be left out."""
        return not pattern.groups or bool(self.binding.required & pattern.groupindex.keys())

    def arguments(self, said: Mapping[str, list[str]]) -> dict[str, Any]:
        """Return the call's arguments in their types; raises UnusableError."""
        return {**self._fixed, **self._converted(said)}

    def _converted(self, said: Mapping[str, list[str]], text: str = "") -> dict[str, Any]:
        try:
            return {name: _converted(name, values, self._types[name]) for name, values in said.items()}
        except UnusableError as error:
            if text:
                raise UsageError(f"template {text!r}: {error}") from None
            raise


def _converted(name: str, values: list[str], declared: Any) -> Any:
    """Return the last value given, or all of them where a list is declared."""
    if not all(value.isascii() or _is_text(value) for value in values):
        raise UnusableError(f"{name} is not UTF-8")
    value: Any = values if (get_origin(declared) or declared) in (list, tuple, set, frozenset) else values[-1]
    try:
        return msgspec.convert(value, declared, strict=False)
    except msgspec.ValidationError:
        raise UnusableError(f"{name} cannot be read as {getattr(declared, '__name__', declared)}") from None
    except TypeError:  # a type that says nothing of text: as it stands
        return value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _checked(template: Template, operations: Mapping[str, Binding]) -> Binding:
    """Return the operation of a template; raises UsageError where requests cannot be made calls of it."""
    where, binding = f"template {template.text!r}", operations.get(template.operation)
    if binding is None:
        known = ", ".join(sorted(operations))
        raise UsageError(f"{where}: unknown operation {template.operation!r}; known are {known}")
    if binding.kind is not Kind.READ:
        raise UsageError(
            f"{where}: {template.operation} is a {binding.kind} operation, and a log does not say what was sent to it; "
            "read operations can be replayed from a log, others from a traffic file"
        )
    given = {*template.places, *template.fixed}
    if unknown := sorted(name for name in given if not _takes(binding, name)):
        raise UsageError(f"{where}: {template.operation} takes no argument {unknown[0]!r}")
    if missing := sorted(binding.required - given - {binding.user}):
        raise UsageError(f"{where}: {template.operation} needs {missing[0]!r}, and nothing gives it")
    return binding


def _takes(binding: Binding, name: str) -> bool:
    parameters = binding.signature.parameters
    return name in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())
