"""Time that moves on while nothing comes: it changes no match, and it brings those that wait for time alone."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cep.adapters.cli.detector import build
from cep.adapters.redis.keys import Keys
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.session import Session
from cep.delivery.runtime import Options, Runtime
from cep.engine.batch import empty
from cep.engine.state import EngineState
from cep.engine.step import advance, drain, step
from cep.lang import check_texts
from cep.testing.events import VirtualEvent, batch_of
from tests import oracle
from tests.generate import Case, describe, random_case
from tests.servers import Server, own_server
from tests.test_engine import outcomes

__all__ = ["own_server"]

SILENT = """
stream orders time ts type type idle 300ms
event order   from orders (id text)
event payment from orders (id text)
rule unpaid by id
  when order then no payment within 1s
  alert low "{id} has not been paid"
"""


def ticked(case: Case, rng: random.Random) -> list[oracle.Outcome]:
    """What the engine makes of a case where time moves on, now and then, between two events."""
    program, known = case.program, dict[bytes, oracle.Outcome]()
    state, made = EngineState.create(program), list[oracle.Outcome]()
    everything = frozenset(range(len(program.streams)))
    events = [VirtualEvent(e.event, e.time_us, e.values) for e in case.events]
    for place, event in enumerate(events):
        output = step(program, state, batch_of(program, state.strings, [event], place))
        made += outcomes(program, state, output, known)
        next_us = events[place + 1].time_us if place + 1 < len(events) else case.until_us
        if rng.random() < 0.3 and event.time_us < next_us:
            output = step(program, state, empty(len(program.columns)), everything)
            made += outcomes(program, state, output, known)
            output = advance(program, state, rng.randint(event.time_us + 1, next_us))
            made += outcomes(program, state, output, known)
    return made + outcomes(program, state, drain(program, state, case.until_us), known)


@pytest.mark.parametrize("block", range(4))
def test_time_that_moves_on_by_itself_changes_no_match(block: int) -> None:
    for seed in range(7000 + block * 30, 7030 + block * 30):
        case = random_case(seed)
        made = ticked(case, random.Random(seed))
        assert made == oracle.run(case.ruleset, case.events, case.until_us), f"seed {seed}\n{describe(case)}"


def test_what_comes_from_before_the_time_that_has_passed_is_late() -> None:
    rules = check_texts(
        {"rules.cep": "stream s time ts\nevent a from s (k text)\nrule r by k when a alert low"}
    ).ruleset
    assert rules is not None
    program, detector = build(rules)
    state = detector.state
    for at, late in ((10, 0), (29, 1), (30, 1), (31, 1)):
        step(program, state, batch_of(program, state.strings, [VirtualEvent(0, at, {"k": "x"})], at))
        assert state.counters.late == late
        if at == 10:
            advance(program, state, 30)


class Service:
    """A runtime of some rules on a server, in a thread."""

    def __init__(self, server: Server, text: str) -> None:
        rules = check_texts({"rules.cep": text}).ruleset
        assert rules is not None
        _, detector = build(rules)
        log = RedisLog(lambda: Session(server.url), ["orders"], Keys("g"))
        self.stop = threading.Event()
        self.runtime = Runtime(log, detector, options=Options(streams=["orders"], idle_s={0: 0.3}), stop=self.stop)
        self.thread = threading.Thread(target=self.runtime.run)
        self.thread.start()

    def end(self) -> None:
        self.stop.set()
        self.thread.join()


@pytest.fixture
def start(own_server: Server) -> Iterator[Callable[[str], Service]]:
    begun: list[Service] = []

    def begin(text: str) -> Service:
        begun.append(Service(own_server, text))
        return begun[-1]

    yield begin
    for service in begun:
        service.end()


def test_an_absence_is_reported_when_no_event_comes_at_all(
    own_server: Server, tmp_path: Path, start: Callable[[str], Service]
) -> None:
    """And once: another process, which reads the stream again, repeats what was decided then."""
    client, now_ms = own_server.client(), 1_700_000_000_000
    service = start(SILENT)
    client.xadd("orders", {"event": json.dumps({"type": "order", "ts": now_ms, "id": "o1"})})
    deadline = time.monotonic() + 30
    while not client.xlen("alerts"):
        assert time.monotonic() < deadline, "no alert"
        time.sleep(0.05)
    service.end()
    again = start(SILENT)
    client.xadd("orders", {"event": json.dumps({"type": "order", "ts": now_ms + 60_000, "id": "o2"})})
    client.xadd("orders", {"event": json.dumps({"type": "payment", "ts": now_ms + 60_500, "id": "o2"})})
    while again.runtime.counters.events < 2:
        assert time.monotonic() < deadline, "no events"
        time.sleep(0.05)
    again.end()
    ((_, alert),) = client.xrange("alerts")
    assert json.loads(alert[b"alert"])["data"]["annotations"]["summary"] == "o1 has not been paid"
    assert again.runtime.counters.replayed == 1
