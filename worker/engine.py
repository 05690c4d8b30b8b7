"""What one worker process needs to drain and sweep: connections, operations, threads; made at the first task."""

import gc
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

import redis
import structlog

from gnomon.appending import SENDER_LIFETIME_MS
from gnomon.connecting import connect
from gnomon.keys import Keys
from gnomon.wire import Kind
from ledger import Ledger, LedgerError
from worker import children, epochs, lifecycle
from worker.application import hint
from worker.drain import Drain
from worker.lanes import LaneStore
from worker.mending import Mender
from worker.pairs import Allowance, Pairs
from worker.pool import ReplayPool
from worker.progress import Away
from worker.registry import clients, load_operations, user_data_of
from worker.replay import Replayer
from worker.resting import Resting
from worker.rulebook import Rulebook
from worker.settings import WorkerSettings, settings
from worker.settling import Settler
from worker.targets.binding import bind
from worker.targets.board import Board
from worker.whereabouts import raised_at

log = structlog.get_logger()

FORGET_S: Final = 600.0
SENDERS_LIVE_US: Final = 2 * SENDER_LIFETIME_MS * 1_000  # longer than Redis knows of them


class Engine:
    """One for a process; never shared across a fork."""

    def __init__(self, used: WorkerSettings) -> None:
        self._settings = used
        self._server = server = connect(used.redis_url.get_secret_value())
        self._lanes = LaneStore(server, used.namespace)
        self._pool = ReplayPool(used.threads)
        self._ledger = Ledger(
            used.database_url.get_secret_value(), namespace=used.namespace, undisturbed=self._pool.silence
        )
        self._bound = bind(load_operations(used.operation_modules), used)
        self._board = Board(server, Keys(used.namespace))
        self._replayer = Replayer(
            self._bound.operations,
            used.replay_timeout_s,
            used.answer_bytes,
            expire_after_s=used.expire_after_s,
            rulebook=Rulebook(self._ledger.rules),
        )
        for client in clients(used.operation_modules):
            client.stand_aside()
        lookout = self._lanes.lookout
        self._mender = Mender(user_data_of(used.operation_modules), lookout.now_us, lookout.latest_us)
        self._pairs = Pairs(
            share=used.pairs_share,
            allowance=Allowance(used.pairs_per_s),
            generate=used.pairs_generate,
            now_us=self._lanes.lookout.now_us,
            resting=Resting(server, Keys(used.namespace)),
        )
        self._settler = Settler(self._lanes, self._ledger, _reads(self._replayer))
        self._forgot = time.monotonic()
        self.exhausted = False  #: threads were left to themselves: the process should be replaced

    @property
    def all_lanes(self) -> range:
        """Every lane of the namespace."""
        return range(self._settings.lanes)

    def drain(self, lane: int) -> Counter[str]:
        """Drain `lane` and further ready ones."""
        drain = Drain(
            lanes=self._lanes,
            ledger=self._ledger,
            replayer=self._replayer,
            pool=self._pool,
            all_lanes=self.all_lanes,
            share=-(-self._settings.lanes // self._settings.concurrency),
            hint=hint,
            mender=self._mender,
            pairs=self._pairs,
            guards=self._bound.guards,
            board=self._board,
            stopping=lifecycle.stopping,
            spent=children.spent,
            turned=lifecycle.turned,
        )
        try:
            drain.run(lane)
        except (LedgerError, redis.RedisError, OSError) as error:
            # nothing was committed that was not also recorded; the sweeper asks again
            lifecycle.interrupted(Away.LEDGER if isinstance(error, LedgerError) else Away.REDIS)
            log.error("drain.interrupted", error=type(error).__name__, detail=str(error))  # noqa: TRY400 — a word will do
        except Exception as error:  # an error of ours must not end the worker, and its message may hold a payload
            log.error("drain.failed", error=type(error).__name__, at=raised_at(error))  # noqa: TRY400
        self.exhausted = drain.abandoned > 0
        log.info("drain.done", **drain.counts)
        return drain.counts

    def sweep(self) -> Counter[str]:
        """Ask again for lanes that nobody drains, take in what was sent, book what is lost, forget the long dead."""
        asked = self._ask(self._lanes.unhinted(self.all_lanes))
        asked += self._ask(self._lanes.unasked(self._lanes.empty(self._ledger.retrying())))
        told = self._lanes.senders.changed(self.all_lanes)
        self._ledger.fold(told.sent)
        self._lanes.senders.taken(told)
        lost = self._settler.look()
        self._forget()
        self._keep_epoch()
        log.info("sweep.done", hinted=asked, lost=lost)
        return Counter(hinted=asked, lost=lost)

    def retain(self) -> Counter[str]:
        """Drop what the ledger need not keep any longer, and make room for the days to come."""
        done = self._ledger.retain(self._settings.retention_days)
        log.info("retain.done", made=done.made, dropped=done.dropped, deleted=done.deleted)
        return Counter(made=done.made, dropped=done.dropped, deleted=done.deleted)

    def _ask(self, lanes: Sequence[int]) -> int:
        for lane in lanes:
            hint(lane)
        return len(lanes)

    def _keep_epoch(self) -> None:
        """End rules whose time is over, and have captures stamped with the epoch that is open."""
        if ended := self._ledger.expire_rules():
            log.info("rules.expired", rules=ended.rules, version=ended.version, epoch=ended.epoch)
        epochs.stamp(self._server, Keys(self._settings.namespace), self._ledger)

    def _forget(self) -> None:
        self._lanes.lookout.forget_dead()
        if time.monotonic() - self._forgot > FORGET_S:
            self._forgot = time.monotonic()
            lookout = self._lanes.lookout
            self._ledger.forget_senders(lookout.now_us() - SENDERS_LIVE_US, lookout.alive())

    def close(self) -> None:
        """Close connections; threads end with the process."""
        self._pool.close()
        self._bound.close()
        self._lanes.close()
        self._ledger.close()


def _reads(replayer: Replayer) -> frozenset[str]:
    """Return the operations whose loss can change nothing."""
    return frozenset(name for name, binding in replayer.operations.items() if binding.kind is not Kind.WRITE)


_engine: Engine | None = None


def engine() -> Engine:
    """Return this process's engine."""
    global _engine  # noqa: PLW0603 — one for a process is the point
    if _engine is None:
        _engine = Engine(settings())
        gc.freeze()  # what it has loaded, such as SQLAlchemy, lives as long as the process
    return _engine


def forget() -> None:
    """Begin without an engine: called in each new child."""
    global _engine  # noqa: PLW0603
    _engine = None
