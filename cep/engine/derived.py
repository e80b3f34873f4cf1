"""Derivations: columns worked out of columns outside of the kernels, whole columns at a time.

A derivation is a function of its arguments' values and of the program's tables alone, so it is the same however a
stream is cut; what is remembered here is a cache and no part of snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cep.engine.calendar import Calendar
from cep.engine.outside import Call, function_of
from cep.engine.strings import Strings
from cep.engine.texts import TextMemory, text_function
from cep.layout.columns import NAN_WORD, NULL
from cep.layout.expressions import Derivation, Value
from cep.layout.program import Program

Ints = npt.NDArray[np.int64]

CALENDAR = ("hour_of", "weekday_of", "day_of", "scheduled")


class _Work(Protocol):
    def words(self, values: Ints, strings: Strings) -> Ints:
        """The words for some values, none of which is null."""

    def clear(self) -> None:
        """Forget what was worked out of texts: their ids have been given to others."""


def word_of(value: Value, kind: str, strings: Strings) -> int:
    """The word of a value in its kind's unit."""
    if value is None:
        return NAN_WORD if kind == "number" else NULL
    if kind == "text":
        return strings.id(str(value))
    return int(np.float64(value).view(np.int64)) if kind == "number" else int(value)


class Derived:
    """All derivations of a program. failures: calls of the author's functions that gave nothing."""

    def __init__(self, program: Program) -> None:
        self._tables = {(table.name, table.key): table for table in program.tables}
        self._outside = {declared.name: function_of(declared) for declared in program.outside}
        self._works: dict[Derivation, _Work] = {}
        self._calls: dict[Derivation, Call] = {}

    def words(self, what: Derivation, args: Sequence[Ints], strings: Strings) -> Ints:
        """The words of a derivation of some columns, shape (n,) all."""
        if what.operation == "call":
            if what not in self._calls:
                self._calls[what] = Call(self._outside[what.parameters[0]], what)
            return self._calls[what].words(args, strings)
        if what not in self._works:
            self._works[what] = self._work(what)
        (values,) = args
        present = np.flatnonzero(values != (NAN_WORD if what.kinds[0] == "number" else NULL))
        words = np.full(len(values), NAN_WORD if what.kind == "number" else NULL, np.int64)
        words[present] = self._works[what].words(values[present], strings)
        return words

    def failures(self) -> int:
        """How many rows have been without an answer since this was asked last."""
        return sum(call.taken_failures() for call in self._calls.values())

    def clear(self) -> None:
        """Forget what was worked out of texts: their ids have been given to others."""
        for work in self._works.values():
            work.clear()

    def _work(self, what: Derivation) -> _Work:
        if what.operation in CALENDAR:
            return _OfTimes(Calendar(what.operation, what.parameters))
        answer = self._answer(what)
        if what.kinds[0] == "text":
            return TextMemory(lambda text, strings: word_of(answer(text), what.kind, strings))
        return _OfValues(answer, what)

    def _answer(self, what: Derivation) -> Callable[[Any], Value]:
        """What the derivation gives for one value: null where a table has no such key."""
        if what.operation not in ("lookup", "listed", "rostered"):
            return text_function(what.operation, what.parameters)
        table = self._tables[what.parameters[0], what.kinds[0]]
        rows = dict(table.rows)
        if what.operation != "lookup":
            return lambda value: value in rows
        place = [name for name, _ in table.columns].index(what.parameters[1])
        return lambda value: rows[value][place] if value in rows else None


class _OfTimes:
    """A calendar function."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar

    def words(self, values: Ints, _strings: Strings) -> Ints:
        return self._calendar.words(values)

    def clear(self) -> None:
        pass


class _OfValues:
    """A function of values that are no texts, asked once for each different one."""

    def __init__(self, answer: Callable[[Any], Value], what: Derivation) -> None:
        self._answer, self._what = answer, what

    def words(self, values: Ints, strings: Strings) -> Ints:
        given = values.view(np.float64) if self._what.kinds[0] == "number" else values
        distinct, inverse = np.unique(given, return_inverse=True)
        words = [word_of(self._answer(value), self._what.kind, strings) for value in distinct.tolist()]
        return np.array(words, np.int64)[inverse]

    def clear(self) -> None:
        pass
