"""Snapshots: a restore anywhere changes nothing, and nothing but an intact snapshot of the same rules is accepted."""

from __future__ import annotations

import random

import pytest

from cep.engine.snapshot import SnapshotError, dump, load
from cep.engine.state import EngineState
from cep.engine.step import step
from cep.testing import VirtualEvent, batch_of
from tests import oracle
from tests.generate import random_case
from tests.test_engine import difference, engine_outcomes


@pytest.mark.parametrize("block", range(4))
def test_a_restore_anywhere_changes_nothing(block: int) -> None:
    for seed in range(block * 40, block * 40 + 40):
        case = random_case(seed)
        expected = oracle.run(case.ruleset, case.events, case.until_us)
        cuts = sorted(random.Random(seed).sample(range(len(case.events)), 3))
        made = engine_outcomes(case, cuts, cuts)
        assert made == expected, difference(case, cuts, made, expected)


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
