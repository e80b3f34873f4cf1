"""How a service begins and ends: servers that refuse, are loading or too old, and SIGTERM in the middle of work."""

from __future__ import annotations

import random
import socket
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import redis

from tests.battery.proxy import Proxy
from tests.battery.world import World
from tests.servers import BINARIES, Server

END_S_MAX = 5.0
USAGE = 2


def ends(rounds: int, seed: int) -> Counter[str]:
    """SIGTERM under load, at random moments."""
    found, rng = Counter[str](), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, rounds, rate=4000) as world:
        world.feed.start()
        for _ in range(rounds):
            detector = world.start()
            world.wait_for_work(detector)
            time.sleep(rng.uniform(0, 0.3))
            took = detector.stop()
            assert took < END_S_MAX, f"{took} s"
            found["slowest end, ms"] = max(found["slowest end, ms"], int(1000 * took))
            found["ends by SIGTERM under load"] += 1
        detector = world.start()
        sent = world.feed.stop()
        world.wait_for_end(detector)
        detector.stop()
        return found + world.check(sent)


def ends_without_answer(seed: int) -> Counter[str]:
    """SIGTERM while the server hangs, as when its disk does: it is not waited for again and again."""
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, 3, rate=4000) as world:
        world.feed.start()
        detector = world.start()
        world.wait_for_work(detector)
        with world.server.hanging():
            took = detector.stop()
        assert took < END_S_MAX, f"{took} s"
        detector = world.start()
        world.wait_for_work(detector)
        sent = world.feed.stop()
        world.wait_for_end(detector)
        detector.stop()
        return Counter({"ends while the server hangs": 1, "end, ms": int(1000 * took)}) + world.check(sent)


def refusals(seed: int) -> Counter[str]:
    """A server that cannot keep the promise is refused with the remedy, and no password is shown."""
    found = Counter[str]()
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, 1) as world:
        client = world.server.client()
        old = Proxy(world.server.port, rewrite=_older)
        replica = _replica(Path(folder), world)
        dead = Server(str(BINARIES["valkey"]), world.folder / "data")
        dead.kill()
        cases = {
            "wrong password": (world.server.url.replace("//", "//:wrong@"), "refuses the user or the password"),
            "replica": (replica.url, "give the address of the primary"),
            "old version": (old.url, "upgrade to Redis 7.0"),
            "nobody there": (dead.url, "cannot connect"),
        }
        try:
            for name, (url, remedy) in cases.items():
                if name == "wrong password":
                    client.config_set("requirepass", "right")
                detector = world.start(url=url)
                code = detector.wait_for_end(30)
                assert code in (USAGE, 3), f"{name}: {code}: {detector.said()}"
                assert remedy in detector.said(), f"{name}: {detector.said()}"
                assert "wrong@" not in detector.said()
                found[f"refused: {name}"] += 1
                if name == "wrong password":
                    redis.Redis(port=world.server.port, password="right").config_set("requirepass", "")
        finally:
            old.close()
            replica.kill()
    return found


def _older(piece: bytes) -> bytes:
    """As a server would say it that is of another kind and older; the length stays."""
    at = piece.find(b"redis_version:7")
    piece = piece if at < 0 else piece[: at + 14] + b"6" + piece[at + 15 :]
    return piece.replace(b"valkey_version", b"walkey_version")


def _replica(folder: Path, world: World) -> Server:
    (folder / "replica").mkdir()
    replica = Server(str(BINARIES["valkey"]), folder / "replica")
    replica.client().replicaof("127.0.0.1", world.server.port)
    deadline = time.monotonic() + 30
    while replica.client().info("replication")["master_link_status"] != "up":
        assert time.monotonic() < deadline, "the replica does not come up"
        time.sleep(0.05)
    return replica


def loading(seed: int) -> Counter[str]:
    """A server that is still reading its file is waited for, at the start and in the middle."""
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, 3) as world:
        early = world.start()
        world.feed.start()
        world.wait_for_work(early)
        time.sleep(1)
        world.feed.pause()
        client = world.server.client()
        client.mset({f"filler:{n}": n for n in range(3000)})
        client.bgrewriteaof()
        while client.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.05)
        world.server.kill()
        world.server._command += ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"]
        starting = threading.Thread(target=world.server.start)
        starting.start()
        late, was_loading, deadline = None, False, time.monotonic() + 60
        while starting.is_alive():
            assert time.monotonic() < deadline, "never loaded"
            if _answer(world.server.port).startswith(b"-LOADING"):
                was_loading = True
                late = late or world.start(group="late")
            time.sleep(0.02)
        assert was_loading, "the server was too quick"
        assert late is not None
        world.feed.go_on()
        world.wait_for_work(early)
        sent = world.feed.stop()
        found = Counter[str]()
        for group, detector in (("test", early), ("late", late)):
            world.wait_for_end(detector, group)
            detector.stop()
            found += world.check(sent, group)
        return found + Counter({"servers that were loading, waited for": 2})


def _answer(port: int) -> bytes:
    """To PING, without the patience of a library."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100)
    except OSError:
        return b""
