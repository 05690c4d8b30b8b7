"""What a live application imports: wrap the legacy callable, register the enhanced one, go on as before."""

from gnomon.calling import Call, call
from gnomon.client import Gnomon, Health
from gnomon.errors import ConfigurationError, FlagError, GnomonError, OperationError
from gnomon.operation import Operation
from gnomon.wire import Kind

__all__ = [
    "Call",
    "ConfigurationError",
    "FlagError",
    "Gnomon",
    "GnomonError",
    "Health",
    "Kind",
    "Operation",
    "OperationError",
    "call",
]
