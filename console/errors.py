"""How a command ends when it cannot go on: one clear line and exit code 2, never a traceback.

ConsoleError
├── UsageError   what was asked for cannot be done as asked
└── StuckError   what was started does not get on
"""

from typing import Final

EXIT_OK: Final = 0
EXIT_FINDINGS: Final = 1  # bad lines; a gate that is not eligible
EXIT_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 130


class ConsoleError(Exception):
    """A command cannot go on."""


class UsageError(ConsoleError):
    """What was asked for cannot be done as asked."""


class StuckError(ConsoleError):
    """What was started does not get on."""
