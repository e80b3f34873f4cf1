"""Which rows of a batch pass which predicate, and with which bits and keys they enter a plan.

A selection speaks of one part of the batch: what is asked of a row alone needs no other, so the parts can be worked out
beside each other. Each predicate is worked out once, when it is first asked for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.engine.batch import Batch
from cep.engine.filters import Indexes
from cep.engine.plans import Rows, blank
from cep.kernels import entering as ek
from cep.kernels import filters as fk
from cep.kernels import machine as mk
from cep.kernels.runs import Machine
from cep.layout.aggregates import Feed
from cep.layout.program import Program

Ints = npt.NDArray[np.int64]
Key = tuple[int, ...]

PRESENT = 1 << 62  # set in the bits of every row that enters a plan, so that one without a step bit is still there
NO_WORDS = np.zeros(1, np.int64)


class Selection:
    """The rows of one of so many parts of a batch. without_key: rows that had none."""

    def __init__(
        self,
        program: Program,
        machine: Machine,
        batch: Batch,
        indexes: Indexes,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self._program, self._machine, self._indexes = program, machine, indexes
        self._first = len(batch) * part // parts
        self._event = batch.event[self._first : len(batch) * (part + 1) // parts]
        self._by_event: dict[int, Ints] = {}
        self._passing: dict[int, Ints] = {}
        self.without_key = 0

    def of_event(self, event: int) -> Ints:
        """The rows of an event."""
        if event not in self._by_event:
            rows = np.empty(len(self._event), np.int64)
            of = np.array([event, *self._program.events[event].of], np.int64)
            self._by_event[event] = rows[: ek.rows_of(self._event, self._first, of, rows)]
        return self._by_event[event]

    def _pass(self, index: int) -> Ints:
        if index not in self._passing:
            predicate, m = self._program.predicates[index], self._machine
            rows = self.of_event(predicate.event) if predicate.base < 0 else self._pass(predicate.base)
            if predicate.any_of >= 0:
                chosen = np.empty(len(rows), np.int64)
                rows = chosen[: fk.select_any(self._indexes.of(predicate.any_of), m, rows, chosen)]
            elif predicate.code >= 0:
                chosen = np.empty(len(rows), np.int64)
                count = mk.select(m.code, predicate.code, m.consts, m.words, rows, chosen, NO_WORDS, m.stack, m.real)
                rows = chosen[:count]
            self._passing[index] = rows
        return self._passing[index]

    def rows(self, feeds: tuple[Feed, ...]) -> Rows:
        """The rows that enter a plan, in order, with bits and keys; those without a key are counted and left out."""
        by_key: dict[Key, list[Feed]] = {}
        for feed in feeds:
            by_key.setdefault(feed.key, []).append(feed)
        parts = [self._role(key, members) for key, members in by_key.items()]
        return parts[0] if len(parts) == 1 else _merged(parts)

    def _role(self, key: Key, feeds: list[Feed]) -> Rows:
        """The rows of feeds with the same key."""
        rows = self._pass(feeds[0].predicate)
        bits = np.full(len(rows), feeds[0].bits | PRESENT, np.int64)
        for feed in feeds[1:]:
            rows, bits = _with(rows, bits, self._pass(feed.predicate), feed.bits | PRESENT)
        made = blank(len(key), len(rows))
        columns = np.array(key, np.int64)
        count = int(ek.gather(self._machine.words, columns, rows, bits, made.rows, made.bits, made.key))
        self.without_key += len(rows) - count
        return made.first(count)


def _with(rows: Ints, bits: Ints, further: Ints, further_bits: int) -> tuple[Ints, Ints]:
    """The rows and others, in order, each with its bits."""
    most = len(rows) + len(further)
    merged, merged_bits = np.empty(most, np.int64), np.empty(most, np.int64)
    count = ek.merge(rows, bits, further, further_bits, merged, merged_bits)
    return merged[:count], merged_bits[:count]


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
