"""Notes by user, whose enhanced side is a service (`bench.stub`); workers load this module (`GNOMON_OPERATIONS`)."""

from collections import defaultdict
from itertools import count

from gnomon import Gnomon

__all__ = ["TARGETS", "Live", "client"]

#: what `GNOMON_TARGETS` names, for a service on `port`
TARGETS = """
allow_hosts = ["127.0.0.1"]

[targets.notes]
url = "http://127.0.0.1:{port}"
timeout_s = 4.0

[operations."note.list"]
target = "notes"
method = "GET"
path = "/users/{{user}}/notes"

[operations."note.save"]
target = "notes"
method = "PUT"
path = "/users/{{user}}/notes/{{gnomon.origin}}"
"""


class Live:
    """The live application: legacy's notes, and its two operations wrapped."""

    def __init__(self, client: Gnomon) -> None:
        self._numbers = count(1)
        self._notes: defaultdict[str, list[str]] = defaultdict(list)
        self.save = client.operation("note.save", kind="write", user="user")(self._save)
        self.listed = client.operation("note.list", kind="read", user="user")(self._list)

    def _save(self, user: str, text: str) -> int:
        self._notes[user].append(text)
        return next(self._numbers)

    def _list(self, user: str) -> list[str]:
        return list(self._notes[user][-1_000:])


client = Gnomon.from_env()
live = Live(client)
