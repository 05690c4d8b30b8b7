"""The rental app's web service: it saves and shows memories, and chats. It was written for legacy and knows no other.

The memory is handed in by `before.py` or `after.py`. Its calls block, so each runs in Starlette's thread pool.
"""

import logging
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from examples.live_app.components import chat_widget, memory_panel
from examples.live_app.hooks import Chat, Hooks, Memories
from gnomon_memory.errors import InvalidArgumentError, StoreError
from gnomon_memory.memory import MemorySystem

__all__ = ["create_app"]

log = logging.getLogger("rental")


def create_app(memory: MemorySystem) -> Starlette:
    """Make the service over a memory: legacy's module, or one with the same names."""
    serve = _Endpoints(Hooks(memory))
    return Starlette(
        routes=[
            Route("/healthz", _healthz),
            Route("/memories", serve.save, methods=["POST"]),
            Route("/memories", serve.recent),
            Route("/memories/panel", serve.panel),
            Route("/chat", serve.chat, methods=["POST"]),
            Route("/chat/widget", serve.widget),
        ],
        exception_handlers={HTTPException: _refused, InvalidArgumentError: _bad_argument, StoreError: _unavailable},
    )


@dataclass(frozen=True, slots=True)
class _Endpoints:
    """What the service answers."""

    hooks: Hooks

    async def save(self, request: Request) -> Response:
        fields = await _body(request, required=("user_id", "memory_type", "content"), optional=("metadata",))
        memories = self.hooks.use_memories(fields.pop("user_id"))
        return JSONResponse(await run_in_threadpool(memories.save, **fields), status_code=201)

    async def recent(self, request: Request) -> Response:
        memories = await run_in_threadpool(self._memories(request).refresh)
        return JSONResponse({"memories": memories.items})

    async def panel(self, request: Request) -> Response:
        return HTMLResponse(memory_panel(await run_in_threadpool(self._memories(request).refresh)))

    async def chat(self, request: Request) -> Response:
        fields = await _body(request, required=("user_id", "message"), optional=("conversation_id",))
        chat = self.hooks.use_chat(fields["user_id"], fields.get("conversation_id"))
        return JSONResponse(await run_in_threadpool(chat.send, fields["message"]))

    async def widget(self, request: Request) -> Response:
        return HTMLResponse(chat_widget(await run_in_threadpool(self._chat(request).refresh)))

    def _memories(self, request: Request) -> Memories:
        asked = request.query_params
        return self.hooks.use_memories(
            _asked(request, "user_id"), asked.get("type") or None, _whole("limit", asked.get("limit") or "10")
        )

    def _chat(self, request: Request) -> Chat:
        return self.hooks.use_chat(_asked(request, "user_id"), _asked(request, "conversation_id"))


async def _healthz(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _body(request: Request, *, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of the body; what they may hold is the memory's to say."""
    try:
        fields = await request.json()
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body must be JSON") from None
    if not isinstance(fields, dict):
        raise HTTPException(400, "the body must be a JSON object")
    missing = [name for name in required if name not in fields]
    if missing:
        raise HTTPException(400, f"missing: {', '.join(missing)}")
    if not fields.keys() <= {*required, *optional}:
        raise HTTPException(400, f"the body may hold {', '.join((*required, *optional))}, and nothing else")
    return fields


def _asked(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if value is None:
        raise HTTPException(400, f"missing: {name}")
    return value


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise HTTPException(400, f"{name} must be a whole number") from None


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


def _bad_argument(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


def _unavailable(_request: Request, error: Exception) -> Response:
    log.error("memory unavailable: %s", error)
    return JSONResponse({"error": "the memory is not available, try again later"}, status_code=503)
