"""Operation modules with a planted fault each, to see that it is found: `GNOMON_OPERATIONS=examples.variants.NAME`.

The memory systems have no switch for a fault; a variant wraps the enhanced one and registers the same operations.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """What a variant plants, and the one group that it should be found as."""

    description: str
    operation: str
    kind: str
    path: str  #: with indices wildcarded, as groups have it
