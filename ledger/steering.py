"""What people and the gate do to the rollout, in the ledger: each change in a transaction with its row of the audit."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from sqlalchemy import Connection

from ledger import complaints, reviews, rollouts
from ledger.audit import Audit, Checked, Entry, entries
from ledger.complaints import ComplaintState, Filed, KeptComplaint
from ledger.reviews import Choice, Review
from ledger.rollouts import Evaluation
from ledger.texts import storable

GATE: Final = "gate"  #: who acts where no person does

Body = Mapping[str, Any]


class Steering:
    """Changes of the rollout; `body` is what a decision was made from, kept so that it can be made again."""

    def __init__(
        self,
        transaction: Callable[[], AbstractContextManager[Connection]],
        connected: Callable[[], AbstractContextManager[Connection]],
    ) -> None:
        self._transaction = transaction
        self._connected = connected
        self._audit = Audit()

    def sign_with(self, key: bytes) -> None:
        """Make and check the audit's digests with a key from now on."""
        self._audit = Audit(key)

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        with self._transaction() as connection:
            rollouts.lock(connection)
            yield connection

    def _note(self, connection: Connection, actor: str, action: str, **body: Any) -> None:
        self._audit.add(connection, actor=actor, action=action, body=body)

    # --- the gate

    def put_under(self, policy: str, document: Body) -> int:
        """See that the open epoch is under a policy; returns the epoch that is open then."""
        with self._changing() as connection:
            before = rollouts.RolloutReading(connection).opened()
            epoch = rollouts.put_under(connection, policy)
            if before.policy != policy:
                self._note(connection, GATE, "policy", epoch=epoch, policy=document, digest=policy)
            return epoch

    def put_build(self, build: str) -> int | None:
        """See that the open epoch is of a build; returns the epoch opened for it, None where it was."""
        build = storable(build, 200)
        with self._changing() as connection:
            opened = rollouts.put_build(connection, build)
            if opened is not None:
                self._note(connection, GATE, "build", opened=opened, build=build)
            return opened

    def evaluated(self, found: Evaluation, body: Body | None = None) -> None:
        """Keep an evaluation; with `body` also in the audit."""
        with self._changing() as connection:
            rollouts.keep(connection, found)
            if body is not None:
                self._note(connection, GATE, "evaluate", **body)

    def approve(self, *, epoch: int, evidence: str, review: str, by: str, why: str, body: Body) -> int:
        """Keep a person's approval; raises MovedOnError."""
        with self._changing() as connection:
            number = rollouts.approve(connection, epoch=epoch, evidence=evidence, review=review, by=by, why=why)
            self._note(connection, by, "approve", review=review, why=why, **body)
            return number

    def promote(self, *, epoch: int, share: int, policy: str, flags: int, by: str, why: str, body: Body) -> int:
        """Open the epoch of the next stage, where `epoch` is still open; returns its number. Raises MovedOnError."""
        with self._changing() as connection:
            opened = rollouts.advance(connection, epoch, by=by, why=why, share=share, policy=policy, flags=flags)
            self._note(connection, by, "promote", to=share, opened=opened, why=why, **body)
            return opened

    def rolled_back(
        self, *, epoch: int, by: str, why: str, barred: str | None, switched_off: Iterable[str], body: Body
    ) -> int:
        """Record a rollback that is in force: the epoch ends, and nothing is promoted until a person resumes."""
        with self._changing() as connection:
            opened = rollouts.advance(connection, epoch, by=by, why=why, share=0, flags=-1)
            rollouts.note_rolled_back(connection, why=why, barred=barred, switched_off=switched_off)
            self._note(connection, by, "rollback", opened=opened, why=why, **body)
            return opened

    # --- people

    def pause(self, *, by: str, why: str) -> None:
        """Let the rollout rest; raises PausedError."""
        with self._changing() as connection:
            rollouts.pause(connection, by=by, why=why)
            self._note(connection, by, "pause", why=why)

    def resume(self, *, by: str, why: str) -> None:
        """Let a paused rollout go on; raises PausedError."""
        with self._changing() as connection:
            rollouts.resume(connection, by=by)
            self._note(connection, by, "resume", why=why)

    def begin_again(self, *, epoch: int, build: str, by: str, why: str) -> int:
        """Begin anew at stage 0 with a build, after a rollback or instead of another build; raises MovedOnError."""
        with self._changing() as connection:
            opened = rollouts.advance(connection, epoch, by=by, why=why, share=0, build=build, flags=-1)
            rollouts.note_resumed(connection, by=by)
            self._note(connection, by, "resume", opened=opened, build=build, why=why)
            return opened

    def review(self, group: str, choice: Choice, *, by: str, why: str) -> Review:
        """Keep what a person decided of a group; raises ReviewError."""
        with self._changing() as connection:
            made = reviews.review(connection, group, choice, by=by, why=why)
            self._note(connection, by, f"group.{choice}", group=group, why=why, epoch=made.epoch)
            return made

    # --- complaints

    def take_complaints(self, filed: Iterable[Filed]) -> None:
        """Take complaints in, each once, and note that they were asked for just now."""
        with self._changing() as connection:
            complaints.take_in(connection, filed)
            rollouts.note_complaints_read(connection)

    def check_complaint(self, complaint: str, *, by: str) -> None:
        """Raise ComplaintError where somebody cannot decide a complaint."""
        with self._connected() as connection:
            complaints.check(connection, complaint, by=storable(by, 200))

    def decide_complaint(self, complaint: str, state: ComplaintState, *, by: str, why: str) -> KeptComplaint:
        """Confirm or dismiss a complaint; raises ComplaintError."""
        with self._changing() as connection:
            decided = complaints.decide(connection, complaint, state, by=by, why=why)
            self._note(connection, by, f"complaint.{state}", complaint=complaint, why=why)
            return decided

    # --- the audit

    def check_audit(self) -> Checked:
        """Check the audit from its first row to its last."""
        with self._connected() as connection:
            return self._audit.check(connection)

    def audited(self) -> Iterator[Entry]:
        """Yield the rows of the audit, the first first."""
        with self._connected() as connection:
            yield from entries(connection)
