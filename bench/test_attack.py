"""Calm and attack cost the same: the first law of cost."""

from __future__ import annotations

import statistics

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.attack import CYCLES, STORM_EVENTS, TIMED, CrowdRun, storm
from bench.engine import EngineRun
from bench.measure import PASSES, settle
from bench.workloads import BATCH_EVENTS, compile_workload


@pytest.mark.benchmark(group="w1: 100,000 failed log-ins within a minute")
@pytest.mark.parametrize("attack", [False, True], ids=["calm", "one card"])
def test_storm(attack: bool, benchmark: BenchmarkFixture) -> None:
    """The calm minute runs before each pass too, so the ratio compares neighbours."""
    program = compile_workload("w1")
    calm, engine = EngineRun(program, storm(False)), EngineRun(program, storm(attack))
    calm_s: list[float] = []

    def setup() -> tuple[tuple[object, ...], dict[str, object]]:
        settle()
        calm_s.append(calm.timed())
        return engine.prepare(), {}

    benchmark.pedantic(engine.run, setup=setup, rounds=PASSES, warmup_rounds=1)
    if attack:
        assert engine.matches == STORM_EVENTS // 5
    _note(benchmark, calm_s, STORM_EVENTS)


@pytest.mark.parametrize(("name", "waiting"), [(name, n) for name, cycle in CYCLES.items() for n in cycle.waiting])
def test_crowd(name: str, waiting: int, benchmark: BenchmarkFixture) -> None:
    few, run = CrowdRun(name, CYCLES[name].waiting[0]), CrowdRun(name, waiting)
    benchmark.group = f"{name}: partial matches that wait on one card"
    few_s: list[float] = []

    def setup() -> tuple[tuple[object, ...], dict[str, object]]:
        settle()
        few_s.append(few.timed())
        return run.prepare(), {}

    benchmark.pedantic(run.run_last, setup=setup, rounds=PASSES, warmup_rounds=1)
    assert run.waiting == pytest.approx(waiting, rel=0.2, abs=2)
    _note(benchmark, few_s, TIMED * BATCH_EVENTS)


def _note(benchmark: BenchmarkFixture, beside_s: list[float], n: int) -> None:
    seconds = benchmark.stats.stats.data
    cost = statistics.median(a / b for a, b in zip(seconds, beside_s[-len(seconds) :], strict=True))
    ns = statistics.median(seconds) / n * 1e9
    benchmark.extra_info |= {"ns_per_event": ns, "cost_ratio": cost}
    print(f"{benchmark.name}: {ns:.0f} ns an event, {cost:.2f} × the calm one")
