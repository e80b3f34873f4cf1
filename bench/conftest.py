"""What the benchmarks share: the stream, made once. CEP_BENCH_EVENTS says how long it is (2000000 is full size)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.measure import EVENTS
from bench.reference import Event, rows
from bench.workloads import Events, generate, write


@pytest.fixture(scope="session")
def events() -> Events:
    return generate(EVENTS)


@pytest.fixture(scope="session")
def reference_rows(events: Events) -> Sequence[Event]:
    return rows(events)


@pytest.fixture(scope="session")
def ndjson(events: Events, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stream as a file."""
    path = tmp_path_factory.mktemp("stream") / "events.ndjson"
    with path.open("wb") as file:
        write(events, file)
    return path
