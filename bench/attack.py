"""The burst that a detector exists to detect: does an event cost more when everything happens on one card?

Two questions. `storm`: as many failed log-ins within a minute, spread over the cards or all on one.
`crowd`: one card whose events repeat in a cycle, ever closer together, so that the same events meet 10 up to
1,000,000 partial matches that wait: as one begins, the oldest leaves its window. They must not matter, save in w4: its
filters look back, so each of the waiting is asked (at most 1,000, by the rule's bound).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.engine import EngineRun
from bench.measure import PASSES, Timing, ratio, seconds_of, side_by_side
from bench.workloads import (
    BATCH_EVENTS,
    BEGINNING_MS,
    CARDS,
    LOGIN_FAILED,
    LOGIN_OK,
    PASSWORD_CHANGE,
    PAYMENT,
    Events,
    compile_workload,
    generate,
)
from cep.engine.batch import Batch
from cep.engine.state import EngineState

STORM_EVENTS = 100_000
STORM_MS = 50_000  # inside the minute of w1
CROWD = (10, 1_000, 100_000, 1_000_000)
TIMED = 16  # batches, in which a million events leave and come; tables grow and shrink now and then, not in each batch


@dataclass(frozen=True, slots=True)
class Cycle:
    """What repeats on the one card: (kind, amount) one after the other; the first begins a partial match."""

    within_ms: int
    events: tuple[tuple[int, float], ...]
    waiting: tuple[int, ...] = CROWD


CYCLES = {
    "w2": Cycle(600_001, ((LOGIN_FAILED, 0.0), (PASSWORD_CHANGE, 0.0), (PAYMENT, 10.0))),
    "w3": Cycle(600_001, ((PAYMENT, 1.0), (PAYMENT, 100.0))),
    "w4": Cycle(300_001, ((PAYMENT, 10.0),), waiting=(10, 100)),
    "w5": Cycle(1_800_001, ((LOGIN_OK, 0.0), (PAYMENT, 10.0))),
}


def storm(attack: bool) -> Events:
    """Failed log-ins within a minute: all on one card, or each on a card of the calm stream."""
    calm = generate(STORM_EVENTS)
    ts = BEGINNING_MS + np.arange(STORM_EVENTS, dtype=np.int64) * STORM_MS // STORM_EVENTS
    kind = np.full(STORM_EVENTS, LOGIN_FAILED, np.int8)
    return replace(calm, ts=ts, kind=kind, card=np.full_like(calm.card, CARDS // 2) if attack else calm.card)


def crowd(cycle: Cycle, waiting: int) -> Events:
    """The cycle repeated: as many whole batches as it takes to fill the window, then those that are timed."""
    length = len(cycle.events)
    n = (-(-waiting * length // BATCH_EVENTS) + TIMED) * BATCH_EVENTS
    turn, place = np.divmod(np.arange(n, dtype=np.int64), length)
    return Events(
        ts=BEGINNING_MS + turn * cycle.within_ms // waiting,
        kind=np.array([kind for kind, _ in cycle.events], np.int8)[place],
        card=np.zeros(n, np.int64),
        amount=np.array([amount for _, amount in cycle.events])[place],
        country=np.zeros(n, np.int8),
        merchant=np.zeros(n, np.int32),
    )


class CrowdRun:
    """A crowd whose last batches are timed."""

    def __init__(self, name: str, waiting: int) -> None:
        self._engine = EngineRun(compile_workload(name), crowd(CYCLES[name], waiting))
        self.waiting = -1

    def prepare(self) -> tuple[EngineState, list[Batch]]:
        """The state with a full window, and the batches to time."""
        state, stream = self._engine.prepare()
        self._engine.run(state, stream[:-TIMED])
        return state, stream[-TIMED:]

    def run_last(self, state: EngineState, last: list[Batch]) -> None:
        """The batches to time."""
        self._engine.run(state, last)
        self.waiting = state.shards[0].plans[0].waiting()

    def timed(self) -> float:
        """One pass, in seconds."""
        state, last = self.prepare()
        return seconds_of(lambda: self.run_last(state, last))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of the table; `waiting` None where it is not the question.

    cost: how many times an event costs what it does in the first row of its group.
    """

    name: str
    waiting: int | None
    timing: Timing
    cost: float


def measure_storm(rounds: int = PASSES) -> list[Outcome]:
    """w1 in a calm minute and in a storm."""
    program = compile_workload("w1")
    runs = [EngineRun(program, storm(attack)) for attack in (False, True)]
    calm, attack = side_by_side(STORM_EVENTS, [run.timed for run in runs], rounds)
    return [
        Outcome("w1 calm", None, calm, 1.0),
        Outcome("w1 storm on one card", None, attack, ratio(attack, calm)),
    ]


def measure_crowd(name: str, rounds: int = PASSES) -> list[Outcome]:
    """A rule before few, many, very many partial matches that wait."""
    runs = [CrowdRun(name, waiting) for waiting in CYCLES[name].waiting]
    timings = side_by_side(TIMED * BATCH_EVENTS, [run.timed for run in runs], rounds)
    return [
        Outcome(f"{name} crowd", run.waiting, timing, ratio(timing, timings[0]))
        for run, timing in zip(runs, timings, strict=True)
    ]
