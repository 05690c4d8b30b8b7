"""Commands of ours start in a fork that has its imports behind it: they cost more than what most tests do with it.

`use()` has `subprocess` start `python -m console …` and the like by a process, one for each process of the tests, that
has imported what they import, and nothing that reads settings. What it forks is a child of the tests as any other, with
its own folder, environment, streams and process group; only its command line is another. Whatever cannot be told apart
so late starts as always: another clock, another locale, a terminal.
"""

import array
import atexit
import contextlib
import ctypes
import gc
import importlib
import inspect
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

ROOT: Final = Path(__file__).resolve().parent.parent
#: modules that are started like this
MODULES: Final = frozenset({"console", "tests.chaos.producer", "tests.console.look"})
#: what they import in the end
IMPORTED: Final = (
    "alembic.command",
    "celery.apps.worker",
    "celery.bin.base",
    "celery.bin.worker",
    "celery.concurrency.prefork",
    "console.main",
    "gnomon_memory.registering",
    "kombu.transport.redis",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "tasks",
    "worker.application",
    "worker.beat",
    "worker.children",
)
#: an environment that differs in one of these is read before our first line
AT_ONCE: Final = ("LD_", "LC_", "LANG", "TZ", "PYTHON", "FAKETIME")
#: what a console takes its width and colours from, when it is imported; a command that has other ones starts afresh
TERMINAL: Final = {"COLUMNS": "120", "NO_COLOR": "1"}
MOST_BYTES: Final = 64 * 1024  # of a question
NOT_FORKED: Final = -1  # the answer where the system does not let a process have a sibling
_NR_CLONE3: Final = 435  # the same on every architecture
_CLONE_PARENT: Final = 0x8000


class _Asked(NamedTuple):
    """What to be."""

    module: str
    arguments: list[str]
    cwd: str
    env: dict[str, str]
    session: bool


# --- the asking side

_Afresh: Final = subprocess.Popen


class ForkingPopen(subprocess.Popen[Any]):
    """As `subprocess.Popen`, but for how a command of ours begins."""

    def _execute_child(self, *arguments: Any) -> None:  # called by the constructor, once its pipes are there
        asked = inspect.signature(_Afresh._execute_child).bind(self, *arguments).arguments
        question = _question(asked)
        pid = _forked(question, _streams(asked)) if question else NOT_FORKED
        if pid != NOT_FORKED:
            self.pid, self._child_created = pid, True
            ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
            self._close_pipe_fds(*(asked[name] for name in ends))
        else:
            super()._execute_child(*arguments)


def use() -> None:
    """Have every `subprocess` of this process start commands of ours by fork, where the system is one that can."""
    if sys.platform == "linux":
        _environment.update(os.environ)
        subprocess.Popen = ForkingPopen  # type: ignore[misc]


def _question(asked: dict[str, Any]) -> bytes | None:
    """Return what to ask for, or None for what must start afresh."""
    command = asked["args"]
    if not isinstance(command, list) or command[:2] != [sys.executable, "-m"] or command[2] not in MODULES:
        return None
    env = dict(os.environ if asked["env"] is None else asked["env"])
    usual = not asked["pass_fds"] and asked["preexec_fn"] is None and asked["process_group"] == -1
    terminal = any(map(os.isatty, _streams(asked))) or any(
        env.get(name, TERMINAL[name]) != TERMINAL[name] for name in TERMINAL
    )
    if not usual or terminal or _read_at_once(env) != _read_at_once(_environment):
        return None
    cwd = Path.cwd() / (asked["cwd"] or "")
    like = _Asked(command[2], [os.fspath(part) for part in command[3:]], str(cwd), env, asked["start_new_session"])
    question = json.dumps(like).encode()
    return question if len(question) <= MOST_BYTES else None


def _streams(asked: dict[str, Any]) -> list[int]:
    given = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
    return [own if stream == -1 else stream for own, stream in enumerate(given)]


def _read_at_once(env: Any) -> dict[str, str]:
    return {name: env[name] for name in env if name.startswith(AT_ONCE) and name != "PYTHONPATH"}


class _Zygote:
    """The process that forks; started when it is first needed."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = _Afresh(
                [sys.executable, "-m", "tests.forking", str(theirs.fileno())],
                cwd=ROOT,
                env={**_environment, **TERMINAL},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._owner = os.getpid()
        atexit.register(self.close)

    def fork(self, question: bytes, streams: list[int]) -> int:
        with self._lock:
            socket.send_fds(self._ours, [question], streams)
            answer = self._ours.recv(64)
        assert answer, "the process that forks has ended"
        return int(answer)

    def close(self) -> None:
        self._ours.close()
        if os.getpid() == self._owner:
            self._process.wait()


_environment: Final[dict[str, str]] = {}  # the tests' own, before any of them has changed it
_zygotes: dict[int, _Zygote] = {}
_starting = threading.Lock()


def _forked(question: bytes, streams: list[int]) -> int:
    with _starting:
        if os.getpid() not in _zygotes:  # a fork of the tests has a process of its own, whose parent it is
            _zygotes[os.getpid()] = _Zygote()
    return _zygotes[os.getpid()].fork(question, streams)


# --- the side that forks


def _serve(number: int) -> None:
    """Fork for each question, until there are no more."""
    for name in IMPORTED:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a thread does not live through a fork"
    assert "worker.celeryconfig" not in sys.modules, "settings were read"
    with socket.socket(fileno=number) as asking:
        own = len([part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part])
        path = sys.path[1 + own :]
        gc.collect()
        gc.freeze()
        while True:
            question, streams, _, _ = socket.recv_fds(asking, MOST_BYTES, 3)
            if not question:
                return
            pid = _fork_sibling()
            if not pid:
                asking.detach()
                os.close(number)
                _be(_Asked(*json.loads(question)), streams, path)
            for stream in streams:
                os.close(stream)
            asking.send(str(pid).encode())


def _fork_sibling() -> int:
    """Fork as `os.fork` does, but a child of our own parent, who is to wait for it; NOT_FORKED where that fails."""
    python = ctypes.PyDLL(None)
    how = array.array("Q", [_CLONE_PARENT, *[0] * 7])
    python.PyOS_BeforeFork()
    pid: int = python.syscall(_NR_CLONE3, ctypes.c_void_p(how.buffer_info()[0]), ctypes.c_size_t(8 * len(how)))
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    return pid


def _be(asked: _Asked, streams: list[int], path: list[str]) -> NoReturn:
    """Be the command; never returns."""
    code: Any = 1
    try:
        if asked.session:
            os.setsid()
        os.chdir(asked.cwd)
        os.environ.clear()
        os.environ.update(asked.env)
        for own, stream in enumerate(streams):
            os.dup2(stream, own)
        for stream in streams:
            if stream > 2:
                os.close(stream)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        tempfile.tempdir = None
        sys.path[:] = [asked.cwd, *(part for part in asked.env.get("PYTHONPATH", "").split(os.pathsep) if part), *path]
        sys.argv = [asked.module, *asked.arguments]
        importlib.invalidate_caches()
        runpy.run_module(asked.module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = error.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
