"""Writes `docs/settings.md` from the settings themselves: `python -m console.settings_page`."""

from pathlib import Path

from console.commands.config import described

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

_HEAD = """# Settings

Made from the code by `python -m console.settings_page`; a test holds the two together. Live processes and workers read
the environment once, at start; a value that cannot be used is named there. `gnomon config show` tells what is in force.

| variable | read by | meaning | default |
|---|---|---|---|
"""

_FLAGS = """
## Flags in the environment

`ENHANCED_MEMORY`, `RENTAL_MEMORY_ARCH` and `ENHANCED_CHAT_CLIENT` (`true` or `false`) and `ENHANCED_ROLLOUT_PERCENTAGE`
(0 to 100), each also with the prefix `GNOMON_` or `REACT_APP_`. `false` and `0` force legacy whatever is stored; `true`
and a number hold until flags are stored.

## The memory systems

`GNOMON_MEMORY_LEGACY_URL` and `GNOMON_MEMORY_ENHANCED_URL` name the two stores of `gnomon_memory` (SQLite or
PostgreSQL); without them they are files below `.gnomon/memory/`, relative to the folder a process was started in.
"""


def page() -> str:
    """Return the page as it should be."""
    rows = (f"| `{s.variable}` | {s.reader} | {s.meaning} | {_shown(s.default)} |\n" for s in described())
    return _HEAD + "".join(rows) + _FLAGS


def _shown(default: object) -> str:
    return "" if default is None or default == "" else f"`{default}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
