"""Has live processes stamp captures with the epoch that is open in the ledger: the sweep sees to it.

The ledger opens an epoch, the flags carry its number to whoever makes calls. Between the two lies the time that worker
processes take to judge by the rules of that epoch, so that none of its captures is judged by older ones.
"""

from typing import cast

import redis
import structlog

from gnomon.errors import FlagError
from gnomon.flags import with_epoch
from gnomon.keys import Keys
from gnomon.switchboard import change_flags, read_flags
from ledger import PICKED_UP_S, Ledger

log = structlog.get_logger()


def stamp(server: "redis.Redis", keys: Keys, ledger: Ledger) -> bool:
    """Put the number of the open epoch into the flags where it is time to; returns whether that was so.

    Raises redis.RedisError and LedgerError.
    """
    with ledger.reading() as reading:
        row = reading.epoch()
        age_s = (reading.now() - row.opened_at).total_seconds()
    try:
        stored = read_flags(server, keys)
        if stored.epoch >= row.epoch or age_s < PICKED_UP_S or (not stored.version and _had_flags(server, keys)):
            return False
        change_flags(server, keys, lambda stored: with_epoch(stored, row.epoch))
    except FlagError as error:
        log.warning("epoch.not_stamped", epoch=row.epoch, error=str(error))
        return False
    log.info("epoch.stamped", epoch=row.epoch)
    return True


def _had_flags(server: "redis.Redis", keys: Keys) -> bool:
    """Tell whether a live process knows flags.

    Where none are stored, Redis has lost them: whoever is enabled by them is to be served by legacy until people have
    stored them again, not by what the environment says.
    """
    pipeline = server.pipeline(transaction=False)
    for name in cast("list[bytes]", server.zrange(keys.producers, 0, -1)):
        pipeline.hget(keys.producer(name.decode()), "flags")
    return any(said not in (None, b"", b"0") for said in pipeline.execute())
