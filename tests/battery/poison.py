"""An entry that kills whoever applies it: by a crash, the end of the process, or a loop without end."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path

from cep.adapters.cli.detector import build
from cep.adapters.redis.keys import Keys
from cep.lang import load
from tests.battery.world import World, read_all, uninterrupted
from tests.test_kill import STREAMS, Entry

# One stream that waits for nobody: an event that is held back kills when it is let go, and then others seem to have.
RULES = """
stream payments time ts type type
event payment from payments (card text, amount number, country text)
function risk from "deadly:risk"
rule risky by card within 3m
  match each
  when payment as p where risk(amount) > 50
  then payment as q where risk(amount) > p.amount
  alert low "{card}: {p.amount}"
rule large by card within 3m
  when payment as p where risk(amount) > 100
  alert low "{card}: {p.amount}"
"""
WAYS = {
    "exits": "os._exit(1)",
    "segfaults": "ctypes.string_at(0)",
    "loops": "while True: pass",
}
MODULE = """
import ctypes, os

def risk(amount):
    if (amount == 66666.5).any():
        {act}
    return amount
"""
TRIES_MAX = 11
_TIME = re.compile(rb'{"type":"payment","ts":(\d+)')


def poison(way: str, seed: int, count: int = 1) -> Counter[str]:
    """It is put aside after its tries, and all others are applied."""
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, 1) as world:
        (world.rules / "more.cep").write_text(RULES, "utf-8")
        (world.rules / "deadly.py").write_text(MODULE.format(act=WAYS[way]), "utf-8")
        given, deadly = _poisoned([entry for entry in world.entries[:9000] if entry[0] == STREAMS[0]], count)
        client = world.server.client()
        with client.pipeline(transaction=False) as pipeline:
            for stream, entry, text in given:
                pipeline.xadd(stream, {"event": text}, id=entry)
            pipeline.execute()
        deaths = 0
        while True:
            detector = world.start("--watchdog-seconds", "1")
            try:
                detector.wait(lambda: world.is_at_end(Keys("test", "test"), STREAMS[:1]), "at the end")
                break
            except AssertionError:
                assert detector.process.exitcode is not None, detector.said()
                deaths += 1
                assert deaths <= TRIES_MAX * count, detector.said()
        detector.stop()
        aside = [fields for _, fields in read_all(client, "test:dlq") if fields[b"reason"] == b"poison"]
        assert [(f[b"stream"].decode(), f[b"id"].decode()) for f in aside] == [entry[:2] for entry in deadly]
        rules = load([world.rules / "more.cep"]).ruleset
        assert rules is not None
        wanted = uninterrupted([entry for entry in given if entry not in deadly], STREAMS[:1], build(rules)[0])
        found = [fields[b"alert"] for _, fields in read_all(client, "test")]
        assert [_event(alert) for alert in found] == [_event(alert) for alert in wanted.delivered()]
        return Counter({f"poison: {way}": count, "deaths by poison": deaths, "alerts": len(found)})


def _event(alert: bytes) -> bytes:
    """An alert without the folder of its rule."""
    return alert.partition(b'"file":"')[0] + alert.partition(b'"line":')[2]


def _poisoned(given: list[Entry], count: int) -> tuple[list[Entry], list[Entry]]:
    """Some entries in the middle become deadly."""
    latest, places = 0, list[int]()
    for place, (_, _, text) in enumerate(given):
        found = _TIME.match(text)
        if found and b"[" not in text and int(found[1]) > latest:  # it can be read, and is not late
            latest = int(found[1])
            places.append(place)
    deadly = []
    for number in range(count):
        place = places[(number + 1) * len(places) // (count + 2)]
        stream, at, text = given[place]
        head, _, tail = text.partition(b'"amount":')
        given[place] = (stream, at, head + b'"amount":66666.5,' + tail.partition(b",")[2])
        deadly.append(given[place])
    return given, deadly
