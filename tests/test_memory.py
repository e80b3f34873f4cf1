"""What the engine forgets: texts and captured events go once nothing refers to them, and never before."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from cep.compile import compile_rules
from cep.engine.arrays import LARGE_BYTES, grown, grown_copies
from cep.engine.graph import GraphState
from cep.engine.state import EngineState
from cep.engine.step import drain, step
from cep.kernels.keys import LIVE
from cep.kernels.paths import ALL_NODES
from cep.lang import check_texts
from cep.testing import VirtualEvent, batch_of
from tests import oracle
from tests.generate import random_case
from tests.test_engine import difference, outcomes

DISTINCT = """
stream s
event a from s (k text, t text)
event b from s (k text)
rule r by k within 1h
  when 2+ a as d
  then b where count(distinct lower(d.t)) == 2
"""


def forgetful(state: EngineState, number: int) -> None:
    """Make the next step forget all it may, and the texts that follow take other ids than they had."""
    for i in range(5):
        state.strings.id(f"passing {number} {i}")
    state.strings.compact_at = state.captures.compact_at = 0


@pytest.mark.parametrize("block", range(2))
def test_forgetting_at_every_step_changes_nothing(block: int) -> None:
    for seed in range(block * 50, block * 50 + 50):
        case = random_case(seed)
        program = case.program
        state = EngineState.create(program)
        rng = random.Random(seed)
        events = [VirtualEvent(e.event, e.time_us, e.values) for e in case.events]
        made: list[oracle.Outcome] = []
        known: dict[bytes, oracle.Outcome] = {}
        first = 0
        while first < len(events):
            last = first + rng.choice((1, 1, 2, 5))
            forgetful(state, first)
            batch = batch_of(program, state.strings, events[first:last], first)
            made += outcomes(program, state, step(program, state, batch), known)
            first = last
        made += outcomes(program, state, drain(program, state, case.until_us), known)
        expected = oracle.run(case.ruleset, case.events, case.until_us)
        assert made == expected, difference(case, [], made, expected)


def test_texts_that_a_loop_counts_are_kept() -> None:
    """They stand in no decoded column: a text that took such an id would count as one that was there before."""
    ruleset = check_texts({"a.cep": DISTINCT}).ruleset
    assert ruleset is not None
    program = compile_rules(ruleset)
    state = EngineState.create(program)
    for i in range(500):  # so that no id is as small as a count
        state.strings.id(f"early {i}")
    events = [VirtualEvent(0, 1, {"k": "1", "t": "X1"}), VirtualEvent(0, 2, {"k": "1", "t": "X2"})]
    matches = 0
    for i, event in enumerate([*events, VirtualEvent(1, 3, {"k": "1"})]):
        for j in range(600):
            state.strings.id(f"early {j}")
        state.strings.compact_at = 0
        output = step(program, state, batch_of(program, state.strings, [event], i))
        matches += sum(len(m.row) for m in output.matches)
    assert matches == 1


@pytest.mark.parametrize("shown", ["count(b)", "b.n"])
def test_keys_without_a_judged_event_are_freed(shown: str) -> None:
    text = f"""
stream s
event a from s (k text, n integer)
event b from s (k text, n integer)
rule r by k within 1m forget 2m
  while count(a) > 2
  show n = {shown}
"""
    ruleset = check_texts({"a.cep": text}).ruleset
    assert ruleset is not None
    program = compile_rules(ruleset)
    state = EngineState.create(program)
    for hour in range(5):
        time_us = hour * 3_600_000_000
        events = [VirtualEvent(1, time_us, {"k": f"{hour} {i}", "n": 1}) for i in range(100)]
        step(program, state, batch_of(program, state.strings, events, 100 * hour))
    assert state.shards[0].plans[0].keys.count[LIVE] == 100


STRUCTURES = (
    'within 20s match each when a as p then 1..3 (a as q then b) then c where count(q) > 0 and p.t == "x"',
    "within 20s max 30 match all when a then 2 of (a then a, b, a then b) as g then c where n > 0 then no a within 5s",
    "within 20s match last when 1+ any of (a, b) as g then optional c then a until c where n == 0",
    "match first when a as p then each (a within 9s then b within 9s) within 9s then c within 9s resume at p",
    "match each when a then any of (a within 9s, b within 9s) then no c within 9s",
)


@pytest.mark.parametrize("rule", STRUCTURES)
def test_runs_with_structure_are_freed(rule: str) -> None:
    """Whatever is copied, left out or gone back to: nothing stays of keys that have gone quiet, and nothing grows."""
    schema = "stream s\n" + "".join(f"event {name} from s (k text, n integer, t text)\n" for name in "abc")
    loaded = check_texts({"a.cep": f"{schema}rule r by k {rule}"})
    assert loaded.ruleset is not None, loaded.diagnostics
    program = compile_rules(loaded.ruleset)
    state = EngineState.create(program)
    rng, second, sizes = random.Random(7), 1_000_000, []
    graph = state.shards[0].plans[0]
    assert isinstance(graph, GraphState)
    for period in range(5):
        begin = period * 10_000
        times = [begin + i for i in range(120)]
        values = [{"k": rng.choice("pqr"), "n": rng.choice((0, 1)), "t": "x"} for _ in times]
        events = [VirtualEvent(rng.choice((0, 0, 1, 2)), t * second, v) for t, v in zip(times, values, strict=True)]
        for i in range(0, 120, 20):
            step(program, state, batch_of(program, state.strings, events[i : i + 20], 120 * period + i))
        sizes.append((len(graph.paths.run), len(graph.paths.node)))
        drain(program, state, (begin + 9_000) * second)
        assert (graph.waiting(), int(graph.paths.count[ALL_NODES])) == (0, 0)
    assert sizes[1] == sizes[-1]
    assert graph.keys.count[LIVE] <= 3


def test_combinations_hold_what_can_still_match_and_no_more() -> None:
    text = """
stream s
event a from s (k text, n integer)
rule r by k within 1m
  match all
  when a where n == 0
  then a where n == 1
  then a where n == 2
"""
    ruleset = check_texts({"a.cep": text}).ruleset
    assert ruleset is not None
    program = compile_rules(ruleset)
    state = EngineState.create(program)
    held = []
    for minute in range(20):
        events = [
            VirtualEvent(0, (60 * minute + i % 60) * 1_000_000, {"k": "k", "n": i % 2})  # never the last step
            for i in range(60)
        ]
        step(program, state, batch_of(program, state.strings, events, 60 * minute))
        held.append(len(state.shards[0].plans[0].combinations.node))
    assert state.shards[0].plans[0].waiting() <= 60
    assert held[0] == held[-1]


def test_large_arrays_grow_in_their_place() -> None:
    array = grown(np.arange(12, dtype=np.int64).reshape(6, 2), LARGE_BYTES // 16)
    longer = grown(array, 3 * len(array))
    assert np.shares_memory(array, longer)
    assert longer[:6].ravel().tolist() == list(range(12))
    assert not longer[6:].any()
    filled = grown_copies(longer, np.array([7, 8]), 4 * len(array))
    assert np.shares_memory(array, filled)
    assert (filled[3 * len(array) :] == [7, 8]).all()


def test_a_part_of_another_array_does_not_grow_into_it() -> None:
    whole = np.ones((100, 2), np.int64)
    assert not any(np.shares_memory(whole, grown(part, 20)) for part in (whole[:10], whole[50:60]))
    large = grown(whole, LARGE_BYTES // 16)
    assert not any(np.shares_memory(large, grown(part, 2**20)) for part in (large[1:], large.reshape(-1), large[:, :1]))


def test_where_addresses_are_short_arrays_grow_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros, asked = np.zeros, list[int]()

    def short(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        asked.append(shape[0])
        if shape[0] > LARGE_BYTES:
            raise MemoryError
        return zeros(shape, dtype)

    monkeypatch.setattr(np, "zeros", short)
    longer = grown(np.arange(12, dtype=np.int64).reshape(6, 2), LARGE_BYTES // 16)
    assert (len(longer), len(asked), asked[1]) == (LARGE_BYTES // 16, 2, LARGE_BYTES // 16)
    assert longer[5].tolist() == [10, 11]
