"""Processes of ours that answer questions, one line of JSON each way; one ends when its standard input does.

What makes the measured calls has a process to itself, as it has in an application: no other contender's garbage, no
other contender's threads.
"""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, Final

from bench.measuring import BenchError

_ANSWER_S: Final = 180.0
_END_S: Final = 20.0  # a client that waits for a Redis that hangs takes its time

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class Helper:
    """The asking side of a process that runs `python -m MODULE ARGUMENT…`; `environment` is added to its own."""

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._named = f"{module} {' '.join(arguments)}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the one who asks
        )

    def ask(self, **question: Any) -> dict[str, Any]:
        """Return the answer; raises BenchError where there is none, or it says what went wrong."""
        try:
            self._say(question)
            answer = self._heard()
        except (OSError, EOFError, ValueError) as error:
            raise BenchError(f"{self._named}: {type(error).__name__}") from None
        if "error" in answer:
            raise BenchError(f"{self._named}: {answer['error']}")
        return answer

    def _say(self, question: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return _parsed(_line(self._process.stdout, time.monotonic() + _ANSWER_S))

    def close(self) -> None:
        """Let it end; the one that does not is ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _line(stream: IO[bytes], deadline: float) -> bytes:
    """Wait for one line: an answer is whole as soon as there is any of it."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
    return stream.readline()


def _parsed(line: bytes) -> dict[str, Any]:
    if not line:
        raise EOFError
    answer: dict[str, Any] = json.loads(line)
    return answer


def serve(answer: Answer) -> None:
    """Answer questions until nobody can ask any more; an exception is an answer, too."""
    for line in sys.stdin:
        try:
            said = answer(json.loads(line))
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
