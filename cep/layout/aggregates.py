"""Aggregates over windows, and the plans that feed and read them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Function(IntEnum):
    """What an aggregate keeps of its window."""

    COUNT = 0
    SUM_I = 1
    SUM_F = 2
    AVG_I = 3
    AVG_F = 4
    MIN_I = 5
    MAX_I = 6
    MIN_F = 7
    MAX_F = 8
    FIRST = 9
    LAST = 10
    DISTINCT = 11
    PREV = 12  # the one before the last
    RANK = 13  # a percentile
    TOP = 14  # the most frequent value
    NEW = 15  # whether a value is not among them
    STDDEV = 16
    ZSCORE = 17
    SLOPE = 18
    INCREASE_I = 19  # of a counter
    INCREASE_F = 20
    CHANGES = 21
    EWMA = 22


class Form(IntEnum):
    """How elements leave a window: each in its own time (OVER, EVERY), or all together (EACH, SESSION)."""

    OVER = 0
    EVERY = 1  # hopping
    EACH = 2  # with the calendar
    SESSION = 3


DISTINCT_MAX = 4096  # values per key and window that count(distinct) keeps; with more it becomes an estimate
HELD_MAX = 65_536  # elements per key and window that percentiles, top and new look at; the oldest leaves for one more


@dataclass(frozen=True, slots=True)
class AggregateSpec:
    """One aggregate of a plan: a function over the column `value` (-1: none), and its window.

    An element lives for `length_us`, entering `offset_us` late, with EVERY at multiples of `step_us`; with EACH it ends
    with the instant in column `until`. count: only the newest so many (0: all). life_us: the longest that an element
    can matter. scale: what a word is divided by to be a number. real_in, real: whether the words it takes and gives
    are floats. parameter: the percentage of a RANK, the half-life of an EWMA.
    """

    function: Function
    value: int
    form: Form
    length_us: int
    step_us: int
    count: int
    offset_us: int
    until: int
    life_us: int
    scale: int = 1
    real_in: bool = False
    real: bool = False
    parameter: int = 0


@dataclass(frozen=True, slots=True)
class Feed:
    """Rows of a predicate that enter a plan: with which bits, and in which columns their key stands."""

    predicate: int
    bits: int
    key: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """Aggregates over what came before, of one key: each fills a column for the rows that read it.

    A feed's low bits say which aggregates the row enters, the bits from READ_SHIFT up which ones it reads, those from
    RESET_SHIFT up for which ones nothing before it counts any more. own_key: a row may read without having a key.
    structure: equal where the state means the same, in whichever program.
    """

    key_parts: int
    aggregates: tuple[AggregateSpec, ...]
    outputs: tuple[int, ...]  # the slot that each aggregate fills, and perhaps those that say which are estimates
    feeds: tuple[Feed, ...]
    own_key: bool
    stratum: int = 0
    structure: str = ""


AGGREGATES_MAX = 20  # of a plan
READ_SHIFT = AGGREGATES_MAX  # an aggregate's read bit is its feed bit shifted by this
RESET_SHIFT = 2 * AGGREGATES_MAX
