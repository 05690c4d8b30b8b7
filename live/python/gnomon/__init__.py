"""What a live application imports: wrap the legacy callable, register the enhanced one, go on as before."""

from gnomon.calling import Call, call

__all__ = ["Call", "call"]
