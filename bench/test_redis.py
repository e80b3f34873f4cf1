"""`cep run` from a private server, beside clients that only read the same entries."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure import PASSES, seconds_of
from bench.processes import ServiceRun, drain_raw, drain_xread, fill, private_server
from bench.reference import REFERENCES, Event
from bench.workloads import Events
from tests.servers import BINARIES, Server

PER_ENTRY = (1, 100)


@pytest.fixture(scope="module", params=[kind for kind, binary in BINARIES.items() if binary])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with private_server(request.param) as running:
        yield running


@pytest.fixture(scope="module", params=PER_ENTRY, ids=lambda n: f"{n} an entry")
def filled(request: pytest.FixtureRequest, server: Server, events: Events) -> Server:
    fill(server, events, request.param)
    return server


@pytest.mark.benchmark(group="cep run, per pass over the whole stream")
@pytest.mark.parametrize("name", ["w2", "w4"])
def test_redis(
    name: str, benchmark: BenchmarkFixture, filled: Server, events: Events, reference_rows: Sequence[Event]
) -> None:
    """The time of a pass holds the start of the process; `events_per_s` does not."""
    service = ServiceRun(name, filled, events)
    seconds: list[float] = []
    drained: dict[str, list[float]] = {"xread": [], "raw": []}

    def setup() -> None:
        drained["xread"].append(seconds_of(lambda: drain_xread(filled)))
        drained["raw"].append(seconds_of(lambda: drain_raw(filled)))

    benchmark.pedantic(lambda: seconds.append(service.timed()), setup=setup, rounds=PASSES, warmup_rounds=1)
    assert service.alerts == REFERENCES[name](reference_rows)
    per_second = len(events) / statistics.median(seconds[1:])
    bare = {f"{kind}_per_s": len(events) / statistics.median(times[1:]) for kind, times in drained.items()}
    benchmark.extra_info |= {"alerts": service.alerts, "events_per_s": per_second, "start_s": service.start_s} | bare
    shown = ", ".join(f"{kind} {value:,.0f}" for kind, value in bare.items())
    print(f"{benchmark.name}: {service.alerts} alerts, {per_second:,.0f} events/s; bare: {shown}")
