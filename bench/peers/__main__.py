"""Ours beside other engines, in one table from one run, kept with the facts about the machine.

    python -m bench.peers [--events N] [--passes N] [--flink-home DIR] [--python PATH] [--limit-s N] [--no-record]

`pip install -e '.[peers]'` brings them all; Flink needs Java 17 too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from bench.measure import EVENTS, PASSES, machine
from bench.peers.contenders import Contender, Outcome, Refusal, Stream, contenders
from bench.reference import REFERENCES, rows
from bench.table import Section, keep
from bench.workloads import NAMES, generate

NOTE = (
    "Events a second, beside the matches where they are not the reference's. Events are objects (ours: columns) in "
    "memory beforehand, one task, and the first pass does not count. –: not installed, or not in its language; <: not "
    "done within the time limit."
)


Cell = float | str | None


def compare(everyone: Sequence[Contender], stream: Stream, passes: int) -> Section:
    """The table: a row for each workload, a column for each contender."""
    section, remarks = Section("Peers", NOTE), dict[str, list[str]]()
    reference = rows(stream.events)
    for workload in NAMES:
        expected = REFERENCES[workload](reference)
        cells: dict[str, Cell] = {}
        timings = []
        for contender in everyone:
            print(f"{workload}: {contender.name} …", file=sys.stderr, flush=True)
            outcome = contender.measure(workload, stream, passes)
            cells[contender.name], remark = _cell(contender, workload, outcome, expected)
            if isinstance(outcome, Outcome):
                timings.append(outcome.timing)
            if remark:
                remarks.setdefault(f"{contender.name}: {remark}", []).append(workload)
        section.add(timings, workload=workload, matches=expected, **cells)
    versions = [version for contender in everyone if (version := contender.version())]
    section.remarks = [f"{version}." for version in versions]
    section.remarks += [f"{', '.join(where)}, {remark}." for remark, where in remarks.items()]
    return section


def _cell(contender: Contender, workload: str, outcome: Outcome | Refusal, expected: int) -> tuple[Cell, str]:
    """What the table shows, and what has to be said of it."""
    if isinstance(outcome, Refusal):
        return (None if outcome.below is None else f"< {outcome.below:,.0f}"), outcome.why
    if outcome.matches == expected:
        return outcome.timing.per_second, ""
    why = contender.differs.get(workload)
    assert why is not None, f"{contender.name}, {workload}: {outcome.matches} matches, {expected} expected"
    return f"{outcome.timing.per_second:,.0f} ({outcome.matches:,} matches)", why


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--passes", type=int, default=PASSES, help="of each peer that count; of ours at least 5")
    parser.add_argument("--flink-home", type=Path, help="a folder whose lib/ holds Flink's jars; else the package's")
    parser.add_argument("--python", default=sys.executable, help="the Python that has bytewax and eql")
    parser.add_argument("--limit-s", type=float, default=300, help="seconds for all passes of a peer on a workload")
    parser.add_argument("--no-record", action="store_true")
    given = parser.parse_args()
    facts: dict[str, Any] = {"date": date.today().isoformat(), "what": "peers"}
    facts |= {"events": given.events, "passes": given.passes, "machine": machine()}
    with tempfile.TemporaryDirectory() as folder:
        everyone = contenders(given.flink_home, given.python, given.limit_s, Path(folder))
        stream = Stream.create(generate(given.events), Path(folder) / "events.csv")
        section = compare(everyone, stream, given.passes)
    print(section.markdown())
    if not given.no_record:
        print(f"kept in {keep([section], facts)}.md and .json", file=sys.stderr)


if __name__ == "__main__":
    main()
