"""`cep replay`: rules over events in files.

Several streams take turns, the one furthest behind first, so that little has to wait for the others.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TextIO

from cep.adapters.cli.alerts import AlertLines, by_rule
from cep.adapters.cli.console import DEV_STDIN, OK, CommandError, figures, is_terminal, progress, say, tally
from cep.adapters.cli.detector import build
from cep.adapters.cli.rules import accepted
from cep.adapters.cli.warmup import ensure_warm
from cep.adapters.files.source import STDIN, Progress, read_files, total_bytes
from cep.delivery.outcome import Outcome
from cep.detector import RuleDetector
from cep.engine.order import BEGINNING
from cep.engine.state import Counters
from cep.layout.program import Program
from cep.ports import BadEvent, Entries


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files as they were given: FILE or STREAM=FILE, and the stream of those without one."""

    files: Sequence[str]
    stream: str | None
    form: str | None
    batch: int | None

    def by_stream(self, program: Program) -> dict[int, list[str]]:
        """The files of each stream, which exist. Raises CommandError."""
        names = [stream.name for stream in program.streams]
        if not self.files:
            raise CommandError("no file follows --from: give a file of events, or - for stdin")
        found: dict[int, list[str]] = {}
        for given in self.files:
            name, equals, file = given.partition("=")
            if not equals or name not in names:
                name, file = self._stream_of(given, names), given
            file = STDIN if file == DEV_STDIN else file
            if file != STDIN and not os.path.isfile(file):
                raise CommandError(f"there is no file {file}: give a file of events, or - for stdin")
            found.setdefault(names.index(name), []).append(file)
        return found

    def _stream_of(self, file: str, names: list[str]) -> str:
        if self.stream is not None:
            if self.stream not in names:
                raise CommandError(f"the rules declare no stream {self.stream}: they declare {', '.join(names)}")
            return self.stream
        if len(names) != 1:
            raise CommandError(
                f"the rules read {', '.join(names)}: say whose events {file} has, with --stream NAME or "
                f"--from NAME={file}"
            )
        return names[0]


class Tally:
    """What came of it: alerts go to their lines, bad events to a file, and everything is counted."""

    def __init__(self, program: Program, alerts: AlertLines, dead: TextIO | None) -> None:
        self._program, self._alerts, self._dead = program, alerts, dead
        self.events = 0
        self.late = 0
        self.bad: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()

    def take(self, outcome: Outcome) -> None:
        """Count a step's outcome and send it on."""
        self.events += outcome.events
        self.late += len(outcome.late)
        self.unknown.update(outcome.unknown)
        for bad in outcome.bad:
            self.bad[bad.reason] += bad.count
            if self._dead is not None:
                print(self._dead_letter(bad), file=self._dead)
        self._alerts.write(outcome.alerts)

    def _dead_letter(self, bad: BadEvent) -> str:
        document = {
            "stream": self._program.streams[bad.stream].name,
            "line": bad.entry.seq,
            "reason": bad.reason,
            "path": bad.path,
            "detail": bad.detail,
            "count": bad.count,
            "excerpt": bad.excerpt.decode(errors="replace"),
        }
        return json.dumps(document, ensure_ascii=False)

    def summary(self, counters: Counters, seconds: float) -> str:
        """The figures, one a line."""
        alerts = by_rule(self._alerts.counts)
        speed = f"{self.events / seconds:,.0f}/s in {seconds:.1f} s" if self.events else ""
        return figures(
            {
                "events": (self.events, speed),
                "bad": (self.bad.total(), tally(self.bad)),
                "unknown types": (self.unknown.total(), tally(self.unknown)),
                "late": (self.late, ""),
                "without key": (counters.without_key, ""),
                "outside rosters": (counters.outside_roster, ""),
                "failed calls": (counters.failed_calls, ""),
                "alerts": (sum(alerts.values()), tally(alerts)),
                "held back": (counters.limited + counters.conditional, _held_back(counters)),
            }
        )


def _held_back(counters: Counters) -> str:
    """Of how many matches `limit` let no alert be made, and for how many no condition of an alert held."""
    return tally(+Counter({"by limit": counters.limited, "by if": counters.conditional}))


def replay(paths: Sequence[str], inputs: Inputs, form: str | None, drain: bool, dead: str | None, shards: int) -> int:
    """Alerts on stdout, one a line; a summary on stderr."""
    program, detector = build(accepted(paths), shards=shards)
    files = inputs.by_stream(program)
    ensure_warm()
    gc.freeze()  # what is there by now stays, and need not be looked through again and again
    readable = form == "text" or (form is None and is_terminal(sys.stdout))
    with ExitStack() as stack:
        dead_file = stack.enter_context(open(dead, "w", encoding="utf-8")) if dead is not None else None
        tally = Tally(program, AlertLines(readable), dead_file)
        began = time.perf_counter()
        with progress("{task.fields[events]:,} events") as bar:
            total = total_bytes([file for group in files.values() for file in group])
            task = bar.add_task("reading", total=total, events=0) if bar else None

            def advance(count: int) -> None:
                if bar and task is not None:
                    bar.update(task, advance=count, events=tally.events)

            for outcome in outcomes(program, detector, files, inputs, advance):
                tally.take(outcome)
            tally.take(_ending(detector, drain))
        say(tally.summary(detector.state.counters, time.perf_counter() - began))
    return OK


def outcomes(
    program: Program, detector: RuleDetector, files: dict[int, list[str]], inputs: Inputs, advance: Progress
) -> Iterator[Outcome]:
    """Take in all the files."""
    waiting = {
        s: _cut(read_files(group, inputs.form, s, advance, _names(program, s)), inputs.batch)
        for s, group in files.items()
    }
    while waiting:
        behind = min(waiting, key=lambda stream: int(detector.state.order.max_us[stream]))
        entries = next(waiting[behind], None)
        if entries is None:
            del waiting[behind]
        else:
            yield detector.apply([entries], frozenset(range(len(program.streams))) - waiting.keys())


def _names(program: Program, stream: int) -> set[str]:
    """What the columns are called that the program may ask a file of a stream for."""
    spec = program.streams[stream]
    paths = [spec.time_path, spec.type_path, *(column.path for column in program.columns if column.stream == stream)]
    return {name for path in paths if path for name in (path[0], ".".join(path))}


def _ending(detector: RuleDetector, drain: bool) -> Outcome:
    """What is decided when nothing more comes: by the last event's time, or ever."""
    last_us = int(detector.state.order.max_us.max(initial=BEGINNING))
    if last_us == BEGINNING:
        return Outcome()
    return detector.drain(None if drain else last_us)


def _cut(blocks: Iterator[Entries], rows: int | None) -> Iterator[Entries]:
    """The same entries, at most so many at once."""
    for block in blocks:
        size = rows or len(block)
        for first in range(0, len(block), size):
            part = slice(first, first + size)
            yield Entries(block.stream, block.ms[part], block.seq[part], block.fields[part])
