"""The two memory systems over each database; what a test saves on one side it replays on the other."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gnomon.calling import Call, calling
from gnomon_memory.enhanced import EnhancedMemory
from gnomon_memory.legacy import LegacyMemory, legacy_store
from gnomon_memory.rental_service import RentalMemoryService, rental_store

DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)]


@dataclass(frozen=True)
class Systems:
    legacy: LegacyMemory
    enhanced: EnhancedMemory
    _numbers: Iterator[int]

    def replay(self, fn: Callable[..., Any], *args: Any, origin: Any = None, **kwargs: Any) -> Any:
        """Call an enhanced callable as a worker does, with what legacy returned as it comes off the wire."""
        call = Call(capture_id=f"capture-{next(self._numbers)}", shadow=True, origin=json.loads(json.dumps(origin)))
        with calling(call):
            return fn(*args, **kwargs)

    def save(self, *args: Any, **kwargs: Any) -> Any:
        """Save on both sides; return what legacy returned."""
        saved = self.legacy.save_chat_memory(*args, **kwargs)
        self.replay(self.enhanced.save_chat_memory, *args, origin=saved, **kwargs)
        return saved


@pytest.fixture(params=DATABASES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Give the URL of the database for a side: a file each, or one PostgreSQL database for both."""
    if request.param == "sqlite":
        return lambda side: f"sqlite:///{tmp_path}/{side}.sqlite3"
    url = request.getfixturevalue("postgres_url")
    return lambda _side: url


@pytest.fixture
def systems(store_url: Callable[[str], str]) -> Iterator[Systems]:
    legacy = LegacyMemory(legacy_store(store_url("legacy")))
    enhanced = EnhancedMemory(RentalMemoryService(rental_store(store_url("enhanced"))))
    yield Systems(legacy, enhanced, count())
    legacy.store.close()
    enhanced.service.store.close()
