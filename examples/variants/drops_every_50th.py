"""The enhanced read drops every 50th memory that it would return.

Which ones is decided by the memory's place in its user's stream: the 50th, 100th, … memory of all types that the user
saved, in the order of (created_at, id). The places stand in the store, so each worker process drops the same ones; and
whoever counts a user's saves in a traffic file, one after another, can tell without asking us which reads lost some:

    a read by user u at which n memories of u are saved returns the newest `limit` of its type;
    it is short by those among them whose place (1 … n) is a multiple of 50

(dropped ones are not made up for by older ones).
"""

from sqlalchemy import bindparam, func, select

from gnomon import Gnomon
from gnomon_memory.enhanced import EnhancedMemory
from gnomon_memory.legacy import LegacyMemory
from gnomon_memory.memory import Memory
from gnomon_memory.registering import register
from gnomon_memory.rental_tables import rental_memories

__all__ = ["EVERY", "DropsEvery50th", "client", "operations"]

EVERY = 50

_of = rental_memories.c
_PLACES = (
    select(_of.origin_id, func.row_number().over(order_by=(_of.created_at, _of.origin_id)).label("place"))
    .where(_of.user_id == bindparam("user_id"))
    .subquery()
)
_DROPPED = select(_PLACES.c.origin_id).where(_PLACES.c.place % EVERY == 0)


class DropsEvery50th(EnhancedMemory):
    """The enhanced system, losing memories on the way out."""

    def get_recent_memories(self, user_id: str, memory_type: str | None = None, limit: int = 10) -> list[Memory]:
        """Return the newest memories but those dropped."""
        memories = super().get_recent_memories(user_id, memory_type, limit)
        with self.service.store.reading() as connection:
            dropped = set(connection.execute(_DROPPED, {"user_id": user_id}).scalars())
        return [memory for memory in memories if memory["id"] not in dropped]


client = Gnomon.from_env()
operations = register(client, LegacyMemory(), DropsEvery50th())
