"""The columns that a plan reads, of its rows in the order in which it takes them, a stretch of rows at a time.

A plan that asks each run reads a row again and again, and its rows lie far apart in the batch. So they are put side by
side first: of the program's columns only those that the plan can ask for, and no more rows than stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from cep.engine.plans import Taken
from cep.kernels.runs import Machine
from cep.layout.columns import TIME_SLOT
from cep.layout.expressions import Opcode
from cep.layout.patterns import Guard, SequencePlan, StepSpec

Ints = npt.NDArray[np.int64]

Feed = Callable[[Machine, Ints, Ints, Ints, int], int]  # a machine, and what a feed of `Taken` has

STRETCH = 4096  # rows


class Columns:
    """The columns of one plan: memory in the shape of a batch, of which only what is read is ever written to."""

    def __init__(self, plan: SequencePlan) -> None:
        self._plan = plan
        self._read: list[int] | None = None
        self._words = np.empty((0, STRETCH), np.int64)
        self._real = self._words.view(np.float64)

    def offer(self, machine: Machine, taken: Taken, feed: Feed, grow: Callable[[], None]) -> None:
        """Feed the rows to a kernel, each time with a machine of their own."""
        for stretch, own in self._stretches(machine, taken.rows):
            part = Taken(taken.rows[stretch], taken.bits[stretch], taken.slots[stretch])
            part.offer(partial(feed, own), grow)

    def _stretches(self, machine: Machine, rows: Ints) -> Iterator[tuple[slice, Machine]]:
        """Some of the rows after the other, and a machine whose columns hold them from 0 on."""
        if self._read is None:
            self._read = sorted(read_by(self._plan, machine.code))
            self._words = np.empty((len(machine.words), STRETCH), np.int64)
            self._real = self._words.view(np.float64)
        machine_of_plan = machine._replace(words=self._words, words_real=self._real)
        for first in range(0, len(rows), STRETCH):
            stretch = slice(first, first + STRETCH)
            some = rows[stretch]
            for column in self._read:
                np.take(machine.words[column], some, out=self._words[column, : len(some)], mode="clip")
            yield stretch, machine_of_plan


def read_by(plan: SequencePlan, code: Ints) -> set[int]:
    """The columns of an event that a sequence can ask for: its time, what is compared, captured, or loaded in code."""
    judged: list[StepSpec | Guard] = [*plan.steps, *(guard for step in plan.steps for guard in step.guards)]
    judged += plan.trailing
    if plan.graph is not None:
        judged += plan.graph.guards
        judged += [plan.graph.until] if plan.graph.until is not None else []
    found = {TIME_SLOT}
    for of in judged:
        found |= {compare.slot for compare in of.compares}
        at = of.code
        while at >= 0 and code[at, 0] != Opcode.END:
            found |= {int(code[at, 1])} if code[at, 0] == Opcode.EVENT else set()
            at += 1
    for capture in plan.captures:
        found |= {capture.slot, *(slot for _, slot in capture.members)}
    return found - {-1}
