"""How long after its XADD an alert can be read, at a steady rate, with the delivery guarantee on.

A ticker sends what a thousandth of a second brings in one pipeline; every so often there is an event in it that is an
alert by itself. A process of its own waits for alerts with XREAD BLOCK. Both look at the system's monotonic clock; an
alert counts from just before the pipeline was sent until the reply was there.
"""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from bench.processes import ALERTS, GROUP, STREAM, command, environment
from bench.workloads import BEGINNING_MS, CARDS, RULES, card_name
from cep.adapters.redis.session import Session
from tests.servers import Server

RATES = (1_000, 10_000, 50_000)
SECONDS = 10.0
WARM_SECONDS = 2.0  # that do not count
_TICK_S = 0.001
_EVERY_TICKS = 10
_UNANSWERED_MAX = 20_000  # events whose XADD the server may not have answered yet
_PREFIX = "probe"


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds; `sent` is what was really sent in a second, `alerts` how many were waited for."""

    rate: int
    sent: float
    alerts: int
    p50_ms: float
    p99_ms: float
    max_ms: float


def measure_latency(server: Server, rate: int, seconds: float = SECONDS) -> Latency:
    """One rate, on a server that holds nothing else."""
    session = Session(server.url)
    session.call("FLUSHALL")
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    listener = multiprocessing.get_context("spawn").Process(target=_listen, args=(server.url, theirs))
    listener.start()
    arguments = ("run", str(RULES / "latency.cep"), "--redis", server.url, "--group", GROUP)
    quiet = subprocess.DEVNULL
    service = subprocess.Popen(command(*arguments), env=environment(), stdout=quiet, stderr=quiet)
    try:
        ours.recv()
        _probe(session, 0, 1)
        session.receive()
        assert ours.poll(120), "the service made no alert of the first event"
        ours.recv()
        sent_s, events, took = _send(session, rate, seconds)
        ours.send(len(sent_s))
        assert ours.poll(60), "alerts are missing"
        seen_s = ours.recv()
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait()
        listener.terminate()
        session.close()
    ms = np.array([(seen_s[number] - at) * 1e3 for number, at in sent_s.items() if number * _TICK_S >= WARM_SECONDS])
    p50, p99 = np.percentile(ms, [50, 99])
    return Latency(rate, events / took, len(ms), float(p50), float(p99), float(ms.max()))


def _send(session: Session, rate: int, seconds: float) -> tuple[dict[int, float], int, float]:
    """When each probe was sent, how many events were, and how long that took."""
    sent_s: dict[int, float] = {}
    began, events, ticks, answered = time.monotonic(), 0, int(seconds / _TICK_S), 0
    for tick in range(1, ticks + 1):
        due = began + tick * _TICK_S
        while (now := time.monotonic()) < due:
            time.sleep(max(0.0, due - now - 0.0001))
        number = tick if tick % _EVERY_TICKS == 0 else -1
        count = int(rate * tick * _TICK_S) - events
        if number >= 0:
            sent_s[number] = time.monotonic()
        _probe(session, number, count, events)
        events += count
        while answered < events - _UNANSWERED_MAX:
            session.receive()
            answered += 1
    for _ in range(events - answered):
        session.receive()
    return sent_s, events, time.monotonic() - began


def _probe(session: Session, number: int, count: int, first: int = 0) -> None:
    """Send some events, and wait for no answer; the last is a probe unless its number is negative."""
    at = BEGINNING_MS + int(time.monotonic() * 1000)
    lines = [
        b'{"type":"payment","ts":%d,"card":"%b","amount":12.34,"country":"NL"}'
        % (at, card_name((first + n) * 7919 % CARDS).encode())
        for n in range(count)
    ]
    if number >= 0 and lines:
        lines[-1] = b'{"type":"payment","ts":%d,"card":"%b%d","amount":2000000}' % (at, _PREFIX.encode(), number)
    if lines:
        session.send([("XADD", STREAM, "*", "event", line) for line in lines])


def _listen(url: str, results: Connection) -> None:
    """Note when each probe's alert could be read; hand it over once so many are there as one says."""
    session, last, seen_s = Session(url), b"0-0", dict[int, float]()
    results.send("ready")
    wanted, is_first = -1, True
    while wanted < 0 or len(seen_s) < wanted + 1:
        reply = session.call("XREAD", "BLOCK", 200, "STREAMS", ALERTS, last)
        now = time.monotonic()
        for entry, (_, alert) in reply[0][1] if reply else ():
            last = entry
            text = alert.partition(b'"card":"' + _PREFIX.encode())[2]
            seen_s.setdefault(int(text.partition(b'"')[0]), now)
        if is_first and seen_s:
            results.send("first")
            is_first = False
        if results.poll():
            wanted = results.recv()
    results.send(seen_s)
