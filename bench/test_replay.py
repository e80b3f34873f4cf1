"""`cep replay` from a file of JSON lines to alerts on stdout, in a process of its own."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure import PASSES
from bench.processes import ReplayRun
from bench.reference import REFERENCES, Event


@pytest.mark.benchmark(group="cep replay, start included")
@pytest.mark.parametrize("name", ["w1", "w2", "w4", "w6"])
def test_replay(name: str, benchmark: BenchmarkFixture, ndjson: Path, reference_rows: Sequence[Event]) -> None:
    replay = ReplayRun(name, ndjson)
    benchmark.pedantic(replay.run, rounds=PASSES, warmup_rounds=1)
    assert replay.alerts == REFERENCES[name](reference_rows)
    per_second = len(reference_rows) / statistics.median(benchmark.stats.stats.data)
    benchmark.extra_info |= {"alerts": replay.alerts, "events_per_s": per_second}
    print(f"{name}: {replay.alerts} alerts, {per_second:,.0f} events/s")
