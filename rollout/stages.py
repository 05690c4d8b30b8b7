"""Stages and epochs: which share of the users enhanced may answer, and for how long it has.

On the data's way this is where evidence is dated: captures carry the number of the epoch they were made in, and the
gate judges one epoch at a time.
"""

from datetime import datetime
from enum import IntEnum

import msgspec


class Stage(IntEnum):
    """The closed set of shares, in percent of the users; a rollout climbs them one by one."""

    SHADOW = 0  #: nobody is answered by enhanced; it runs beside
    FIRST = 1  #: one user in a hundred
    TENTH = 10
    QUARTER = 25
    HALF = 50
    ALL = 100  #: everybody; only retiring legacy is left

    @property
    def share(self) -> float:
        """The share of users as a fraction from 0 to 1."""
        return self.value / 100

    def next(self) -> "Stage | None":
        """Return the stage after this one, or None from the last."""
        return next((stage for stage in Stage if stage > self), None)

    def previous(self) -> "Stage | None":
        """Return the stage before this one, or None from the first."""
        return next((stage for stage in reversed(Stage) if stage < self), None)


class Epoch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One uninterrupted stay at a stage with one enhanced build and one rule set.

    `number` is what captures carry; `build` names the enhanced build, `rule_set` the version of the rules in force, and
    `policy` is the digest of the policy that it is under: empty before the first evaluation. Times are on the
    database's clock; `closed_at` is None while the epoch lasts.
    """

    number: int
    stage: Stage
    build: str
    rule_set: str
    policy: str = ""
    opened_at: datetime
    closed_at: datetime | None = None
