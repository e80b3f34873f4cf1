"""The engine beside plain Python, and on both cores: threads that share a batch, and processes that share the cards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.engine import EngineRun
from bench.measure import PASSES, Timing, ratio, seconds_of, side_by_side
from bench.parted import PartedRun
from bench.reference import REFERENCES, Event, rows
from bench.workloads import Events, compile_workload


@dataclass(slots=True)
class ReferenceRun:
    """One function of `reference` over one stream."""

    function: Callable[[Sequence[Event]], int]
    events: Sequence[Event]
    matches: int = field(default=-1, init=False)

    def timed(self) -> float:
        """One pass, in seconds."""
        return seconds_of(self._run)

    def _run(self) -> None:
        self.matches = self.function(self.events)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A workload's outcome, on one shard, on two (`halves`), and in two processes (`parted`), which find the same.

    faster: how many times the reference takes as long. gain, parted_gain: how many times one shard takes as long as
    two, and as two processes.
    """

    name: str
    matches: int
    engine: Timing
    halves: Timing
    parted: Timing
    reference: Timing
    faster: float
    gain: float
    parted_gain: float


def compare(
    name: str, events: Events, reference_rows: Sequence[Event] | None = None, rounds: int = PASSES
) -> Comparison:
    """A workload beside its reference; the two must find as many matches."""
    engine, halves = (EngineRun(compile_workload(name), events, shards) for shards in (1, 2))
    reference = ReferenceRun(REFERENCES[name], reference_rows if reference_rows is not None else rows(events))
    with PartedRun(name, events) as parted:
        runs = [engine, halves, parted, reference]
        engine_s, halves_s, parted_s, reference_s = side_by_side(len(events), [run.timed for run in runs], rounds)
    assert engine.matches == reference.matches, f"{name}: {engine.matches} matches, {reference.matches} expected"
    assert halves.matches == engine.matches, f"{name}: {halves.matches} matches on two shards"
    assert parted.matches == engine.matches, f"{name}: {parted.matches} matches in two processes"
    faster, gain, parted_gain = ratio(reference_s, engine_s), ratio(engine_s, halves_s), ratio(engine_s, parted_s)
    return Comparison(name, engine.matches, engine_s, halves_s, parted_s, reference_s, faster, gain, parted_gain)
