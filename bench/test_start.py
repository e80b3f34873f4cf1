"""What an author or an operator waits for, in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure import PASSES
from bench.processes import COLD, starts


@pytest.mark.benchmark(group="start")
@pytest.mark.parametrize("what", starts(Path()))
def test_start(what: str, benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """The cold one once only: it takes as long as all else together."""
    rounds, warmups = (1, 0) if what == COLD else (PASSES, 1)
    benchmark.pedantic(starts(tmp_path)[what], rounds=rounds, warmup_rounds=warmups)
