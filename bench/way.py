"""The way in: from bytes to alerts, over files and over Redis, beside what only reading them costs, in one table.

    python -m bench.way [--events N] [--passes N] [--only formats,redis,stages,latency] [--what NAME] [--no-record]

CPU time is what the process itself was given, which a busy machine disturbs less than the clock on the wall.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from bench import stages as st
from bench.latency import RATES, measure_latency
from bench.measure import EVENTS, PASSES, machine, ratio, seconds_of, side_by_side
from bench.processes import ReplayRun, ServiceRun, drain_raw, drain_xread, fill, private_server, write_file
from bench.reference import rows
from bench.table import Run, Section, keep
from bench.workloads import CARDS, COUNTRIES, KINDS, Events, card_name, generate
from cep.adapters.files.source import read_files

REPLAYED = ("w1", "w2", "w4")
SERVED = "w2"
PER_ENTRY = (1, 100)
STAGED = ("w1", "w2")
_MERCHANTS = 20_000
_CHUNK = 65_536


def table_of(events: Events) -> pa.Table:
    """The events as an Arrow table, texts as places in dictionaries."""

    def coded(places: Any, names: list[str]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), pa.array(names))

    return pa.table(
        {
            "type": coded(events.kind, list(KINDS)),
            "ts": pa.array(events.ts).cast(pa.timestamp("ms", "UTC")),
            "card": coded(events.card, [card_name(card) for card in range(CARDS)]),
            "amount": pa.array(events.amount),
            "country": coded(events.country, list(COUNTRIES)),
            "merchant": coded(events.merchant, [f"m{number:05d}" for number in range(_MERCHANTS)]),
            "device": coded(events.card, [f"d{number:06d}" for number in range(CARDS)]),
        }
    )


def write_formats(events: Events, folder: Path, name: str) -> dict[str, Path]:
    """The same events in a file of each format."""
    table = table_of(events)
    paths = {form: folder / f"{name}.{form}" for form in ("ndjson", "parquet", "arrow")}
    write_file(events, paths["ndjson"])
    parquet.write_table(table, paths["parquet"])
    with pa.OSFile(str(paths["arrow"]), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=_CHUNK)
    return paths


def formats(run: Run) -> Section:
    """`cep replay` of each format, beside that of a file of ten events."""
    section = Section(
        "Files",
        "`cep replay` to alerts on stdout, as a process: CPU time, less that of a file of ten events; the best pass.",
    )
    with tempfile.TemporaryDirectory() as folder:
        whole = write_formats(run.events, Path(folder), "whole")
        few = write_formats(_first(run.events, 10), Path(folder), "few")
        for name in REPLAYED:
            for form in whole:
                replayed, started = ReplayRun(name, whole[form]), ReplayRun(name, few[form])
                cpu: list[list[float]] = [[], []]
                passes = [partial(_with_cpu, r.timed, c) for r, c in zip((replayed, started), cpu, strict=True)]
                n = len(run.events)
                timings = side_by_side(n, passes, run.passes)
                assert replayed.alerts == run.expected(name), f"{name}: {replayed.alerts} alerts"
                taken, start = min(cpu[0]), min(cpu[1])
                section.add(
                    timings,
                    workload=name,
                    format=form,
                    alerts=replayed.alerts,
                    **{
                        "events/s": n / (taken - start),
                        "CPU ns/event": (taken - start) / n * 1e9,
                        "start CPU s": start,
                        "whole s": timings[0].median_s,
                    },
                )
    return section


def _first(events: Events, n: int) -> Events:
    fields = (events.ts, events.kind, events.card, events.amount, events.country, events.merchant)
    return Events(*(column[:n] for column in fields))  # type: ignore[arg-type]


def _with_cpu(work: Callable[[], float], cpu: list[float]) -> float:
    """A pass; what time the processes that it started were given goes to `cpu`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return seconds


def redis(run: Run) -> Section:
    """`cep run` beside clients that only read."""
    section = Section(
        "Redis",
        "`cep run` from a private Valkey with an append-only file. `xread`: redis-py as it is meant to be used, only "
        "reading; `raw`: the same connection, replies left as they come. `of`: what share of their speed.",
    )
    for per_entry in PER_ENTRY:
        with private_server() as server:
            fill(server, run.events, per_entry)
            service = ServiceRun(SERVED, server, run.events)
            bare = [partial(seconds_of, partial(drain, server)) for drain in (drain_xread, drain_raw)]
            xread, raw, timing = side_by_side(len(run.events), [*bare, service.timed], run.passes)
        assert service.alerts == run.expected(SERVED), f"{service.alerts} alerts"
        section.add(
            [timing, xread, raw],
            workload=SERVED,
            **{
                "events an entry": per_entry,
                "events/s": timing.per_second,
                "xread events/s": xread.per_second,
                "raw events/s": raw.per_second,
                "of xread": ratio(xread, timing),
                "of raw": ratio(raw, timing),
            },
        )
    return section


def stages(run: Run) -> Section:
    """Where the time goes."""
    section = Section(
        "Stages", "CPU ns an event from entries in memory to alerts; `Redis`: a list for each, as a client makes them."
    )
    with tempfile.TemporaryDirectory() as folder:
        files = write_formats(run.events, Path(folder), "whole")
        for name in STAGED:
            sources = {form: partial(read_files, [str(path)]) for form, path in files.items()}
            for source, blocks in {"Redis": partial(st.blocks, run.events, 8000), **sources}.items():
                ns = st.measure_blocks(name, list(blocks()), len(run.events), run.passes)
                section.add([], workload=name, source=source, **{stage: ns[stage] for stage in _shown(ns)})
    return section


def _shown(ns: dict[str, float]) -> list[str]:
    return [stage for stage in ns if stage not in ("derived", "features", "forget")]


def latency(run: Run) -> Section:
    """From XADD to the alert."""
    section = Section(
        "Latency",
        "From the XADD of an event to its alert in another client's hands, ms; commits on, append-only file synced "
        "every second. A tick of a thousandth of a second is sent at once.",
    )
    with private_server("valkey", "--appendfsync", "everysec") as server:
        for rate in RATES:
            found = measure_latency(server, rate)
            section.add(
                [],
                **{
                    "events/s asked": rate,
                    "events/s sent": found.sent,
                    "alerts": found.alerts,
                    "p50 ms": found.p50_ms,
                    "p99 ms": found.p99_ms,
                    "max ms": found.max_ms,
                },
            )
    return section


SECTIONS: dict[str, Callable[[Run], Section]] = {
    "formats": formats,
    "redis": redis,
    "stages": stages,
    "latency": latency,
}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.way", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, joined with commas")
    parser.add_argument("--what", default="way", help="the record's name, behind the date")
    parser.add_argument("--no-record", action="store_true")
    given = parser.parse_args()
    facts: dict[str, Any] = {"date": date.today().isoformat(), "what": given.what}
    facts |= {"events": given.events, "passes": given.passes, "machine": machine()}
    events = generate(given.events)
    run, sections = Run(events, rows(events), given.passes), []
    for name in given.only.split(","):
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        sections.append(SECTIONS[name](run))
        print(sections[-1].markdown() + "\n", flush=True)
    if not given.no_record:
        print(f"kept in {keep(sections, facts)}.md and .json", file=sys.stderr)


if __name__ == "__main__":
    main()
