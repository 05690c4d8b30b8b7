"""What lies in lanes and queue comes twice, in another order, or not at all."""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.chaos.naming import fault
from tests.chaos.rig import LANES
from tests.chaos.trial import Trial, lasting

if TYPE_CHECKING:
    import redis

# KEYS stream · ARGV seed, 1 where entries stay where they are as well. Returns how many were added again.
REARRANGE = """
local found = redis.call('XRANGE', KEYS[1], '-', '+')
math.randomseed(tonumber(ARGV[1]))
for i = #found, 2, -1 do
  local other = math.random(i)
  found[i], found[other] = found[other], found[i]
end
for _, entry in ipairs(found) do
  if ARGV[2] == '0' then redis.call('XDEL', KEYS[1], entry[1]) end
  redis.call('XADD', KEYS[1], '*', unpack(entry[2]))
end
return #found
"""


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
    return int(server.eval(REARRANGE, 1, stream, chance.randrange(2**31), int(keep)))


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
