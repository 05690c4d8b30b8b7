"""What commands that decide share: what they act upon, who says so, and why."""

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
    """Return who decides, as a database and JSON take it; raises UsageError for nobody."""
    return words(by, "--by", "a name", LONGEST_NAME)


def reason(why: str) -> str:
    """Return why; raises UsageError for no reason."""
    return words(why, "--why", "a reason in words", LONGEST_WHY)


def words(given: str, option: str, what: str, longest: int, *, optional: bool = False) -> str:
    """Return what was typed on one line; bytes that are no UTF-8 come as lone surrogates, which nothing can store."""
    text = " ".join(given.split()).encode("utf-8", "replace").decode()
    if not text and not optional:
        raise UsageError(f"{option}: {what} is needed")
    if len(text) > longest:
        raise UsageError(f"{option}: {what} of at most {longest} characters is needed, not of {len(text):,}")
    return text
