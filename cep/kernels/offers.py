"""One run and one event: what the filters of steps and guards say of them, and what becomes of the run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit
from cep.kernels.machine import EQ_F, EQ_I, evaluate, float_comparison
from cep.kernels.runs import (
    BIT,
    CODE,
    COLUMN,
    COMPARE_FROM,
    COMPARE_TO,
    COUNT,
    FLIPPED,
    GUARD_FROM,
    GUARD_TO,
    IMMEDIATE,
    KEY_EVENTS,
    LAST_EVENT,
    LAST_TIME,
    LEAST,
    MOST,
    OPERATION,
    PREVIOUS_TIME,
    REFS,
    RUN_WORD,
    STEP,
    STEPS,
    TRAILING,
    WINDOW,
    WORD,
    Comparing,
    Machine,
    Probe,
    capture,
    remember,
)
from cep.layout.columns import NULL
from cep.layout.expressions import Opcode

Ints = npt.NDArray[np.int64]
LT_I, LE_I = int(Opcode.LT_I), int(Opcode.LE_I)
ONE = np.int64(1)
# What an event did to a run.
STAYS, ENDS, COMPLETES = range(3)


@inline
def compare(p: Comparing, m: Machine, c: int, run_words: Ints, run_real: npt.NDArray[np.float64], row: int) -> bool:
    """Whether comparison c holds between a captured word and a word of the event."""
    op, at, column = p.compares[c, OPERATION], p.compares[c, RUN_WORD], p.compares[c, COLUMN]
    if op >= EQ_F:
        a, b = m.words_real[column, row], run_real[at]
        return float_comparison(op, b, a) == 1 if p.compares[c, FLIPPED] else float_comparison(op, a, b) == 1
    first, second = m.words[column, row], run_words[at]
    if first == NULL or second == NULL:
        return False
    if p.compares[c, FLIPPED]:
        first, second = second, first
    if op == EQ_I:
        return first == second
    if op == LT_I:
        return first < second
    return first <= second if op == LE_I else first != second


@inline
def holds(p: Comparing, m: Machine, of: Ints, words: Ints, real: npt.NDArray[np.float64], row: int) -> bool:
    """Whether the look-back of a step or guard (`of`, its row in the table) is true of a run's words."""
    for c in range(of[COMPARE_FROM], of[COMPARE_TO]):
        if not compare(p, m, c, words, real, row):
            return False
    return of[CODE] < 0 or evaluate(m.code, of[CODE], m.consts, m.words, row, words, m.stack, m.real) == 1


@inline
def fits(p: Probe, m: Machine, bits: int, of: Ints, run: int, row: int) -> bool:
    """Whether the event fits a step or guard (`of`, its row in the table) of this run."""
    return bits & of[BIT] != 0 and holds(p, m, of, p.run[run, WORD:], p.run_real[run, WORD:], row)


@jit
def guarded(p: Probe, m: Machine, slot: int, step: int, bits: int, run: int, row: int, now_us: int) -> bool:
    """Whether a guard before `step` (the number of steps: a trailing one) ends the run."""
    first = p.steps[step, GUARD_FROM] if step < p.plan[STEPS] else p.steps[step - 1, GUARD_TO]
    last = p.steps[step, GUARD_TO] if step < p.plan[STEPS] else p.guards.shape[0]
    for g in range(first, last):
        window = p.guards[g, WINDOW]
        if window >= 0 and p.run[run, LAST_TIME] + window <= now_us:
            continue
        if p.guards[g, IMMEDIATE] and p.run[run, LAST_EVENT] != p.slots[slot, KEY_EVENTS] - 1:
            continue
        if fits(p, m, bits, p.guards[g], run, row):
            return True
    return False


@inline
def offer(p: Probe, m: Machine, slot: int, run: int, bits: int, row: int, ordinal: int, now_us: int) -> int:
    """Offer the event to one run (docs/semantics.md, "runs", 1)."""
    step, count = p.run[run, STEP], p.run[run, COUNT]
    full = p.steps[step, MOST] >= 0 and count >= p.steps[step, MOST]
    ready = count >= p.steps[step, LEAST]
    target = step + 1
    last_step = target == p.plan[STEPS]
    if ready and not last_step and goes_on(p, m, slot, run, bits, row, now_us):
        if p.guards.shape[0] > 0 and guarded(p, m, slot, target, bits, run, row, now_us):
            return ENDS
        capture(p, m, slot, run, target, row, ordinal, now_us)
        return completion(p, run)
    if not full and (
        step == 0 or p.steps[step, WINDOW] < 0 or now_us < p.run[run, PREVIOUS_TIME] + p.steps[step, WINDOW]
    ):
        if fits(p, m, bits, p.steps[step], run, row):
            capture(p, m, slot, run, step, row, ordinal, now_us)
            return completion(p, run)
    if ready and p.guards.shape[0] > 0 and guarded(p, m, slot, target, bits, run, row, now_us):
        return ENDS
    if ready and full and not last_step and p.steps[target, IMMEDIATE]:
        return ENDS
    return STAYS


@inline
def offer_plain(p: Probe, m: Machine, slot: int, run: int, bits: int, row: int, ordinal: int, now_us: int) -> int:
    """The same where single steps, `then` and the header's horizon are all there is; see `runs`."""
    target = p.run[run, STEP] + 1
    if not fits(p, m, bits, p.steps[target], run, row):
        return STAYS
    p.run[run, STEP] = target
    p.run[run, p.plan[REFS] + target] = ordinal
    remember(p, m, run, target, row, True)
    return COMPLETES if target + 1 == p.plan[STEPS] else STAYS


@inline
def completion(p: Probe, run: int) -> int:
    """Whether a run that has just captured an event is a match."""
    step = p.run[run, STEP]
    last = step + 1 == p.plan[STEPS] and p.run[run, COUNT] >= p.steps[step, LEAST]
    return COMPLETES if last and p.plan[TRAILING] == 0 else STAYS


@inline
def equated(p: Probe, step: int) -> int:
    """The column of a run that has to be `equal_to` by the first comparison of a step; STEP if that is no equality.

    Of many runs that wait for a step, nearly all are told apart by this one word.
    """
    if step < p.plan[STEPS] and p.steps[step, COMPARE_FROM] < p.steps[step, COMPARE_TO]:
        c = p.steps[step, COMPARE_FROM]
        if p.compares[c, OPERATION] == EQ_I:
            return WORD + p.compares[c, RUN_WORD]
    return np.int64(STEP)


@inline
def equal_to(p: Probe, m: Machine, step: int, row: int) -> int:
    """The word that stands in the column `equated` of every run that the event of `row` fits."""
    if equated(p, step) == STEP:
        return step - 1
    return m.words[p.compares[p.steps[step, COMPARE_FROM], COLUMN], row]


@inline
def goes_on(p: Probe, m: Machine, slot: int, run: int, bits: int, row: int, now_us: int) -> bool:
    """Whether the event fits the step behind the one that the run is in."""
    target = p.run[run, STEP] + 1
    if target == p.plan[STEPS] or p.run[run, COUNT] < p.steps[target - 1, LEAST]:
        return False
    window = p.steps[target, WINDOW]
    if window >= 0 and now_us >= p.run[run, LAST_TIME] + window:
        return False
    if p.steps[target, IMMEDIATE] and p.run[run, LAST_EVENT] != p.slots[slot, KEY_EVENTS] - 1:
        return False
    return fits(p, m, bits, p.steps[target], run, row)
