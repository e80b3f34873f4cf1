"""Rules change while the detector that runs them is killed: those that stay go on with their state."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.battery.world import World
from tests.test_kill import RULES

EXTRA = """
rule never_{n} by card within 5m
  match each
  when payment as p where amount < 0
  then payment as q where amount < p.amount - {n}
  alert low "{{card}}"
"""


def rule_changes(seconds: float, seed: int) -> Counter[str]:
    """Rules that nothing fulfils come and go behind the others, with kills at any moment between."""
    found, rng = Counter[str](), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, seconds, rate=800) as world:
        detector = world.start()
        world.feed.start()
        world.wait_for_work(detector)
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            text = RULES + "".join(EXTRA.format(n=n) for n in rng.sample(range(9), rng.randrange(3)))
            (world.rules / "next").write_text(text, "utf-8")
            os.replace(world.rules / "next", world.rules / "more.cep")
            found["rule files replaced"] += 1
            time.sleep(rng.uniform(0, 0.6))
            if rng.random() < 0.5:
                found["changes that took over"] += detector.said().count('"rules changed"')
                detector.kill()
                found["kill -9 of the detector"] += 1
                detector = world.start()
                world.wait_for_work(detector)
        sent = world.feed.stop()
        world.wait_for_end(detector)
        detector.stop()
        found["changes that took over"] += detector.said().count('"rules changed"')
        return found + world.check(sent)
