"""`cep run`: the service over Redis Streams."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

from cep.adapters.cli.address import Address, is_near, unreached
from cep.adapters.cli.console import FAILED, OK
from cep.adapters.cli.detector import Before, build, detector_of
from cep.adapters.cli.journal import Journal
from cep.adapters.cli.partitions import Partitions
from cep.adapters.cli.reload import Watcher
from cep.adapters.cli.rules import without_mistakes
from cep.adapters.cli.secrets import key_of
from cep.adapters.cli.warmup import ensure_warm
from cep.adapters.cli.watchdog import Watchdog
from cep.adapters.files.snapshots import DirectorySnapshots
from cep.adapters.redis.keys import Keys
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.selfcheck import findings
from cep.adapters.redis.session import Session, public_name
from cep.adapters.redis.tables import RedisTables
from cep.adapters.redis.workers import Membership
from cep.delivery.recovery import HistoryError
from cep.delivery.runtime import Options, Runtime
from cep.layout.program import Program
from cep.ports import LogError

_SNAPSHOT_KEY = "CEP_SNAPSHOT_KEY"
_FIGURES = (
    "events",
    "alerts",
    "shadow",
    "bad",
    "late",
    "batches",
    "replayed",
    "snapshots",
    "changes",
    "lost",
    "put_aside",
)


@dataclass(frozen=True, slots=True)
class Service:
    """Where events come from and alerts go to.

    partitions: None where streams are not divided. worker: whose leases are ours. replicas: that have to have a commit
    before the next. goes_on: see `Options`. watchdog_s: how long a turn may take.
    """

    address: Address
    group: str
    alerts: str
    snapshots: str | None
    snapshot_s: int
    allow_volatile: bool
    shards: int
    partitions: int | None = None
    worker: str | None = None
    lease_s: int = 10
    trims: bool = False
    replicas: int = 0
    goes_on: bool = False
    watchdog_s: int = 60

    def keys(self, partition: int | None = None) -> Keys:
        """What the keys of a partition are called."""
        return Keys(self.group, self.alerts, partition)

    def store(self, program: Program, partition: int | None) -> DirectorySnapshots | None:
        """The snapshots of a partition."""
        if self.snapshots is None:
            return None
        folder = Path(self.snapshots) / ("" if partition is None else f"p{partition:02d}")
        streams = [stream.name for stream in program.streams]
        return DirectorySnapshots(folder, self.group, streams, key_of(_SNAPSHOT_KEY))


def run(paths: Sequence[str], service: Service, log_format: str | None, report_s: int) -> int:
    """Run until a signal: finish the turn, commit, keep a snapshot. Changed rules take over meanwhile."""
    journal = Journal(log_format)
    tables, before = RedisTables(service.address.url), Before()
    try:
        loaded, rules = without_mistakes(paths, tables.read, before.checked)
    except LogError as error:
        raise unreached(error) from error
    program, _ = build(rules, before.compiled, service.shards)
    worker = service.worker or socket.gethostname()
    ensure_warm()  # before the log is taken over, so that whoever has it goes on meanwhile
    url = service.address.reached()
    _check(url, service, program, journal)
    stop = threading.Event()
    watcher = Watcher(paths, loaded, before, tables, program, journal)
    membership = _join(url, service, worker)
    made = _Maker(url, service, worker, watcher, journal, Watchdog(service.watchdog_s))
    partitions = Partitions(service.partitions, membership, worker, made.runtime, journal)
    stop_on_signals(stop)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda number, frame: watcher.again())
    began = {"server": public_name(url), "group": service.group, "alerts": service.alerts, "rules": len(program.rules)}
    journal.write("started", began)
    reporter = threading.Thread(target=_report, args=(journal, partitions, stop, report_s), daemon=True)
    reporter.start()
    gc.freeze()  # what is there by now stays, and need not be looked through again and again
    try:
        partitions.run(stop)
    except (LogError, HistoryError) as error:
        journal.write(str(error), {}, "error")
        return FAILED
    finally:
        stop.set()
        reporter.join()
        watcher.close()
    journal.write("stopped", _figures(partitions))
    return OK


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the runtimes of partitions. url: may hold a password."""

    url: str = field(repr=False)
    service: Service
    worker: str
    watcher: Watcher
    journal: Journal
    watchdog: Watchdog

    def runtime(self, partition: int | None, stop: threading.Event) -> Runtime:
        """One that is ready to run."""
        service, changed, program = self.service, self.watcher.subscribe(), self.watcher.program
        log = RedisLog(
            partial(Session, self.url),
            [stream.name for stream in program.streams],
            service.keys(partition),
            worker=self.worker,
            lease_s=service.lease_s,
            trims=service.trims,
            replicas=service.replicas,
            allow_volatile=service.allow_volatile,
            in_background=True,
        )
        options = Options(
            snapshot_s=service.snapshot_s,
            streams=[stream.name for stream in program.streams],
            idle_s={n: stream.idle_us / 1e6 for n, stream in enumerate(program.streams) if stream.idle_us is not None},
            goes_on=service.goes_on,
        )
        where = {} if partition is None else {"partition": partition}
        return Runtime(
            log,
            detector_of(program, service.shards),
            service.store(program, partition),
            options=options,
            stop=stop,
            report=lambda message: self.journal.write(message, where, "warning"),
            changed=changed,
            watched=self.watchdog.watched,
        )


def _check(url: str, service: Service, program: Program, journal: Journal) -> None:
    """Say what will be regretted, and refuse a folder that cannot keep snapshots."""
    names, streams = [stream.name for stream in program.streams], list[str]()
    for partition in range(service.partitions) if service.partitions else (None,):
        streams += service.keys(partition).of_streams(names)
        if (store := service.store(program, partition)) is not None:
            store.check()
    with contextlib.suppress(LogError):  # which is waited out when the log is opened
        for finding in findings(partial(Session, url), streams, is_near(url)):
            journal.write(finding, {}, "warning")


def _join(url: str, service: Service, worker: str) -> Membership | None:
    """A worker's place among those that share partitions."""
    if service.partitions is None:
        return None
    membership = Membership(partial(Session, url), service.keys().own("workers"), worker, service.lease_s)
    membership.agree(service.keys().own("partitions"), service.partitions)
    return membership


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM and SIGINT set `stop`; a second SIGINT interrupts."""

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _figures(partitions: Partitions) -> dict[str, int]:
    counters = partitions.counters()
    found = {name: sum(getattr(c, name) for c in counters) for name in _FIGURES}
    return found | {"unknown": sum(sum(c.unknown.values()) for c in counters)}


def _report(journal: Journal, partitions: Partitions, stop: threading.Event, every_s: int) -> None:
    """Log the figures now and then, while they change."""
    before = _figures(partitions)
    while not stop.wait(every_s):
        now = _figures(partitions)
        if now != before:
            speed = (now["events"] - before["events"]) // every_s
            journal.write("progress", {"events_per_s": speed, **now})
        before = now
