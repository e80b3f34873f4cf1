"""SIGKILL: of the detector at random moments and at every step of a commit and a snapshot, and of the server."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.battery.detectors import CRASH_POINTS, Detector
from tests.battery.world import World
from tests.servers import BINARIES

ROUND_S = 30.0  # then the streams are compared, and a new server begins
BACK_S_MAX = 10.0


def detector_kills(seconds: float, seed: int, kind: str = "valkey") -> Counter[str]:
    """The detector is killed within half a second of its start, or of its first commit, again and again."""
    found, began = Counter[str](), time.monotonic()
    while (left := seconds - (time.monotonic() - began)) > 0:
        found += _kill_round(min(left, ROUND_S), seed := seed + 1, kind)
    return found


def _kill_round(seconds: float, seed: int, kind: str) -> Counter[str]:
    found, rng = Counter[str](), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, kind=kind) as world:
        world.feed.start()
        began = time.monotonic()
        options = ("--trim",) if rng.random() < 0.5 else ()
        while time.monotonic() - began < seconds:
            detector = world.start(*options)
            if rng.random() < 0.4:
                time.sleep(rng.uniform(0, 0.5))
            else:
                started = time.monotonic()
                world.wait_for_work(detector)
                slowest = max(found["slowest start to commit, ms"], int(1000 * (time.monotonic() - started)))
                found["slowest start to commit, ms"] = slowest
                time.sleep(rng.expovariate(3))
            detector.kill()
            found["kill -9 of the detector"] += 1
        _finish(world, world.start(*options), found)
    return found


def crash_points(seconds: float, seed: int) -> Counter[str]:
    """The detector dies by its own hand at a named step, at a random time that it comes there."""
    found, began, rng = Counter[str](), time.monotonic(), random.Random(seed)
    while (left := seconds - (time.monotonic() - began)) > 0:
        with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed := seed + 1) as world:
            world.feed.start()
            for point in rng.sample(sorted(CRASH_POINTS), len(CRASH_POINTS)):
                count = 1 if "release" in point else rng.choice((1, 1, 2, 3))
                detector = world.start("--trim", crash=(point, count))
                if "release" in point:
                    world.wait_for_work(detector)
                    detector.signal(signal.SIGTERM)
                elif "acquire" in point and count > 1:
                    world.server.client().client_kill_filter(_type="normal", skipme=True)
                if _dies(detector):
                    found[f"crash: {point}"] += 1
                    found["kill -9 of the detector, at a step"] += 1
                if time.monotonic() - began > seconds and left < seconds / 2:
                    break
            _finish(world, world.start("--trim"), found)
    return found


def _dies(detector: Detector, patience_s: float = 6.0) -> bool:
    """Whether it has come to its end; otherwise it is killed."""
    detector.process.join(patience_s)
    died = detector.process.exitcode == -signal.SIGKILL
    assert detector.process.exitcode in (None, -signal.SIGKILL), detector.said()
    if not died:
        detector.kill()
    return died


def server_kills(seconds: float, seed: int, kind: str = "valkey") -> Counter[str]:
    """The server is killed, or stopped for a while, under several detectors that stay, and under one that dies too."""
    found, began = Counter[str](), time.monotonic()
    while (left := seconds - (time.monotonic() - began)) > 0:
        found += _server_round(min(left, ROUND_S), seed := seed + 1, kind)
    return found


def _server_round(seconds: float, seed: int, kind: str) -> Counter[str]:
    found, rng = Counter[str](), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, rate=2500, kind=kind) as world:
        steady, mortal = world.start(group="steady"), world.start()
        world.feed.start()
        world.wait_for_work(steady, "steady")
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            time.sleep(rng.expovariate(4))
            if rng.random() < 0.5:
                mortal.kill()
                found["kill -9 of the detector"] += 1
            world.server.kill()
            found["kill -9 of the server"] += 1
            time.sleep(rng.uniform(0, 0.3))
            world.server.start()
            up = time.monotonic()
            if mortal.process.exitcode is not None:
                mortal = world.start()
            world.wait_for_work(steady, "steady")
            took = int(1000 * (time.monotonic() - up))
            found["slowest commit after the server was back, ms"] = max(
                found["slowest commit after the server was back, ms"], took
            )
        sent = world.feed.stop()
        for group, detector in (("steady", steady), ("test", mortal)):
            world.wait_for_end(detector, group)
            detector.stop()
            found += world.check(sent, group)
    return found


def _finish(world: World, detector: Detector, found: Counter[str]) -> None:
    sent = world.feed.stop()
    world.wait_for_end(detector)
    detector.stop()
    found += world.check(sent)
    stays = world.server.client().xlen("payments")
    found["entries trimmed"] += sum(stream == "payments" for stream, _, _ in sent) - stays


def kinds() -> list[str]:
    """Of the servers that are here."""
    return [kind for kind, binary in BINARIES.items() if binary]
