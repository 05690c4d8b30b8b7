"""The stable name of a kind of difference: divergences that share it form one group for people to review."""

from hashlib import sha256
from typing import Final

from comparators.paths import wildcard
from comparators.verdicts import Difference

__all__ = ["fingerprint", "wildcard"]

_VERSION: Final = 1  # raise it when what goes into the hash changes, or groups silently merge
_LENGTH: Final = 12  # 48 bits: a million groups collide with probability 0.2 %


def fingerprint(operation: str, difference: Difference) -> str:
    """Return the group of `difference`, made from operation, wildcarded path and kind; never from values."""
    named = "\n".join((operation, wildcard(difference.path), difference.kind))
    return f"{_VERSION}:{sha256(named.encode(errors='backslashreplace')).hexdigest()[:_LENGTH]}"
