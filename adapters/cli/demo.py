"""`cep demo`: everything at once: a private Valkey, an invented town, the service with shipped rules, its alerts."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
from cep.adapters.redis.keys import Keys
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.session import Session
from cep.delivery.runtime import Options, Runtime
from cep.ports import LogError

_ALERTS = "alerts"
_Hit = tuple[object, ...]  # a rule, and the first part of the key that it fired for
_BURST_MAX = 10_000  # events sent at once, where the rate is more than can be done
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
        streams = [stream.name for stream in program.streams]
        log = RedisLog(partial(Session, url), streams, Keys("demo", _ALERTS))
        runtime = Runtime(log, detector, options=Options(streams=streams), stop=stop, report=say)
        sender = _Sender(url, town, seconds, stop)
        with ThreadPoolExecutor(2) as threads:
            sending, serving = threads.submit(sender.send), threads.submit(runtime.run)

            def is_over() -> bool:
                all_sent = sending.done() and runtime.counters.events >= sender.sent
                return stop.is_set() or serving.done() or all_sent

            try:
                for batch in _alerts(url, is_over):
                    alerts.write(batch)
                    found |= {_hit(alert) for alert in batch}
                stop.set()
                sending.result()
                serving.result()
            except LogError as error:
                raise CommandError(f"the demo has failed: {error}", FAILED) from error
            finally:
                stop.set()
    say(_summary(town, sender, runtime.counters.events, alerts, found))
    say(f"the rules are in {pack}: copy the folder, change them, then `cep test` and `cep replay` them")
    return OK


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
            missing = int(elapsed * self._town.rate) - self.sent
            due = list(itertools.islice(events, min(missing, _BURST_MAX)))
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


def _hit(alert: bytes) -> _Hit:
    data = parse(alert).data
    return (data.rule.id, *list(data.key.values())[:1])


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
