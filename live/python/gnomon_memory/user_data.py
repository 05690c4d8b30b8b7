"""Whether enhanced holds what legacy holds of a user, and how it comes to: `verify(user)` and `repair(user)`.

On the data's way this stands between dual-writing a user and serving them: replays bring what was written since the
capture began, a repair what was there before, and only a user whose data was verified is answered by enhanced. What is
looked for in enhanced is what a replay of the call that legacy's row comes from would have stored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice, zip_longest
from typing import Any

from sqlalchemy import Column, Select, Table, bindparam, func, literal, or_, select

from gnomon_memory.checks import check_limit, check_text, is_key, is_text, json_object
from gnomon_memory.columns import KEY, as_memory
from gnomon_memory.errors import InvalidArgumentError
from gnomon_memory.identity import as_text, identity_of
from gnomon_memory.legacy import chat_memories
from gnomon_memory.memory import Memory, is_same
from gnomon_memory.rental_service import RentalMemoryService
from gnomon_memory.rental_tables import rental_memories
from gnomon_memory.stores import Store

__all__ = ["UserData"]

PAGE = 500  # memories read at once: the usual user in one query a side, any user in bounded memory
BATCH = 100  # memories written in one transaction: live writes wait for some milliseconds


@dataclass(frozen=True, slots=True)
class _History:
    """A user's memories in a table: in order of time, ties by id; page by page, so that no transaction stays open."""

    store: Store
    table: Table
    id: Column[str]

    def pages(self, user_id: str, before: str | None = None) -> Iterator[list[Memory]]:
        statement = self._page(before)
        page = self._select(statement, user_id=user_id, before=before)
        while page:
            yield page
            if len(page) < PAGE:
                return
            last = {"last_id": page[-1]["id"], "last_at": page[-1]["created_at"]}
            page = self._select(self._behind(statement), user_id=user_id, before=before, **last)

    def of_ids(self, user_id: str, ids: Sequence[str]) -> dict[str, Memory]:
        wanted = self._memories().where(self.id.in_(bindparam("ids", expanding=True)))
        return {memory["id"]: memory for memory in self._select(wanted, user_id=user_id, ids=ids)}

    def _memories(self) -> Select[*tuple[Any, ...]]:
        of = self.table.c
        columns = self.id, of.user_id, of.memory_type, of.content, of.metadata, of.created_at
        return select(*columns).where(of.user_id == bindparam("user_id"))

    def _page(self, before: str | None) -> Select[*tuple[Any, ...]]:
        page = self._memories().order_by(self.table.c.created_at, self.id).limit(PAGE)
        return page if before is None else page.where(self.table.c.created_at < bindparam("before"))

    def _behind(self, page: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        at, last_at = self.table.c.created_at, bindparam("last_at", type_=KEY)
        return page.where(at >= last_at, or_(at > last_at, self.id > bindparam("last_id")))

    def _select(self, statement: Select[*tuple[Any, ...]], **wanted: Any) -> list[Memory]:
        with self.store.reading() as connection:
            return [as_memory(row) for row in connection.execute(statement, wanted)]


_user_id = chat_memories.c.user_id
_FOUND = (
    select(func.min(_user_id).label("user_id"), literal(1).label("place"))
    .where(_user_id > bindparam("after"))
    .cte("found", recursive=True)
)
_NEXT = select(func.min(_user_id)).where(_user_id > _FOUND.c.user_id).scalar_subquery()
# from user to user through the index; DISTINCT would read all memories of each
_USERS = _FOUND.union_all(
    select(_NEXT, _FOUND.c.place + 1).where(_FOUND.c.user_id.is_not(None), _FOUND.c.place < bindparam("limit"))
)
_IN_ORDER = select(_USERS.c.user_id).where(_USERS.c.user_id.is_not(None)).order_by(_USERS.c.place)


class UserData:
    """What both systems hold of a user. Every method raises StoreError, and InvalidArgumentError for no text."""

    def __init__(self, legacy: Store, enhanced: RentalMemoryService) -> None:
        self._service = enhanced
        self._legacy = _History(legacy, chat_memories, chat_memories.c.id)
        self._enhanced = _History(enhanced.store, rental_memories, rental_memories.c.origin_id)

    def verify(self, user: str, before: datetime | None = None) -> bool:
        """Tell whether enhanced holds just what legacy does, in its order; of what is older than `before` where given.

        Metadata counts by its values and their types, not by the order of its keys. A row of legacy whose id or time no
        replay could take over is held by nothing: its user is never verified.
        """
        check_text("user", user)
        legacy = chain.from_iterable(self._replayed(user, before))
        enhanced = chain.from_iterable(self._enhanced.pages(user, None if before is None else as_text(before)))
        return all(one and other and is_same(one, other) for one, other in zip_longest(legacy, enhanced))

    def repair(self, user: str, before: datetime | None = None) -> int:
        """Store in enhanced what it lacks of legacy's, rewrite what differs; return how many memories those were.

        Of what is older than `before` where given. What enhanced alone holds stays, and what no call could have saved
        stays out: `verify` tells. Safe beside live writes and other repairs of the user, and after one that broke off.
        """
        check_text("user", user)
        return sum(self._correct(user, page) for page in self._replayed(user, before))

    def users(self, after: str = "", limit: int = 500) -> list[str]:
        """Return up to `limit` users of legacy, at most 10,000, that sort behind `after` by the bytes of their ids."""
        check_text("after", after)
        check_limit(limit)
        with self._legacy.store.reading() as connection:
            return list(connection.execute(_IN_ORDER, {"after": after, "limit": limit}).scalars())

    def _replayed(self, user: str, before: datetime | None) -> Iterator[list[Memory | None]]:
        """Yield legacy's memories as replays store them, None for one that no replay can."""
        end = None if before is None else as_text(before)
        for page in self._legacy.pages(user):
            replayed = [_replayed(memory) for memory in page]
            # here and not in the query: another system's spelling of a time sorts otherwise
            yield [memory for memory in replayed if memory is None or end is None or memory["created_at"] < end]

    def _correct(self, user: str, page: Sequence[Memory | None]) -> int:
        wanted = [memory for memory in page if memory is not None]
        held = self._enhanced.of_ids(user, [memory["id"] for memory in wanted])
        wrong = (memory for memory in wanted if memory["id"] not in held or not is_same(memory, held[memory["id"]]))
        storable = filter(_could_be_saved, wrong)
        batches = iter(lambda: list(islice(storable, BATCH)), [])
        return sum(self._service.correct(user, batch) for batch in batches)


def _replayed(memory: Memory) -> Memory | None:
    identity = identity_of(memory)
    return None if identity is None else {**memory, "id": identity.id, "created_at": identity.created_at}


def _could_be_saved(memory: Memory) -> bool:
    try:
        json_object("metadata", memory["metadata"])
    except InvalidArgumentError:
        return False
    return is_key(memory["user_id"]) and is_key(memory["memory_type"]) and is_text(memory["content"])
