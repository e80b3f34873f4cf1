"""Checked expressions: each knows its kind; and sources, which are an event and a filter."""

from __future__ import annotations

from dataclasses import dataclass

from cep.lang.checked.schema import _DAY_US, Kind


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


@dataclass(frozen=True, slots=True)
class Source:
    """The events that an atom or an aggregate speaks of: those of a root event that pass `where`, keyed by `key`.

    `where` holds the refinement's filter and the author's own, and-ed; None passes all. `key` has one FieldRef for
    each part of the rule's key; an event with a null in it is ignored and counted (law 9).
    """

    event: int
    where: Expr | None
    key: tuple[FieldRef, ...]
