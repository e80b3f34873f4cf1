"""A primary whose replica has fallen behind dies, and the replica takes its place: the end of history is lost.

What must hold then holds for the history that has survived: the alerts are those of the surviving streams. In half of
the failovers the ids of lost entries are given again, to other events.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import redis

from tests.battery.proxy import Proxy
from tests.battery.world import World, surviving
from tests.servers import BINARIES, Server
from tests.test_kill import STREAMS, Entry, entries

REPLICA = ("--repl-diskless-sync-delay", "0", "--repl-timeout", "60", "--repl-backlog-size", "64mb")


def failovers(seconds: float, seed: int, kind: str = "valkey") -> Counter[str]:
    """One after the other, each promoted replica being the next to die."""
    found, rng = Counter[str](), random.Random(seed)
    with (
        tempfile.TemporaryDirectory() as name,
        World(Path(name) / "w", seed, seconds, rate=1500, options=REPLICA) as world,
    ):
        other = entries(len(world.entries), seed + 1)
        front = Proxy(world.server.port)
        world.feed._connect = lambda: redis.Redis(port=front.port)
        detectors = {"steady": world.start(group="steady", url=front.url), "test": world.start(url=front.url)}
        world.feed.start()
        began, number = time.monotonic(), 0
        try:
            while time.monotonic() - began < seconds:
                number += 1
                world.wait_for_work(detectors["steady"], "steady")
                folder = Path(name) / f"replica{number}"
                folder.mkdir()
                replica = Server(str(BINARIES[kind]), folder, "--appendfsync", "everysec", *REPLICA)
                try:
                    _fail_over(world, front, replica, rng, other, found)
                finally:
                    if world.server is not replica:
                        replica.kill()
                if rng.random() < 0.5:
                    detectors["test"].kill()
                    detectors["test"] = world.start(url=front.url)
                    found["kill -9 of the detector"] += 1
            world.feed.stop()
            survived = surviving(world.server.client())
            for group, detector in detectors.items():
                world.wait_for_end(detector, group)
                detector.stop()
                found += world.check(survived, group)
        finally:
            front.close()
    return found


def _fail_over(
    world: World, front: Proxy, replica: Server, rng: random.Random, other: list[Entry], found: Counter[str]
) -> None:
    """The link to the replica stands still, the primary goes on for a while, and dies."""
    primary, link = world.server, Proxy(world.server.port)
    client = replica.client()
    client.replicaof("127.0.0.1", link.port)
    deadline = time.monotonic() + 30
    while client.info("replication")["master_link_status"] != "up":
        assert time.monotonic() < deadline, "the replica does not come up"
        time.sleep(0.01)
    time.sleep(rng.uniform(0.1, 0.5))
    link.cut()
    seqs = {g: int(client.hget(f"cep:{{{g}}}:meta", "seq") or 0) for g in ("steady", "test")}
    time.sleep(rng.uniform(0.2, 1.5))
    world.feed.pause()
    end = primary.client()
    had = sum(end.xlen(stream) for stream in STREAMS)
    commits = sum(int(end.hget(f"cep:{{{g}}}:meta", "seq") or 0) - seq for g, seq in seqs.items())
    primary.kill()
    client.replicaof("NO", "ONE")
    link.close()
    lost = had - sum(client.xlen(stream) for stream in STREAMS)
    world.server, front.target = replica, replica.port
    front.sever()
    if rng.random() < 0.5 and lost:  # the same ids come again, with other events
        world.feed.sent -= lost
        world.feed.entries[world.feed.sent :] = other[world.feed.sent :]
        found["failovers after which ids were given again"] += 1
    world.feed.go_on()
    found["failovers with loss"] += bool(lost and commits)
    found["failovers without loss"] += not (lost and commits)
    found["entries lost by the server"] += lost
    found["commits lost by the server"] += commits
