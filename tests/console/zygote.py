"""A process that has imported the command, and forks for each call of it: the imports are paid for once.

Asked by lines of JSON: arguments, folder, environment, and the files that its output goes to. It answers with the
process id, and with the exit code once that has ended.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from console.main import main as command


def serve() -> None:
    """Fork for each line, until there are no more."""
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            _run(asked)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(asked: dict[str, Any]) -> None:
    """Be the command, in its own folder and environment; never returns."""
    code: Any = 1
    try:
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        for descriptor, (name, mode) in enumerate(
            ((os.devnull, os.O_RDONLY), (asked["out"], os.O_WRONLY), (asked["err"], os.O_WRONLY))
        ):
            os.dup2(os.open(name, mode), descriptor)
        sys.path[0] = asked["cwd"]
        sys.path[1:1] = [part for part in asked["env"].get("PYTHONPATH", "").split(os.pathsep) if part]
        sys.argv = ["gnomon", *asked["arguments"]]
        command()
        code = 0
    except SystemExit as error:
        code = 0 if error.code is None else error.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


class Zygote:
    """The asking side."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.console.zygote"],
            cwd=Path(__file__).parents[2],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()

    def run(
        self, arguments: list[str], cwd: Path, env: dict[str, str], timeout_s: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command; raises TimeoutExpired, as `subprocess.run` does."""
        with self._lock:
            out, err = (cwd.parent / f".{cwd.name}-{name}" for name in ("out", "err"))
            out.write_bytes(b"")
            err.write_bytes(b"")
            pid = int(
                self._ask({"arguments": arguments, "cwd": str(cwd), "env": env, "out": str(out), "err": str(err)})
            )
            expired = threading.Event()
            timer = threading.Timer(timeout_s, lambda: (expired.set(), os.kill(pid, 9)))
            timer.start()
            code = int(self._answer())
            timer.cancel()
        if expired.is_set():
            raise subprocess.TimeoutExpired(arguments, timeout_s)
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())

    def _ask(self, question: dict[str, Any]) -> str:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout
        answer = self._process.stdout.readline()
        assert answer, "the process that runs commands has ended"
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate()


if __name__ == "__main__":
    serve()
