"""Instructions of expressions, what is worked out for each event, and filters with their index."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Opcode(IntEnum):
    """The instructions of an expression: a stack machine over 64-bit words, one (opcode, argument) pair each.

    `_I` works on integers (money, times, text ids, flags), `_F` on floats. Flags are 0, 1 and NULL for unknown. Every
    operation with a null operand gives null, save AND and OR, which are three-valued, and MISSING.
    """

    END = 0
    CONST = 1  # push consts[arg]
    EVENT = 2  # push the judged event's column arg
    RUN = 3  # push word arg of the run (or of the inputs of a condition or an output)
    ADD_I = 4
    SUB_I = 5
    MUL_I = 6
    MOD_I = 7
    ADD_F = 8
    SUB_F = 9
    MUL_F = 10
    DIV_F = 11
    MOD_F = 12
    TO_FLOAT = 13  # an integer divided by arg, as a float
    EQ_I = 14
    NE_I = 15
    LT_I = 16
    LE_I = 17
    EQ_F = 18
    NE_F = 19
    LT_F = 20
    LE_F = 21
    AND = 22
    OR = 23
    NOT = 24
    MISSING_I = 25
    MISSING_F = 26
    CALL_F = 27  # a function of one float: arg is a `FloatFunction`
    MIN_I = 28
    MAX_I = 29
    MIN_F = 30
    MAX_F = 31
    KM = 32
    ABS_I = 33
    GIVEN_I = 34  # the first operand where the second is true, else null
    GIVEN_F = 35


class FloatFunction(IntEnum):
    """The functions of one float; outside their domain they are null."""

    NEG = 0
    ABS = 1
    ROUND = 2
    FLOOR = 3
    CEIL = 4
    SQRT = 5
    LN = 6
    LOG10 = 7


STACK_DEPTH = 1024  # more than any expression needs that the checker lets through
EARTH_RADIUS_KM = 6371.0088


@dataclass(frozen=True, slots=True)
class Derivation:
    """An operation that is carried out on whole columns, outside of the kernels; null gives null, save in a call.

    operation, parameters: matches, starts_with, ends_with, contains, cidr, in (of texts), text_lt, text_le, text_gt,
    text_ge, lower, upper, length: the patterns; lookup (table, column), listed and rostered (table); hour_of,
    weekday_of, day_of (zone); scheduled (cron, zone); call (function). kinds: of its arguments. kind: of what it gives.
    """

    operation: str
    parameters: tuple[str, ...]
    kinds: tuple[str, ...]
    kind: str


@dataclass(frozen=True, slots=True)
class DerivedColumn:
    """A column that holds a derivation of an event's columns `sources`."""

    slot: int
    event: int
    sources: tuple[int, ...]
    derivation: Derivation

    @property
    def real(self) -> bool:
        """Whether its words are floats."""
        return self.derivation.kind == "number"


@dataclass(frozen=True, slots=True)
class ComputedColumn:
    """A column that holds an expression over an event's other columns: what an aggregate or a derivation reads."""

    slot: int
    event: int
    code: int
    real: bool


Value = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class TableData:
    """Rows by key, in their kinds' units. A list and a roster are tables without columns.

    key: the kind of the keys. columns: name and kind. rows: key → the values of the columns in their order.
    """

    name: str
    key: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str | float | int | bool, tuple[Value, ...]], ...]


@dataclass(frozen=True, slots=True)
class Outside:
    """A function of a Python module ("function", source "module:name") or a model ("model", source a file).

    folder: of the rule file that declares it. kind: of what it gives.
    """

    name: str
    what: str
    source: str
    folder: str
    kind: str


@dataclass(frozen=True, slots=True)
class CalendarColumn:
    """A column that holds when the stretch of the calendar ends in which the event's time lies."""

    slot: int
    zone: str
    length_us: int


@dataclass(frozen=True, slots=True)
class Predicate:
    """The rows of predicate `base` (-1: all of `event`) for which the expression at `code` is true (-1: all).

    `reads_features`: it can be decided only when the features have been worked out. any_of: of these the rows that pass
    some filter of that index, a place in Program.indexes (-1: none).
    """

    event: int
    base: int
    code: int
    reads_features: bool
    any_of: int = -1


@dataclass(frozen=True, slots=True)
class IndexedFilter:
    """A conjunction, as the predicate index has it.

    equals: what the column `equal` must be, a place in Program.consts; -1 for anything. bounds: comparisons of the
    column `ordered` with constants: EQ, LT or LE of integers or floats, the place, and whether the constant stands on
    the left. code: all other conditions, -1 for none.
    """

    equals: int
    bounds: tuple[tuple[Opcode, int, bool], ...]
    code: int


@dataclass(frozen=True, slots=True)
class FilterIndex:
    """Filters of one event, judged together. equal, ordered: columns, -1 for none. real: `ordered` holds floats."""

    equal: int
    ordered: int
    real: bool
    filters: tuple[IndexedFilter, ...]
