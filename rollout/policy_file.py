"""Reads a policy from a TOML file; whatever cannot be meant is named, with what was expected."""

import tomllib
from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import msgspec

from gnomon import ConfigurationError
from rollout.policy import OWN, Policy, Waiver

DEFAULT: Final = Path(__file__).with_name("policy.toml")

_TABLES: Final = ("stages", "operations", "waivers")
_LIMITS: Final = tuple(name for name in Policy.__struct_fields__ if name not in _TABLES)


def read_policy(path: Path = DEFAULT) -> Policy:
    """Return the policy in a file; what it leaves out is as the migration plan has it.

    Raises ConfigurationError for a file that cannot be read, an unknown key, or a value that cannot be meant.
    """
    try:
        return _policy(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(str(path), error.strerror or type(error).__name__, "a policy file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), f"is no TOML: {error}", "a policy file") from None
    except ConfigurationError as error:
        raise _placed(path, error) from None


def _policy(document: Mapping[str, Any]) -> Policy:
    limits = _table("limits", document.get("limits", {}))
    _known("", document, ("limits", *_TABLES))
    _known("limits.", limits, _LIMITS)
    operations = _table("operations", document.get("operations", {}))
    for name, own in operations.items():
        _known(f'operations."{name}".', _table(f'operations."{name}"', own), OWN)
    waivers = document.get("waivers", ())
    if not isinstance(waivers, list | tuple):
        raise ConfigurationError("waivers", f"is of type {type(waivers).__name__}", "tables, each headed [[waivers]]")
    waived = tuple(_waiver(number, _table("waivers", waiver)) for number, waiver in enumerate(waivers, 1))
    stages = tuple(document["stages"]) if isinstance(document.get("stages"), list) else document.get("stages")
    given = limits if stages is None else {**limits, "stages": stages}
    made: Policy = _made(Policy, "", {**given, "operations": operations, "waivers": waived})
    return made


def _waiver(number: int, waiver: Mapping[str, Any]) -> Waiver:
    _known(f"waivers[{number}].", waiver, Waiver.__struct_fields__)
    made: Waiver = _made(Waiver, f"waivers[{number}].", waiver)
    return made


def _made(kind: type, where: str, fields: Mapping[str, Any]) -> Any:
    """Return what is described; TOML's types are kept, so text is no number and yes is no 1."""
    try:
        return msgspec.convert(fields, kind, strict=True)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at ")
        variable = where + place.strip("`").removeprefix("$.")
        raise ConfigurationError(variable.rstrip("."), f"cannot be used: {problem}", "what docs/gate.md says") from None


def _table(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(name, f"is of type {type(value).__name__}", "a table")
    return value


def _known(where: str, found: Mapping[str, Any], known: Any) -> None:
    for name in found:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            expected = f"{near[0]!r}" if near else f"one of {', '.join(sorted(known))}"
            raise ConfigurationError(f"{where}{name}", "is not known", expected)


def _placed(path: Path, error: ConfigurationError) -> ConfigurationError:
    found = str(error).removeprefix(f"{error.variable}: ").removesuffix(f"; expected {error.expected}")
    return ConfigurationError(f"{path}: {error.variable}", found, error.expected)


def policy_in_force(path: Path | None, day: date) -> Policy:
    """Return the policy of a day: of `path`, or where there is none the migration plan's."""
    return read_policy(path or DEFAULT).on(day)
