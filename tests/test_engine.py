"""The engine and the oracle agree: over random rules and streams, however the stream is cut into batches."""

from __future__ import annotations

import random
from collections.abc import Collection

import numpy as np
import pytest

from cep.engine import columns
from cep.engine.identity import ids, of_entry
from cep.engine.inputs import captured as captured_by
from cep.engine.snapshot import dump, load
from cep.engine.state import EngineState
from cep.engine.step import StepOutput, drain, step
from cep.kernels.matches import KEY, REFS, STATUS, TIME
from cep.layout.columns import NULL
from cep.layout.patterns import EpisodePlan
from cep.layout.program import Program
from cep.testing import VirtualEvent, batch_of
from tests import oracle
from tests.generate import Case, describe, random_case

STATUSES = ("fired", "resolved")


def key_value(word: int, kind: str, state: EngineState) -> object:
    """A key part as the oracle gives it."""
    if kind == "text":
        return state.strings.text(word)
    if kind == "number":
        return float(np.int64(word).view(np.float64))
    assert word != NULL
    return bool(word) if kind == "flag" else word


def outcomes(
    program: Program, state: EngineState, output: StepOutput, known: dict[bytes, oracle.Outcome]
) -> list[oracle.Outcome]:
    """A step's alerts in the oracle's form. known: those that rules listen to, by id; the new ones are added."""
    made = []
    events = state.captures.events
    for place, at in output.order.tolist():
        matches = output.matches[place]
        rule, row, counts = program.rules[matches.rule], matches.row[at], matches.count[at]
        captured: list[tuple[int | oracle.Outcome, ...]] = []
        reference = int(row[REFS])
        for count in counts.tolist():
            rows = state.captures.rows(matches.reference[reference : reference + count])
            entries = zip(events.stream[rows], events.entry_ms[rows], events.entry_seq[rows], strict=True)
            captured.append(tuple(int(q) - 1 if s >= 0 else known[entry_bytes(ms, q)] for s, ms, q in entries))
            reference += count
        key = tuple(key_value(int(row[KEY + i]), kind, state) for i, (_, kind) in enumerate(rule.keys))
        steps = () if isinstance(rule.plan, EpisodePlan) else tuple(captured)
        made.append(
            oracle.Outcome(rule.name, STATUSES[row[STATUS]], int(row[TIME]), key, steps, int(matches.clause[at]))
        )
        if rule.feeding is not None:
            (digest,) = ids(state, rule, row[None], captured_by(state, rule, matches).take(np.array([at])))
            known[digest] = made[-1]
    return made


def entry_bytes(ms: np.int64, seq: np.int64) -> bytes:
    return bytes.fromhex(of_entry(int(ms), int(seq)))


def engine_outcomes(
    case: Case, cuts: list[int], restores: Collection[int] = (), shards: int = 1
) -> list[oracle.Outcome]:
    """What the engine makes of a case whose stream is cut at some places, and its state restored at some of these."""
    program = case.program
    state = EngineState.create(program, shards)
    events = [VirtualEvent(e.event, e.time_us, e.values) for e in case.events]
    made: list[oracle.Outcome] = []
    known: dict[bytes, oracle.Outcome] = {}
    for first, last in zip([0, *cuts], [*cuts, len(events)], strict=True):
        output = step(program, state, batch_of(program, state.strings, events[first:last], first))
        made += outcomes(program, state, output, known)
        if last in restores:
            state = load(program, dump(program, state))
    return made + outcomes(program, state, drain(program, state, case.until_us), known)


def random_cuts(seed: int, length: int) -> list[int]:
    rng = random.Random(seed)
    return sorted(rng.sample(range(length + 1), min(length, rng.choice([0, 1, 3, length]))))


def difference(case: Case, cuts: list[int], made: list[oracle.Outcome], expected: list[oracle.Outcome]) -> str:
    only_made = [o for o in made if o not in expected]
    only_expected = [o for o in expected if o not in made]
    place = next((i for i, pair in enumerate(zip(made, expected, strict=False)) if pair[0] != pair[1]), -1)
    return (
        f"cuts {cuts}\n{describe(case)}\nengine only: {only_made}\noracle only: {only_expected}\n"
        f"first difference at {place}: {made[place : place + 2]} for {expected[place : place + 2]}\n"
        f"repeat: python -m tests.test_engine {case.seed}"
    )


def check_seed(seed: int) -> None:
    case = random_case(seed)
    expected = oracle.run(case.ruleset, case.events, case.until_us)
    for cuts, shards in (([], 1), (random_cuts(seed, len(case.events)), 1 + seed % 3)):
        made = engine_outcomes(case, cuts, shards=shards)
        assert made == expected, difference(case, cuts, made, expected)


@pytest.mark.parametrize("block", range(8))
def test_engine_equals_oracle(block: int) -> None:
    for seed in range(block * 50, block * 50 + 50):
        check_seed(seed)


def test_stretches_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that asks each run reads its rows some at a time; a batch of these streams would be one such stretch."""
    monkeypatch.setattr(columns, "STRETCH", 2)
    for seed in range(40):
        case = random_case(seed)
        expected = oracle.run(case.ruleset, case.events, case.until_us)
        made = engine_outcomes(case, [])
        assert made == expected, difference(case, [], made, expected)


if __name__ == "__main__":
    import sys

    for number in range(int(sys.argv[1]), int(sys.argv[-1]) + 1):
        check_seed(number)
    print("equal")
