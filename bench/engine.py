"""The engine alone: decoded events in, matches out, on one core. Decoding and rendering are measured elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.measure import PASSES, Timing, ratio, seconds_of, side_by_side
from bench.workloads import BATCH_EVENTS, Decoded, Events, compile_many, compile_workload
from cep.engine.batch import Batch
from cep.engine.state import EngineState
from cep.engine.step import step
from cep.layout.program import Program

NEVER = 2**62
SHARED_BATCH_EVENTS = 4 * BATCH_EVENTS


class EngineRun:
    """Rules over one stream, again and again, each time from an empty state whose keys are in so many shards.

    Batches for several shards are longer unless said, for their threads wait for each other some times in each.
    """

    def __init__(self, program: Program, events: Decoded, shards: int = 1, batch_events: int | None = None) -> None:
        self._program, self._events, self._shards = program, events, shards
        self._batch_events = batch_events or (BATCH_EVENTS if shards == 1 else SHARED_BATCH_EVENTS)
        self.matches = -1

    def prepare(self) -> tuple[EngineState, list[Batch]]:
        """An empty state and the stream in its text ids."""
        state = EngineState.create(self._program, self._shards)
        state.strings.compact_at = NEVER  # the batches that wait here hold ids, which the state must not forget
        return state, self._events.batches(self._program, state.strings, self._batch_events)

    def run(self, state: EngineState, stream: Sequence[Batch]) -> None:
        """All batches in their order; nothing is drained, so time ends with the last event."""
        self.matches = sum(len(step(self._program, state, batch).order) for batch in stream)

    def timed(self) -> float:
        """One pass, in seconds."""
        state, stream = self.prepare()
        return seconds_of(lambda: self.run(state, stream))


@dataclass(frozen=True, slots=True)
class ManyKeys:
    """A workload over so many keys. `cost`: how many times an event costs what it does with the fewest."""

    name: str
    keys: int
    timing: Timing
    cost: float


def measure_keys(name: str, numbers: Sequence[int], streams: Sequence[Events], rounds: int = PASSES) -> list[ManyKeys]:
    """The same number of events over ever more keys."""
    program = compile_workload(name)
    timings = side_by_side(len(streams[0]), [EngineRun(program, events).timed for events in streams], rounds)
    return [ManyKeys(name, n, timing, ratio(timing, timings[0])) for n, timing in zip(numbers, timings, strict=True)]


@dataclass(frozen=True, slots=True)
class ManyRules:
    """So many rules at once. `cost`: how many times an event costs what it does with the first number of rules."""

    rules: int
    compile_s: float
    matches: int
    timing: Timing
    cost: float


def measure_many(
    numbers: Sequence[int],
    events: Decoded,
    rounds: int = PASSES,
    compiled: Callable[[int], Program] = compile_many,
) -> list[ManyRules]:
    """The same stream for ever more rules (w7, if not said); what it takes to load and compile them comes along."""
    began = [time.perf_counter()]
    runs = []
    for number in numbers:
        runs.append(EngineRun(compiled(number), events))
        began.append(time.perf_counter())
    timings = side_by_side(len(events), [run.timed for run in runs], rounds)
    return [
        ManyRules(number, after - before, run.matches, timing, ratio(timing, timings[0]))
        for number, before, after, run, timing in zip(numbers, began, began[1:], runs, timings, strict=False)
    ]
