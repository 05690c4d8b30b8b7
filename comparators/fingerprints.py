"""The stable name of a kind of difference: divergences that share it form one group for people to review."""

from functools import lru_cache
from hashlib import sha256
from typing import Final

from comparators.paths import wildcard
from comparators.verdicts import Difference, Kind

__all__ = ["fingerprint", "wildcard"]

_VERSION: Final = 1  # raise it when what goes into the hash changes, or groups silently merge
_LENGTH: Final = 12  # 48 bits: a million groups collide with probability 0.2 %


def fingerprint(operation: str, difference: Difference) -> str:
    """Return the group of `difference`, made from operation, wildcarded path and kind; never from values."""
    return _named(operation, wildcard(difference.path), difference.kind)


@lru_cache(maxsize=4_096)  # there are few kinds of difference, and many of each
def _named(operation: str, path: str, kind: Kind) -> str:
    named = f"{operation}\n{path}\n{kind}"
    return f"{_VERSION}:{sha256(named.encode(errors='backslashreplace')).hexdigest()[:_LENGTH]}"
