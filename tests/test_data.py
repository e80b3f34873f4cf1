"""Published data with known answers: every rule fires exactly as often as plain loops over the same data say.

Each folder of `tests/data` has rules, events and where they come from. `expected.json` has the answers: what has fired
by the last event's time, and what more fires when time moves on until nothing is pending.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cep.adapters.files.source import read_files
from cep.compile import compile_rules
from cep.detector import RuleDetector
from cep.engine.snapshot import Freezer, load
from cep.engine.state import EngineState
from cep.engine.step import StepOutput
from cep.kernels.matches import STATUS
from cep.lang import load as load_rules
from cep.layout.alerts import Status
from cep.layout.program import Program
from cep.ports import Entries

DATA = Path(__file__).parent / "data"
EXPECTED: dict[str, dict[str, Any]] = json.loads((DATA / "expected.json").read_text("utf-8"))
PORTION = 977  # entries: neither a round number nor a divisor of anything


def program_of(folder: str) -> Program:
    loaded = load_rules([DATA / folder / "rules.cep"])
    assert loaded.ruleset is not None, loaded.diagnostics
    return compile_rules(loaded.ruleset)


def entries_of(program: Program, folder: str) -> list[Entries]:
    """All entries of all streams."""
    streams = [stream.name for stream in program.streams]
    files = EXPECTED[folder]["files"].items()
    return [e for name, file in files for e in read_files([str(DATA / folder / file)], stream=streams.index(name))]


def whole(entries: list[Entries]) -> Iterator[list[Entries]]:
    """One batch."""
    yield entries


def portions(entries: list[Entries]) -> Iterator[list[Entries]]:
    """Small batches, of one stream each."""
    for block in entries:
        for first in range(0, len(block), PORTION):
            part = slice(first, first + PORTION)
            yield [Entries(block.stream, block.ms[part], block.seq[part], block.fields[part])]


class Counting:
    """A detector that counts what fires, by rule."""

    def __init__(self, program: Program) -> None:
        self.fired: Counter[str] = Counter()
        self._rules = program.rules
        self.detector = RuleDetector(program, self._count, Freezer().freeze, load)

    def _count(self, state: EngineState, output: StepOutput) -> list[bytes]:
        for matches in output.matches:
            fired = int((matches.row[:, STATUS] == Status.FIRED).sum())
            self.fired[self._rules[matches.rule].name] += fired
        return []


@pytest.mark.parametrize("cut", [whole, portions])
@pytest.mark.parametrize("folder", EXPECTED)
def test_counts(folder: str, cut: Callable[[list[Entries]], Iterable[list[Entries]]]) -> None:
    program = program_of(folder)
    counting, expected = Counting(program), EXPECTED[folder]
    outcomes = [counting.detector.apply(batch) for batch in cut(entries_of(program, folder))]
    assert sum(outcome.events for outcome in outcomes) == expected["events"]
    assert not any(outcome.bad or outcome.late or outcome.unknown for outcome in outcomes)
    counting.detector.drain(int(counting.detector.state.order.max_us.max()))
    assert counting.fired == expected["alerts"]
    assert not any(plan.dropped() for plan in counting.detector.state.shards[0].plans)
    counting.detector.drain()
    assert counting.fired == Counter(expected["alerts"]) + Counter(expected.get("after_the_last_event", {}))
