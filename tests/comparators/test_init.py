import subprocess
import sys

import comparators


def test_the_public_names_are_these():
    """What other rooms may use is listed, and there."""
    assert set(comparators.__all__) == {
        "ABSENT", "NO_RULES", "Call", "Comparator", "Difference", "Judgement", "Kind", "Observation", "Pair",
        "PatternError", "Rule", "RuleSet", "Ruling", "Schema", "Severity", "checked_pattern",
        "Verdict", "explain", "fingerprint", "identical", "judge", "mask", "nameless", "register", "wildcard",
        "worst",
    }  # fmt: skip
    assert all(hasattr(comparators, name) for name in comparators.__all__)


def test_importing_is_light_and_pure():
    """Importing the package loads neither deepdiff nor a database, a broker or a network client."""
    check = (
        "import sys, comparators;"
        "print(sorted({'deepdiff', 'sqlalchemy', 'redis', 'celery', 'numpy', 'socket'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
