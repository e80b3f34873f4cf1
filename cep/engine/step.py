"""`step`: (program, state, batch) → matches, and which of them are alerts. No clock, no I/O, no randomness.

Every stage is a function over columns: order → derived columns → filters → features → plans → matches in order →
alerts, which are events to the rules of the next stratum. The outcome is a function of the events in the order of law 2
alone; how they are cut into batches changes nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.engine import chain
from cep.engine.batch import Batch, empty
from cep.engine.dispositions import alerting
from cep.engine.filters import Indexes
from cep.engine.matched import RuleMatches, StepOutput, in_order, taken
from cep.engine.order import late_rows, release
from cep.engine.plans import Rows
from cep.engine.state import EngineState
from cep.kernels import entering as ek
from cep.kernels import filters as fk
from cep.kernels import machine as mk
from cep.kernels.runs import Machine
from cep.layout import END_OF_TIME, DerivedColumn, Feed, Program, Stratum

Ints = npt.NDArray[np.int64]

PRESENT = 1 << 62  # set in the bits of every row that enters a plan, so that one without a step bit is still there
NO_WORDS = np.zeros(1, np.int64)


def step(program: Program, state: EngineState, batch: Batch, ended: frozenset[int] = frozenset()) -> StepOutput:
    """Take in a batch and make every match that is decided by then. `ended`: streams that will bring nothing more."""
    _compact(state, batch)
    rows = late_rows(program, state.order, batch)
    state.counters.late += len(rows)
    in_time = batch.take(np.delete(np.arange(len(batch)), rows)) if len(rows) else batch
    released = release(program, state.order, in_time, ended)
    return _advance(program, state, released, state.order.released_us, rows)


def drain(program: Program, state: EngineState, until_us: int | None = None) -> StepOutput:
    """Release all that is held and move time on to `until_us`, or until nothing is pending (None)."""
    held = release(program, state.order, empty(len(program.columns)), frozenset(range(len(program.streams))))
    return _advance(program, state, held, END_OF_TIME if until_us is None else until_us, np.empty(0, np.intp))


def _advance(
    program: Program, state: EngineState, batch: Batch, until_us: int, late: npt.NDArray[np.intp]
) -> StepOutput:
    """Let every stratum read what is released. Without rules over alerts there is one, and the order is its own."""
    state.counters.events += len(batch)
    if len(batch):
        state.enrol(program, int(batch.time_us[0]))
    if len(program.strata) == 1:
        matches, _ = _run(program, state, program.strata[0], batch, until_us)
        order = alerting(program, state, matches, in_order(program, state, matches))
        return StepOutput(matches, order, late)
    sequence, made, orders = chain.Sequence(program, batch), list[RuleMatches](), [np.empty((0, 2), np.int64)]
    for stratum in program.strata:
        matches, base = _run(program, state, stratum, sequence.read(stratum), until_us)
        order = alerting(program, state, matches, in_order(program, state, matches))
        if len(order):
            row = np.array([matches[place].row[at] for place, at in order.tolist()])
            sequence.put(chain.as_events(program, state, matches, order), row, base)
            orders.append(order + np.array([len(made), 0]))
            made += matches
    return StepOutput(made, np.concatenate(orders)[sequence.alerts()], late)


def _run(
    program: Program, state: EngineState, stratum: Stratum, batch: Batch, until_us: int
) -> tuple[list[RuleMatches], int]:
    """Let the plans of a stratum read its events; the matches of each rule, and the first event's ordinal."""
    n = len(batch)
    base = state.next_ordinal
    features, plans = [state.features[i] for i in stratum.features], [state.plans[i] for i in stratum.plans]
    words = state.buffer("words", program.slots, n)
    words[: len(program.columns)] = batch.words
    for calendar in state.calendars:
        calendar.fill(words)
    machine = Machine(
        state.code, state.consts, words, words.view(np.float64), state.stack, state.stack.view(np.float64)
    )
    keep = np.zeros(n, np.uint8)
    if n:
        selected = _Selection(program, machine, batch, state.indexes)
        selected.derive(state)
        for number, feature in zip(stratum.features, features, strict=True):
            feature.feed(machine, selected.rows(program.features[number].feeds, state))
        for number, plan_state in zip(stratum.plans, plans, strict=True):
            plan_state.feed(machine, selected.rows(program.plans[number].plan.feeds, state), keep, base)
    for plan_state in plans:
        plan_state.sweep(machine, until_us)
    for feature in features:
        feature.sweep(until_us)
    state.next_ordinal += n
    _capture(program, state, batch, words, np.flatnonzero(keep), base)
    matches = [m for i, s in zip(stratum.plans, plans, strict=True) for m in taken(i, program.plans[i], s)]
    matches.sort(key=lambda found: found.rule)
    state.counters.matches += sum(len(m.row) for m in matches)
    return matches, base


class _Selection:
    """Which rows pass which predicate; each is worked out once, when it is first asked for."""

    def __init__(self, program: Program, machine: Machine, batch: Batch, indexes: Indexes) -> None:
        self._program = program
        self._machine = machine
        self._indexes = indexes
        self._event = batch.event
        self._by_event: dict[int, Ints] = {}
        self._passing: dict[int, Ints] = {}

    def derive(self, state: EngineState) -> None:
        """Fill the columns that are worked out of others, in the order in which they need each other."""
        m = self._machine
        for column in self._program.derived:
            rows = self._of_event(column.event)
            if isinstance(column, DerivedColumn):
                args = [m.words[source, rows] for source in column.sources]
                m.words[column.slot, rows] = state.derived.words(column.derivation, args, state.strings)
                if column.derivation.operation == "rostered":
                    state.counters.outside_roster += int((m.words[column.slot, rows] == 0).sum())
            else:
                mk.compute(m.code, column.code, m.consts, m.words, rows, column.slot, NO_WORDS, m.stack, m.real)
        state.counters.failed_calls += state.derived.failures()

    def _of_event(self, event: int) -> Ints:
        if event not in self._by_event:
            of = self._program.events[event].of
            chosen = np.isin(self._event, (event, *of)) if of else self._event == event
            self._by_event[event] = np.flatnonzero(chosen)
        return self._by_event[event]

    def _pass(self, index: int) -> Ints:
        if index not in self._passing:
            predicate, m = self._program.predicates[index], self._machine
            rows = self._of_event(predicate.event) if predicate.base < 0 else self._pass(predicate.base)
            if predicate.any_of >= 0:
                chosen = np.empty(len(rows), np.int64)
                rows = chosen[: fk.select_any(self._indexes.of(predicate.any_of), m, rows, chosen)]
            elif predicate.code >= 0:
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
        """The rows of feeds with the same key."""
        words, columns = self._machine.words, np.array(key, np.int64)
        if len(feeds) == 1:
            passing = self._pass(feeds[0].predicate)
            made = _blank(len(key), len(passing))
            count = ek.gather(words, columns, passing, feeds[0].bits | PRESENT, made.rows, made.bits, made.key)
            state.counters.without_key += len(passing) - count
        else:
            mask = np.zeros(len(self._event), np.int64)
            for feed in feeds:
                ek.mark(mask, self._pass(feed.predicate), feed.bits | PRESENT)
            entering = int(np.count_nonzero(mask))
            made = _blank(len(key), entering)
            count = ek.gather_marked(words, columns, mask, made.rows, made.bits, made.key)
            state.counters.without_key += entering - count
        return Rows(made.rows[:count], made.bits[:count], np.ascontiguousarray(made.key[:, :count]))


def _blank(parts: int, n: int) -> Rows:
    return Rows(np.empty(n, np.int64), np.empty(n, np.int64), np.empty((parts, n), np.int64))


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


def _compact(state: EngineState, batch: Batch) -> None:
    """Forget captured events and texts that nothing refers to, once there are twice as many as at the last time."""
    captures = state.captures
    if len(captures) >= captures.compact_at:
        captures.forget(np.concatenate([NO_WORDS[:0], *(plan.references() for plan in state.plans)]))
    if len(state.strings) >= state.strings.compact_at:
        state.strings.keep(_live_texts(state, batch))
        state.derived.clear()


def _live_texts(state: EngineState, batch: Batch) -> npt.NDArray[np.bool_]:
    """Which text ids the state refers to. A word that is no text may keep a text alive, never the reverse."""
    live = np.zeros(state.strings.capacity, np.bool_)
    words = [batch.words, state.captures.events.words, state.order.held.words, state.consts]
    words += [array for part in (*state.features, *state.plans) for array in part.words()]
    for array in words:
        flat = array.ravel()
        live[flat[(flat >= 0) & (flat < len(live))]] = True
    return live


__all__ = ["RuleMatches", "StepOutput", "drain", "step"]
