"""Sequences and episodes: stages, edges, guards, captures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from cep.layout.aggregates import AggregateSpec, Feed
from cep.layout.expressions import Opcode


class Capture(IntEnum):
    """What a run remembers of the events a step captured, for filters that look back."""

    FIRST = 0  # the column's word in the first event
    LAST = 1
    COUNT = 2
    SUM_I = 3
    SUM_F = 4
    MIN_I = 5
    MAX_I = 6
    MIN_F = 7
    MAX_F = 8
    COUNT_I = 9  # of values that are not null
    COUNT_F = 10
    DISTINCT_I = 11  # how many different values that are not null
    DISTINCT_F = 12
    FIRST_VALUE_I = 13  # the first and last values that are not null
    FIRST_VALUE_F = 14
    LAST_VALUE_I = 15
    LAST_VALUE_F = 16


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison of a captured word (a place in SequencePlan.captures) with a column of the event.

    opcode: EQ, NE, LT or LE of integers or floats, as opcode(event, captured), or the other way round if `flipped`.
    """

    opcode: Opcode
    word: int
    slot: int
    flipped: bool


@dataclass(frozen=True, slots=True)
class Guard:
    """A `no` before a step or after the last: `within_us` -1 without an own window.

    Its look-back is the comparisons and the rest of the filter at `code` (-1: nothing more).
    """

    bit: int
    within_us: int
    immediate: bool  # `next no x`: only the very next event of the key is looked at
    compares: tuple[Compare, ...]
    code: int


@dataclass(frozen=True, slots=True)
class StepSpec:
    """A positive step and the guards before it. `most` -1: no bound; `within_us` -1: none; look-back as in Guard."""

    bit: int
    least: int
    most: int
    immediate: bool
    within_us: int
    compares: tuple[Compare, ...]
    code: int
    guards: tuple[Guard, ...]
    event: int


@dataclass(frozen=True, slots=True)
class CaptureWord:
    """A word of the run: what it keeps of the events that `step` captures, from column `slot` (-1 for COUNT)."""

    step: int
    what: Capture
    slot: int
    members: tuple[tuple[int, int], ...] = ()  # of a group's word: its steps, each with its column; `step` is -1 then


UNTIL_BIT = 1 << 60  # of what ends the runs; the steps have those below


class EdgeKind(IntEnum):
    """What a move along an edge does."""

    FORWARD = 0  # goes on to a later stage, or into a branch
    AGAIN = 1  # begins another iteration of a group
    LOOP = 2  # takes one more event where the run stands
    END = 3  # nothing more has to happen


class Enter(IntEnum):
    """What is entered on the way to an edge's target."""

    GROUP = 0  # a group, with its first iteration
    ITERATION = 1  # another iteration of a group
    CHOICE = 2  # a choice among branches, by its number among them


@dataclass(frozen=True, slots=True)
class Edge:
    """A move of a run. `level`: how many groups it leaves. `target`: a positive step, -1 of END.

    guards: places in Graph.guards that it passes. within_us: -1 for none. path: what is entered, outermost first.
    """

    kind: EdgeKind
    level: int
    target: int
    immediate: bool
    within_us: int
    each: bool
    guards: tuple[int, ...]
    path: tuple[tuple[Enter, int], ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a run can stand in a region: at a positive step, or (`least` branches of them have to happen) at a choice.

    levels: the groups around it, innermost first, each with whether an iteration could be complete behind what the
    stage is in it. tail: whether the region could be complete behind the outermost. edges: in order of priority.
    """

    region: int
    least: int
    most: int  # -1: no bound
    levels: tuple[tuple[int, bool], ...]
    tail: bool
    edges: tuple[Edge, ...]
    before_each: bool  # whether a `then each` lies behind it


@dataclass(frozen=True, slots=True)
class Region:
    """The pattern itself (`choice` -1), or a branch of a choice, by its number, in the region `parent`.

    span: its positive steps, first to behind the last. dropped: whether it may be left out once others are complete.
    """

    choice: int
    parent: int
    span: tuple[int, int]
    dropped: bool
    begins: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A group of steps in one region; most -1: no bound. span: as in Region."""

    region: int
    least: int
    most: int
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Graph:
    """The structure of a sequence that is not plain. Stages: the positive steps, then the choices.

    regions: the pattern, then the branches, each before what is inside it. until: as a Guard, None for none.
    resume: the positive step after one of whose events matching resumes, and whether that is its last; (-1, False).
    """

    stages: tuple[Stage, ...]
    regions: tuple[Region, ...]
    groups: tuple[GroupSpec, ...]
    guards: tuple[Guard, ...]
    until: Guard | None
    resume: tuple[int, bool]


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """A `when` rule. `looks_back` (or policy last or all) means that each waiting run is asked by itself.

    With a graph, `trailing` and the steps' guards are empty: they stand in it.
    """

    key_parts: int
    policy: str
    steps: tuple[StepSpec, ...]
    trailing: tuple[Guard, ...]
    within_us: int  # -1: none
    feeds: tuple[Feed, ...]
    captures: tuple[CaptureWord, ...]
    looks_back: bool
    max_starts: int
    graph: Graph | None = None


@dataclass(frozen=True, slots=True)
class EpisodePlan:
    """A `while` rule. The condition reads RUN words: the aggregates' values, then the latest values.

    To alerts the words behind these say, a bit for each aggregate, which are estimates.
    aggregate_bits, reset_bits: of the rows that enter an aggregate, and of those since which it counts (0: none).
    judged: how many of the aggregates they are; the others are only shown. latest: (bit, slot) of each latest value.
    rises_in_time: the condition may become true without an event. roster: the table that names the keys; each is judged
    without an event of its own once `roster_us`, the longest window of the condition, is over.
    """

    key_parts: int
    condition: int
    until: int  # -1: none
    for_us: int
    keep_us: int
    forget_us: int
    aggregates: tuple[AggregateSpec, ...]
    aggregate_bits: tuple[int, ...]
    reset_bits: tuple[int, ...]
    judged: int
    judged_bits: int
    latest: tuple[tuple[int, int], ...]
    feeds: tuple[Feed, ...]
    rises_in_time: bool
    roster: str | None = None
    roster_us: int = 0
