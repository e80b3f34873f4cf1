"""Who has the log: owners that sleep past their lease and wake up, and workers that come and go."""

from __future__ import annotations

import random
import signal
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

from cep.adapters.redis.keys import Keys
from tests.battery.detectors import Detector
from tests.battery.world import Feed, World, divided

PAIRS = 6
PARTITIONS = 8
LOOK_S = 0.01


def zombies(seconds: float, seed: int, pairs: int = PAIRS) -> Counter[str]:
    """An owner is stopped past its lease, another takes over, the first wakes up in the middle of what it did."""
    found, rng = Counter[str](), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, seconds, rate=800) as world:
        names = [f"g{n}" for n in range(pairs)]
        owners = {group: world.start("--worker", "w0", group=group) for group in names}
        world.feed.start()
        for group, owner in owners.items():
            world.wait_for_work(owner, group)
        began, number = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            number += 1
            heirs = {group: world.start("--worker", f"w{number}", group=group) for group in names}
            time.sleep(rng.uniform(0.3, 0.6))
            for owner in owners.values():
                time.sleep(rng.uniform(0, 0.05))
                owner.signal(signal.SIGSTOP)
            for group, heir in heirs.items():
                world.wait_for_work(heir, group)
            time.sleep(rng.uniform(0, 0.2))
            for owner in owners.values():
                owner.signal(signal.SIGCONT)
            for group, owner in owners.items():
                assert owner.wait_for_end() != 0, f"{group}: the old owner goes on: {owner.said()}"
                said = owner.said()
                assert "CEPFENCED" in said or "holds it" in said, said
                found["zombies"] += 1
                found["zombies fenced at once"] += "CEPFENCED" in said
            owners = heirs
        sent = world.feed.stop()
        for group, owner in owners.items():
            world.wait_for_end(owner, group)
            owner.stop()
            found += world.check(sent, group)
    return found


def rebalances(seconds: float, seed: int) -> Counter[str]:
    """Workers that share partitions come, go in peace, and are killed, while entries come in."""
    found, rng = Counter[str](), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, seconds, rate=2000) as world:
        parts = divided(world.entries, PARTITIONS)
        number_of = {entry[1]: number for number, part in enumerate(parts) for entry in part}
        tagged = [(stream + Keys("test", partition=number_of[at]).tag, at, text) for stream, at, text in world.entries]
        world.feed = Feed(world.server.client, tagged, 2000)
        watch = _Watch(world)
        workers, count = [_worker(world, 0)], 1
        world.feed.start()
        watch.start()
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            time.sleep(rng.uniform(1.0, 2.5))
            if len(workers) < 2 or (len(workers) < 4 and rng.random() < 0.5):
                workers.append(_worker(world, count))
                count += 1
                found["workers that came"] += 1
            elif rng.random() < 0.6:
                workers.pop(rng.randrange(len(workers))).stop(may_be_young=True)
                found["workers that went"] += 1
            else:
                workers.pop(rng.randrange(len(workers))).kill()
                found["workers killed"] += 1
        sent = world.feed.stop()
        for number in range(PARTITIONS):
            workers[0].wait(lambda n=number: world.is_at_end(Keys("test", "test", n)), f"at the end of {number}")
        watch.stop()
        for worker in workers:
            worker.stop(may_be_young=True)
        own = [[(e[0].partition(":")[0], *e[1:]) for e in sent if number_of[e[1]] == n] for n in range(PARTITIONS)]
        for number, part in enumerate(own):
            found += world.check(part, partition=number)
        text = (world.folder / "test.log").read_text()
        found["partitions moved"] = text.count('"partition taken"') - PARTITIONS
        found["pause of a partition, p50 ms"], found["pause of a partition, p99 ms"] = watch.percentiles()
        found["longest pause, ms"] = int(max(watch.pauses_ms, default=0))
    return found


def _worker(world: World, number: int) -> Detector:
    return world.start("--partitions", str(PARTITIONS), "--worker", f"w{number}")


class _Watch(threading.Thread):
    """How long a partition that has entries waiting commits nothing, when that is more than a fifth of a second."""

    def __init__(self, world: World) -> None:
        super().__init__(daemon=True)
        self._world, self._done, self.pauses_ms = world, threading.Event(), list[float]()

    def run(self) -> None:
        client, since = self._world.server.client(), [time.monotonic()] * PARTITIONS
        before = [b""] * PARTITIONS
        while not self._done.wait(LOOK_S):
            for number in range(PARTITIONS):
                seq = client.hget(Keys("test", "test", number).meta, "seq") or b""
                now = time.monotonic()
                if seq != before[number]:
                    if before[number] and now - since[number] > 0.2:
                        self.pauses_ms.append(1000 * (now - since[number]))
                    before[number], since[number] = seq, now

    def stop(self) -> None:
        self._done.set()
        self.join()

    def percentiles(self) -> tuple[int, int]:
        held = self.pauses_ms or [0.0]
        return int(np.percentile(held, 50)), int(np.percentile(held, 99))
