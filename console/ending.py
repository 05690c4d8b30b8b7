"""How every command ends: with its exit code, or one clear line; a person never sees a traceback."""

import functools
import os
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec

import redis
import typer

from console.errors import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK, ConsoleError
from gnomon import GnomonError
from ledger import LedgerError

P = ParamSpec("P")


def exiting(command: Callable[P, int]) -> Callable[P, NoReturn]:
    """Make the number that a command returns its exit code, and what it raises one line on stderr."""

    @functools.wraps(command)
    def ending(*args: P.args, **kwargs: P.kwargs) -> NoReturn:
        raise typer.Exit(_code(functools.partial(command, *args, **kwargs)))

    ending.__annotations__ = {**command.__annotations__, "return": NoReturn}
    return ending


def _code(command: Callable[[], int]) -> int:
    try:
        return command()
    except (ConsoleError, GnomonError, LedgerError) as error:
        _say(str(error))
        return EXIT_ERROR
    except redis.RedisError as error:
        _say(f"GNOMON_REDIS_URL: Redis does not answer ({type(error).__name__})")
        return EXIT_ERROR
    except KeyboardInterrupt:
        _say("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough; what Python still wants to flush has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except Exception as error:
        if os.environ.get("GNOMON_DEBUG"):
            raise
        _say(f"unexpected {type(error).__name__}; GNOMON_DEBUG=1 shows where")  # its message may hold a payload
        return EXIT_ERROR


def _say(problem: str) -> None:
    typer.echo(f"gnomon: {' '.join(problem.split())}", err=True)
