"""The checked rule set: names bound, types known, refinements and lets written out.

It is what the checker hands to the compiler and to the test oracle, and the only part of the
language that either of them sees. Everything here is an immutable value that prints.

Rules it keeps:

- an expression speaks of *root* events only: a refinement's filter is and-ed into the source that
  uses it, and its renamed fields are replaced by the root fields they stand for;
- every expression has a `Kind`; mixed arithmetic has been resolved by explicit `Op("convert")`;
- times are microseconds, money is in 1/10,000, durations are microseconds;
- a comparison never has operands of different kinds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from cep.errors import Span

KEYS_MAX = 4  # parts of a rule's key
PARTS_MAX = 60  # steps of a sequence, or sources of a condition: each is a bit of one word
EWMA_HALVINGS = 10  # after so many half-lives without an event an ewma begins afresh
_DAY_US = 86_400_000_000
ALERTS = -1  # the stream of the events that alerts are: no log has it


class Kind(Enum):
    """The type of a field or an expression."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    MONEY = "money"
    FLAG = "flag"
    TIME = "time"
    DURATION = "duration"  # the difference of two times; never a field


@dataclass(frozen=True, slots=True)
class Stream:
    """A declared stream. `index` is its order of declaration, which breaks ties in time (law 2)."""

    name: str
    index: int
    time_path: tuple[str, ...]
    type_path: tuple[str, ...]
    late_us: int
    idle_us: int | None


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a root event: where it stands in the entry, its kind, and whether it may be shown."""

    name: str
    kind: Kind
    path: tuple[str, ...]
    privacy: str | None = None  # None, "mask" or "hash"


@dataclass(frozen=True, slots=True)
class Event:
    """A root event: one declared `event NAME from STREAM (...)`, or in the stream `ALERTS` the alerts of some rules.

    `of`: the other root events that it takes in, as `alert` takes in the alerts of every rule; one of theirs is one of
    its own. The paths of an alert's fields only tell them apart.
    """

    name: str
    index: int
    stream: int
    wire_type: str  # the value at the stream's type path that marks this event
    fields: tuple[Field, ...]
    of: tuple[int, ...] = ()


# ---------------------------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Const:
    """A literal. TEXT: str, NUMBER: float, FLAG: bool, the others: int in their unit."""

    value: str | float | int | bool
    kind: Kind


@dataclass(frozen=True, slots=True)
class FieldRef:
    """A field of the event being judged, or, in the argument of an aggregate, of the event aggregated.

    `field` is a root field of `event`, or "time", which every event has.
    """

    event: int
    field: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class KeyRef:
    """The i-th part of the rule's key."""

    index: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class CaptureRef:
    """A field of what an earlier step captured: of its `last` event (the only one of a single step) or its `first`.

    In the filter of a loop `step` may be the loop itself: what it has captured before the event being judged.
    """

    step: int  # index into When.steps
    which: str  # "first" or "last"
    event: int
    field: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class CaptureAggregate:
    """An aggregate over the events that a step captured: `count(d)`, `sum(d.amount where amount > 5)`.

    `argument` is over FieldRef of the step's event; None for a bare count. An own `where` has become part of it, as
    `given`. Functions: count sum avg min max first last count_distinct; in outputs also prev stddev p1…p99 changes
    slope top.
    """

    function: str
    step: int
    argument: Expr | None
    kind: Kind


@dataclass(frozen=True, slots=True)
class GroupCapture:
    """What a group's alias says: something about all events that its `steps` captured, in the order of capture.

    `arguments` has an expression for each step, over FieldRef of its event, all of one kind; () for a bare count.
    Functions: those of CaptureAggregate, and of_first and of_last: the value in the first or last event, null or not.
    """

    function: str
    steps: tuple[int, ...]
    arguments: tuple[Expr, ...]
    kind: Kind


@dataclass(frozen=True, slots=True)
class LatestRef:
    """In a `while`: the value that `source`'s latest event of this key had in `field`; null before the first.

    A field that is missing in the latest event is null.
    """

    source: Source
    field: str
    kind: Kind

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it reads."""
        return (self.source,)


@dataclass(frozen=True, slots=True)
class Window:
    """Which of a source's events count at an instant; docs/semantics.md, "Windows", says it to the letter.

    form: "over" the last `length_us`; "every": that, as it was at the latest multiple of `step_us`; "each": the stretch
    of `length_us` of the calendar in `zone`; "session": since the last gap of `length_us`. count: of those only the
    newest so many (0: all). since: only those after its latest event. offset_us: the window as it was so long ago.
    """

    form: str
    length_us: int
    step_us: int = 0
    count: int = 0
    zone: str = "UTC"
    since: Source | None = None
    offset_us: int = 0

    @property
    def delayed(self) -> bool:
        """Whether an event enters the window later than it happens."""
        return self.form == "every" or self.offset_us > 0

    @property
    def life_us(self) -> int:
        """The longest that an event can matter to the window, if no other follows."""
        return self.length_us + self.step_us + self.offset_us + (_DAY_US if self.form == "each" else 0)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregate over a window of a source's events of one key.

    In a `when` it speaks of the events before the one being judged, in a `while` of all up to now (law 7). `by` is None
    for the rule's own key, else the judged event's fields that are looked up under the source's `key`. Null arguments
    do not count. Of no values: count, count_distinct, sum and changes are 0, the others null. avg, stddev, slope,
    zscore and ewma are NUMBERs. Functions: count sum avg min max first last count_distinct prev stddev p1…p99 (p50 is
    the median) changes increase slope zscore ewma top new.
    """

    function: str
    source: Source
    argument: Expr | None
    window: Window
    kind: Kind
    by: tuple[FieldRef, ...] | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it reads: the events that count, and those that it counts since."""
        since = self.window.since
        return (self.source,) if since is None else (self.source, since)


@dataclass(frozen=True, slots=True)
class Op:
    """An operation on typed operands; the operands' kinds choose between exact and float arithmetic.

    Arithmetic: add sub mul div mod neg convert (to `kind`; money or integer or duration to NUMBER, integer to money).
    Comparison (FLAG): eq ne lt le gt ge, both operands of one kind; text has only eq and ne (see text_lt).
    Logic (FLAG, three-valued): and or (of two) not. `missing` (never null). `in` (args[0] in the Consts args[1:]).
    Text: matches starts_with ends_with contains cidr text_lt text_le text_gt text_ge (FLAG, args[1] a Const); lower
    upper (TEXT); length (INTEGER). The order of text is that of its code points.
    given (args[0] where the FLAG args[1] is true, else null; only in the argument of a CaptureAggregate).
    Numbers: abs round floor ceil sqrt ln log10 min2 max2 km (lat1, lon1, lat2, lon2).
    Durations to NUMBER: hours minutes seconds days.
    Of one event's fields, or in outputs of anything: lookup (key, table's name, column's name); listed and rostered
    (key, list's or roster's name; FLAG); hour_of weekday_of day_of (time, zone; INTEGER); scheduled (time, cron, zone;
    FLAG); call (function's name, arguments …).
    Any null operand makes the result null, save for `missing`, `and`, `or`, `call`. div and mod by zero, and sqrt, ln,
    log10 outside their domain, are null. div always gives NUMBER. mod has the sign of the divisor, as in Python.
    """

    name: str
    args: tuple[Expr, ...]
    kind: Kind


Expr = Const | FieldRef | KeyRef | CaptureRef | CaptureAggregate | GroupCapture | LatestRef | Aggregate | Op


# ------------------------------------------------------------------------------------------ rules


@dataclass(frozen=True, slots=True)
class Source:
    """The events that an atom or an aggregate speaks of: those of a root event that pass `where`, keyed by `key`.

    `where` holds the refinement's filter and the author's own, and-ed; None passes all. `key` has one FieldRef for
    each part of the rule's key; an event with a null in it is ignored and counted (law 9).
    """

    event: int
    where: Expr | None
    key: tuple[FieldRef, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """One part of a rule's key, by the name the author wrote. `privacy`: of the fields that it is, the strictest."""

    name: str
    kind: Kind
    privacy: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a sequence. A negated step (`no`) is 1..1 and has no alias in use.

    `link` is "then", "then each" or "next", None on the first of its sequence. `least` is 0 for `optional`. `most`
    None: no bound. `within_us` None: only the horizon. `in_row`: a loop whose events follow each other (law 10).
    """

    link: str | None
    negated: bool
    least: int
    most: int | None
    within_us: int | None
    source: Source
    alias: str | None
    name: str  # the event name the author wrote
    span: Span
    in_row: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """`( … )`, of which `count` is 1 and `branches` one, or `count of (…, …)`; quantifier, link and gap as in Step."""

    link: str | None
    least: int
    most: int | None
    in_row: bool
    within_us: int | None
    count: int
    branches: tuple[tuple[Item, ...], ...]
    alias: str | None
    span: Span


Item = int | Group  # a step, by its place in When.steps, or a group


def groups(items: tuple[Item, ...]) -> Iterator[Group]:
    """Every group in a sequence."""
    for item in items:
        if isinstance(item, Group):
            yield item
            for branch in item.branches:
                yield from groups(branch)


@dataclass(frozen=True, slots=True)
class Resume:
    """`resume at [first|last] x`: the step that x names, and which of its events."""

    step: int
    which: str  # "first" or "last"


@dataclass(frozen=True, slots=True)
class When:
    """A sequence trigger. `policy` is "first", "last", "each" or "all".

    `steps` are all steps in the order of the text, those inside of groups too. `tree` has their structure; it is None
    for a plain sequence: steps that happen at least once, with "then" and "next" between them, without `in a row`,
    `until` and `resume`, and under "all" without loops.
    """

    policy: str
    steps: tuple[Step, ...]
    tree: tuple[Item, ...] | None = None
    until: Source | None = None
    resume: Resume | None = None

    @property
    def items(self) -> tuple[Item, ...]:
        """The structure, also of a plain sequence."""
        return tuple(range(len(self.steps))) if self.tree is None else self.tree


@dataclass(frozen=True, slots=True)
class While:
    """A condition trigger. `until` None: the episode resolves when the condition stops."""

    condition: Expr
    for_us: int
    until: Expr | None
    keep_us: int


@dataclass(frozen=True, slots=True)
class Template:
    """A message: text and expressions in turn."""

    parts: tuple[str | Expr, ...]


@dataclass(frozen=True, slots=True)
class AlertClause:
    """`alert LEVEL "message" if condition`. Of a rule's clauses the first whose condition holds makes the alert."""

    level: str
    message: Template | None
    condition: Expr | None


@dataclass(frozen=True, slots=True)
class Limit:
    """`limit COUNT per D by keys`; `keys` are expressions over the match, none for one count over the whole rule."""

    count: int
    per_us: int
    keys: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, ready to compile. `version` is a short digest of its checked form, stable over formatting and comments.

    Output expressions (messages, shows, labels, score) may use KeyRef, CaptureRef, CaptureAggregate, Aggregate, and, in
    a `while`, LatestRef. An unqualified field in them has been bound to the rule's last positive step as CaptureRef.
    `alerts` is never empty: a rule without an `alert` clause alerts at level info without a message.
    """

    name: str
    version: str
    span: Span
    keys: tuple[Key, ...]
    within_us: int | None
    trigger: When | While
    alerts: tuple[AlertClause, ...]
    shows: tuple[tuple[str, Expr], ...]
    labels: tuple[tuple[str, Expr], ...]
    score: Expr | None
    limit: Limit | None
    mode: str  # "live", "shadow" or "off"
    max_starts: int
    forget_us: int
    about: str | None
    owner: str | None
    tags: tuple[str, ...]
    to: tuple[str, ...] = ()
    stratum: int = 0  # 0: it reads declared events only; s + 1: alerts of rules up to stratum s
    roster: str | None = None  # the keys that must exist


@dataclass(frozen=True, slots=True)
class Fed:
    """A rule whose alerts other rules listen to: the root events that its `fired` and its `resolved` alerts are."""

    rule: str
    fired: int
    resolved: int


# -------------------------------------------------------------------------------- what rules look up

Value = str | float | int | bool


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by key, all in their kinds' units, read in the kind of key that rules look them up by.

    A list from a file and a roster are tables without columns. What a table holds is no part of a rule's version.
    """

    name: str
    key: Kind
    columns: tuple[tuple[str, Kind], ...]
    rows: tuple[tuple[Value, tuple[Value | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class Outside:
    """A function ("function", source "module:name") or a model ("model", source a file), and what it gives.

    `folder` is that of the rule file, where modules and files are looked for.
    """

    name: str
    what: str
    source: str
    folder: str
    kind: Kind


# ------------------------------------------------------------------------------------------ tests


@dataclass(frozen=True, slots=True)
class Given:
    """`at D event {field: value, ...} x N every D`: values by root field, already in their kind's unit."""

    at_us: int
    event: int
    values: tuple[tuple[str, str | float | int | bool], ...]
    times: int
    every_us: int
    span: Span


@dataclass(frozen=True, slots=True)
class Expect:
    """`at D expect [no|resolved|near] rule {field: value, ...}` or `expect nothing` (rule None, negated).

    It is judged when all events and deadlines up to and including `at_us` have been: the alert's time must lie in
    (time of the previous `expect` of the test, at_us]. `values` are matched with the alert's key, shows and labels;
    those of `near` with the key of what waits then. `missing`: for one of which positive steps it waits, () for any.
    """

    at_us: int
    what: str  # "fired", "none", "resolved", "near", "nothing"
    rule: str | None
    values: tuple[tuple[str, str | float | int | bool], ...]
    span: Span
    missing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Test:
    """A `test` block. Its clock begins at 0; events stand in written order, stably sorted by time."""

    rule: str
    title: str
    steps: tuple[Given | Expect, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rule files of one load, checked together."""

    streams: tuple[Stream, ...]
    events: tuple[Event, ...]
    rules: tuple[Rule, ...]
    tests: tuple[Test, ...]
    fed: tuple[Fed, ...] = ()
    tables: tuple[Table, ...] = ()
    outside: tuple[Outside, ...] = ()
