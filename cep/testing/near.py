"""What waits: the partial matches of a `when` and the conditions of a `while` that are not met, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from cep.engine.graph import GraphState
from cep.engine.shards import PlanState
from cep.engine.shared import SharedState
from cep.engine.state import EngineState
from cep.engine.strings import Strings
from cep.engine.values import Value
from cep.engine.waits import captured_by_graph
from cep.kernels.keys import HASH, KEY
from cep.layout.alerts import RuleSpec
from cep.layout.program import Program


@dataclass(frozen=True, slots=True)
class Waiting:
    """A key of a rule, and the positive steps that its runs wait for, as `PlanState.waiting_at` has them.

    captured: the steps that have captured something for one of them.
    """

    key: Mapping[str, Value]
    steps: frozenset[int]
    captured: frozenset[int]


def waiting(program: Program, state: EngineState, now_us: int) -> dict[str, list[Waiting]]:
    """For each rule every key for which something waits at `now_us`."""
    found = {}
    for rule, (place, member) in zip(program.rules, program.members, strict=True):
        plans = [shard.plans[place] for shard in state.shards]
        found[rule.name] = [entry for plan in plans for entry in _entries(rule, plan, member, state.strings, now_us)]
    return found


def _entries(rule: RuleSpec, plan: PlanState, member: int, strings: Strings, now_us: int) -> Iterator[Waiting]:
    waiting_at = partial(plan.waiting_at, member=member) if isinstance(plan, SharedState) else plan.waiting_at
    slots = plan.keys.slots
    for slot in np.flatnonzero(slots[:, HASH] >= 0).tolist():
        if steps := waiting_at(slot, now_us):
            words = slots[slot, KEY : KEY + len(rule.keys)].tolist()
            pairs = zip(rule.keys, words, strict=True)
            key = {name: _value(word, kind, strings) for (name, kind), word in pairs}
            captured = captured_by_graph(plan.paths, slot) if isinstance(plan, GraphState) else range(max(steps))
            yield Waiting(key, frozenset(steps), frozenset(captured))


def _value(word: int, kind: str, strings: Strings) -> Value:
    """What a word of a key stands for."""
    if kind == "text":
        return strings.text(word)
    return float(np.int64(word).view(np.float64)) if kind == "number" else word
