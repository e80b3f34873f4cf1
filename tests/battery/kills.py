"""SIGKILL: of the detector at random moments and at every step of a commit and a snapshot, and of the server."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.battery.detectors import CRASH_POINTS, Detector
from tests.battery.world import World, surviving
from tests.servers import BINARIES

ROUND_S = 30.0  # then the streams are compared, and a new server begins
GROUPS = 3
DIES_S = 6.0  # that a detector is given to come to the step at which it dies


def detector_kills(seconds: float, seed: int, kind: str = "valkey") -> Counter[str]:
    """The detector is killed within half a second of its start, or of its first commit, again and again."""
    found, began = Counter[str](), time.monotonic()
    while (left := seconds - (time.monotonic() - began)) > 0:
        found += _kill_round(min(left, ROUND_S), seed := seed + 1, kind)
    return found


def _kill_round(seconds: float, seed: int, kind: str) -> Counter[str]:
    """Several groups side by side, each with its own detector; any of them is the next to die."""
    found, rng = Counter[str](), random.Random(seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        World(Path(folder) / "w", seed, seconds, kind=kind, rate=800) as world,
    ):
        options = {f"g{n}": ("--trim",) if n == 0 and rng.random() < 0.5 else () for n in range(GROUPS)}
        if options["g0"]:
            options = {"g0": options["g0"]}  # who trims must be alone
        world.feed.start()
        detectors = {group: world.start(*options[group], group=group) for group in options}
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            group = rng.choice(sorted(options))
            if rng.random() < 0.5:
                waited = time.monotonic()
                world.wait_for_work(detectors[group], group)
                slowest = max(found["slowest to commit, ms"], int(1000 * (time.monotonic() - waited)))
                found["slowest to commit, ms"] = slowest
            time.sleep(rng.expovariate(5))
            detectors[group].kill()
            found["kill -9 of the detector"] += 1
            detectors[group] = world.start(*options[group], group=group)
        _finish(world, detectors, found)
    return found


def crash_points(seconds: float, seed: int) -> Counter[str]:
    """The detector dies by its own hand at a named step, at a random time that it comes there."""
    found, began, rng = Counter[str](), time.monotonic(), random.Random(seed)
    while (left := seconds - (time.monotonic() - began)) > 0:
        supply_s = left + DIES_S * len(CRASH_POINTS)  # a busy machine needs that for one round
        with (
            tempfile.TemporaryDirectory() as folder,
            World(Path(folder) / "w", seed := seed + 1, supply_s, rate=1000) as world,
        ):
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
            _finish(world, {"test": world.start("--trim")}, found)
    return found


def _dies(detector: Detector) -> bool:
    """Whether it has come to its end; otherwise it is killed."""
    detector.process.join(DIES_S)
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
    """An append-only file that is synced now and then may lack the last moments, and then they are not missed.

    (A server whose disk is behind answers before it has written; that it does so is left to no chance here.) One that
    is always synced may lack nothing.
    """
    found, rng, number = Counter[str](), random.Random(seed), 0
    fsync = ("always", "everysec")[seed % 2]
    options = ("--appendfsync", fsync)
    with (
        tempfile.TemporaryDirectory() as folder,
        World(Path(folder) / "w", seed, seconds, kind=kind, rate=800, options=options) as world,
    ):
        steady, mortal = world.start(group="steady"), world.start()
        world.feed.start()
        world.wait_for_work(steady, "steady")
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            written = world.server.written() if fsync == "everysec" and number % 2 == 0 else None
            if written is not None:
                _wait_for_more(world, steady)
            time.sleep(rng.expovariate(4))
            if rng.random() < 0.5:
                mortal.kill()
                found["kill -9 of the detector"] += 1
            world.server.kill()
            number += 1
            if written is not None:
                found["servers that came back without their last moments"] += world.server.go_back(written)
            found["kill -9 of the server"] += 1
            found[f"with appendfsync {fsync}"] += 1
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
        _finish(world, {"steady": steady, "test": mortal}, found, may_lose=fsync == "everysec")
        assert not found["entries trimmed"], "entries are missing that nobody trimmed"
    return found


def _wait_for_more(world: World, detector: Detector) -> None:
    """Until there is something that a server can lose: entries that it has acknowledged, and a commit."""
    sent = world.feed.sent
    detector.wait(lambda: world.feed.sent > sent, "given entries")
    world.wait_for_work(detector, "steady")


def _finish(world: World, detectors: dict[str, Detector], found: Counter[str], may_lose: bool = False) -> None:
    sent = world.feed.stop()
    there = surviving(world.server.client())
    if may_lose:
        found["acknowledged entries lost by the server"] += len(sent) - len(there)
        sent = there
    for group, detector in detectors.items():
        world.wait_for_end(detector, group)
        detector.stop()
        found += world.check(sent, group)
    assert set(there) <= set(sent)
    found["entries trimmed"] += len(sent) - len(there)


def kinds() -> list[str]:
    """Of the servers that are here."""
    return [kind for kind, binary in BINARIES.items() if binary]
