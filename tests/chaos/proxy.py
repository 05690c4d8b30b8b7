"""`python -m tests.chaos.proxy PORT`: the benchmarks' proxy, which can do worse than to be late.

Asked `{"delay_s": 0.2}` it delays, asked `{"reset": true}` it breaks every connection that there is, asked
`{"mute": true}` it accepts connections and swallows what is said. A connection that was not heard once never is again;
`{"bury": true}` breaks those. It answers with its port.
"""

import asyncio
import contextlib
import socket
import struct
import sys
import threading
from typing import Any

from bench import proxy
from bench.helper import serve


class Proxy(proxy.Proxy):
    """Carries bytes, or breaks connections, or swallows what is said."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.mute = False
        self.dead: set[asyncio.StreamWriter] = set()  # connections that were not heard once
        self._open: set[asyncio.StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        await super().run(ready)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await super()._accepted(_Listening(self, reader, writer), writer)  # type: ignore[arg-type]
        finally:
            self._open.discard(writer)
            self.dead.discard(writer)

    def reset(self, *, all_of_them: bool) -> None:
        """Break all connections, or the dead: the other side reads ECONNRESET."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._reset, self._open if all_of_them else self.dead)

    def _reset(self, broken: set[asyncio.StreamWriter]) -> None:
        for writer in list(broken):
            with contextlib.suppress(OSError, AttributeError):
                at_once = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            writer.transport.abort()


class _Listening:
    """A reader that hears nothing while the proxy is mute; a connection that was not heard once never is again."""

    def __init__(self, owner: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._owner = owner
        self._reader = reader
        self._writer = writer

    async def read(self, size: int) -> bytes:
        chunk = await self._reader.read(size)
        while chunk and (self._owner.mute or self._writer in self._owner.dead):
            self._owner.dead.add(self._writer)
            chunk = await self._reader.read(size)
        return chunk


def main() -> None:
    """Carry until nobody can ask any more."""
    carrier, ready = Proxy(int(sys.argv[1])), threading.Event()
    threading.Thread(target=lambda: asyncio.run(carrier.run(ready)), daemon=True).start()
    ready.wait()

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        carrier.delay_s = question.get("delay_s", carrier.delay_s)
        carrier.mute = question.get("mute", carrier.mute)
        if "reset" in question or "bury" in question:
            carrier.reset(all_of_them="reset" in question)
        return {"port": carrier.port}

    serve(answer)


if __name__ == "__main__":
    main()
