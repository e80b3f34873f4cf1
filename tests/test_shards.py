"""Shards: each key is in exactly one, and what they make together is what one makes."""

from __future__ import annotations

import random

import numpy as np
import pytest

from cep.compile import compile_rules
from cep.engine.matched import RuleMatches
from cep.engine.plans import Rows
from cep.engine.shards import Shard, for_each, own_rows
from cep.engine.state import EngineState
from cep.engine.step import step
from cep.kernels.matches import KEY, REFS, TIME
from cep.lang import check_texts
from cep.layout.program import Program
from cep.testing import VirtualEvent, batch_of

SECOND = 1_000_000
MONEY = 10_000
SCHEMA = """
stream s time ts
event pay from s (card text, shop text, amount money)
"""
ONE_KEY = """
rule spender by card within 60s
  when pay as p where sum(pay.amount) over 30s + p.amount > 10
  alert low
"""
TWO_KEYS = """
rule shopper by card within 60s
  when pay as p where sum(pay.amount) over 30s by shop + p.amount > 20
  alert low
"""


def compiled(rules: str) -> Program:
    loaded = check_texts({"shards.cep": SCHEMA + rules})
    assert loaded.ruleset is not None, loaded.diagnostics
    return compile_rules(loaded.ruleset)


def rows_made(program: Program, shards: int, events: list[VirtualEvent], size: int) -> list[list[list[int]]]:
    """The alerts of each batch, in order: rule, time, key and the ordinals of the events."""
    state = EngineState.create(program, shards)
    made = []
    for first in range(0, len(events), size):
        output = step(program, state, batch_of(program, state.strings, events[first : first + size], first))
        made.append([alert(output.matches[place], row) for place, row in output.order.tolist()])
    return made


def alert(matches: RuleMatches, row: int) -> list[int]:
    match = matches.row[row]
    events = matches.reference[match[REFS] :][: matches.count[row].sum()]
    return [matches.rule, int(match[TIME]), *match[KEY:].tolist(), *events.tolist()]


@pytest.mark.parametrize("rules", [ONE_KEY, TWO_KEYS, ONE_KEY + TWO_KEYS])
def test_shards_see_all_that_a_feature_says_of_their_rows(rules: str) -> None:
    """Also where the feature is by another key, so that another shard fills the column."""
    rng, program = random.Random(7), compiled(rules)
    assert program.features
    events = [
        VirtualEvent(
            0, i * SECOND, {"card": rng.choice("abcdefgh"), "shop": rng.choice("xyzuv"), "amount": i % 9 * MONEY}
        )
        for i in range(200)
    ]
    one = rows_made(program, 1, events, 40)
    assert all(len(batch) for batch in one[1:])
    assert [rows_made(program, shards, events, 40) for shards in (2, 3)] == [one, one]


@pytest.mark.parametrize("columns", [[0], [1], [0, 1], [0, 1, 2]])
def test_every_row_is_of_one_shard_which_its_key_decides(columns: list[int]) -> None:
    words = np.random.default_rng(3).integers(0, 40, (3, 1000))
    every = Rows(np.arange(1000), np.zeros(1000, np.int64), np.ascontiguousarray(words[columns]))
    of_key: dict[tuple[int, ...], int] = {}
    seen = np.zeros(1000, np.int64)
    for shard in range(3):
        found = own_rows([every], 3, shard).rows
        assert len(found) > 0
        seen[found] += 1
        for row in found.tolist():
            assert of_key.setdefault(tuple(words[columns, row].tolist()), shard) == shard
    assert (seen == 1).all()


def test_what_goes_wrong_in_a_shard_is_raised_when_all_have_ended() -> None:
    shards = EngineState.create(compiled(ONE_KEY), 3).shards
    ended: list[int] = []

    def work(number: int, shard: Shard) -> None:
        if number == 1:
            raise ArithmeticError("of shard 1")
        ended.append(number)

    with pytest.raises(ArithmeticError, match="of shard 1"):
        for_each(shards, work)
    assert sorted(ended) == [0, 2]
