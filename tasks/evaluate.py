"""`gnomon.evaluate`: look at the evidence, and roll back where there is harm."""

import contextlib

import redis
import structlog
from celery import shared_task

from gnomon import GnomonError
from gnomon.connecting import connect
from ledger import Ledger, LedgerError
from rollout.evaluating import evaluate as look_and_act
from rollout.looking import Deployment
from worker.lanes import LaneStore
from worker.registry import load_operations
from worker.settings import WorkerSettings, settings

log = structlog.get_logger()


@shared_task(name="gnomon.evaluate", ignore_result=True)
def evaluate() -> str | None:
    """Look once; returns the gate's state, None where nobody could look: then the next one does."""
    try:
        with contextlib.ExitStack() as stack:
            return str(look_and_act(_deployment(settings(), stack)).decision.state)
    except (GnomonError, LedgerError, redis.RedisError, OSError) as error:
        log.error("gate.not_evaluated", error=type(error).__name__)  # noqa: TRY400 — a word will do
        return None


def _deployment(used: WorkerSettings, stack: contextlib.ExitStack) -> Deployment:
    """Open what is needed, for one look: it comes once a minute, and a connection that idles is one to lose."""
    bindings = load_operations(used.operation_modules)
    server = stack.enter_context(contextlib.closing(connect(used.redis_url.get_secret_value())))
    lanes = LaneStore(server, used.namespace)
    ledger = Ledger(used.database_url.get_secret_value(), namespace=used.namespace)
    stack.callback(ledger.close)
    ledger.rollout.sign_with(used.audit_key_bytes)
    return Deployment.of(
        bindings,
        ledger=ledger,
        server=server,
        namespace=used.namespace,
        policy=used.policy,
        oldest_pending=lambda: lanes.oldest(range(used.lanes)),
    )
