"""Somebody else takes entries away while they are read: every one that was not applied must be counted.

What is lost is worked out where it happens, in one step of the server: the entries behind the position that has been
applied. What the detector tells must be that number, and its alerts those of all other entries.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.battery.detectors import Detector
from tests.battery.world import World
from tests.test_kill import STREAMS

META = "cep:{test}:meta"
_WAITING = """
local offset = redis.call('HGET', KEYS[2], 'offset:' .. KEYS[1]) or '0-0'
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
for _, id in ipairs(before) do if not there[id] then lost[#lost + 1] = id end end
return lost""",
    "deleted": """
for n, id in ipairs(waiting(3 * ARGV[1])) do
  if n % 3 == 1 then redis.call('XDEL', KEYS[1], id); lost[#lost + 1] = id end
end
return lost""",
    "deleted and begun anew": """
lost = waiting(1000000)
redis.call('DEL', KEYS[1])
return lost""",
}


def trim_races(seconds: float, seed: int) -> Counter[str]:
    """With `--on-gap continue`: many, at full speed; the sum of what is noted is the sum of what was lost."""
    found, rng = Counter[str](), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, seconds, rate=6000) as world:
        detector = world.start("--on-gap", "continue")
        world.feed.start()
        world.wait_for_work(detector)
        lost, began = set[tuple[str, str]](), time.monotonic()
        while time.monotonic() - began < seconds:
            time.sleep(rng.expovariate(8))
            way = rng.choice(("trimmed", "deleted"))
            gone = _take_away(world, way, rng.choice((1, 30, 300)), rng.choice(STREAMS))
            lost |= gone
            found[f"{way}, with loss" if gone else f"{way}, of what was applied"] += 1
        sent = world.feed.stop()
        world.wait_for_end(detector)
        detector.stop()
        if "missing in the state" in detector.said():  # what was applied went too, and no snapshot had it yet
            found["races that took what the state was rebuilt from"] += 1
        else:
            found += world.check([entry for entry in sent if (entry[0], entry[1]) not in lost])
        (end,) = (line for line in detector.messages() if line["message"] == "stopped")
        assert end["lost"] == len(lost), f"seed {seed}: {end['lost']} noted, {len(lost)} lost"
        client = world.server.client()
        for stream in STREAMS:
            added, counted = client.xinfo_stream(stream)["entries-added"], client.hget(META, f"count:{stream}")
            assert added == int(counted), f"{stream}: {added} entries, {counted} accounted for"
        found += Counter({"entries lost": len(lost), "entries lost, counted": end["lost"]})
    return found


def _take_away(world: World, way: str, count: int, stream: str) -> set[tuple[str, str]]:
    gone = world.server.client().eval(_WAITING + WAYS[way], 2, stream, META, count)
    return {(stream, entry.decode()) for entry in gone}


def halts(rounds: int, seed: int) -> Counter[str]:
    """By default the detector ends and tells the number; told to go on, the next one does, and misses nothing else."""
    found, rng = Counter[str](), random.Random(seed)
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed + number, 4, rate=6000) as world:
            detector = world.start()
            world.feed.start()
            world.wait_for_work(detector)
            way, stream, gone = list(WAYS)[number % len(WAYS)], rng.choice(STREAMS), set[tuple[str, str]]()
            while not gone:
                gone = _take_away(world, way, rng.choice((5, 50)), stream)
                time.sleep(0.005)
            if number % 2:
                world.feed.pause()
            is_unknown = way == "deleted and begun anew"
            found += _ended(world, detector, stream, "an unknown number of" if is_unknown else str(len(gone)))
            world.feed.go_on()
            time.sleep(0.2)
            heir = world.start("--on-gap", "continue")
            world.wait_for_work(heir)
            sent = world.feed.stop()
            world.wait_for_end(heir)
            heir.stop()
            if "missing in the state" not in heir.said():
                world.check([entry for entry in sent if (entry[0], entry[1]) not in gone])
            found[f"halted: {way}"] += 1
    return found


def _ended(world: World, detector: Detector, stream: str, number: str) -> Counter[str]:
    assert detector.wait_for_end(30) == 3, detector.said()
    assert f"stream {stream} has lost {number} entries" in detector.said(), f"not {number}: {detector.said()}"
    return Counter({"halts with the exact number": 1})
