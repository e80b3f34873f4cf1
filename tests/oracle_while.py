"""`while`, naively: the instants at which something may change are found by looking at every window's elements."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cep.lang.checked.expressions import Aggregate, LatestRef, Source
from cep.lang.checked.rules import Rule, While
from tests.oracle_values import (
    Counters,
    Key,
    OracleEvent,
    Outcome,
    Place,
    Ranked,
    changes_at,
    counted,
    passes,
    value,
    walk,
)


def sources_of(rule: Rule) -> list[Source]:
    """The sources of every aggregate and latest value in the condition and in `until`."""
    assert isinstance(rule.trigger, While)
    parts = (rule.trigger.condition, rule.trigger.until)
    read = [e for part in parts for e in walk(part) if isinstance(e, Aggregate | LatestRef)]
    return [source for e in read for source in e.sources]


class Episodes:
    """`while` for one rule and one key."""

    def __init__(
        self,
        index: int,
        rule: Rule,
        key: Key,
        events: Sequence[OracleEvent],
        counters: Counters,
        is_enrolled: bool = False,
    ) -> None:
        assert isinstance(rule.trigger, While)
        self.index, self.rule, self.key, self.events, self.counters = index, rule, key, events, counters
        self.trigger = rule.trigger
        self.sources = sources_of(rule)
        self.aggregates = [
            e for part in (self.trigger.condition, self.trigger.until) for e in walk(part) if isinstance(e, Aggregate)
        ]
        self.found: list[Ranked] = []
        self.now: float = -math.inf  # every instant up to and including this one has been dealt with
        self.first: int | None = None  # when a roster's key is judged for the first time without an event
        if is_enrolled:
            longest = max((a.window.life_us for a in self.aggregates), default=0)
            self.first = events[0].time_us + longest
        self.forget(since=0)

    def forget(self, since: int) -> None:
        """All state is lost: nothing that stands before the ordinal `since` is remembered."""
        self.since = since
        self.newest: int | None = None  # the last event of a source
        self.state = "closed"  # closed, pending, open or spent
        self.pending_since = 0
        self.opened = 0  # when the episode opened: its start, in the order of alerts
        self.over_since: int | None = None

    def see(self, e: int) -> None:
        t = self.events[e].time_us
        self.advance(t)
        if any(passes(source, e, self.place(t)) for source in self.sources):
            self.newest = e
            self.judge(t, (1, e))

    def advance(self, t: int) -> None:
        """Every instant up to and including t: elements leave and the condition is judged, for and keep, forget."""
        while (instant := min(self.instants(), default=math.inf)) <= t:
            self.now = instant
            self.expire(int(instant))
        self.now = t

    def instants(self) -> list[int]:
        """The instants still to come at which something may happen without an event."""
        found = [*self.comings_and_goings(), *self.deadlines().values()]
        if self.first is not None:
            found.append(self.first)
        return [instant for instant in found if instant > self.now]

    def comings_and_goings(self) -> list[int]:
        """Every instant at which an element may leave or enter a window."""
        if self.newest is None:
            return []
        now = self.place(self.events[self.newest].time_us)
        return [t for a in self.aggregates for x in counted(a, now) for t in changes_at(a, self.events[x].time_us)]

    def changes(self, t: int) -> bool:
        """Whether what leaves or enters at t changes the value of an aggregate."""
        return any(value(a, self.place(t)) != value(a, self.place(t - 1)) for a in self.aggregates)

    def deadlines(self) -> dict[str, int]:
        found = {}
        if self.newest is not None and self.rule.roster is None:
            found["forget"] = self.events[self.newest].time_us + self.rule.forget_us
        if self.state == "pending":
            found["for"] = self.pending_since + self.trigger.for_us
        if self.over_since is not None:
            found["keep"] = self.over_since + self.trigger.keep_us
        return found

    def expire(self, t: int) -> None:
        """What one instant brings without an event, in the order of the law."""
        place = (0, -1 if self.newest is None else self.newest)
        if t == self.first or (t in self.comings_and_goings() and self.changes(t)):
            self.judge(t, place)
        if self.deadlines().get("for") == t:
            self.open(t, place)
        elif self.deadlines().get("keep") == t:
            self.resolve(t, place)
        if self.deadlines().get("forget") == t:
            assert self.newest is not None
            self.counters.episodes_forgotten += self.state == "open"
            self.forget(since=self.newest + 1)

    def judge(self, t: int, place: tuple[int, int]) -> None:
        """Look at the condition once; at most one change of state."""
        holds = value(self.trigger.condition, self.place(t)) is True
        if self.state == "closed" and holds and self.trigger.for_us == 0:
            self.open(t, place)
        elif self.state == "closed" and holds:
            self.state, self.pending_since = "pending", t
        elif self.state in ("pending", "spent") and not holds:
            self.state = "closed"
        elif self.state == "open":
            until = self.trigger.until
            self.look_whether_over(value(until, self.place(t)) is True if until is not None else not holds, t, place)

    def look_whether_over(self, over: bool, t: int, place: tuple[int, int]) -> None:
        if over and self.trigger.keep_us == 0:
            self.resolve(t, place)
        elif over and self.over_since is None:
            self.over_since = t
        elif not over:
            self.over_since = None

    def open(self, t: int, place: tuple[int, int]) -> None:
        self.state, self.opened = "open", t
        self.tell("fired", t, place)

    def resolve(self, t: int, place: tuple[int, int]) -> None:
        holds = value(self.trigger.condition, self.place(t)) is True
        self.state, self.over_since = "spent" if holds else "closed", None
        self.tell("resolved", t, place)

    def tell(self, status: str, t: int, place: tuple[int, int]) -> None:
        outcome = Outcome(self.rule.name, status, t, self.key, (), place=self.seat(t, place))
        self.found.append(Ranked((t, *place, self.index, self.opened), outcome))

    def seat(self, t: int, place: tuple[int, int]) -> Place:
        """Where an alert's expressions are judged: also events count that the condition does not look at."""
        is_event, ordinal = place
        before = ordinal + 1 if is_event else sum(event.time_us < t for event in self.events)
        return Place(self.events, self.key, None, t, self.since, before)

    def place(self, t: int) -> Place:
        """Now, with every event up to the newest counted."""
        before = 0 if self.newest is None else self.newest + 1
        return Place(self.events, self.key, None, t, self.since, before)
