"""What a rule's output expressions read and give, for all matches of a step at once.

With `match each` a loop's captured events are kept only up to a bound, the first ones and the last (see the kernel
`chain`); what cannot be known exactly then is null, never wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cep.engine.batch import Batch
from cep.engine.matched import RuleMatches
from cep.engine.sequences import needs_probe
from cep.engine.state import EngineState
from cep.engine.statistics import statistic
from cep.engine.values import Value, values_of
from cep.kernels.chain import EACH_REFERENCES_MAX
from cep.kernels.machine import compute_each
from cep.kernels.matches import KEY, REFS
from cep.layout import NAN_WORD, NULL, Input, InputKind, Opcode, Output, RuleSpec, SequencePlan

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_LARGEST = 2**63 - 1
_RUN, _END = int(Opcode.RUN), int(Opcode.END)
_KEY, _VALUE, _FIRST, _LAST = InputKind.KEY, InputKind.VALUE, InputKind.FIRST, InputKind.LAST


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


def input_words(state: EngineState, rule: RuleSpec, matches: RuleMatches, what: Captured) -> Ints:
    """The inputs of a rule's outputs, shape (m, inputs)."""
    words = np.empty((len(matches.row), len(rule.inputs)), np.int64)
    for place, given in enumerate(rule.inputs):
        if given.derivation is None:
            words[:, place] = _input(given, matches, what)
        else:
            args = [_code_words(state, code, words) for code in given.args]
            words[:, place] = state.derived.words(given.derivation, args, state.strings)
    return words


def _input(given: Input, matches: RuleMatches, what: Captured) -> Ints:
    kind = given.source
    word: Ints
    if kind is _KEY:
        word = matches.row[:, KEY + given.a]
    elif kind is _VALUE:
        word = matches.value[:, given.a]
    elif kind is _FIRST or kind is _LAST:
        word = what.events.words[given.b, what.ends(given.a, last=kind is _LAST)]
    elif given.b < 0:
        word = what.count[:, given.a]
    else:
        word = _aggregate(given, what)
    return word


def output_words(state: EngineState, output: Output, inputs: Ints) -> Ints:
    """An output expression over its inputs, shape (m,)."""
    return _code_words(state, output.code, inputs)


def _code_words(state: EngineState, at: int, inputs: Ints) -> Ints:
    """The words of the expression at `at`, shape (m,)."""
    code = state.code
    if code[at, 0] == _RUN and code[at + 1, 0] == _END:
        plain: Ints = inputs[:, code[at, 1]]
        return plain
    values = np.empty(len(inputs), np.int64)
    compute_each(code, at, state.consts, inputs, values, state.stack, state.stack.view(np.float64))
    return values


def output_values(state: EngineState, output: Output, inputs: Ints) -> list[Value]:
    """An output's value in each match."""
    return values_of(output_words(state, output, inputs), output.kind, state.strings)


def key_values(state: EngineState, rule: RuleSpec, words: Ints) -> dict[str, list[Value]]:
    """The parts of keys by name, from their words, shape (m, parts at least)."""
    return {name: values_of(words[:, i], kind, state.strings) for i, (name, kind) in enumerate(rule.keys)}


@dataclass(frozen=True, slots=True)
class _Values:
    """A column of the events that a step captured, match by match: `starts`: (m,), where each match's begin.

    null: which words are null. cut: (m,), whether there were more events than are held.
    """

    words: Ints
    null: Bools
    starts: Ints
    cut: Bools
    real: bool


def _aggregate(given: Input, what: Captured) -> Ints:
    """An aggregate over a column of the events that a step captured, nulls left out; shape (m,)."""
    first, held = what.first[:, given.a], what.held[:, given.a]
    at, starts = spread(first, held)
    words = what.events.words[given.b, what.rows[at]]
    null = np.isnan(words.view(np.float64)) if given.real else words == NULL
    values = _Values(words, null, starts, what.count[:, given.a] > held, given.real)
    kind = given.source
    if kind is InputKind.FIRST_VALUE:
        return _first_value(values)
    if kind is InputKind.LAST_VALUE:
        return _last_value(values)
    if kind is InputKind.STATISTIC:
        return _statistics(given, values, what.events.time_us[what.rows[at]])
    if kind is InputKind.COUNT:
        made = np.add.reduceat((~null).astype(np.int64), starts)
    elif kind is InputKind.DISTINCT:
        made = _distinct(values)
    else:
        made = _real(kind, values) if given.real else _integer(kind, values)
    is_real = given.real and kind not in (InputKind.COUNT, InputKind.DISTINCT)
    return np.where(values.cut, NAN_WORD if is_real else NULL, made)


def _statistics(given: Input, values: _Values, time_us: Ints) -> Ints:
    """A further aggregate of each match's values, in order, nulls left out."""
    words = values.words.view(np.float64) if values.real else values.words
    made: list[int] = []
    for part, null, times, cut in zip(
        *(np.split(column, values.starts[1:]) for column in (words, values.null, time_us)), values.cut, strict=True
    ):
        known, when = part[~null].tolist(), times[~null].tolist()
        word = statistic(given.function, known, when, given.scale, real=given.real)
        made.append((NAN_WORD if given.real_out else NULL) if cut else word)
    return np.array(made, np.int64)


def _integer(kind: InputKind, values: _Values) -> Ints:
    made: Ints
    if kind is InputKind.SUM:
        made = np.add.reduceat(np.where(values.null, 0, values.words), values.starts)
    elif kind is InputKind.MAX:
        made = np.maximum.reduceat(values.words, values.starts)  # null is the smallest of all words
    else:
        made = np.minimum.reduceat(np.where(values.null, _LARGEST, values.words), values.starts)
        made[np.logical_and.reduceat(values.null, values.starts)] = NULL
    return made


def _real(kind: InputKind, values: _Values) -> Ints:
    reals = values.words.view(np.float64)
    if kind is InputKind.SUM:
        # An exact sum is the same on every machine, whatever the order in which it is added up.
        parts = np.split(np.where(values.null, 0.0, reals), values.starts[1:])
        made = np.array([_exact_sum(part.tolist()) for part in parts])
    else:
        made = (np.fmax if kind is InputKind.MAX else np.fmin).reduceat(reals, values.starts)
    return made.view(np.int64)


def _exact_sum(values: list[float]) -> float:
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # beyond all floats, or ∞ − ∞
        return sum(values)


def _distinct(values: _Values) -> Ints:
    words = values.words.view(np.float64) if values.real else values.words
    parts = zip(np.split(words, values.starts[1:]), np.split(values.null, values.starts[1:]), strict=True)
    return np.array([len(set(part[~null].tolist())) for part, null in parts], np.int64)


def _first_value(values: _Values) -> Ints:
    """The first word that is not null. What is left out of a step stands before its last event."""
    n = len(values.words)
    at = np.minimum.reduceat(np.where(values.null, n, np.arange(n)), values.starts)
    end = np.append(values.starts[1:], n) - values.cut
    return _at(values, at, at < end)


def _last_value(values: _Values) -> Ints:
    """The last word that is not null; of a step that was cut, that of its last event."""
    n = len(values.words)
    at = np.maximum.reduceat(np.where(values.null, -1, np.arange(n)), values.starts)
    begin = np.where(values.cut, np.append(values.starts[1:], n) - 1, values.starts)
    return _at(values, at, at >= begin)


def _at(values: _Values, at: Ints, known: Bools) -> Ints:
    return np.where(known, values.words[np.where(known, at, 0)], NAN_WORD if values.real else NULL)
