"""What a live application imports: wrap the legacy callable, register the enhanced one, go on as before."""

from gnomon.calling import Call, call
from gnomon.client import Gnomon
from gnomon.errors import ConfigurationError, FlagError, GnomonError, OperationError, UnreachableError
from gnomon.health import Health
from gnomon.operation import Operation
from gnomon.readiness import UserData
from gnomon.wire import Kind, Phase

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
    "Phase",
    "UnreachableError",
    "UserData",
    "call",
]
