"""The words that a rule's output expressions read, for all matches of a step at once.

With `match each` a loop's captured events are kept only up to a bound, the first ones and the last (see the kernel
`chain`); what cannot be known exactly then is null, never wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cep.engine.batch import Batch
from cep.engine.sequences import needs_probe
from cep.engine.state import EngineState
from cep.engine.step import RuleMatches
from cep.kernels.chain import EACH_REFERENCES_MAX
from cep.kernels.machine import compute_each
from cep.kernels.matches import KEY, REFS
from cep.layout import NAN_WORD, NULL, Input, InputKind, Opcode, Output, RuleSpec, SequencePlan

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_LARGEST = 2**63 - 1
_ENDS = (InputKind.FIRST, InputKind.LAST)


@dataclass(slots=True)
class Captured:
    """What m matches of a rule with n positive steps captured.

    events, rows: the capture store, and where in it each reference stands, match by match and step by step.
    first: (m, n), where a step's references begin in `rows`. held: (m, n), how many they are. count: (m, n), how many
    events the step captured.
    """

    events: Batch
    rows: npt.NDArray[np.intp]
    first: Ints
    held: Ints
    count: Ints

    def take(self, matches: npt.NDArray[np.intp]) -> Captured:
        """Those of some matches."""
        return Captured(self.events, self.rows, self.first[matches], self.held[matches], self.count[matches])

    def ends(self, step: int, *, last: bool) -> npt.NDArray[np.intp]:
        """The row of the step's first or last event in each match, shape (m,)."""
        at = self.first[:, step]
        return self.rows[at + self.held[:, step] - 1 if last else at]

    def times(self, step: int, *, last: bool) -> Ints:
        """The time of the step's first or last event in each match, shape (m,)."""
        return self.events.time_us[self.ends(step, last=last)]


def captured(state: EngineState, rule: RuleSpec, matches: RuleMatches) -> Captured:
    """What the matches of a rule captured."""
    plan = rule.plan
    held = matches.count
    if isinstance(plan, SequencePlan) and plan.policy == "each" and not needs_probe(plan):
        held = np.minimum(held, EACH_REFERENCES_MAX)
    first = matches.row[:, REFS, None] + np.cumsum(held, axis=1) - held
    return Captured(state.captures.events, state.captures.rows(matches.reference), first, held, matches.count)


def spread(first: Ints, length: Ints) -> tuple[Ints, Ints]:
    """The numbers of the ranges [first, first + length) one after the other, and where each range begins."""
    starts = np.cumsum(length) - length
    return np.repeat(first - starts, length) + np.arange(int(length.sum())), starts


def input_words(rule: RuleSpec, matches: RuleMatches, what: Captured) -> Ints:
    """The inputs of a rule's outputs, shape (m, inputs)."""
    words = np.empty((len(matches.row), len(rule.inputs)), np.int64)
    for place, source in enumerate(rule.inputs):
        if source.source is InputKind.KEY:
            words[:, place] = matches.row[:, KEY + source.a]
        elif source.source is InputKind.VALUE:
            words[:, place] = matches.value[:, source.a]
        elif source.source in _ENDS:
            words[:, place] = what.events.words[source.b, what.ends(source.a, last=source.source is InputKind.LAST)]
        elif source.b < 0:
            words[:, place] = what.count[:, source.a]
        else:
            words[:, place] = _aggregate(source, what)
    return words


def output_words(state: EngineState, output: Output, inputs: Ints) -> Ints:
    """An output expression over its inputs, shape (m,)."""
    code, at = state.code, output.code
    if code[at, 0] == Opcode.RUN and code[at + 1, 0] == Opcode.END:
        plain: Ints = inputs[:, code[at, 1]]
        return plain
    values = np.empty(len(inputs), np.int64)
    compute_each(code, at, state.consts, inputs, values, state.stack, state.stack.view(np.float64))
    return values


def _aggregate(source: Input, what: Captured) -> Ints:
    """An aggregate over a column of the events that a step captured, nulls left out; shape (m,)."""
    first, held = what.first[:, source.a], what.held[:, source.a]
    at, starts = spread(first, held)
    words = what.events.words[source.b, what.rows[at]]
    null = np.isnan(words.view(np.float64)) if source.real else words == NULL
    cut = what.count[:, source.a] > held
    kind = source.source
    if kind is InputKind.FIRST_VALUE or kind is InputKind.LAST_VALUE:
        return _end_value(kind, words, null, starts, held, cut, source.real)
    if kind is InputKind.COUNT:
        return np.where(cut, NULL, np.add.reduceat((~null).astype(np.int64), starts))
    if kind is InputKind.DISTINCT:
        return np.where(cut, NULL, _distinct(words, null, starts, source.real))
    if source.real:
        reals = _real(kind, words.view(np.float64), null, starts)
        reals[cut] = np.nan
        return reals.view(np.int64)
    return np.where(cut, NULL, _integer(kind, words, null, starts))


def _integer(kind: InputKind, words: Ints, null: Bools, starts: Ints) -> Ints:
    made: Ints
    if kind is InputKind.SUM:
        made = np.add.reduceat(np.where(null, 0, words), starts)
    elif kind is InputKind.MAX:
        made = np.maximum.reduceat(words, starts)  # null is the smallest of all words
    else:
        made = np.minimum.reduceat(np.where(null, _LARGEST, words), starts)
        made[np.logical_and.reduceat(null, starts)] = NULL
    return made


def _real(kind: InputKind, reals: npt.NDArray[np.float64], null: Bools, starts: Ints) -> npt.NDArray[np.float64]:
    made: npt.NDArray[np.float64]
    if kind is InputKind.SUM:
        # An exact sum is the same on every machine, whatever the order in which it is added up.
        parts = np.split(np.where(null, 0.0, reals), starts[1:])
        made = np.array([_exact_sum(part.tolist()) for part in parts])
    else:
        made = (np.fmax if kind is InputKind.MAX else np.fmin).reduceat(reals, starts)
    return made


def _exact_sum(values: list[float]) -> float:
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # beyond all floats, or ∞ − ∞
        return sum(values)


def _distinct(words: Ints, null: Bools, starts: Ints, real: bool) -> Ints:
    parts = zip(
        np.split(words.view(np.float64) if real else words, starts[1:]), np.split(null, starts[1:]), strict=True
    )
    return np.array([len(set(part[~missing].tolist())) for part, missing in parts], np.int64)


def _end_value(kind: InputKind, words: Ints, null: Bools, starts: Ints, held: Ints, cut: Bools, real: bool) -> Ints:
    """The first or last word that is not null. Of a step that was cut, the gap lies before the last event held."""
    place, last = np.arange(len(words)), starts + held - 1
    if kind is InputKind.FIRST_VALUE:
        at = np.minimum.reduceat(np.where(null, len(words), place), starts)
        known = (at <= last) & ~(cut & (at == last))
    else:
        at = np.maximum.reduceat(np.where(null, -1, place), starts)
        known = (at >= starts) & ~(cut & (at < last))
    return np.where(known, words[np.where(known, at, 0)], NAN_WORD if real else NULL)
