"""The drain hint: a Celery message (protocol 2, JSON) built by hand, so that the live application needs no Celery."""

import base64
import os
import socket
from typing import Any, Final
from uuid import uuid4

import msgspec

DRAIN_TASK: Final = "gnomon.drain"


def drain_hint(lane: int, queue: str) -> bytes:
    """Return a message that asks a worker to drain `lane`, as it lies in the broker's list."""
    task_id = str(uuid4())
    body = msgspec.json.encode([[lane], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    message: dict[str, Any] = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": _headers(task_id, lane),
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }
    return msgspec.json.encode(message)


def _headers(task_id: str, lane: int) -> dict[str, Any]:
    return {
        "lang": "py",
        "task": DRAIN_TASK,
        "id": task_id,
        "root_id": task_id,
        "parent_id": None,
        "group": None,
        "argsrepr": f"({lane},)",  # Flower shows blank arguments without it
        "kwargsrepr": "{}",
        "origin": f"gnomon{os.getpid()}@{socket.gethostname()}",
        "ignore_result": True,
    }
