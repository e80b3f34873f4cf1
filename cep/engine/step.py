"""`step`: (program, state, batch) → matches. No clock, no I/O, no randomness, no Python object per event.

Every stage is a function over columns: order → text columns → filters → features → plans → matches in order. The
outcome is a function of the events in the order of law 2 alone; how they are cut into batches changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cep.engine.batch import Batch, empty
from cep.engine.order import late_rows, release
from cep.engine.plans import PlanState, Rows
from cep.engine.state import EngineState
from cep.kernels import machine as mk
from cep.kernels.matches import KEY, KIND, PLACE, REFERENCES, ROWS, START, TIME
from cep.kernels.runs import Machine
from cep.layout import NAN_WORD, NULL, Feed, Program

Ints = npt.NDArray[np.int64]

PRESENT = 1 << 62  # set in the bits of every row that enters a plan, so that one without a step bit is still there
END_OF_TIME = 2**61  # µs; later than any event, and far from where sums would overflow
NO_WORDS = np.zeros(1, np.int64)


@dataclass(slots=True)
class RuleMatches:
    """The matches of one rule, m of them. row: (m, COLUMNS) of kernels.matches; reference: ordinals, rule by rule."""

    rule: int
    row: Ints
    count: Ints
    value: Ints
    reference: Ints


@dataclass(slots=True)
class StepOutput:
    """matches: by rule. order: (total, 2), the rule's place in `matches` and the row in it, in the order of alerts.

    late: rows of the given batch that came too late.
    """

    matches: list[RuleMatches]
    order: Ints
    late: npt.NDArray[np.intp]


def step(program: Program, state: EngineState, batch: Batch, ended: frozenset[int] = frozenset()) -> StepOutput:
    """Take in a batch and make every match that is decided by then. `ended`: streams that will bring nothing more."""
    _compact(state, batch)
    late = late_rows(program, state.order, batch)
    rows = np.flatnonzero(late)
    state.counters.late += len(rows)
    in_time = batch.take(np.flatnonzero(~late)) if len(rows) else batch
    released = release(program, state.order, in_time, ended)
    return _advance(program, state, released, state.order.released_us, rows)


def drain(program: Program, state: EngineState, until_us: int | None = None) -> StepOutput:
    """Release all that is held and move time on to `until_us`, or until nothing is pending (None)."""
    held = release(program, state.order, empty(len(program.columns)), frozenset(range(len(program.streams))))
    return _advance(program, state, held, END_OF_TIME if until_us is None else until_us, np.empty(0, np.intp))


def _advance(
    program: Program, state: EngineState, batch: Batch, until_us: int, late: npt.NDArray[np.intp]
) -> StepOutput:
    n = len(batch)
    base = state.next_ordinal
    words = state.buffer("words", program.slots, n)
    words[: len(program.columns)] = batch.words
    state.texts.fill(words, state.strings)
    for calendar in state.calendars:
        calendar.fill(words)
    machine = Machine(
        state.code, state.consts, words, words.view(np.float64), state.stack, state.stack.view(np.float64)
    )
    keep = np.zeros(n, np.uint8)
    if n:
        selected = _Selection(program, machine, batch)
        for feature, feature_plan in zip(state.features, program.features, strict=True):
            feature.feed(machine, selected.rows(feature_plan.feeds, state))
        for plan_state, rule in zip(state.rules, program.rules, strict=True):
            plan_state.feed(machine, selected.rows(rule.plan.feeds, state), keep, base)
    for plan_state in state.rules:
        plan_state.sweep(machine, until_us)
    for feature in state.features:
        feature.sweep(until_us)
    state.next_ordinal += n
    state.counters.events += n
    _capture(program, state, batch, words, np.flatnonzero(keep), base)
    matches = [m for i, s in enumerate(state.rules) if (m := _taken(i, s)) is not None]
    state.counters.matches += sum(len(m.row) for m in matches)
    return StepOutput(matches, _in_order(program, state, matches), late)


class _Selection:
    """Which rows pass which predicate; each is worked out once, when it is first asked for."""

    def __init__(self, program: Program, machine: Machine, batch: Batch) -> None:
        self._program = program
        self._machine = machine
        self._event = batch.event
        self._by_event: dict[int, Ints] = {}
        self._passing: dict[int, Ints] = {}
        for column in program.computed:
            mk.compute(
                machine.code,
                column.code,
                machine.consts,
                machine.words,
                self._of_event(column.event),
                column.slot,
                NO_WORDS,
                machine.stack,
                machine.real,
            )

    def _of_event(self, event: int) -> Ints:
        if event not in self._by_event:
            self._by_event[event] = np.flatnonzero(self._event == event)
        return self._by_event[event]

    def _pass(self, index: int) -> Ints:
        if index not in self._passing:
            predicate, m = self._program.predicates[index], self._machine
            rows = self._of_event(predicate.event) if predicate.base < 0 else self._pass(predicate.base)
            if predicate.code >= 0:
                chosen = np.empty(len(rows), np.int64)
                count = mk.select(m.code, predicate.code, m.consts, m.words, rows, chosen, NO_WORDS, m.stack, m.real)
                rows = chosen[:count]
            self._passing[index] = rows
        return self._passing[index]

    def rows(self, feeds: tuple[Feed, ...], state: EngineState) -> Rows:
        """The rows that enter a plan, in order, with bits and keys; those without a key are counted and left out."""
        by_key: dict[tuple[int, ...], list[Feed]] = {}
        for feed in feeds:
            by_key.setdefault(feed.key, []).append(feed)
        parts = [self._role(key, members, state) for key, members in by_key.items()]
        return parts[0] if len(parts) == 1 else _merged(parts)

    def _role(self, key: tuple[int, ...], feeds: list[Feed], state: EngineState) -> Rows:
        if len(feeds) == 1:
            rows = self._pass(feeds[0].predicate)
            bits = np.full(len(rows), feeds[0].bits | PRESENT, np.int64)
        else:
            mask = np.zeros(len(self._event), np.int64)
            for feed in feeds:
                mask[self._pass(feed.predicate)] |= feed.bits | PRESENT
            rows = np.flatnonzero(mask)
            bits = mask[rows]
        columns = self._machine.words[list(key)][:, rows] if key else np.empty((0, len(rows)), np.int64)
        absent = ((columns == NULL) | (columns == NAN_WORD)).any(axis=0) if key else np.zeros(len(rows), np.bool_)
        if absent.any():
            state.counters.without_key += int(absent.sum())
            rows, bits, columns = rows[~absent], bits[~absent], columns[:, ~absent]
        return Rows(rows, bits, np.ascontiguousarray(columns))


def _merged(parts: list[Rows]) -> Rows:
    """Rows of several roles in one order; a row that has one key in two roles is one event."""
    rows = np.concatenate([part.rows for part in parts])
    bits = np.concatenate([part.bits for part in parts])
    key = np.concatenate([part.key for part in parts], axis=1)
    by_row = np.lexsort((*key, rows))
    rows, bits, key = rows[by_row], bits[by_row], key[:, by_row]
    first = np.ones(len(rows), np.bool_)
    first[1:] = (rows[1:] != rows[:-1]) | (key[:, 1:] != key[:, :-1]).any(axis=0)
    starts = np.flatnonzero(first)
    if len(starts) == 0:
        return Rows(rows, bits, np.ascontiguousarray(key))
    return Rows(rows[starts], np.bitwise_or.reduceat(bits, starts), np.ascontiguousarray(key[:, starts]))


def _capture(program: Program, state: EngineState, batch: Batch, words: Ints, rows: Ints, base: int) -> None:
    """Remember the events that runs, episodes or matches refer to."""
    if not len(rows):
        return
    taken = batch.without_words().take(rows)
    decoded = np.take(words[: len(program.columns)], rows, axis=1)
    taken.words = np.concatenate((decoded, words[list(program.shown)][:, rows])) if program.shown else decoded
    state.captures.append(base + rows, taken)


def _taken(rule: int, plan: PlanState) -> RuleMatches | None:
    """The matches in a plan's buffer, which is empty afterwards."""
    matches = plan.matches
    n, references = int(matches.used[ROWS]), int(matches.used[REFERENCES])
    if n == 0:
        return None
    matches.used[:] = 0
    return RuleMatches(
        rule,
        matches.row[:n].copy(),
        matches.count[:n].copy(),
        matches.value[:n].copy(),
        matches.reference[:references].copy(),
    )


def _in_order(program: Program, state: EngineState, matches: list[RuleMatches]) -> Ints:
    """The order of alerts: time, deadlines before events, place, rule, start, and last the key's value."""
    if not matches:
        return np.empty((0, 2), np.int64)
    rows = np.concatenate([m.row for m in matches])
    place = np.concatenate([np.full(len(m.row), i) for i, m in enumerate(matches)])
    row = np.concatenate([np.arange(len(m.row)) for m in matches])
    ranks = (rows[:, START], place, rows[:, PLACE], rows[:, KIND], rows[:, TIME])
    by = np.lexsort((row, *ranks))
    same = np.ones(max(len(by) - 1, 0), np.bool_)
    for rank in ranks:
        same &= rank[by[1:]] == rank[by[:-1]]
    for first, last in _stretches(same):
        # One event of two keys, or the deadlines of two keys that share their last event.
        rule = program.rules[matches[place[by[first]]].rule]
        kinds = [kind for _, kind in rule.keys]
        by[first:last] = sorted(by[first:last], key=lambda i: _key_values(rows[i], kinds, state))
    return np.stack((place[by], row[by]), axis=1)


def _stretches(same: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The stretches [first, last) of places that are equal to their neighbour."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], same.astype(np.int8), [0]))))
    return [(int(first), int(last) + 1) for first, last in edges.reshape(-1, 2)]


def _key_values(row: Ints, kinds: list[str], state: EngineState) -> list[str | int | float]:
    """A match's key as values that compare in the same way on every machine."""
    values: list[str | int | float] = []
    for i, kind in enumerate(kinds):
        word = int(row[KEY + i])
        text = state.strings.text(word) if kind == "text" else None
        values.append(text if text is not None else word)
    return values


def _compact(state: EngineState, batch: Batch) -> None:
    """Forget captured events and texts that nothing refers to, once there are twice as many as at the last time."""
    captures = state.captures
    if len(captures) >= captures.compact_at:
        captures.forget(np.concatenate([NO_WORDS[:0], *(rule.references() for rule in state.rules)]))
    if len(state.strings) >= state.strings.compact_at:
        state.strings.keep(_live_texts(state, batch))
        state.texts.clear()


def _live_texts(state: EngineState, batch: Batch) -> npt.NDArray[np.bool_]:
    """Which text ids the state refers to. A word that is no text may keep a text alive, never the reverse."""
    live = np.zeros(state.strings.capacity, np.bool_)
    words = [batch.words, state.captures.events.words, state.order.held.words, state.consts]
    words += [array for part in (*state.features, *state.rules) for array in part.words()]
    for array in words:
        flat = array.ravel()
        live[flat[(flat >= 0) & (flat < len(live))]] = True
    return live


__all__ = ["RuleMatches", "StepOutput", "drain", "step"]
