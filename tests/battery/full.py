"""No room: for snapshots, for the server's append-only file, in the server's memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from cep.adapters.redis.keys import Keys
from tests.battery.world import World

DISK_BYTES = 24 * 2**20
KEYS = Keys("test", "test")


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of a few MiB at a folder; False where we may not have one."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)], capture_output=True, check=False
    )
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def no_room_for_snapshots(seed: int, seconds: float = 4.0) -> Counter[str]:
    """The service goes on, says so, and leaves no halves behind; when there is room again it keeps snapshots."""
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, seconds) as world:
        detector = world.start(file_bytes=2000)  # the log is that short too, and ends there
        world.feed.start()
        began = time.monotonic()
        detector.wait(lambda: "no snapshot could be written" in detector.said(), "out of room")
        alarm_ms = int(1000 * (time.monotonic() - began))
        time.sleep(seconds)
        world.wait_for_work(detector)
        assert not list(world.snapshots().iterdir()), "a snapshot that could not be written has left something"
        detector.kill()
        detector = world.start()
        detector.wait(lambda: list(world.snapshots().glob("*.snapshot")), "keeping snapshots again")
        sent = world.feed.stop()
        world.wait_for_end(detector)
        detector.stop()
        return world.check(sent) + Counter({"snapshot disks full": 1, "alarm after, ms": alarm_ms})


def no_room_for_the_log(seed: int, seconds: float = 4.0) -> Counter[str]:
    """The disk of the append-only file is full: nothing is accepted, nothing is lost, and it goes on afterwards."""
    with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder) / "w" / "data") as is_there:
        if not is_there:
            return Counter({"disks that could not be had": 1})
        with World(Path(folder) / "w", seed, seconds) as world:
            detector = world.start()
            world.feed.start()
            world.wait_for_work(detector)
            filler = Path(folder) / "w" / "data" / "filler"
            with filler.open("wb") as file:
                try:
                    while True:
                        os.write(file.fileno(), bytes(2**16))
                except OSError:
                    pass
            deadline = time.monotonic() + 30
            while not world.feed.refused.total():
                assert time.monotonic() < deadline, world.feed.refused
                time.sleep(0.05)
            time.sleep(seconds)
            assert detector.process.exitcode is None, detector.said()
            filler.unlink()
            world.wait_for_work(detector)
            sent = world.feed.stop()
            world.wait_for_end(detector)
            detector.stop()
            return world.check(sent) + Counter({"server disks full": 1, "XADDs refused": world.feed.refused.total()})


def no_room_in_memory(seed: int, seconds: float = 6.0) -> Counter[str]:
    """A noisy neighbour has filled the server: commits go on, and trimming makes room for events."""
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, seconds, rate=4000) as world:
        detector = world.start("--trim")
        world.feed.start()
        world.wait_for_work(detector)
        client = world.server.client()
        detector.signal(signal.SIGSTOP)
        time.sleep(seconds / 2)
        world.feed.pause()
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 2**20)
        noise = 0
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            while True:
                client.set(f"noise:{noise}", bytes(2**14))
                noise += 1
        before = world.seq(KEYS)
        detector.signal(signal.SIGCONT)
        world.wait_for_end(detector)  # with no memory left
        committed = world.seq(KEYS) - before
        assert committed, "no commits while memory is full"
        world.feed.go_on()
        time.sleep(seconds)
        client.config_set("maxmemory", 0)
        client.delete(*(f"noise:{n}" for n in range(noise)))
        world.wait_for_work(detector)
        sent = world.feed.stop()
        world.wait_for_end(detector)
        detector.stop()
        counts = {"servers full": 1, "commits while full": committed, "XADDs refused": world.feed.refused.total()}
        return world.check(sent) + Counter(counts)
