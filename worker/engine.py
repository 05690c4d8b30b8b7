"""What one worker process needs to drain and sweep: connections, operations, threads; made at the first task."""

from collections import Counter

import redis
import structlog

from gnomon.connecting import connect
from ledger import Ledger, LedgerError
from worker.application import hint
from worker.drain import Drain
from worker.lanes import LaneStore
from worker.mending import Mender
from worker.pool import ReplayPool
from worker.registry import clients, load_operations, user_data_of
from worker.replay import Replayer
from worker.settings import WorkerSettings, settings

log = structlog.get_logger()


class Engine:
    """One for a process; never shared across a fork."""

    def __init__(self, used: WorkerSettings) -> None:
        self._settings = used
        self._lanes = LaneStore(connect(used.redis_url.get_secret_value()), used.namespace)
        self._ledger = Ledger(used.database_url.get_secret_value(), namespace=used.namespace)
        self._replayer = Replayer(load_operations(used.operation_modules), used.replay_timeout_s)
        for client in clients(used.operation_modules):
            client.stand_aside()
        self._mender = Mender(user_data_of(used.operation_modules), self._lanes.lookout.now_us)
        self._pool = ReplayPool(used.threads)
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
        )
        try:
            drain.run(lane)
        except (LedgerError, redis.RedisError, OSError) as error:
            # nothing was committed that was not also recorded; the sweeper asks again
            log.error("drain.interrupted", error=type(error).__name__, detail=str(error))  # noqa: TRY400 — a word will do
        except Exception as error:  # an error of ours must not end the worker, and its message may hold a payload
            log.error("drain.failed", error=type(error).__name__)  # noqa: TRY400
        self.exhausted = drain.abandoned > 0
        log.info("drain.done", **drain.counts)
        return drain.counts

    def sweep(self) -> Counter[str]:
        """Ask again for lanes that nobody drains, fold the lanes' funnels, forget processes that died long ago."""
        asked = self._lanes.unhinted(self.all_lanes)
        for lane in asked:
            hint(lane)
        self._ledger.fold_funnels(self._lanes.funnels(self.all_lanes))
        self._lanes.lookout.forget_dead()
        log.info("sweep.done", hinted=len(asked))
        return Counter(hinted=len(asked))

    def close(self) -> None:
        """Close connections; threads end with the process."""
        self._pool.close()
        self._lanes.close()
        self._ledger.close()


_engine: Engine | None = None


def engine() -> Engine:
    """Return this process's engine."""
    global _engine  # noqa: PLW0603 — one for a process is the point
    if _engine is None:
        _engine = Engine(settings())
    return _engine


def forget() -> None:
    """Begin without an engine: called in each new child."""
    global _engine  # noqa: PLW0603
    _engine = None
