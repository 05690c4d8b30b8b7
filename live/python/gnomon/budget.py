"""The budget of generate calls: each costs money when it is replayed, so a process captures so many an hour."""

import time


class HourlyBudget:
    """So many an hour, by the hour of the monotonic clock."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._hour = -1
        self._spent = 0

    def spend(self) -> bool:
        """Spend one; False where the hour's budget is gone."""
        hour = int(time.monotonic() // 3_600)
        if hour != self._hour:
            self._hour, self._spent = hour, 0
        self._spent += 1
        return self._spent <= self._allowed
