"""From the text of a setting to the URL of a memory store; what is wrong is told without the text, maybe a password."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from gnomon_memory.errors import SettingError

__all__ = ["EXPECTED", "store_url"]

EXPECTED = "sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"

_SQLITE = {"sqlite", "sqlite+pysqlite"}
_POSTGRESQL = {"postgres", "postgresql", "postgresql+psycopg"}  # as hosting providers write it, and as drivers do


def store_url(text: str, *, variable: str) -> URL:
    """Read the URL of a store, and make a SQLite file's path absolute and its folder exist."""
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise SettingError(variable, EXPECTED) from None
    if url.drivername in _POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in _SQLITE and _names_a_file(url):
        return url.set(database=str(_with_folder(str(url.database), variable)))
    raise SettingError(variable, EXPECTED)


def _names_a_file(url: URL) -> bool:
    # a database in memory is another one for each process, and a file: URI need not be on a disk
    return bool(url.database) and not str(url.database).startswith((":memory:", "file:"))


def _with_folder(database: str, variable: str) -> Path:
    path = Path(database).expanduser().absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(variable, f"a file in a folder that can be made ({error.strerror})") from None
    return path
