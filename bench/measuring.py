"""What a benchmark hands back: rows of samples, one sample a round, and what a median is a multiple of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any


class BenchError(Exception):
    """A benchmark did not measure what it says it measures: something stood still, or gave wrong results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured thing, one sample a round.

    `times` is how many times something else it is, `of` says what that is. Rows of one `group` are shown as one table,
    with a line for each name and a column for each `point`; a row of no group has a line of its own.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    times: float | None = None
    of: str = ""
    group: str = ""
    point: str = ""

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return median(self.samples)

    def as_json(self) -> dict[str, Any]:
        """Return the row with what the table shows of it."""
        return {
            "group": self.group,
            "name": self.name,
            "point": self.point,
            "unit": self.unit,
            "median": self.median,
            "min": min(self.samples),
            "max": max(self.samples),
            "samples": self.samples,
            "times": self.times,
            "of": self.of,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark found; `notes` say under which conditions."""

    rows: Sequence[Row]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A benchmark by name; `run` takes whether it should be quick, and then proves only that it works.

    A `long` one takes minutes, and is run only where it is asked for.
    """

    name: str
    title: str
    run: Callable[[bool], Result]
    long: bool = False


@dataclass(slots=True)
class Rounds:
    """Collects samples by name, in the order of their first appearance."""

    _samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, sample: float) -> None:
        """Take one round's sample."""
        self._samples.setdefault(name, []).append(sample)

    def __contains__(self, name: str) -> bool:
        """Whether anything was measured under this name."""
        return name in self._samples

    def row(self, name: str, unit: str, *, over: str = "", of: str = "") -> Row:
        """Return the row of `name`; its ratio is that to the median of `over`."""
        samples = tuple(self._samples[name])
        times = median(samples) / median(self._samples[over]) if over else None
        return Row(name=name, unit=unit, samples=samples, times=times, of=of or over)


def percentile(samples: Sequence[float], percent: int) -> float:
    """Return a percentile of `samples`, from 1 to 99."""
    return quantiles(samples, n=100)[percent - 1]
