"""Says where an error of ours was raised, for a log: files and lines, never a message, which may hold a payload."""

from traceback import walk_tb
from typing import Final

OURS: Final = frozenset({"comparators", "gnomon", "ledger", "tasks", "worker"})


def raised_at(error: BaseException) -> str:
    """Return the module and line that raised an error; where that is not ours, behind the line of ours that led there.

    As in `worker.lanes:104 > redis.connection:1349`; empty for an error that was never raised.
    """
    frames = [(str(frame.f_globals.get("__name__", "?")), line) for frame, line in walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if frame[0].partition(".")[0] in OURS]
    told = dict.fromkeys([*ours[-1:], *frames[-1:]])
    return " > ".join(f"{module}:{line}" for module, line in told)
