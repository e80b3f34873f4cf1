"""More than can be done, and half of it for long: memory, latency, and how fast what has piled up is worked off."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cep.adapters.cli.detector import build
from cep.adapters.redis.keys import Keys
from cep.lang import check_texts
from tests.battery.blocks import LINES, RULE_FILE, SCHEMA_FILE, Blocks, entries
from tests.battery.detectors import Detector
from tests.battery.world import Feed, World, undisturbed
from tests.test_kill import STREAMS, Entry

PLATEAU = 200_000  # events after which the rules forget as much as they learn
TOP = 500_000  # events that the top rate is measured with, before and after: a shared machine is not always as fast
RSS_MAX_MB = 1000  # at any moment: 200 the interpreter with its kernels, the state of 40 rules, a copy of it, a turn
OVERLOAD_MAX_MB = 200  # more than without it: two replies, 65,000 events, 33,000 alerts, once more as they are sent
SNAPSHOTS = ("--snapshot-seconds", "5")  # they take time and memory, so there are as many in each phase
OVERLOAD_S = 300.0  # five minutes, which take more than half an hour
CALM_S = 20.0  # without overload before, to see how much memory that takes
ALERTS_AT_ONCE = 2000
SLICE_S = 5.0  # of a soak, whose events are made beforehand
ALERTS_KEPT = 100_000  # of a soak, by whoever reads them: an hour's would fill the memory
DRAIN_MIN = 0.9  # of the top rate
KEYS = Keys("test", "test")


class _Alerts(threading.Thread):
    """Takes alerts out of their stream, as their reader would, and keeps a digest of each."""

    def __init__(self, world: World) -> None:
        super().__init__(daemon=True)
        self._client, self._done, self.digests = world.server.client(), threading.Event(), array("Q")

    def run(self) -> None:
        key = KEYS.outputs()[0]
        while (part := self._client.xrange(key, count=ALERTS_AT_ONCE)) or not self._done.wait(0.01):
            if part:
                self.digests.extend(_digest(fields[b"alert"]) for _, fields in part)
                ms, _, seq = part[-1][0].decode().partition("-")
                self._client.xtrim(key, minid=f"{ms}-{int(seq) + 1}", approximate=False)

    def all(self) -> array[int]:
        """The digests of all, once no more will come."""
        self._done.set()
        self.join()
        return self.digests


def _digest(alert: bytes) -> int:
    return int.from_bytes(blake2b(alert, digest_size=8).digest())


class _Probe(threading.Thread):
    """Looks at a detector's memory, and at how long entries wait: from their being there to their being applied."""

    def __init__(self, world: World, detector: Detector) -> None:
        super().__init__(daemon=True)
        self._world, self._pid, self._done = world, detector.pid, threading.Event()
        self.peak_mb = 0.0
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

    def __enter__(self) -> _Probe:
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")  # the peak is that from now on
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()
        self.peak_mb = _rss_mb(self._pid, "VmHWM")


def _rss_mb(pid: int, which: str = "VmRSS") -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(which):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def _world(seed: int) -> Iterator[World]:
    """One whose rules read a single stream."""
    no_sync = ("--appendfsync", "no")  # it is not the disk that is measured
    with (
        tempfile.TemporaryDirectory() as folder,
        World(Path(folder) / "w", seed, 0.1, rate=100, options=no_sync) as world,
    ):
        (world.rules / "schema.cep").write_text(SCHEMA_FILE, "utf-8")
        (world.rules / "more.cep").write_text(RULE_FILE, "utf-8")
        yield world


def overload(seconds: float, seed: int, times: float = 3.0) -> Counter[str]:
    """More than it can do for a while; then what has piled up is worked off. All of it is applied, and once.

    What waits must cost the detector no memory and no speed: both are compared with what they are when the rules hold
    as much as they ever do and nothing waits. Rates are per second of processor time: others use the machine as well.
    """
    with _world(seed) as world:
        blocks, detector, alerts = Blocks(seed), world.start("--trim", *SNAPSHOTS), _Alerts(world)
        detector.wait(lambda: world.server.client().exists(KEYS.meta), "there")
        alerts.start()
        _work_off(world, detector, blocks.next(PLATEAU))
        with _Probe(world, detector):  # which takes its time as well
            before = _work_off(world, detector, blocks.next(TOP))
        with _Probe(world, detector) as calm:
            sent = _send(world, blocks, before.wall / 2, min(seconds, CALM_S))[0]
            world.wait_for_end(detector)
        with _Probe(world, detector) as probe:
            added, took_s = _send(world, blocks, before.wall * times, seconds)
            backlog = _backlog(world) * LINES
            drain = _measured(detector, backlog, lambda: world.wait_for_end(detector, seconds=60 + 10 * seconds))
            after = _work_off(world, detector, blocks.next(TOP))
        sent += added + (PLATEAU + 2 * TOP) // LINES
        detector.stop()
        _check_all(world, detector, sent, alerts.all())
        top, added_per_s = (before.cpu + after.cpu) / 2, added * LINES / took_s
        found = {
            "events": sent * LINES,
            "alerts": len(alerts.digests),
            "top rate, events/s": int(before.wall),
            "top rate, events per s of processor": int(top),
            "added, events/s": int(added_per_s),
            "added, % of top rate": int(100 * added_per_s / before.wall),
            "backlog, events": backlog,
            "worked off, events/s": int(drain.wall),
            "worked off, events per s of processor": int(drain.cpu),
            "worked off, % of top rate per s of processor": int(100 * drain.cpu / top),
            "sessions lost": detector.said().count("lost and will be opened again"),
            "peak RSS without overload, MB": int(calm.peak_mb),
            "peak RSS, MB": int(probe.peak_mb),
        }
        assert probe.peak_mb < min(RSS_MAX_MB, calm.peak_mb + OVERLOAD_MAX_MB), found
        assert added_per_s > before.wall, f"no overload came about, the machine has too much else to do: {found}"
        assert drain.cpu >= DRAIN_MIN * top, found
        return Counter(found)


class _Rate(NamedTuple):
    """Events in a second, and in one of the detector's processor time."""

    wall: float
    cpu: float


def _measured(detector: Detector, events: int, work: Callable[[], object]) -> _Rate:
    began, cpu_s = time.monotonic(), _cpu_s(detector.pid)
    work()
    cpu_s = _cpu_s(detector.pid) - cpu_s
    return _Rate(events / (time.monotonic() - began), events / max(0.01, cpu_s))


def _send(world: World, blocks: Blocks, rate: float, seconds: float) -> tuple[int, float]:
    """So many events a second: how many entries have been added, and in how many seconds."""
    entries = blocks.next(int(rate * (seconds + 1)))
    world.feed = Feed(world.server.client, entries, int(rate / LINES))
    began = time.monotonic()
    world.feed.start()
    while time.monotonic() - began < seconds and world.feed.is_alive():
        time.sleep(0.1)
    sent = len(world.feed.stop())
    blocks.back(entries[sent:])
    return sent, time.monotonic() - began


def _check_all(world: World, detector: Detector, sent: int, alerts: array[int]) -> None:
    """Nothing is lost and nothing twice: the alerts are those of a run that nobody disturbed, byte by byte."""
    client = world.server.client()
    (end,) = (line for line in detector.messages() if line["message"] == "stopped")
    applied = end["events"] + end["bad"] + end["unknown"]
    assert (applied, end["lost"]) == (sent * LINES, 0), f"{applied} of {sent * LINES} events were applied"
    assert int(client.hget(KEYS.meta, f"count:{STREAMS[0]}")) == sent
    rules = check_texts({"schema.cep": SCHEMA_FILE, "more.cep": RULE_FILE}).ruleset
    assert rules is not None
    outcomes = undisturbed(islice(entries(world.seed), sent), STREAMS[:1], build(rules)[0])
    wanted = (_digest(alert) for outcome in outcomes for alert in outcome.delivered())
    for place, (one, other) in enumerate(zip_longest(alerts, wanted)):
        assert one == other, f"seed {world.seed}: alert {place} is another"


def _backlog(world: World) -> int:
    client = world.server.client()
    return int(client.xinfo_stream(STREAMS[0])["entries-added"]) - int(client.hget(KEYS.meta, f"count:{STREAMS[0]}"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _work_off(world: World, detector: Detector, blocks: list[Entry]) -> _Rate:
    """How fast what was added while it stood still is applied."""
    client = world.server.client()
    detector.signal(signal.SIGSTOP)
    for at in range(0, len(blocks), 1000):
        with client.pipeline(transaction=False) as pipeline:
            for _, entry, text in blocks[at : at + 1000]:
                pipeline.xadd(STREAMS[0], {"event": text}, id=entry)
            pipeline.execute()
    detector.signal(signal.SIGCONT)
    end = blocks[-1][1].encode()
    return _measured(
        detector,
        len(blocks) * LINES,
        lambda: detector.wait(lambda: client.hget(KEYS.meta, f"offset:{STREAMS[0]}") == end, "done", 300),
    )


def soak(seconds: float, seed: int) -> Counter[str]:
    """Half of what it can do, with keys that come and go: memory must not grow, nor the time that entries wait."""
    with _world(seed) as world:
        client = world.server.client()
        blocks, detector = Blocks(seed), world.start("--trim", *SNAPSHOTS)
        detector.wait(lambda: client.exists(KEYS.meta), "there")
        _work_off(world, detector, blocks.next(PLATEAU))
        rate = int(_work_off(world, detector, blocks.next(TOP)).wall / 2)
        sent, began = 0, time.monotonic()
        with _Probe(world, detector) as probe:
            while (left_s := seconds - (time.monotonic() - began)) > 0:  # an hour's events would fill the memory
                sent += _send(world, blocks, rate, min(SLICE_S, left_s))[0]
                client.xtrim(KEYS.outputs()[0], maxlen=ALERTS_KEPT, approximate=False)  # else 10,000 at most
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
