"""Coroutines of the two systems, run to their end in a replay thread: each thread keeps an event loop of its own.

A loop costs more to make than most replays take. One that is kept also keeps what belongs to it alive, such as an HTTP
client's connections; what a call has left running in it is ended with the call.
"""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable
from typing import Any


class _Kept(threading.local):
    runner: asyncio.Runner | None = None


_kept = _Kept()


def finish(awaitable: Awaitable[Any], timeout_s: float) -> Any:
    """Run an awaitable to its end and return what comes of it; raises TimeoutError where it takes too long."""
    if _kept.runner is None:
        _kept.runner = asyncio.Runner()
    try:
        return _kept.runner.run(_within(awaitable, timeout_s), context=contextvars.copy_context())
    except (KeyboardInterrupt, SystemExit):  # these stop the loop, whatever else it was at
        close()
        raise


def close() -> None:
    """Close this thread's loop: the thread is about to end."""
    runner, _kept.runner = _kept.runner, None
    if runner is not None:
        runner.close()


async def _within(awaitable: Awaitable[Any], timeout_s: float) -> Any:
    try:
        async with asyncio.timeout(timeout_s):
            return await awaitable
    finally:
        await _end_others()


async def _end_others() -> None:
    """End what the call has left running, as when a program ends."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.gather(*others, return_exceptions=True)
