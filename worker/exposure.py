"""What a capture says of the live call: whether enhanced was to answer it, and how long both sides took."""

from typing import Final

import msgspec

from gnomon.wire import Capture, Kind, Phase

_FOR_EVER_US: Final = 1_000_000_000  # beyond what any histogram tells apart


def live_us(capture: Capture) -> tuple[int, int]:
    """Return how long both sides took live; a failure is as slow as can be, for failing fast is no speed.

    Reads are timed in pairs. What was recorded elsewhere says nothing of the systems as they are.
    """
    if capture.kind is Kind.READ or capture.recorded:
        return 0, 0
    legacy, enhanced = capture.legacy, capture.enhanced
    answered = legacy is not msgspec.UNSET and legacy.raised is msgspec.UNSET
    before = max(legacy.duration_us, 1) if answered else 0  # type: ignore[union-attr]  # it answered
    if enhanced is msgspec.UNSET:
        return before, 0
    return before, max(enhanced.duration_us, 1) if enhanced.raised is msgspec.UNSET else _FOR_EVER_US


def served(capture: Capture) -> bool:
    """Tell whether enhanced answered the user, or was asked to and could not."""
    asked = capture.enhanced is not msgspec.UNSET and capture.kind is not Kind.WRITE
    return capture.serving == "enhanced" or (asked and capture.phase is Phase.SERVED)
