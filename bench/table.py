"""Everything in one table from one run, kept with the facts about the machine.

    python -m bench.table [--events N] [--passes N] [--only SECTION,…] [--rules N,…] [--what NAME] [--no-record]

Sections: engine, attack, keys, combinations, many, mixed, replay, start. `--rules 1,10,100,1000,10000` takes `many`
further.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from bench.attack import CYCLES, measure_crowd, measure_storm
from bench.combinations import measure_combinations
from bench.compared import compare
from bench.engine import ManyRules, measure_keys, measure_many
from bench.measure import EVENTS, PASSES, Timing, machine, seconds_of, side_by_side
from bench.mixed import RULES, compile_mixed, generate_mixed
from bench.processes import (
    COLD,
    ReplayRun,
    starts,
    write_file,
)
from bench.reference import REFERENCES, Event, rows
from bench.workloads import BATCH_EVENTS, FULL_EVENTS, FULL_MATCHES, NAMES, Events, generate

RECORD = Path(__file__).parent / "record"
REPLAYED = ("w1", "w2", "w4", "w6")
MANY = (1, 10, 100, 1000)
MIXED = (10, 100, RULES)
KEYS = (1000, 50_000, 1_000_000)
PASSES_S = "passes_s"

Row = dict[str, Any]


@dataclass(slots=True)
class Section:
    """A part of the table. Rows share their columns; `PASSES_S`, the passes behind a row, goes to the JSON only.

    `remarks`: what has to be said of single rows, below them.
    """

    title: str
    note: str
    rows: list[Row] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, timings: Sequence[Timing], **columns: Any) -> None:
        """One more row."""
        self.rows.append(columns | {PASSES_S: [list(timing.seconds) for timing in timings]})

    def markdown(self) -> str:
        """The section for people."""
        names = [name for name in self.rows[0] if name != PASSES_S]
        cells = [[_shown(row[name]) for name in names] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        numeric = [not isinstance(self.rows[0][name], str) for name in names]
        out = [
            _line(names, widths, numeric),
            "|" + "|".join(_rule(w, n) for w, n in zip(widths, numeric, strict=True)) + "|",
        ]
        out += [_line(row, widths, numeric) for row in cells]
        if self.remarks:
            out += ["", *(f"- {remark}" for remark in self.remarks)]
        return "\n".join([f"## {self.title}", "", self.note, "", *out])


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = (c.rjust(w) if n else c.ljust(w) for c, w, n in zip(cells, widths, numeric, strict=True))
    return "| " + " | ".join(padded) + " |"


def _rule(width: int, numeric: bool) -> str:
    return "-" * (width + 1) + (":" if numeric else "-")


@dataclass(frozen=True, slots=True)
class Run:
    """What the sections measure."""

    events: Events
    reference: Sequence[Event]
    passes: int
    many: Sequence[int] = MANY

    def expected(self, name: str) -> int:
        """The matches of a workload in the whole stream."""
        return REFERENCES[name](self.reference)


def engine(run: Run) -> Section:
    """W1–W6 beside the reference."""
    section = Section(
        "Engine",
        "Decoded events in, matches out, one core; and two shards, or two processes with half of the cards each, of "
        "how many times the speed. The reference: plain Python with dictionaries, same events.",
    )
    for name in NAMES:
        outcome = compare(name, run.events, run.reference, run.passes)
        if len(run.events) == FULL_EVENTS:
            assert outcome.matches == FULL_MATCHES[name], f"{name}: {outcome.matches} matches"
        section.add(
            [outcome.engine, outcome.halves, outcome.parted, outcome.reference],
            workload=name,
            matches=outcome.matches,
            **{
                "events/s": outcome.engine.per_second,
                "ns/event": outcome.engine.ns,
                "2 shards ×": outcome.gain,
                "2 processes ×": outcome.parted_gain,
                "reference ns/event": outcome.reference.ns,
                "× the reference": outcome.faster,
                "spread %": outcome.engine.spread() * 100,
            },
        )
    return section


def attack(run: Run) -> Section:
    """One card against many; few waiting partial matches against many."""
    section = Section(
        "Attack", "What an event costs when all happens on one card. `cost`: beside the first row of its kind."
    )
    outcomes = [measure_storm(run.passes), *(measure_crowd(name, run.passes) for name in CYCLES)]
    for outcome in (row for group in outcomes for row in group):
        section.add(
            [outcome.timing],
            case=outcome.name,
            waiting=outcome.waiting,
            **{"ns/event": outcome.timing.ns, "cost ×": outcome.cost, "spread %": outcome.timing.spread() * 100},
        )
    return section


def keys(run: Run) -> Section:
    """A thousand cards beside a million."""
    section = Section(
        "Keys", "The same events over ever more cards. `cost`: an event, beside the fewest of its workload."
    )
    streams = [generate(len(run.events), cards=cards) for cards in KEYS]
    for outcome in (row for name in NAMES for row in measure_keys(name, KEYS, streams, run.passes)):
        section.add(
            [outcome.timing],
            workload=outcome.name,
            cards=outcome.keys,
            **{"ns/event": outcome.timing.ns, "cost ×": outcome.cost, "spread %": outcome.timing.spread() * 100},
        )
    return section


def combinations(run: Run) -> Section:
    """`match all` by the number of stages."""
    section = Section(
        "Combinations",
        "`match all` over a window of 10,000 events of one card. `cost`: an event, beside three stages; `a match`: "
        "from one match to the next where an event completes a thousand.",
    )
    for outcome in measure_combinations(run.passes):
        section.add(
            [outcome.timing],
            stages=outcome.stages,
            matches=outcome.matches,
            **{
                "events/s": outcome.timing.per_second,
                "ns/event": outcome.timing.ns,
                "cost ×": outcome.cost,
                "a match ns": outcome.match_ns,
            },
        )
    return section


def many(run: Run) -> Section:
    """1,000 rules beside one."""
    section = Section(
        "Many rules", "w7: w2 with other countries and bounds, one batch. `cost`: an event, beside the first row."
    )
    _add_many(section, measure_many(run.many, generate(BATCH_EVENTS), run.passes))
    return section


def mixed(run: Run) -> Section:
    """500 rules that have little in common beside ten of them."""
    section = Section(
        "Mixed rules",
        "Sequences, thresholds, absences, look-back, aggregates and states over 20 kinds of events, one batch. "
        "`cost`: an event, beside the first row.",
    )
    _add_many(section, measure_many(MIXED, generate_mixed(BATCH_EVENTS), run.passes, compile_mixed))
    return section


def _add_many(section: Section, outcomes: Sequence[ManyRules]) -> None:
    for outcome in outcomes:
        section.add(
            [outcome.timing],
            rules=outcome.rules,
            **{
                "load and compile s": outcome.compile_s,
                "matches": outcome.matches,
                "events/s": outcome.timing.per_second,
                "ns/event": outcome.timing.ns,
                "cost ×": outcome.cost,
            },
        )


def replay(run: Run) -> Section:
    """`cep replay` of a file, beside that of its first event alone."""
    section = Section("Replay", "`cep replay` from NDJSON to alerts on stdout, as a process.")
    with tempfile.TemporaryDirectory() as folder:
        whole = write_file(run.events, Path(folder) / "events.ndjson")
        first = Path(folder) / "first.ndjson"
        with whole.open("rb") as lines:
            first.write_bytes(lines.readline())
        for name in REPLAYED:
            replayed, started = ReplayRun(name, whole), ReplayRun(name, first)
            n = len(run.events)
            all_s, start_s = side_by_side(n, [replayed.timed, started.timed], run.passes)
            assert replayed.alerts == run.expected(name), f"{name}: {replayed.alerts} alerts"
            section.add(
                [all_s, start_s],
                workload=name,
                alerts=replayed.alerts,
                **{
                    "events/s": all_s.per_second,
                    "start s": start_s.median_s,
                    "events/s after the start": n / (all_s.median_s - start_s.median_s),
                },
            )
    return section


def start(run: Run) -> Section:
    """What an author or an operator waits for."""
    section = Section("Start", "Whole processes, in seconds; the cold one once.")
    with tempfile.TemporaryDirectory() as folder:
        for what, work in starts(Path(folder)).items():
            if what == COLD:
                timing = Timing(1, (seconds_of(work),))
            else:
                (timing,) = side_by_side(1, [partial(seconds_of, work)], run.passes)
            section.add([timing], what=what, seconds=timing.median_s)
    return section


SECTIONS: dict[str, Callable[[Run], Section]] = {
    "engine": engine,
    "attack": attack,
    "keys": keys,
    "combinations": combinations,
    "many": many,
    "mixed": mixed,
    "replay": replay,
    "start": start,
}


def report(sections: Sequence[Section], facts: dict[str, Any]) -> str:
    """The record for people."""
    machine_facts = facts["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in machine_facts["libraries"].items())
    lines = [
        f"# {facts['date']} {facts['what']}",
        "",
        *([_passes(facts)] if "passes" in facts else []),
        f"{machine_facts['cpu']}, {machine_facts['cores']} cores, {machine_facts['memory_gib']} GiB; load "
        f"{machine_facts['load_1m']} at the start; {machine_facts['system']}; Python {machine_facts['python']}.",
        f"{libraries}. Commit {machine_facts['commit']}.",
        "",
    ]
    return "\n".join(lines) + "\n" + "\n\n".join(section.markdown() for section in sections) + "\n"


def _passes(facts: dict[str, Any]) -> str:
    return f"{facts['events']:,} events, the median of {facts['passes']} passes after one that does not count."


def keep(sections: Sequence[Section], facts: dict[str, Any]) -> Path:
    """Write both forms of the record; the path without suffix."""
    RECORD.mkdir(exist_ok=True)
    name = f"{facts['date']}-{facts['what']}"
    document = facts | {
        "sections": [{"title": s.title, "note": s.note, "rows": s.rows, "remarks": s.remarks} for s in sections]
    }
    (RECORD / f"{name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (RECORD / f"{name}.md").write_text(report(sections, facts), "utf-8")
    return RECORD / name


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.table", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, joined with commas")
    parser.add_argument("--rules", default=",".join(map(str, MANY)), help="numbers of rules in `many`")
    parser.add_argument("--what", default=None, help="the record's name, behind the date")
    parser.add_argument("--no-record", action="store_true")
    given = parser.parse_args()
    chosen = given.only.split(",")
    if unknown := set(chosen) - SECTIONS.keys():
        parser.error(f"there is no section {', '.join(sorted(unknown))}: there are {', '.join(SECTIONS)}")
    what = given.what or "-".join(["all"] if chosen == list(SECTIONS) else chosen)
    facts: dict[str, Any] = {"date": date.today().isoformat(), "what": what}
    facts |= {"events": given.events, "passes": given.passes, "machine": machine()}
    events = generate(given.events)
    run = Run(events, rows(events), given.passes, [int(number) for number in given.rules.split(",")])
    sections = []
    for name in chosen:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        sections.append(SECTIONS[name](run))
        print(sections[-1].markdown() + "\n", flush=True)
    if not given.no_record:
        print(f"kept in {keep(sections, facts)}.md and .json", file=sys.stderr)


if __name__ == "__main__":
    main()
