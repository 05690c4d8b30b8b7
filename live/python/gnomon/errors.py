"""The errors a person can meet when setting Gnomon up; the live call itself never sees one.

GnomonError
├── ConfigurationError   an environment variable or option that cannot be used
├── OperationError       a callable that cannot be wrapped, or an operation registered wrongly
├── FlagError            a flag change that is refused
├── UnreachableError     Redis does not answer a question that a person asked
└── WireError            bytes in a lane that are no capture this version can read
"""


class GnomonError(Exception):
    """The root: everything Gnomon raises on purpose."""


class ConfigurationError(GnomonError):
    """A setting is malformed; `variable` names it, `expected` says what it takes."""

    def __init__(self, variable: str, found: str, expected: str) -> None:
        super().__init__(f"{variable}: {found}; expected {expected}")
        self.variable = variable
        self.expected = expected


class OperationError(GnomonError):
    """An operation is declared in a way that cannot work; `operation` names it."""

    def __init__(self, operation: object, problem: str) -> None:
        super().__init__(f"operation {operation!r}: {problem}")
        self.operation = operation


class FlagError(GnomonError):
    """A flag change names an unknown flag, has a value of the wrong kind, or would raise the share."""


class UnreachableError(GnomonError):
    """Redis is not configured, or does not answer; live calls never see this."""


class WireError(GnomonError):
    """A lane entry cannot be read; `reason` is `malformed` or `unknown_version`, never a piece of its payload."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"lane entry cannot be read: {reason}")
        self.reason = reason
