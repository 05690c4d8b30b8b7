"""What workers and the console can set: read once from the environment, frozen; a bad value fails here, by name."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gnomon.errors import ConfigurationError
from gnomon.settings import MOST_LANES, NAMESPACE_EXPECTED, REDIS_EXPECTED, namespace, redacted, redis_url
from ledger import LedgerError, database_url
from worker.expiry import EXPIRE_AFTER_S
from worker.failures import ANSWER_BYTES

PREFIX: Final = "GNOMON_"


class WorkerSettings(BaseSettings):
    """The settings of a worker, each read from `GNOMON_` and its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True, str_strip_whitespace=True
    )

    redis_url: SecretStr = Field(description="Redis or Valkey that holds lanes and hints: redis://HOST:PORT/DB")
    database_url: SecretStr = Field(description="the ledger: sqlite:///FILE or postgresql://…")
    operations: str = Field("gnomon_memory.operations", description="modules that register operations, by comma")
    namespace: str = Field("default", description="keeps several migrations apart on one Redis")
    lanes: int = Field(
        64, ge=1, le=MOST_LANES, description="ordered streams; the same for every process of a namespace"
    )
    concurrency: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="worker processes on this host"
    )
    threads: int = Field(16, ge=1, le=256, description="replays side by side in one process")
    answer_bytes: int = Field(
        ANSWER_BYTES, ge=1_024, description="the largest answer of a replay, as JSON; a larger one has failed: oversize"
    )
    replay_timeout_s: float = Field(10.0, gt=0, description="a replay that takes longer has failed")
    pairs_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of users whose reads are also timed: both systems are asked twice more; 0: none",
    )
    pairs_per_s: float = Field(
        10.0, gt=0, description="such reads a second in one worker process, at most; each asks legacy twice"
    )
    pairs_generate: bool = Field(
        False, description="ask generate calls anew too, for what legacy differs from itself in: three more are paid"
    )
    expire_after_s: float = Field(
        EXPIRE_AFTER_S, gt=0, description="older reads and generate calls are not replayed: they have expired"
    )
    targets: Path | None = Field(
        None, description="a TOML file of HTTP services that are enhanced for some operations: docs/targets.md"
    )
    # one at work holds some 120 MB with the memory systems loaded; what comes on top is an application's own
    child_memory_mb: int = Field(
        512, ge=256, description="a worker process that holds more is replaced once its batch is through"
    )
    policy: Path | None = Field(
        None, description="a TOML file of what a candidate must prove: docs/gate.md; default: the migration plan's"
    )
    evaluate_s: float = Field(60.0, ge=1, description="how often the gate looks at the evidence")
    audit_key: SecretStr | None = Field(
        None, description="a secret that the audit is signed with; the same for workers and whoever runs commands"
    )
    retention_days: int = Field(
        30,
        ge=7,
        description="how long divergences and figures by minute are kept; tallies, groups and sums do not end",
    )
    worker_state: Path | None = Field(
        None,
        description="folder for what `gnomon worker --check` looks at; default: gnomon-UID below the temporary one",
    )

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: SecretStr) -> SecretStr:
        _checked(redis_url, value.get_secret_value(), REDIS_EXPECTED)
        return value

    @field_validator("namespace")
    @classmethod
    def _namespace(cls, value: str) -> str:
        _checked(namespace, value, NAMESPACE_EXPECTED)
        return value

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: SecretStr) -> SecretStr:
        try:
            database_url(value.get_secret_value())
        except LedgerError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("targets")
    @classmethod
    def _targets(cls, value: Path | None) -> Path | None:
        if value is not None:
            from worker.targets.description import read  # httpx takes its time, and few have such a file

            read(value)  # what it needs besides its shape is checked where calls are made
        return value

    @property
    def audit_key_bytes(self) -> bytes:
        """The audit's key; empty where there is none."""
        return b"" if self.audit_key is None else self.audit_key.get_secret_value().encode()

    @property
    def broker_url(self) -> str:
        """The same Redis, as kombu spells it."""
        url = self.redis_url.get_secret_value()
        return url.replace("unix://", "redis+socket://", 1) if url.startswith("unix://") else url

    @property
    def operation_modules(self) -> tuple[str, ...]:
        """The dotted names of the modules that register operations."""
        return tuple(name.strip() for name in self.operations.split(",") if name.strip())


def _checked(parse: Callable[[str], object], text: str, expected: str) -> None:
    try:
        parse(text)
    except ValueError:
        raise ValueError(expected) from None


def load(**overrides: Any) -> WorkerSettings:
    """Read the settings; raises ConfigurationError naming the first variable that cannot be used."""
    try:
        return WorkerSettings(**overrides)
    except ValidationError as error:
        raise _named(error) from None


def _named(error: ValidationError) -> ConfigurationError:
    first = error.errors()[0]
    variable = PREFIX + str(first["loc"][0]).upper()
    if first["type"] == "missing":
        description = WorkerSettings.model_fields[str(first["loc"][0])].description or "a value"
        return ConfigurationError(variable, "is not set", description)
    found = redacted(str(first["input"]))
    return ConfigurationError(variable, f"cannot use {found!r}", first["msg"].removeprefix("Value error, "))


@cache
def settings() -> WorkerSettings:
    """Return this process's settings, read at the first call."""
    return load()
