"""The audit: everything that was decided or done to the rollout, one row each, chained by digests and only ever added.

A row's digest is over all that it says and the digest of the row before, so an edited row, one taken out and one put in
between show where the chain breaks; the number and digest of the last row are kept apart, so a cut end shows too. With
a key (GNOMON_AUDIT_KEY) digests are HMACs: then nobody without it can write a chain that holds.
"""

import hashlib
import hmac
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, insert, select

from ledger.rollout_models import ONLY, AuditHeadRow, AuditRow
from ledger.texts import storable
from ledger.upsert import put

FIRST: Final = "0" * 64  #: what the first row has for the digest of the one before
_canonical = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the audit, read back."""

    number: int
    at: str
    actor: str
    action: str
    body: dict[str, Any]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of checking the chain: how many rows hold, the last digest, and what is wrong first, if anything."""

    rows: int
    head: str
    problem: str = ""


class Audit:
    """The audit of a ledger, under a key or none."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key

    def add(self, connection: Connection, *, actor: str, action: str, body: dict[str, Any]) -> Entry:
        """Add a row, in the transaction that does what it tells of; whoever writes holds the rollout's lock."""
        head = connection.execute(select(AuditHeadRow.number, AuditHeadRow.digest)).one_or_none()
        number, previous = (head.number, head.digest) if head else (0, FIRST)
        packed = zlib.compress(_canonical.encode(body), 6)
        row = {
            "number": number + 1,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "actor": storable(actor, 200),
            "action": action,
            "body": packed,
            "previous": previous,
        }
        digest = self._digest(row)
        connection.execute(insert(AuditRow).values(**row, digest=digest))
        put(connection, AuditHeadRow, [{"id": ONLY, "number": number + 1, "digest": digest}])
        return _entry({**row, "digest": digest})

    def check(self, connection: Connection) -> Checked:
        """Check the chain from its first row to its last."""
        rows, previous = 0, FIRST
        for row in connection.execute(select(AuditRow.__table__).order_by(AuditRow.number)).mappings():
            problem = self._problem(dict(row), rows + 1, previous)
            if problem:
                return Checked(rows=rows, head=previous, problem=problem)
            rows, previous = rows + 1, row["digest"]
        head = connection.execute(select(AuditHeadRow.number, AuditHeadRow.digest)).one_or_none()
        known = (head.number, head.digest) if head else (0, FIRST)
        if known == (rows, previous):
            return Checked(rows=rows, head=previous)
        return Checked(rows=rows, head=previous, problem=_cut(rows, known[0]))

    def _problem(self, row: dict[str, Any], expected: int, previous: str) -> str:
        number = row["number"]
        if number != expected:
            return f"row {expected} was deleted: after row {expected - 1} comes row {number}"
        if row["previous"] != previous:
            return f"row {number} does not follow row {number - 1}: one of the two was put in another's place"
        if not hmac.compare_digest(self._digest(row), row["digest"]):
            return f"row {number} was edited: it does not say what its digest was made of"
        return ""

    def _digest(self, row: dict[str, Any]) -> str:
        parts = [str(row[name]) for name in ("number", "at", "actor", "action", "previous")]
        content = _canonical.encode(parts) + hashlib.sha256(row["body"]).digest()
        if self._key:
            return hmac.new(self._key, content, hashlib.sha256).hexdigest()
        return hashlib.sha256(content).hexdigest()


def entries(connection: Connection) -> Iterator[Entry]:
    """Yield the rows of an audit, the first first."""
    for row in connection.execute(select(AuditRow.__table__).order_by(AuditRow.number)).mappings():
        yield _entry(dict(row))


def _entry(row: dict[str, Any]) -> Entry:
    body = msgspec.json.decode(zlib.decompress(row["body"]))
    known = {name: row[name] for name in ("number", "at", "actor", "action", "digest")}
    return Entry(**known, body=body)


def _cut(rows: int, known: int) -> str:
    if known > rows:
        gone = f"row {rows + 1} was" if known == rows + 1 else f"rows {rows + 1} to {known} were"
        return f"{gone} deleted: the end of the audit was cut off"
    return f"the audit has {rows} rows, and its last is known to be row {known}: rows were added, or the mark set back"
