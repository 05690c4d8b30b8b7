"""What lies in lanes and queue comes twice, in another order, or not at all."""

import random
from collections.abc import Iterator

import redis

from tests.chaos.naming import fault
from tests.chaos.rig import LANES
from tests.chaos.trial import Trial, lasting


@fault("entries twice", "a copy of every entry that waits in a lane added behind it")
def _twice(trial: Trial) -> Iterator[None]:
    _rearranged(trial, keep=True)
    yield


@fault("entries shuffled", "all entries that wait in a lane taken out and added again in another order")
def _shuffled(trial: Trial) -> Iterator[None]:
    _rearranged(trial, keep=False)
    yield


def _rearranged(trial: Trial, *, keep: bool) -> None:
    moved, chance = 0, random.Random(trial.seed)
    with trial.rig.server() as server:
        for _ in range(trial.size.times):
            with trial.rig.workers[0].frozen():
                trial.hold(1)
                moved += sum(_rearrange(server, stream, chance, keep=keep) for stream in _streams(trial))
            trial.hold(1)
    trial.note(f"{moved:,} entries added again")


def _streams(trial: Trial) -> list[str]:
    return [trial.rig.keys.lane(lane).stream for lane in range(LANES)]


def _rearrange(server: "redis.Redis", stream: str, chance: random.Random, *, keep: bool) -> int:
    """Add all entries of a lane again, in one go: no live process appends in between."""
    with server.pipeline() as pipeline:
        while True:
            try:
                pipeline.watch(stream)
                found = pipeline.xrange(stream)
                chance.shuffle(found)
                pipeline.multi()
                for raw, fields in found:
                    if not keep:
                        pipeline.xdel(stream, raw)
                    pipeline.xadd(stream, fields)
                pipeline.execute()
            except redis.WatchError:
                continue
            return len(found)


@fault("hints doubled and dropped", "every drain hint sent three times, then none for a while, in turns")
def _hints(trial: Trial) -> Iterator[None]:
    queue, turn, doubled, dropped = trial.rig.keys.queue, 0, 0, 0
    with trial.rig.server() as server, lasting(trial, 0.02) as still:
        while still():
            waiting, turn = server.lrange(queue, 0, -1), turn + 1
            if waiting and turn % 2:
                dropped += len(waiting)
                server.delete(queue)
            elif waiting:
                doubled += len(waiting)
                server.lpush(queue, *waiting, *waiting)
    trial.note(f"{doubled:,} doubled, {dropped:,} dropped")
    yield
