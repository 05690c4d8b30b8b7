"""`python -m bench.proxy PORT`: stands before a server on this host and lets everything pass late, in both directions.

Asked `{"delay_s": 0.5}`, it delays from then on, and answers with the port it listens on itself. What is under way
keeps its delay, so nothing overtakes.
"""

import asyncio
import contextlib
import sys
import threading
from typing import Any, Final

from bench.helper import serve

_CHUNK: Final = 65_536
_HOST: Final = "127.0.0.1"

Queue = asyncio.Queue[tuple[float, bytes]]


class Proxy:
    """Carries bytes between whoever connects and one server."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.delay_s = 0.0
        self.port = 0

    async def run(self, ready: threading.Event) -> None:
        """Listen on a free port until cancelled."""
        server = await asyncio.start_server(self._accepted, _HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await server.serve_forever()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(_HOST, self._target)
            with contextlib.closing(far_writer):
                await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Carry one direction until its source ends."""
        under_way: Queue = asyncio.Queue()
        delivery = asyncio.ensure_future(_deliver(under_way, sink))
        try:
            while chunk := await source.read(_CHUNK):
                under_way.put_nowait((asyncio.get_running_loop().time() + self.delay_s, chunk))
        finally:
            under_way.put_nowait((0.0, b""))
            await delivery


async def _deliver(under_way: Queue, sink: asyncio.StreamWriter) -> None:
    """Deliver each chunk when it is due; an empty one is the end."""
    loop = asyncio.get_running_loop()
    while chunk := await _next(under_way, loop):
        sink.write(chunk)
        await sink.drain()
    sink.close()


async def _next(under_way: Queue, loop: asyncio.AbstractEventLoop) -> bytes:
    due, chunk = await under_way.get()
    await asyncio.sleep(max(0.0, due - loop.time()))
    return chunk


def main() -> None:
    """Carry until nobody can ask any more."""
    proxy, ready = Proxy(int(sys.argv[1])), threading.Event()
    threading.Thread(target=lambda: asyncio.run(proxy.run(ready)), daemon=True).start()
    ready.wait()

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        proxy.delay_s = question["delay_s"]
        return {"port": proxy.port}

    serve(answer)


if __name__ == "__main__":
    main()
