"""The one place for array layouts: columns, codes, tables, limits.

`Program` is the waist of the house: the compiled rule set, immutable, made of tables. `compile` makes it, `engine`
runs it, and neither knows the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

NULL = -(2**63)  # null in a column of integers (text ids, money, times, flags too); in a column of floats it is NaN
NAN_WORD = 0x7FF8000000000000  # the bits of the NaN that is null
MONEY_UNITS = 10_000  # money is in 1/10,000
MONEY_LIMIT = 10**11 * MONEY_UNITS  # a larger amount is a bad event, so that window sums stay inside 64 bits
ALERTS = -1  # the stream of the events that alerts are: no log has it
END_OF_TIME = 2**61  # µs; later than any event, and far from where sums would overflow
TIME_SLOT = 0  # the event time's row in Batch.words
KEY_PARTS_MAX = 4


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A stream: `type_path` () when all its entries are of one event."""

    name: str
    time_path: tuple[str, ...]
    type_path: tuple[str, ...]
    late_us: int
    idle_us: int | None
    private: bool = False  # some field of its events may not leave in clear


@dataclass(frozen=True, slots=True)
class EventSpec:
    """A root event and the slot of each of its fields that some rule names.

    stream: `ALERTS` for the alerts of some rules. private: the fields that may not leave in clear, each "mask" or
    "hash". of: the events whose rows are its rows too.
    """

    name: str
    stream: int
    wire_type: str
    slots: tuple[tuple[str, int], ...]
    private: tuple[tuple[str, str], ...] = ()
    of: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """A decoded column: slot = place in Program.columns; slot 0 is the event time.

    `events` are the root events that have it: entries of other events hold null there. `kind` is text, number, integer,
    money, flag or time.
    """

    stream: int
    path: tuple[str, ...]
    kind: str
    events: tuple[int, ...]


# ------------------------------------------------------------------------------------ expressions


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


# ------------------------------------------------------------------------------------- aggregates


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


# ------------------------------------------------------------------------------------------ rules


class Status(IntEnum):
    """What an alert says of its rule."""

    FIRED = 0
    RESOLVED = 1


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


class InputKind(IntEnum):
    """Where an input word of an output expression comes from."""

    KEY = 0  # a = key part
    FIRST = 1  # a = step, b = base slot
    LAST = 2
    COUNT = 3  # a = step; b = slot of which values that are not null count, -1: all events
    SUM = 4
    MIN = 5
    MAX = 6
    DISTINCT = 7
    VALUE = 8  # a = place among the words of a condition
    FIRST_VALUE = 9  # that is not null
    LAST_VALUE = 10
    DERIVED = 11  # of expressions over the inputs before it
    STATISTIC = 12  # `function` of the values that are not null


@dataclass(frozen=True, slots=True)
class Input:
    """One input word of a rule's output expressions. `real`: it is a float.

    members: of what a group captured, its positive steps, each with the base slot; `a` and `b` are not used then.
    derivation, args: of a DERIVED one, what it is and the offsets of its arguments' code.
    function, scale, real_out: of a STATISTIC, what a word is divided by to be a number, and whether it gives a float.
    """

    source: InputKind
    a: int = 0
    b: int = 0
    real: bool = False
    derivation: Derivation | None = None
    args: tuple[int, ...] = ()
    function: str = ""
    scale: int = 1
    real_out: bool = False
    members: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """An output expression: code over the rule's inputs, and the kind of its result.

    private: "mask" or "hash" when it may not leave in clear.
    """

    code: int
    kind: str
    private: str | None = None


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """At most `count` alerts in `per_us` for each value of the keys (places among the rule's outputs)."""

    count: int
    per_us: int
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StepText:
    """What an alert says about a step: its name, quantifier and window, as the author wrote them."""

    name: str
    alias: str | None
    negated: bool
    least: int
    most: int | None
    within_us: int | None
    event: int


@dataclass(frozen=True, slots=True)
class Clause:
    """One way to alert. message: text and places among the outputs in turn. condition: such a place, -1 for none."""

    level: str
    message: tuple[str | int, ...] = ()
    condition: int = -1


@dataclass(frozen=True, slots=True)
class Estimate:
    """A count of different values that the rule speaks of, and which bit of which input says that it is an estimate."""

    name: str
    input: int
    bit: int


class Said(IntEnum):
    """What a field of the event that an alert is says."""

    RULE = 0
    SEVERITY = 1
    SCORE = 2
    STATUS = 3
    ID = 4
    KEY = 5  # part `place` of the key
    OUTPUT = 6  # output `place`


@dataclass(frozen=True, slots=True)
class Feeding:
    """What a rule's alerts are to the rules that listen to them.

    fired, resolved: their root events by status. columns: slot, what stands in it, and its place.
    """

    fired: int
    resolved: int
    columns: tuple[tuple[int, Said, int], ...]


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A compiled rule: its plan and everything an alert says.

    structure: equal where the state means the same, in whichever program; the version is of all that is said.
    plan: as if no other rule were there; what runs is a RunPlan. clauses: the first whose condition holds makes the
    alert. private: of each part of the key "mask", "hash" or None. feeding: None when no rule listens.
    """

    name: str
    version: str
    file: str
    line: int
    clauses: tuple[Clause, ...]
    owner: str | None
    about: str | None
    tags: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]  # name and kind
    plan: SequencePlan | EpisodePlan
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    shows: tuple[tuple[str, int], ...]
    labels: tuple[tuple[str, int], ...]
    score: int | None
    limit: LimitSpec | None
    within_us: int | None
    steps: tuple[StepText, ...]
    to: tuple[str, ...] = ()
    private: tuple[str | None, ...] = ()
    is_shadow: bool = False
    feeding: Feeding | None = None
    structure: str = ""
    estimates: tuple[Estimate, ...] = ()

    @property
    def is_selective(self) -> bool:
        """Whether some of its matches make no alert, or another one than the first clause says."""
        return self.limit is not None or self.clauses[0].condition >= 0


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What one state runs: the plan of a rule, or of rules that differ only in what their last step's filter asks.

    rules: places in the program; those that share are its members, in this order. index: their last filters, by member,
    a place in Program.indexes; -1 for a rule whose plan can not be shared. structure: of what they share.
    """

    rules: tuple[int, ...]
    plan: SequencePlan | EpisodePlan
    index: int = -1
    structure: str = ""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Plans and features (places in the program) that run together, and the root events that they read."""

    plans: tuple[int, ...]
    features: tuple[int, ...]
    events: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """The compiled rule set.

    code: shape (n, 2), opcode and argument; an expression begins at its offset and ends with END.
    consts: one word each; those at the places `const_texts` names are the ids of texts, which a state fills in.
    columns: what is decoded; slots from len(columns) on are worked out: derived and computed columns, each after those
    that it reads, then features.
    tables, outside: what derivations speak of by name; neither is part of the state's identity.
    """

    streams: tuple[StreamSpec, ...]
    events: tuple[EventSpec, ...]
    columns: tuple[ColumnSpec, ...]
    slots: int
    derived: tuple[DerivedColumn | ComputedColumn, ...]
    calendars: tuple[CalendarColumn, ...]
    predicates: tuple[Predicate, ...]
    features: tuple[FeaturePlan, ...]
    rules: tuple[RuleSpec, ...]
    plans: tuple[RunPlan, ...]
    indexes: tuple[FilterIndex, ...]
    shown: tuple[int, ...]  # a captured event keeps the decoded columns, then these
    shown_as: tuple[str, ...]  # of each: equal where it holds the same, in whichever program
    code: tuple[tuple[int, int], ...]
    consts: tuple[int, ...]
    const_texts: tuple[tuple[int, str], ...]
    strata: tuple[Stratum, ...]
    tables: tuple[TableData, ...] = ()
    outside: tuple[Outside, ...] = ()

    @property
    def members(self) -> list[tuple[int, int]]:
        """For each rule the plan that runs it, and which of its members it is."""
        found = [(-1, -1)] * len(self.rules)
        for place, run in enumerate(self.plans):
            for member, rule in enumerate(run.rules):
                found[rule] = place, member
        return found

    @property
    def needs_secret(self) -> bool:
        """Whether alerts hold digests of private values, from which a value could be guessed without a secret."""
        hashed = any("hash" in dict(event.private).values() for event in self.events)
        return hashed or any(part is not None for rule in self.rules for part in rule.private)

    @property
    def stored(self) -> tuple[int, ...]:
        """The columns that a captured event keeps, in this order."""
        return (*range(len(self.columns)), *self.shown)

    def listing(self, at: int) -> str:
        """The instructions of the expression at `at`, for people and tests."""
        words: list[str] = []
        while self.code[at][0] != Opcode.END:
            opcode, argument = self.code[at]
            words.append(f"{Opcode(opcode).name} {argument}" if argument else Opcode(opcode).name)
            at += 1
        return "; ".join(words)
