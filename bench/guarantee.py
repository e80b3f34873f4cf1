"""What the guarantee costs: `python -m bench.guarantee`.

The pipeline of `cep run` over a stream that is all there: read, decode, step, render, append the alerts. Once with
lease, chained commits, journal, digests and snapshots, and once without any of them: positions are kept in memory, and
the alerts are appended one by one. Both in this process, in turn, on the same server; the seconds are of this process's
processor time, the best of some passes. A snapshot of the state is timed apart, and counted as one in 30 seconds, as
`cep run` takes it by default, though by the clock it waits for a part of it only.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from bench.measure import machine
from bench.processes import FULL, fill, private_server
from bench.workloads import RULES, generate
from cep.adapters.cli.detector import build, detector_of
from cep.adapters.files.snapshots import DirectorySnapshots
from cep.adapters.redis import reply
from cep.adapters.redis.keys import Keys
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.reader import Reader
from cep.adapters.redis.session import Session
from cep.delivery.recovery import moved
from cep.delivery.runtime import Options, Runtime
from cep.detector import RuleDetector
from cep.lang import load
from cep.layout.program import Program
from cep.ports import Offsets, Point

PASSES = 5
SNAPSHOT_S = 30.0  # between two, by default
_NUMBER = itertools.count()

Seconds = tuple[float, float]  # of the processor, on the clock


@contextmanager
def _timed(found: list[Seconds]) -> Iterator[None]:
    cpu_s, clock_s = time.process_time(), time.perf_counter()
    yield
    found.append((time.process_time() - cpu_s, time.perf_counter() - clock_s))


def guarded(url: str, program: Program, events: int) -> tuple[int, RuleDetector]:
    """Until all is applied, without a snapshot; how many alerts, and the detector as it is then."""
    group, stop, detector = f"guarded{next(_NUMBER)}", threading.Event(), detector_of(program)
    log = RedisLog(partial(Session, url), [FULL], Keys(group, group))

    def end() -> None:
        if runtime.counters.events >= events:
            stop.set()

    runtime = Runtime(log, detector, options=Options(streams=[FULL]), stop=stop, changed=end)
    runtime.run()
    return runtime.counters.alerts, detector


def keep(detector: RuleDetector, folder: Path) -> None:
    """A snapshot."""
    with detector.freeze() as data:
        DirectorySnapshots(folder, "bench", [FULL]).save(Point(1, "00"), data)


def bare(url: str, program: Program, events: int) -> int:
    """The same without what it takes to be sure."""
    session, detector = Session(url), detector_of(program)
    reader, offsets, applied, alerts = Reader(partial(Session, url), [FULL]), Offsets(), 0, 0
    key = f"bare{next(_NUMBER)}"
    while applied < events:
        batch = reader.read(session, offsets, None, None)
        outcome = detector.apply(batch)
        if outcome.alerts:
            session.pipeline([("XADD", key, "*", "alert", alert) for alert in outcome.alerts])
        offsets, applied, alerts = moved(offsets, batch), applied + outcome.events, alerts + len(outcome.alerts)
    reader.close()
    session.close()
    return alerts


@contextmanager
def _without_digests() -> Iterator[None]:
    """Those of the entries are part of the guarantee."""
    before = reply.zlib
    reply.zlib = SimpleNamespace(crc32=lambda data, digest: 0)  # type: ignore[assignment]
    try:
        yield
    finally:
        reply.zlib = before


@dataclass(slots=True)
class Compared:
    """The seconds of each pass: with the guarantee, without, and of one snapshot of the state at the end."""

    guarded: list[Seconds] = field(default_factory=list)
    bare: list[Seconds] = field(default_factory=list)
    snapshot: list[Seconds] = field(default_factory=list)

    def best(self, name: str, clock: int) -> float:
        """Of all passes but the first."""
        return min(seconds[clock] for seconds in getattr(self, name)[1:])

    def ratio(self, clock: int) -> float:
        """The speed with the guarantee, as a part of that without; a snapshot is taken every 30 seconds."""
        share = self.best("snapshot", clock) / SNAPSHOT_S
        return self.best("bare", clock) / (self.best("guarded", clock) * (1 + share))


def compare(name: str, events: int, per_entry: int, passes: int = PASSES) -> Compared:
    """Both in turn."""
    loaded, found = load([RULES / f"{name}.cep"]), Compared()
    assert loaded.ruleset is not None
    program, _ = build(loaded.ruleset)
    with private_server("valkey", "--appendfsync", "everysec") as server, tempfile.TemporaryDirectory() as folder:
        fill(server, generate(events), per_entry)
        for _ in range(passes + 1):
            with _timed(found.guarded):
                alerts, detector = guarded(server.url, program, events)
            with _timed(found.snapshot):
                keep(detector, Path(folder))
            with _without_digests(), _timed(found.bare):
                assert bare(server.url, program, events) == alerts
    return found


def main() -> None:
    """Print a line for each workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--passes", type=int, default=PASSES)
    options = parser.parse_args()
    on = machine()
    print(f"{on['cpu']}, {on['cores']} cores, load {on['load_1m']}, commit {on['commit']}; {options.events:,} events\n")
    print("| | with, s | without, s | a snapshot, s | speed kept, processor | speed kept, clock |")
    print("|---|---|---|---|---|---|")
    for name, per_entry in itertools.product(("w1", "w2", "w4"), (1, 100)):
        found = compare(name, options.events, per_entry, options.passes)
        seconds = " | ".join(f"{found.best(kind, 0):.2f}" for kind in ("guarded", "bare", "snapshot"))
        print(f"| {name}, {per_entry} an entry | {seconds} | {found.ratio(0):.2f} | {found.ratio(1):.2f} |", flush=True)


if __name__ == "__main__":
    main()
