"""Snapshots: a restore anywhere changes nothing, and nothing but an intact snapshot of the same rules is accepted."""

from __future__ import annotations

import random

import numpy as np
import pytest

from cep.engine.snapshot import Freezer, SnapshotError, dump, load
from cep.engine.state import EngineState
from cep.engine.step import step
from cep.layout.program import Program
from cep.testing import VirtualEvent, batch_of
from tests import oracle, uncompiled
from tests.generate import random_case
from tests.test_engine import difference, engine_outcomes


@pytest.mark.parametrize("block", range(4))
def test_a_restore_anywhere_changes_nothing(block: int) -> None:
    for seed in range(block * 40, block * 40 + 40):
        case = random_case(seed)
        expected = oracle.run(case.ruleset, case.events, case.until_us)
        cuts = sorted(random.Random(seed).sample(range(len(case.events)), 3))
        made = engine_outcomes(case, cuts, cuts, shards=1 + seed % 3)
        assert made == expected, difference(case, cuts, made, expected)


RESTORES = """
from tests import oracle
from tests.generate import random_case
from tests.test_engine import engine_outcomes

for seed in range(12):
    case = random_case(seed)
    cuts = [len(case.events) // 3, 2 * len(case.events) // 3]
    expected = oracle.run(case.ruleset, case.events, case.until_us)
    assert engine_outcomes(case, cuts, cuts, shards=1 + seed % 3) == expected, seed
"""


def test_it_is_so_without_compiling_too() -> None:
    """Kernels are Python as well, in which a debugger can stop; its numbers are of other classes."""
    uncompiled.check(RESTORES)


def grown() -> tuple[Program, EngineState]:
    case = random_case(3)
    state = EngineState.create(case.program)
    events = [VirtualEvent(e.event, e.time_us, e.values) for e in case.events]
    step(case.program, state, batch_of(case.program, state.strings, events))
    return case.program, state


def test_a_frozen_state_is_that_of_its_moment() -> None:
    program, state = grown()
    empty = EngineState.create(program)
    want, freezer = dump(program, state), Freezer()
    first = freezer.freeze(program, state)
    second = freezer.freeze(program, empty)  # while the first is still to be had
    state.next_ordinal += 1
    state.order.max_us[:] += 1
    state.captures.ordinal[:] += 1
    with first as data:
        assert data == want
    with second as data:
        assert data == dump(program, empty)
    with freezer.freeze(program, state) as data:
        place = np.frombuffer(data, np.uint8).ctypes.data
    with freezer.freeze(program, empty) as data:
        assert data == dump(program, empty)
        assert np.frombuffer(data, np.uint8).ctypes.data == place, "in the room of the longer one"


def test_damage_is_refused() -> None:
    program, state = grown()
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
