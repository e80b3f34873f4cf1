"""Snapshots: a restore anywhere changes nothing, and nothing but an intact snapshot of the same rules is accepted."""

from __future__ import annotations

import random

import pytest

from cep.engine.snapshot import SnapshotError, dump, load
from cep.engine.state import EngineState
from cep.engine.step import drain, step
from cep.testing import VirtualEvent, batch_of
from tests import oracle
from tests.generate import Case, random_case
from tests.test_engine import difference, outcomes


def with_restores(case: Case) -> list[oracle.Outcome]:
    """The outcomes when the state goes through bytes at three random places."""
    program = case.program
    state = EngineState.create(program)
    events = [VirtualEvent(e.event, e.time_us, e.values) for e in case.events]
    cuts = sorted(random.Random(case.seed).sample(range(len(events)), 3))
    made: list[oracle.Outcome] = []
    known: dict[bytes, oracle.Outcome] = {}
    for first, last in zip([0, *cuts], [*cuts, len(events)], strict=True):
        batch = batch_of(program, state.strings, events[first:last], first)
        made += outcomes(program, state, step(program, state, batch), known)
        state = load(program, dump(program, state))
    return made + outcomes(program, state, drain(program, state, case.until_us), known)


@pytest.mark.parametrize("block", range(4))
def test_a_restore_anywhere_changes_nothing(block: int) -> None:
    for seed in range(block * 40, block * 40 + 40):
        case = random_case(seed)
        expected = oracle.run(case.ruleset, case.events, case.until_us)
        made = with_restores(case)
        assert made == expected, difference(case, [], made, expected)


def test_damage_is_refused() -> None:
    case = random_case(3)
    program = case.program
    state = EngineState.create(program)
    step(
        program,
        state,
        batch_of(program, state.strings, [VirtualEvent(e.event, e.time_us, e.values) for e in case.events]),
    )
    good = dump(program, state)
    assert dump(program, load(program, good)) == good
    rng = random.Random(5)
    for _ in range(300):
        place = rng.randrange(len(good))
        flipped = good[:place] + bytes([good[place] ^ (1 << rng.randrange(8))]) + good[place + 1 :]
        with pytest.raises(SnapshotError):
            load(program, flipped)
        with pytest.raises(SnapshotError):
            load(program, good[:place])
