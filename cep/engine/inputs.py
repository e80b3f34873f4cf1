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
from cep.engine.matched import RuleMatches, spread
from cep.engine.sequences import needs_probe
from cep.engine.state import EngineState
from cep.engine.statistics import statistic
from cep.engine.values import Value, values_of
from cep.kernels.fifos import EACH_REFERENCES_MAX
from cep.kernels.keys import NEVER
from cep.kernels.machine import compute_each
from cep.kernels.matches import KEY, REFS
from cep.layout.alerts import Input, InputKind, Output, RuleSpec
from cep.layout.columns import NAN_WORD, NULL
from cep.layout.expressions import Opcode
from cep.layout.patterns import SequencePlan

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_LARGEST = 2**63 - 1
_RUN, _END = int(Opcode.RUN), int(Opcode.END)
_OF_NOTHING = (InputKind.COUNT, InputKind.SUM, InputKind.DISTINCT)  # which aggregates of no events are 0, not null
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
        """The row of the step's first or last event in each match, shape (m,); any row if it captured nothing."""
        at = self.first[:, step] + (np.maximum(self.held[:, step] - 1, 0) if last else 0)
        found: npt.NDArray[np.intp] = self.rows[np.minimum(at, len(self.rows) - 1)]
        return found

    def first_time(self, steps: range) -> Ints:
        """The time of the first event that any of some steps captured, shape (m,); NEVER if they captured none."""
        return self._bound(steps, np.minimum, NEVER, last=False)

    def last_time(self, steps: range) -> Ints:
        """The time of the last event that any of some steps captured, shape (m,); -NEVER if they captured none."""
        return self._bound(steps, np.maximum, -NEVER, last=True)

    def _bound(self, steps: range, choose: np.ufunc, none: int, *, last: bool) -> Ints:
        bound = np.full(len(self.first), none, np.int64)
        for step in steps:
            times = self.events.time_us[self.ends(step, last=last)]
            bound = choose(bound, np.where(self.held[:, step] > 0, times, none))
        return bound


def captured(state: EngineState, rule: RuleSpec, matches: RuleMatches) -> Captured:
    """What the matches of a rule captured."""
    plan = rule.plan
    held = matches.count
    if isinstance(plan, SequencePlan) and plan.policy == "each" and not needs_probe(plan):
        held = np.minimum(held, EACH_REFERENCES_MAX)
    first = matches.row[:, REFS, None] + np.cumsum(held, axis=1) - held
    return Captured(state.captures.events, state.captures.rows(matches.reference), first, held, matches.count)


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
    elif (kind is _FIRST or kind is _LAST) and not given.members:
        word = _end(given, what)
    elif _slots(given)[0] < 0:
        word = what.count[:, _steps(given)].sum(axis=1)
    else:
        word = _aggregate(given, what)
    return word


def _null(given: Input) -> int:
    return NAN_WORD if given.real else NULL


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
    time_us: Ints
    starts: Ints
    cut: Bools
    real: bool


def _steps(given: Input) -> list[int]:
    return [step for step, _ in given.members] or [given.a]


def _slots(given: Input) -> list[int]:
    return [slot for _, slot in given.members] or [given.b]


def _end(given: Input, what: Captured) -> Ints:
    """A field of the first or last event of a step; null where it captured nothing."""
    found = what.events.words[given.b, what.ends(given.a, last=given.source is _LAST)]
    return np.where(what.held[:, given.a] > 0, found, _null(given))


def _column(given: Input, what: Captured) -> tuple[Ints, Ints]:
    """The words and times of the events that the input's steps captured, match by match, in the order of capture."""
    steps = _steps(given)
    held = what.held[:, steps].ravel()
    at, _ = spread(what.first[:, steps].ravel(), held)
    rows = what.rows[at]
    words, time_us = what.events.words, what.events.time_us[rows]
    if len(steps) == 1:
        return words[_slots(given)[0], rows], time_us
    slots = np.repeat(np.tile(_slots(given), len(what.held)), held)
    match = np.repeat(np.repeat(np.arange(len(what.held)), len(steps)), held)
    order = np.lexsort((rows, match))
    return words[slots, rows][order], time_us[order]


def _aggregate(given: Input, what: Captured) -> Ints:
    """An aggregate over a column of captured events, nulls left out; shape (m,). Of no events some are null."""
    steps = _steps(given)
    held, count = what.held[:, steps].sum(axis=1), what.count[:, steps].sum(axis=1)
    some = held > 0
    made = np.full(len(held), _of_nothing(given), np.int64)
    if some.any():
        words, time_us = _column(given, what)
        null = np.isnan(words.view(np.float64)) if given.real else words == NULL
        starts = np.cumsum(held[some]) - held[some]
        made[some] = _folded(given, _Values(words, null, time_us, starts, (count > held)[some], given.real))
    return made


def _of_nothing(given: Input) -> int:
    """The word of an aggregate of no events."""
    if given.source is InputKind.STATISTIC:
        return statistic(given.function, [], [], given.scale, real=given.real)
    return 0 if given.source in _OF_NOTHING else _null(given)


def _folded(given: Input, values: _Values) -> Ints:
    """The aggregate of values, of which each match has some."""
    kind = given.source
    if kind is _FIRST or kind is _LAST:
        ends = values.starts if kind is _FIRST else np.append(values.starts[1:], len(values.words)) - 1
        found: Ints = values.words[ends]
        return found
    if kind is InputKind.FIRST_VALUE:
        return _first_value(values)
    if kind is InputKind.LAST_VALUE:
        return _last_value(values)
    if kind is InputKind.STATISTIC:
        return _statistics(given, values)
    if kind is InputKind.COUNT:
        made = np.add.reduceat((~values.null).astype(np.int64), values.starts)
    elif kind is InputKind.DISTINCT:
        made = _distinct(values)
    else:
        made = _real(kind, values) if given.real else _integer(kind, values)
    is_real = given.real and kind not in (InputKind.COUNT, InputKind.DISTINCT)
    return np.where(values.cut, NAN_WORD if is_real else NULL, made)


def _statistics(given: Input, values: _Values) -> Ints:
    """A further aggregate of each match's values, in order, nulls left out."""
    words = values.words.view(np.float64) if values.real else values.words
    made: list[int] = []
    for part, null, times, cut in zip(
        *(np.split(column, values.starts[1:]) for column in (words, values.null, values.time_us)),
        values.cut,
        strict=True,
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
