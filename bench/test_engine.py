"""W1–W6, the engine alone, each beside the straight-line reference in the same run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.compared import ReferenceRun
from bench.engine import EngineRun
from bench.measure import PASSES, settle
from bench.reference import REFERENCES, Event
from bench.workloads import FULL_EVENTS, FULL_MATCHES, NAMES, Events, compile_workload


@pytest.mark.parametrize("name", NAMES)
def test_engine(name: str, benchmark: BenchmarkFixture, events: Events, reference_rows: Sequence[Event]) -> None:
    engine = EngineRun(compile_workload(name), events)
    reference = ReferenceRun(REFERENCES[name], reference_rows)
    reference_s: list[float] = []

    def setup() -> tuple[tuple[object, ...], dict[str, object]]:
        """The reference's pass stands just before the engine's, so that both meet the same disturbances."""
        settle()
        reference_s.append(reference.timed())
        return engine.prepare(), {}

    benchmark.pedantic(engine.run, setup=setup, rounds=PASSES, warmup_rounds=1)
    assert engine.matches == reference.matches
    if len(events) == FULL_EVENTS:
        assert engine.matches == FULL_MATCHES[name]
    engine_s = benchmark.stats.stats.data
    faster = statistics.median(r / e for r, e in zip(reference_s[-len(engine_s) :], engine_s, strict=True))
    ns = statistics.median(engine_s) / len(events) * 1e9
    benchmark.extra_info |= {"matches": engine.matches, "ns_per_event": ns, "reference_ratio": faster}
    print(f"{name}: {engine.matches} matches, {ns:.0f} ns an event, {faster:.2f} × the reference")
