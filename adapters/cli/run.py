"""`cep run`: the service over Redis Streams."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from cep.adapters.cli.console import FAILED, OK, CommandError
from cep.adapters.cli.detector import Before, build
from cep.adapters.cli.journal import Journal
from cep.adapters.cli.reload import Watcher
from cep.adapters.cli.rules import without_mistakes
from cep.adapters.cli.warmup import ensure_warm
from cep.adapters.files.snapshots import DirectorySnapshots
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.session import Session, public_name
from cep.adapters.redis.tables import RedisTables
from cep.layout import Program
from cep.ports import LogError
from cep.runtime import Counters, HistoryError, Options, Runtime

_URL_FILE = "CEP_REDIS_URL_FILE"


@dataclass(frozen=True, slots=True)
class Service:
    """Where events come from and alerts go to. `redis` may hold a password and is never shown as it is."""

    redis: str | None
    group: str
    alerts: str
    snapshots: str | None
    snapshot_s: int
    allow_volatile: bool
    shards: int

    def url(self) -> str:
        """The server's address, also from a file. Raises CommandError."""
        if self.redis is not None:
            return self.redis
        if file := os.environ.get(_URL_FILE):
            return Path(file).read_text("utf-8").strip()
        raise CommandError(f"no server is given: say --redis redis://HOST:PORT/0, or set CEP_REDIS_URL or {_URL_FILE}")

    def store(self, program: Program) -> DirectorySnapshots | None:
        """The snapshots of this group."""
        if self.snapshots is None:
            return None
        return DirectorySnapshots(self.snapshots, self.group, [stream.name for stream in program.streams])


def run(paths: Sequence[str], service: Service, log_format: str | None, report_s: int) -> int:
    """Run until a signal: finish the batch, commit, keep a snapshot. Changed rules take over meanwhile."""
    journal = Journal(log_format)
    tables, before = RedisTables(service.url), Before()
    try:
        loaded, rules = without_mistakes(paths, tables.read, before.checked)
    except LogError as error:
        raise _unreached(error) from error
    program, detector = build(rules, before.compiled, service.shards)
    url = service.url()
    store = service.store(program)
    ensure_warm()  # before the log is taken over, so that whoever has it goes on meanwhile
    _reach(url)
    log = RedisLog(url, [s.name for s in program.streams], service.group, service.alerts, service.allow_volatile)
    stop = threading.Event()
    options = Options(snapshot_s=service.snapshot_s)
    watcher = Watcher(paths, loaded, before, tables, program, journal)
    runtime = Runtime(
        log,
        detector,
        store,
        options=options,
        stop=stop,
        report=lambda message: journal.write(message, {}, "warning"),
        changed=watcher.changed,
    )
    stop_on_signals(stop)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda number, frame: watcher.again())
    began = {"server": public_name(url), "group": service.group, "alerts": service.alerts, "rules": len(program.rules)}
    journal.write("started", began)
    reporter = threading.Thread(target=_report, args=(journal, runtime.counters, stop, report_s), daemon=True)
    reporter.start()
    try:
        runtime.run()
    except (LogError, HistoryError) as error:
        journal.write(str(error), {}, "error")
        return FAILED
    finally:
        stop.set()
        reporter.join()
        watcher.close()
    journal.write("stopped", _figures(runtime.counters))
    return OK


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM and SIGINT set `stop`; a second SIGINT interrupts."""

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _reach(url: str) -> None:
    """At the start a server that does not answer is a mistake; later it is waited for."""
    try:
        Session(url).close()
    except LogError as error:
        raise _unreached(error) from error


def _unreached(error: LogError) -> CommandError:
    return CommandError(f"cannot connect to {error}: start the server, or give another address with --redis", FAILED)


def _figures(counters: Counters) -> dict[str, int]:
    names = ("events", "alerts", "shadow", "bad", "late", "batches", "replayed", "snapshots", "changes")
    return {name: getattr(counters, name) for name in names} | {"unknown": sum(counters.unknown.values())}


def _report(journal: Journal, counters: Counters, stop: threading.Event, every_s: int) -> None:
    """Log the figures now and then, while they change."""
    before = _figures(counters)
    while not stop.wait(every_s):
        now = _figures(counters)
        if now != before:
            speed = (now["events"] - before["events"]) // every_s
            journal.write("progress", {"events_per_s": speed, **now})
        before = now
