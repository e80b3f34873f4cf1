"""Shards: the keys in some parts, each with the state of every plan for its own keys, and a thread to run on.

Keys do not see each other, so what a plan makes of a key does not depend on which others are beside it; matches are put
in order afterwards. So the number of shards changes nothing but the time that a step takes, as kernels let go of the
interpreter. What is asked of a row alone is not asked again in each shard: there the threads share the batch by rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cep.engine.combinations import CombinationState
from cep.engine.episodes import EpisodeState
from cep.engine.features import FeatureState
from cep.engine.filters import Indexes
from cep.engine.graph import GraphState
from cep.engine.plans import Rows, blank
from cep.engine.sequences import ChainState, ProbeState, new_sequence
from cep.engine.shared import SharedState
from cep.kernels import entering as ek
from cep.kernels.runs import Machine
from cep.layout.expressions import STACK_DEPTH
from cep.layout.patterns import EpisodePlan
from cep.layout.program import Program, RunPlan

Ints = npt.NDArray[np.int64]
PlanState = ChainState | ProbeState | CombinationState | GraphState | SharedState | EpisodeState
Part = TypeVar("Part")
Made = TypeVar("Made")


@dataclass(slots=True)
class Shard:
    """The state of all features and plans for some of the keys, and scratch for the evaluator."""

    features: list[FeatureState]
    plans: list[PlanState]
    stack: Ints = field(default_factory=lambda: np.zeros(STACK_DEPTH + 1, np.int64))

    @staticmethod
    def create(program: Program, indexes: Indexes, nulls: Ints) -> Shard:
        """One without keys. `nulls`: null as each column spells it."""
        features = [FeatureState(plan) for plan in program.features]
        return Shard(features, [_new_plan(run, nulls, indexes) for run in program.plans])

    def machine(self, machine: Machine) -> Machine:
        """With scratch that no other shard writes to."""
        return machine._replace(stack=self.stack, real=self.stack.view(np.float64))


def _new_plan(run: RunPlan, nulls: Ints, indexes: Indexes) -> PlanState:
    if isinstance(run.plan, EpisodePlan):
        return EpisodeState(run.plan, nulls[[slot for _, slot in run.plan.latest]])
    return SharedState(run.plan, indexes.of(run.index)) if run.index >= 0 else new_sequence(run.plan, nulls)


def own_rows(parts: Sequence[Rows], shards: int, shard: int) -> Rows:
    """Those rows of all parts of a batch whose keys are of that one of so many shards, in order."""
    if shards == 1:
        return parts[0]
    own = blank(len(parts[0].key), sum(len(part.rows) for part in parts) + 1)
    count = 0
    for part in parts:
        count = ek.take_shard(part.rows, part.bits, part.key, shards, shard, own.rows, own.bits, own.key, count)
    return own.first(count)


def for_each(parts: Sequence[Part], work: Callable[[int, Part], Made]) -> list[Made]:
    """Do something with each part, with the first on this thread and the others beside it; what came, in order."""
    if len(parts) == 1:
        return [work(0, parts[0])]
    others = [_threads().submit(work, number, parts[number]) for number in range(1, len(parts))]
    try:
        first = work(0, parts[0])
    finally:
        wait(others)
    return [first, *(other.result() for other in others)]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "shard")


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_threads.cache_clear)  # threads are not inherited
