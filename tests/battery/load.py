"""More than can be done, and half of it for long: memory, latency, and how fast what has piled up is worked off."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.workloads import generate, lines
from cep.adapters.cli.detector import build
from cep.adapters.redis.keys import Keys
from cep.lang import check_texts
from tests.battery.detectors import Detector
from tests.battery.world import Feed, World, read_all, uninterrupted
from tests.test_kill import RULES, SCHEMA, STREAMS, Entry

# An open episode of a card that never comes again is held until it is forgotten: here after minutes, and not a day.
_RULES = RULES.replace("rule guessing by card within 10m", "rule guessing by card within 10m forget 30m")
_SCHEMA = SCHEMA.replace("from sessions", "from payments").replace("stream sessions time ts type type late 5s\n", "")

LINES = 20  # events of an entry: a producer must outrun the detector
EVENTS_PER_S = 200  # of event time, so that the longest window of the rules holds 240,000
NEW_CARDS = 20_000  # events after which all cards are others
CARDS = 4000
PLATEAU = 600_000  # events after which the rules forget as much as they learn
TOP = 500_000  # events that the top rate is measured with, before and after: a shared machine is not always as fast
RSS_MAX_MB = 600  # at any moment; about 200 the interpreter with its kernels, 150 the state, and as much for a snapshot
OVERLOAD_MAX_MB = 96  # more than without it: a reply that is read and one under way, and the events made of them
SNAPSHOTS = ("--snapshot-seconds", "5")  # they take time and memory, so there are as many in each phase
OVERLOAD_S = 12.0  # beyond that there is more of the same, which has to be held to be compared
SLICE_S = 5.0  # of a soak, whose events are made beforehand
ALERTS_KEPT = 100_000  # of a soak, by whoever reads them: an hour's would fill the memory
DRAIN_MIN = 0.9  # of the top rate
KEYS = Keys("test", "test")


class _Blocks:
    """Events of all kinds in one stream, many in an entry, of keys that come and go; as many as are asked for."""

    def __init__(self, seed: int) -> None:
        self._seed, self._events, self._entries = seed, 0, 0
        self._ready: list[Entry] = []

    def next(self, events: int) -> list[Entry]:
        count = events // LINES
        while len(self._ready) < count:
            self._ready += self._more()
        found, self._ready = self._ready[:count], self._ready[count:]
        return found

    def back(self, entries: list[Entry]) -> None:
        """They were not needed yet."""
        self._ready = entries + self._ready

    def _more(self) -> Iterator[Entry]:
        made = generate(NEW_CARDS, cards=CARDS, seed=self._seed + self._events, rate=EVENTS_PER_S)
        made.card[:] += self._events // NEW_CARDS * 1_000_000
        made.ts[:] += self._events * 1000 // EVENTS_PER_S
        self._events += NEW_CARDS
        texts = (line for block in lines(made) for line in block.splitlines())
        while part := list(islice(texts, LINES)):
            self._entries += 1
            yield STREAMS[0], f"{self._entries}-1", b"\n".join(part)


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
        (world.rules / "schema.cep").write_text(_SCHEMA, "utf-8")
        (world.rules / "more.cep").write_text(_RULES, "utf-8")
        yield world


def overload(seconds: float, seed: int, times: float = 3.0) -> Counter[str]:
    """More than it can do for a while; then what has piled up is worked off. All of it is applied, and once.

    What waits must cost the detector no memory and no speed: both are compared with what they are when the rules hold
    as much as they ever do and nothing waits. Rates are per second of processor time: others use the machine as well.
    """
    with _world(seed) as world:
        blocks, detector = _Blocks(seed), world.start("--trim", *SNAPSHOTS)
        detector.wait(lambda: world.server.client().exists(KEYS.meta), "there")
        sent = blocks.next(PLATEAU)
        _work_off(world, detector, sent)
        with _Probe(world, detector):  # which takes its time as well
            sent += (part := blocks.next(TOP))
            before = _work_off(world, detector, part)
        with _Probe(world, detector) as calm:
            sent += _send(world, blocks, before.wall / 2, seconds)[0]
            world.wait_for_end(detector)
        with _Probe(world, detector) as probe:
            added, took_s = _send(world, blocks, before.wall * times, seconds)
            backlog = _backlog(world) * LINES
            drain = _measured(detector, backlog, lambda: world.wait_for_end(detector, seconds=60 + 10 * seconds))
            sent += added + (part := blocks.next(TOP))
            after = _work_off(world, detector, part)
        detector.stop()
        _check_all(world, detector, sent)
        top, added_per_s = (before.cpu + after.cpu) / 2, len(added) * LINES / took_s
        found = {
            "events": len(sent) * LINES,
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


def _send(world: World, blocks: _Blocks, rate: float, seconds: float) -> tuple[list[Entry], float]:
    """So many events a second: the entries that have been added, and in how many seconds."""
    entries = blocks.next(int(rate * seconds * 1.2))
    world.feed = Feed(world.server.client, entries, int(rate / LINES))
    began = time.monotonic()
    world.feed.start()
    while time.monotonic() - began < seconds and world.feed.is_alive():
        time.sleep(0.1)
    sent = world.feed.stop()
    blocks.back(entries[len(sent) :])
    return sent, time.monotonic() - began


def _check_all(world: World, detector: Detector, sent: list[Entry]) -> None:
    """Nothing is lost and nothing twice: the alerts are those of a run that nobody disturbed, byte by byte."""
    client = world.server.client()
    (end,) = (line for line in detector.messages() if line["message"] == "stopped")
    applied = end["events"] + end["bad"] + end["unknown"]
    assert (applied, end["lost"]) == (len(sent) * LINES, 0), f"{applied} of {len(sent) * LINES} events were applied"
    assert int(client.hget(KEYS.meta, f"count:{STREAMS[0]}")) == len(sent)
    rules = check_texts({"schema.cep": _SCHEMA, "more.cep": _RULES}).ruleset
    assert rules is not None
    wanted = uninterrupted(sent, STREAMS[:1], build(rules)[0]).delivered()
    found = (fields[b"alert"] for _, fields in read_all(client, KEYS.outputs()[0]))
    for place, (one, other) in enumerate(zip_longest(found, wanted, fillvalue=b"nothing")):
        assert one == other, f"seed {world.seed}: alert {place} is {one!r}, not {other!r}"


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
        blocks, detector = _Blocks(seed), world.start("--trim", *SNAPSHOTS)
        detector.wait(lambda: client.exists(KEYS.meta), "there")
        _work_off(world, detector, blocks.next(PLATEAU))
        rate = int(_work_off(world, detector, blocks.next(TOP)).wall / 2)
        sent, began = 0, time.monotonic()
        with _Probe(world, detector) as probe:
            while (left_s := seconds - (time.monotonic() - began)) > 0:  # an hour's events would fill the memory
                sent += len(_send(world, blocks, rate, min(SLICE_S, left_s))[0])
                client.xtrim(KEYS.outputs()[0], maxlen=ALERTS_KEPT)
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
