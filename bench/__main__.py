"""`python -m bench [NAME…]`: run the benchmarks one after another, a table each."""

import argparse
import signal
import sys
from types import FrameType
from typing import Any, Final, NoReturn

from bench import deciding, engine, gate, judge, live, outage, overload, queueing, races, scaling, timing
from bench.machine import machine
from bench.measuring import BenchError, Benchmark
from bench.printing import as_json, header, show
from console.errors import EXIT_ERROR, EXIT_INTERRUPTED, ConsoleError
from console.output import err, out, print_json

BENCHMARKS: Final = (
    engine.BENCHMARK,
    live.BENCHMARK,
    judge.BENCHMARK,
    gate.BENCHMARK,
    deciding.BENCHMARK,
    timing.BENCHMARK,
    races.BENCHMARK,
    overload.BENCHMARK,
    outage.BENCHMARK,
    scaling.CAPTURES_BENCHMARK,
    scaling.LANES_BENCHMARK,
    queueing.BENCHMARK,
)


def main() -> int:
    """Run what was asked for; returns the exit code."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, _interrupt)  # tidy up as on Ctrl-C
    try:
        document = _run(asked)
    except (BenchError, ConsoleError) as error:
        err.print(f"bench: {error}", markup=False)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    if asked.json:
        print_json(document)
    return 0


def _run(asked: argparse.Namespace) -> dict[str, Any]:
    """Run and show each; tables go to stderr where stdout is promised to the document."""
    console = err if asked.json else out
    facts = machine()
    console.print(header(facts), markup=False, soft_wrap=True)
    shown = []
    for benchmark in [each for each in BENCHMARKS if each.name in asked.names]:
        result = benchmark.run(asked.quick)
        show(benchmark, result, console)
        shown.append(as_json(benchmark, result))
    return {"machine": facts, "quick": asked.quick, "benchmarks": shown}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Gnomon beside what one would write by hand; docs/performance.md explains the figures.",
        epilog="\n".join(_listed(BENCHMARKS)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="which to run, of those below; by default all but the long ones"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout; tables go to stderr")
    parser.add_argument("--quick", action="store_true", help="only show that they work: the figures mean little")
    asked = parser.parse_args()
    known = {benchmark.name for benchmark in BENCHMARKS}
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(sorted(known))}")
    asked.names = asked.names or [benchmark.name for benchmark in BENCHMARKS if not benchmark.long]
    return asked


def _listed(benchmarks: tuple[Benchmark, ...]) -> list[str]:
    return ["benchmarks:", *(f"  {each.name:<18}{each.title}{' (long)' if each.long else ''}" for each in benchmarks)]


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
