"""More than can be done, and half of it for long: memory, latency, and how fast what has piled up is worked off."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np

from bench.workloads import generate, lines
from cep.adapters.redis.keys import Keys
from tests.battery.detectors import Detector
from tests.battery.world import Feed, World
from tests.test_kill import STREAMS, Entry

LINES = 20  # events of an entry: a producer must outrun the detector
RSS_MAX_MB = 1000  # what the rules keep of some million events of keys that are always new
KEYS = Keys("test", "test")


def _blocks(events: int, seed: int, first: int = 1) -> list[Entry]:
    """Events of all kinds in one stream, many in an entry, of keys that come and go."""
    made = generate(events, cards=max(100, events // 50), seed=seed, rate=200)
    made.card[:] += np.arange(events) // 20_000 * 1_000_000  # new keys all the time
    made.ts[:] += first * 10
    texts = (line for block in lines(made) for line in block.splitlines())
    number, found = first, list[Entry]()
    while part := list(islice(texts, LINES)):
        found.append((STREAMS[0], f"{number}-1", b"\n".join(part)))
        number += 1
    return found


class _Probe(threading.Thread):
    """Looks at a detector's memory, and at how long entries wait: from their being there to their being applied."""

    def __init__(self, world: World, detector: Detector) -> None:
        super().__init__(daemon=True)
        self._world, self._pid, self._done = world, detector.pid, threading.Event()
        self.rss_mb, self.lag_entries = list[tuple[float, float]](), list[int]()
        self.waits_ms = list[tuple[float, float]]()

    def run(self) -> None:
        client, began = self._world.server.client(), time.monotonic()
        waiting: list[tuple[float, int]] = []
        while not self._done.wait(0.005):
            now = time.monotonic()
            added = (
                int((client.xinfo_stream(STREAMS[0]) or {}).get("entries-added", 0)) if client.exists(STREAMS[0]) else 0
            )
            count = int(client.hget(KEYS.meta, f"count:{STREAMS[0]}") or 0)
            while waiting and waiting[0][1] <= count:
                self.waits_ms.append((now - began, 1000 * (now - waiting.pop(0)[0])))
            if not waiting or waiting[-1][1] < added:
                waiting.append((now, added))
            self.lag_entries.append(added - count)
            if len(self.lag_entries) % 50 == 1:
                self.rss_mb.append((now - began, _rss_mb(self._pid)))

    def stop(self) -> None:
        self._done.set()
        self.join()


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def overload(seconds: float, seed: int, times: float = 3.0) -> Counter[str]:
    """Three times the rate that it can do; then what has piled up is worked off at the rate that it can do."""
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, 0.1, rate=100) as world:
        schema = (world.rules / "schema.cep").read_text("utf-8").replace("from sessions", "from payments")
        (world.rules / "schema.cep").write_text(
            schema.replace("stream sessions time ts type type late 5s\n", ""), "utf-8"
        )
        blocks = _blocks(200_000, seed)
        world.feed = Feed(world.server.client, blocks, 10**6)
        detector = world.start("--snapshot-seconds", "30")
        detector.wait(lambda: world.server.client().exists(KEYS.meta), "there")
        _work_off(world, detector, blocks[: len(blocks) // 4])
        wall, top = _work_off(world, detector, blocks[len(blocks) // 4 :])
        more = _blocks(int(wall * times * seconds * 1.2), seed + 1, len(blocks) + 1)
        world.feed = Feed(world.server.client, more, int(wall * times / LINES))
        probe = _Probe(world, detector)
        probe.start()
        began = time.monotonic()
        world.feed.start()
        while time.monotonic() - began < seconds and world.feed.is_alive():
            time.sleep(0.1)
        sent = len(world.feed.stop())
        took = time.monotonic() - began
        backlog, cpu_s = _backlog(world), _cpu_s(detector.pid)
        world.wait_for_end(detector, seconds=60 + 10 * seconds)
        rate = backlog * LINES / max(0.01, _cpu_s(detector.pid) - cpu_s)
        probe.stop()
        detector.stop()
        peak = max(mb for _, mb in probe.rss_mb)
        assert peak < RSS_MAX_MB, f"{peak} MB"
        (end,) = (line for line in detector.messages() if line["message"] == "stopped")
        assert end["events"] + end["bad"] + end["late"] >= (len(blocks) + sent) * LINES, "not all events were applied"
        return Counter(
            {
                "top rate, events/s": int(wall),
                "top rate, events per s of processor": int(top),
                "sent, events/s": int(sent * LINES / took),
                "backlog, events": backlog * LINES,
                "worked off, events per s of processor": int(rate),
                "worked off, % of top rate": int(100 * rate / top),
                "peak RSS, MB": int(peak),
            }
        )


def _backlog(world: World) -> int:
    client = world.server.client()
    return int(client.xinfo_stream(STREAMS[0])["entries-added"]) - int(client.hget(KEYS.meta, f"count:{STREAMS[0]}"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _work_off(world: World, detector: Detector, blocks: list[Entry]) -> tuple[float, float]:
    """Everything at once; how many events are applied in a second, and in a second of processor time."""
    client = world.server.client()
    began, cpu_s = time.monotonic(), _cpu_s(detector.pid)
    with client.pipeline() as pipeline:
        for _, entry, text in blocks:
            pipeline.xadd(STREAMS[0], {"event": text}, id=entry)
        pipeline.execute()
    detector.wait(lambda: client.hget(KEYS.meta, f"offset:{STREAMS[0]}") == blocks[-1][1].encode(), "done", 300)
    events = len(blocks) * LINES
    return events / (time.monotonic() - began), events / (_cpu_s(detector.pid) - cpu_s)


def soak(seconds: float, seed: int) -> Counter[str]:
    """Half of what it can do, with keys that come and go: memory must not grow, nor the time that entries wait."""
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, 0.1, rate=100) as world:
        schema = (world.rules / "schema.cep").read_text("utf-8").replace("from sessions", "from payments")
        (world.rules / "schema.cep").write_text(
            schema.replace("stream sessions time ts type type late 5s\n", ""), "utf-8"
        )
        first = _blocks(100_000, seed)
        detector = world.start("--trim", "--snapshot-seconds", "5")
        detector.wait(lambda: world.server.client().exists(KEYS.meta), "there")
        _work_off(world, detector, first[: len(first) // 4])
        rate = int(_work_off(world, detector, first[len(first) // 4 :])[0] / 2)
        blocks = _blocks(int(rate * seconds * 1.05), seed + 1, len(first) + 1)
        world.feed = Feed(world.server.client, blocks, rate // LINES)
        world.feed.start()
        probe = _Probe(world, detector)
        probe.start()
        time.sleep(seconds)
        probe.stop()
        sent = len(world.feed.stop())
        world.wait_for_end(detector)
        detector.stop()
        settled = [(at, mb) for at, mb in probe.rss_mb if at > seconds / 3]
        slope = float(np.polyfit(*np.array(settled).T, 1)[0]) * 3600 if len(settled) > 2 else 0.0
        halves = [
            [ms for at, ms in probe.waits_ms if (at < seconds / 2) == is_first and at > 3] for is_first in (True, False)
        ]
        p99 = [float(np.percentile(half or [0.0], 99)) for half in halves]
        return Counter(
            {
                "soak, s": int(seconds),
                "soak, events/s": int(sent * LINES / seconds),
                "RSS at the end, MB": int(probe.rss_mb[-1][1]),
                "RSS slope after a third, MB/h": int(slope),
                "p50 from XADD to commit, ms": int(np.percentile([ms for _, ms in probe.waits_ms] or [0], 50)),
                "p99, first half, ms": int(p99[0]),
                "p99, second half, ms": int(p99[1]),
            }
        )
