"""What the commands of a rollout share: whom they act upon, who says so and why, and how a moment reads."""

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer

from console.errors import UsageError
from console.options import Place
from gnomon.connecting import connect
from rollout.looking import Deployment
from worker.registry import load_operations

LONGEST_NAME = 200
LONGEST_WHY = 500

By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides; kept for good.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why; kept for good.")]


@contextlib.contextmanager
def deployment_of(found: Place) -> Iterator[Deployment]:
    """Open what a command looks at, closed at the end; raises LedgerError, ConfigurationError."""
    bindings = load_operations(found.settings.operation_modules)
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(contextlib.closing(found.ledger()))
        ledger.rollout.sign_with(found.settings.audit_key_bytes)
        server = None
        if not found.ended:
            server = stack.enter_context(contextlib.closing(connect(found.settings.redis_url.get_secret_value())))
        yield Deployment.of(
            bindings,
            ledger=ledger,
            server=server,
            namespace=found.settings.namespace,
            policy=found.settings.policy,
            oldest_pending=found.oldest_pending,
        )


def said(by: str) -> str:
    """Return who decides; raises UsageError for nobody."""
    return _text(by, "--by", "a name", LONGEST_NAME)


def reason(why: str) -> str:
    """Return why; raises UsageError for no reason."""
    return _text(why, "--why", "a reason", LONGEST_WHY)


def _text(given: str, option: str, what: str, longest: int) -> str:
    text = " ".join(given.split())
    if not 0 < len(text) <= longest:
        found = "nothing was given" if not text else f"{len(text):,} characters were given"
        raise UsageError(f"{option}: {what} of 1 to {longest} characters is needed, and {found}")
    return text
