"""Asks the advisory service about every locked package; `make lint` runs it last.

A vulnerability is exit code 1. Where the service cannot be reached nothing can be said: one line says so, and the exit
code is 0, so that a machine without a network can still lint. A package that the service does not know was not checked,
whatever else was: it is counted, never taken for clean.
"""
# ruff: noqa: INP001 — a script of the repository, not a package

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
LOCKS: Final = ("requirements.lock", "requirements-dev.lock")  # the locks of the images name no other versions
LIMIT_S: Final = 50.0  # 120 packages take 5 to 20 s where the service answers
ANSWER_S: Final = 5  # for one of its answers


def main() -> int:
    """Audit the lock files; return the exit code."""
    packages = ask(pip_audit())
    if isinstance(packages, str):
        sys.stdout.write(f"pip-audit: {packages}; nothing was checked\n")
        return 0
    lines, code = told(packages)
    sys.stdout.write("\n".join(lines) + "\n")
    return code


def pip_audit() -> list[str]:
    """Return the command: what the locks name, as it is, without resolving anything."""
    locks = [part for lock in LOCKS for part in ("--requirement", str(ROOT / lock))]
    answers = ["--format", "json", "--desc", "off", "--progress-spinner", "off", "--timeout", str(ANSWER_S)]
    return [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", *locks, *answers]


def ask(command: list[str]) -> list[dict[str, Any]] | str:
    """Return what is known of each package, or why the service could not be asked."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)  # noqa: S603 — ours
    except subprocess.TimeoutExpired:
        return f"the advisory service did not answer within {LIMIT_S:g} s"
    try:
        packages: list[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError):
        why = ran.stderr.strip().splitlines()[-1:] or [f"exit code {ran.returncode}"]
        return f"the advisory service cannot be asked ({why[0][:160]})"
    return packages


def told(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Return the lines to print and the exit code."""
    checked = {(package["name"], package["version"]) for package in packages if "version" in package}
    unknown = {package["name"] for package in packages if "version" not in package}
    if not checked:
        return [f"pip-audit: the advisory service knows none of {len(unknown)} packages; nothing was checked"], 0
    found = sorted({line for package in packages for line in _vulnerabilities(package)})
    unchecked = f", {len(unknown)} not known to the service and not checked" if unknown else ""
    return [*found, f"pip-audit: {len(checked)} packages checked, {len(found)} vulnerabilities{unchecked}"], int(
        bool(found)
    )


def _vulnerabilities(package: dict[str, Any]) -> list[str]:
    """Return a line for each vulnerability of one package."""
    name = f"{package['name']} {package.get('version')}"
    known = package.get("vulns", ())
    return [f"{name}: {one['id']}, fixed in {' or '.join(one['fix_versions']) or 'no version yet'}" for one in known]


if __name__ == "__main__":
    sys.exit(main())
