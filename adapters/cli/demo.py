"""`cep demo`: everything at once: a private Valkey, an invented town, the service with shipped rules, its alerts."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cep
from cep.adapters.cli.alerts import AlertLines, parse
from cep.adapters.cli.console import FAILED, OK, CommandError, counted, say
from cep.adapters.cli.detector import build
from cep.adapters.cli.rules import accepted
from cep.adapters.cli.run import stop_on_signals
from cep.adapters.cli.town import MINUTE_MS, PLOTS, SPEED, Town
from cep.adapters.cli.valkey import private_valkey
from cep.adapters.cli.warmup import ensure_warm
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.session import Session
from cep.errors import ConfigurationError
from cep.ports import LogError
from cep.runtime import Runtime

_ALERTS = "alerts"
_Hit = tuple[object, ...]  # a rule, and the first part of the key that it fired for
_TICK_S = 0.05
_UNDECIDED_MS = 2 * MINUTE_MS  # a fraud this fresh still waits for stragglers
_UNITS = {"s": 1, "m": 60, "h": 3600}


def shipped_rules() -> Path:
    """The rule packs: beside the package when installed, at the project's root when run from there."""
    package = Path(cep.__file__).parent
    shipped = package / "rules"
    return shipped if shipped.is_dir() else package.parent / "rules"


def demo(duration: str, rate: int, seed: int) -> int:
    """Alerts on stdout as they come; a summary of what was planted and found on stderr."""
    seconds = _seconds(duration)
    pack = shipped_rules() / "fraud"
    program, detector = build(accepted([str(pack)]))
    ensure_warm()
    stop = threading.Event()
    stop_on_signals(stop)
    found: set[_Hit] = set()
    town, alerts = Town(rate, seed), AlertLines(is_readable=True)
    with private_valkey() as url:
        say(
            f"{counted(len(program.rules), 'rule')} on {url}, {rate:,} events a second for {duration}; "
            f"a second shows {SPEED // 60} minutes, and Ctrl-C ends it"
        )
        log = RedisLog(url, [stream.name for stream in program.streams], "demo", _ALERTS)
        runtime = Runtime(log, detector, stop=stop, report=say)
        sender = _Sender(url, town, seconds, stop)
        workers = [_Worker(sender.send, stop), _Worker(runtime.run, stop)]
        for worker in workers:
            worker.start()

        def is_over() -> bool:
            return stop.is_set() or (not workers[0].is_alive() and runtime.counters.events >= sender.sent)

        for batch in _alerts(url, is_over):
            alerts.write(batch)
            found |= {(data.rule.id, *list(data.key.values())[:1]) for data in (parse(alert).data for alert in batch)}
        stop.set()
        for worker in workers:
            worker.join()
            if worker.error is not None:
                raise CommandError(f"the demo has failed: {worker.error}", FAILED) from worker.error
    say(_summary(town, sender, runtime.counters.events, alerts, found))
    say(f"the rules are in {pack}: copy the folder, change them, then `cep test` and `cep replay` them")
    return OK


class _Worker(threading.Thread):
    """A thread whose error is kept, and stops everything."""

    def __init__(self, work: Callable[[], None], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._work, self._stop_all = work, stop
        self.error: Exception | None = None

    def run(self) -> None:
        """Work."""
        try:
            self._work()
        except (LogError, ConfigurationError) as error:
            self.error = error
            self._stop_all.set()


class _Sender:
    """Sends what happens in the town, at its rate, for some seconds."""

    def __init__(self, url: str, town: Town, seconds: float, stop: threading.Event) -> None:
        self._url, self._town, self._stop = url, town, stop
        self.seconds = seconds  # until it is over; then how long it was
        self.sent = 0
        self.reached_ms = 0  # the time in the town

    def send(self) -> None:
        """Send until it is over."""
        session, events = Session(self._url), self._town.events()
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < self.seconds and not self._stop.is_set():
            due = list(itertools.islice(events, int(elapsed * self._town.rate) - self.sent))
            if due:
                session.pipeline([("XADD", event.stream, "*", "event", event.to_json()) for event in due])
                self.sent += len(due)
                self.reached_ms = due[-1].at_ms
            self._stop.wait(_TICK_S)
        self.seconds = time.monotonic() - began
        session.close()


def _alerts(url: str, is_over: Callable[[], bool]) -> Iterator[list[bytes]]:
    """The alerts as they come, until it is over and none is left."""
    session, last = Session(url), b"0-0"
    while True:
        ending = is_over()
        reply = session.call("XREAD", "COUNT", 100, "BLOCK", 100, "STREAMS", _ALERTS, last)
        if reply:
            entries = reply[0][1]
            last = entries[-1][0]
            yield [fields[1] for _, fields in entries]
        elif ending:
            session.close()
            return


def _summary(town: Town, sender: _Sender, events: int, alerts: AlertLines, found: set[_Hit]) -> str:
    """What was planted, what was found of it, and every alert."""
    complete = [fraud for fraud in town.planted if fraud.done_ms < sender.reached_ms - _UNDECIDED_MS]
    planted = Counter(fraud.rule for fraud in complete)
    hits = Counter(fraud.rule for fraud in complete if (fraud.rule, fraud.key) in found)
    rules = [rule for rule, _ in PLOTS]
    rules += sorted({rule for rule, _ in alerts.counts} - set(rules))
    lines = [f"{'rule':<28}{'planted':>8}{'found':>8}{'fired':>8}{'resolved':>10}"]
    for rule in rules:
        fired, resolved = alerts.counts[rule, "fired"], alerts.counts[rule, "resolved"]
        lines.append(f"{rule:<28}{planted[rule]:>8}{hits[rule]:>8}{fired:>8}{resolved:>10}")
    lines.append(
        f"{events:,} events at {events / sender.seconds:,.0f} a second, {counted(alerts.counts.total(), 'alert')}, "
        f"{hits.total()} of {counted(planted.total(), 'planted fraud')} found"
    )
    return "\n".join(lines)


def _seconds(duration: str) -> float:
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", duration)
    if parts is None:
        raise CommandError(f"{duration} is not a duration: say 20s, 5m or 1h")
    return float(parts[1]) * _UNITS[parts[2]]
