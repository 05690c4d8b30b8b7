"""A run's calls out of an access log: requests that a template matches and that succeeded; the rest is counted."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from console.access_logs import Form, NotALogLineError, Reader, Request, json_reader, read_combined
from console.errors import UsageError
from console.sources import BadLine, Line
from console.templates import Route, Target, Template, UnusableError, parse_template
from console.traffic import TrafficCall
from gnomon.operation import Binding

MOST_SHAPES: Final = 1_000  # kinds of unmatched request told apart; logs of scanners have no end of them
DEEPEST: Final = 12  # segments of a shape that are told
_METHODS: Final = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"])
_REST: Final = "others"
_SUCCEEDED: Final = 2


class LogTemplate(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A template file: the log's form, its maps, and where JSON lines keep what is read of them."""

    map: list[str]
    format: Form = Form.COMBINED
    fields: dict[str, str] = {}


@dataclass(slots=True)
class PassedOver:
    """Lines of a log that are no calls of a run, and why."""

    unmatched: Counter[str] = field(default_factory=Counter)  #: by shape: method and path, without what is personal
    first: dict[str, int] = field(default_factory=dict)  #: shape → the first line that has it
    not_2xx: Counter[str] = field(default_factory=Counter)  #: by class of status: 3xx, 4xx, 5xx
    no_user: int = 0

    def take_unmatched(self, shape: str, number: int) -> None:
        """Count a request that no template matches."""
        if shape not in self.first and len(self.first) >= MOST_SHAPES:
            shape = _REST
        self.first.setdefault(shape, number)
        self.unmatched[shape] += 1

    def as_json(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "unmatched": self.unmatched.total(),
            "not_2xx": dict(sorted(self.not_2xx.items())),
            "no_user": self.no_user,
        }


class LogTraffic:
    """Makes calls of an access log's lines."""

    def __init__(self, reader: Reader, templates: Sequence[Template]) -> None:
        self._reader = reader
        self._templates = templates
        self._words = {part for template in templates for part in template.segments if "{" not in part}
        self.passed_over = PassedOver()

    def calls(
        self, lines: Iterable[Line | BadLine], operations: Mapping[str, Binding]
    ) -> Iterator[TrafficCall | BadLine]:
        """Yield calls and bad lines; raises UsageError where a template names an operation that it cannot."""
        routes = [Route(template, operations) for template in self._templates]
        return self._calls(lines, routes)

    def _calls(self, lines: Iterable[Line | BadLine], routes: Sequence[Route]) -> Iterator[TrafficCall | BadLine]:
        for line in lines:
            if isinstance(line, BadLine):
                yield line
            elif line.text.strip():
                found = self._read(line, routes)
                if found is not None:
                    yield found

    def _read(self, line: Line, routes: Sequence[Route]) -> TrafficCall | BadLine | None:
        try:
            request = self._reader(line.text)
            return self._call(request, line.number, routes)
        except (NotALogLineError, UnusableError) as error:
            return BadLine(line.number, str(error))

    def _call(self, request: Request, number: int, routes: Sequence[Route]) -> TrafficCall | None:
        target = Target.of(request.target)
        for route in routes:
            said = route.match(request.method, target)
            if said is not None:
                return self._made(request, route, said)
        self.passed_over.take_unmatched(self._shape(request.method, target), number)
        return None

    def _made(self, request: Request, route: Route, said: Mapping[str, list[str]]) -> TrafficCall | None:
        if request.status // 100 != _SUCCEEDED:
            self.passed_over.not_2xx[f"{request.status // 100}xx"] += 1
            return None
        binding, args = route.binding, route.arguments(said)
        if not route.names_user:
            args[binding.user] = request.user
        user = args.get(binding.user)
        if user in (None, ""):
            self.passed_over.no_user += 1
            return None
        if problem := binding.problem_with(args):
            raise UnusableError(f"{binding.name}: {problem}")
        return TrafficCall(operation=binding.name, user=str(user), at=request.at, args=args)

    def _shape(self, method: str, target: Target) -> str:
        """Return what an unmatched request looks like: of its path only the words that a template has, too."""
        if not target.segments:
            return "no request that can be read"
        parts = [part if part in self._words else "*" for part in target.segments[:DEEPEST]]
        more = "/…" if len(target.segments) > DEEPEST else ""
        return f"{method if method in _METHODS else 'other methods'} /{'/'.join(parts)}{more}"


def log_traffic(form: Form, maps: Sequence[str], fields: Mapping[str, str] | None = None) -> LogTraffic:
    """Return what reads an access log of that form; raises UsageError for a template that cannot be used."""
    if not maps:
        raise UsageError(f"--format {form} needs at least one --map, or a --template file")
    reader = json_reader(fields) if form is Form.JSON else read_combined
    return LogTraffic(reader, [parse_template(text) for text in maps])


def template_file(path: Path) -> LogTemplate:
    """Read a template file; raises UsageError naming it and what is wrong with it."""
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=LogTemplate)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or type(error).__name__}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
    if found.format is Form.TRAFFIC:
        raise UsageError(f"{path}: a template is for access logs; format is combined or json")
    return found
