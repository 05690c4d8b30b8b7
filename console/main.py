"""The `gnomon` command: its parts, and how every one of them ends."""

import signal
import sys
from types import FrameType
from typing import NoReturn

import click
import redis
import typer

from console.commands import config, demo, gate, health, migrate, report, rollback, run, status, worker
from console.errors import EXIT_ERROR, EXIT_INTERRUPTED, ConsoleError
from console.output import complain
from gnomon import GnomonError
from ledger import LedgerError

app = typer.Typer(
    name="gnomon",
    help="Migrate a live system on evidence: capture, replay, compare, review, decide.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for module in (demo, run, worker, status, report, gate, rollback, health, migrate, config):
    module.register(app)


def main() -> NoReturn:
    """Run the command; every error that a person can mend is one line and exit code 2."""
    signal.signal(signal.SIGTERM, _interrupt)  # tidy up as on Ctrl-C
    sys.exit(_ended())


def _ended() -> int:
    try:
        return int(app(standalone_mode=False) or 0)
    except (ConsoleError, GnomonError, LedgerError) as error:
        return complain(str(error))
    except redis.RedisError as error:
        return complain(f"GNOMON_REDIS_URL: Redis does not answer ({type(error).__name__})")
    except click.ClickException as error:
        error.show()
        return EXIT_ERROR
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough
        sys.stderr.close()
        return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
