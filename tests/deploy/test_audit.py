"""The audit of the locked packages: a vulnerability fails, silence is never taken for a clean bill."""

import sys

import pytest

from deploy import audit
from deploy.audit import LOCKS, ROOT, ask, told

CLEAN = {"name": "redis", "version": "8.1.0", "vulns": []}
UNKNOWN = {"name": "alembic", "skip_reason": "not found"}
WEAK = {"name": "celery", "version": "4.0", "vulns": [{"id": "CVE-2021-23727", "fix_versions": ["5.2.2"]}]}


def printing(text, code=0):
    return [sys.executable, "-c", f"import sys; print({text!r}); sys.exit({code})"]


def test_a_vulnerability_fails_and_is_named():
    """With the version that mends it, once, however many locks name the package."""
    lines, code = told([CLEAN, WEAK, WEAK])
    assert code == 1
    assert lines == [
        "celery 4.0: CVE-2021-23727, fixed in 5.2.2",
        "pip-audit: 2 packages checked, 1 vulnerabilities",
    ]


def test_a_clean_audit_says_how_much_it_covered():
    """A package that the service does not know was not checked."""
    lines, code = told([CLEAN, UNKNOWN])
    assert (lines, code) == (
        ["pip-audit: 1 packages checked, 0 vulnerabilities, 1 not known to the service and not checked"],
        0,
    )


def test_a_service_that_knows_nothing_checked_nothing():
    """An index that answers without advisories is no clean bill."""
    lines, code = told([UNKNOWN])
    assert code == 0
    assert lines[0].endswith("nothing was checked")


@pytest.mark.parametrize("command", [printing("no JSON", 1), printing("{}", 1)])
def test_a_service_that_cannot_be_asked_is_one_line(command):
    """Refused, unresolved, broken: the reason, and no packages."""
    assert "cannot be asked" in ask(command)


def test_waiting_has_an_end(monkeypatch):
    """A service that never answers is given up."""
    monkeypatch.setattr(audit, "LIMIT_S", 0.2)
    assert "within 0.2 s" in ask([sys.executable, "-c", "import time; time.sleep(30)"])


def test_both_locks_are_asked_about():
    """What runs and what tests."""
    assert all((ROOT / lock).is_file() and str(ROOT / lock) in audit.pip_audit() for lock in LOCKS)
