"""Somebody else takes entries away while they are read: every one that was not applied must be counted.

What is lost is worked out where it happens, in one step of the server: the entries behind the position that has been
applied. What the detector tells must be that number, each entry must be either applied or counted, and the alerts must
be those of all other entries. Of a stream that was deleted nobody can know how many there were.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cep.adapters.redis.keys import Keys
from cep.adapters.redis.words import entry_id
from tests.battery.detectors import Detector
from tests.battery.history import check_history
from tests.battery.ledger import Taken, balance
from tests.battery.world import World
from tests.test_kill import STREAMS, Entry

META = "cep:{test}:meta"
ROUND_S = 15.0
_WAITING = """
local offset = redis.call('HGET', KEYS[2], 'offset:' .. KEYS[1]) or '0-0'
local last = ''
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
end
local lost = {}
local function waiting(most)
  local ids = {}
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. offset, '+', 'COUNT', most)) do
    ids[#ids + 1] = entry[1]
  end
  return ids
end
"""
WAYS = {  # argument: how many entries, about
    "trimmed": """
local before = waiting(1000000)
redis.call('XTRIM', KEYS[1], 'MAXLEN', math.max(0, #before - ARGV[1]))
local there = {}
for _, id in ipairs(waiting(1000000)) do there[id] = true end
for _, id in ipairs(before) do if not there[id] then lost[#lost + 1] = id end end""",
    "deleted": """
for n, id in ipairs(waiting(3 * ARGV[1])) do
  if n % 3 == 1 then redis.call('XDEL', KEYS[1], id); lost[#lost + 1] = id end
end""",
    "deleted and begun anew": """
lost = waiting(1000000)
redis.call('DEL', KEYS[1])""",
}
_TAKEN = """
table.insert(lost, 1, redis.call('HGET', KEYS[2], 'seq') or '0')
table.insert(lost, 2, last)
return lost"""
MIXES = (("deleted",), ("trimmed", "deleted"), tuple(WAYS))  # one a round; XTRIM takes what was applied as well


def trim_races(seconds: float, seed: int) -> Counter[str]:
    """With `--on-gap continue`: many, at full speed, and each entry accounted for."""
    found, began = Counter[str](), time.monotonic()
    while (left := seconds - (time.monotonic() - began)) > 0:
        found += _races(min(left, ROUND_S), seed := seed + 1, MIXES[seed % len(MIXES)])
    return found


def _races(seconds: float, seed: int, ways: Sequence[str]) -> Counter[str]:
    found, rng = Counter[str](), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, seconds, rate=6000) as world:
        detector = world.start("--on-gap", "continue", forgets=False)
        world.feed.start()
        world.wait_for_work(detector)
        taken, began = list[Taken](), time.monotonic()
        while time.monotonic() - began < seconds:
            time.sleep(rng.expovariate(8))
            way = rng.choice(ways)
            taken.append(take_away(world, way, rng.choice((1, 30, 300)), rng.choice(STREAMS)))
            found[f"{way}, with loss" if taken[-1].ids else f"{way}, of what was applied"] += 1
        _wait_for_streams(world, detector)
        sent = world.feed.stop()
        world.wait_for_end(detector)
        detector.stop()
        found += _accounted(world, detector, sent, taken, ways)
    return found


def _wait_for_streams(world: World, detector: Detector) -> None:
    """Until what was deleted is there again."""
    detector.wait(lambda: world.server.client().exists(*STREAMS) == len(STREAMS), "given new entries")
    world.wait_for_work(detector)


def _accounted(
    world: World, detector: Detector, sent: Sequence[Entry], taken: Sequence[Taken], ways: Sequence[str]
) -> Counter[str]:
    """Compare what the detector has said, the journal and the alerts with what there was."""
    books = balance(world.server.client(), Keys("test", "test"), STREAMS, sent, taken)
    (end,) = (line for line in detector.messages() if line["message"] == "stopped")
    seed = f"seed {world.seed}"
    assert end["lost"] == books["lost, counted"], f"{seed}: {end['lost']} told, {books['lost, counted']} in the journal"
    read = end["events"] + end["bad"] + end["unknown"]
    assert read == books["applied"], f"{seed}: {read} events were read, of {books['applied']} entries"
    if "missing in the state" in detector.said():  # what was applied went too, and no snapshot had it yet
        assert "trimmed" in ways, f"{seed}: {detector.said()}"
        check_history(world.server.client(), Keys("test", "test"), STREAMS, sent)
        books["rounds in which others took what the state was rebuilt from"] += 1
    else:
        lost = {(each.stream, entry) for each in taken for entry in each.ids}
        books["alerts compared"] += world.check([e for e in sent if (e[0], e[1]) not in lost])["alerts"]
    return books


def take_away(world: World, way: str, count: int, stream: str) -> Taken:
    """Some entries of a stream, in one of the ways."""
    seq, end, *gone = world.server.client().eval(_WAITING + WAYS[way] + _TAKEN, 2, stream, META, count)
    is_deleted = way == "deleted and begun anew" and end
    return Taken(stream, int(seq), frozenset(map(bytes.decode, gone)), entry_id(end.decode()) if is_deleted else None)


def halts(rounds: int, seed: int) -> Counter[str]:
    """By default the detector ends and tells the number; told to go on, the next one does, and misses nothing else."""
    found, rng = Counter[str](), random.Random(seed)
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed + number, 4, rate=6000) as world:
            detector = world.start(forgets=False)  # where the journal has the gap, the entries can be compared
            world.feed.start()
            world.wait_for_work(detector)
            way, stream, gone = list(WAYS)[number % len(WAYS)], rng.choice(STREAMS), frozenset[str]()
            while not gone:
                gone = take_away(world, way, rng.choice((5, 50)), stream).ids
                time.sleep(0.005)
            is_unknown = way == "deleted and begun anew"
            while is_unknown and not world.server.client().exists(stream):
                time.sleep(0.005)  # a stream that stays away is waited for
            if number % 2:
                world.feed.pause()
            found += _ended(world, detector, stream, "an unknown number of" if is_unknown else str(len(gone)))
            world.feed.go_on()
            time.sleep(0.2)
            heir = world.start("--on-gap", "continue", forgets=False)
            world.wait_for_work(heir)
            sent = world.feed.stop()
            world.wait_for_end(heir)
            heir.stop()
            if "missing in the state" not in heir.said():
                world.check([entry for entry in sent if entry[0] != stream or entry[1] not in gone])
            found[f"halted: {way}"] += 1
    return found


def _ended(world: World, detector: Detector, stream: str, number: str) -> Counter[str]:
    assert detector.wait_for_end(30) == 3, detector.said()
    assert f"stream {stream} has lost {number} entries" in detector.said(), f"not {number}: {detector.said()}"
    return Counter({"halts with the exact number": 1})
