"""What the memory systems raise: the same classes and messages on both sides, and no payload in any of them.

ChatMemoryError
├── InvalidArgumentError    the caller's argument is at fault; nothing was read or written
├── SettingError            an environment variable is at fault
└── StoreError              the database is at fault
"""

__all__ = ["ChatMemoryError", "InvalidArgumentError", "SettingError", "StoreError"]


class ChatMemoryError(Exception):
    """Any failure of a memory system."""


class InvalidArgumentError(ChatMemoryError, ValueError):
    """`argument` is not what was `expected`."""

    def __init__(self, argument: str, expected: str) -> None:
        super().__init__(f"{argument} must be {expected}")
        self.argument = argument
        self.expected = expected


class SettingError(ChatMemoryError, ValueError):
    """The environment variable `variable` is not what was `expected`; its value, maybe a password, is not told."""

    def __init__(self, variable: str, expected: str) -> None:
        super().__init__(f"{variable} must be {expected}")
        self.variable = variable
        self.expected = expected


class StoreError(ChatMemoryError):
    """The database of the store `store` refused or could not be reached, for `reason`."""

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(f"the {store} memory store failed: {reason}")
        self.store = store
        self.reason = reason
