"""`when`, naively: every run of one rule and one key is a little object, and each is offered each event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cep.lang.checked.expressions import CaptureAggregate, CaptureRef, Expr
from cep.lang.checked.rules import Rule, Step, When
from tests.oracle_values import Counters, Key, OracleEvent, Outcome, Place, Ranked, passes, walk


@dataclass
class Run:
    """A partial match: the ordinals captured, by index into `When.steps`."""

    captured: dict[int, list[int]]
    start: int

    @property
    def last(self) -> int:
        """The last event it captured at all."""
        return max(max(ordinals) for ordinals in self.captured.values())


class Runs:
    """`when` for one rule and one key."""

    def __init__(self, index: int, rule: Rule, key: Key, events: Sequence[OracleEvent], counters: Counters) -> None:
        assert isinstance(rule.trigger, When)
        self.index, self.rule, self.key, self.events, self.counters = index, rule, key, events, counters
        self.policy = rule.trigger.policy
        self.steps = rule.trigger.steps
        self.positive = [i for i, step in enumerate(self.steps) if not step.negated]
        self.bounded = any(looks_back(step.source.where) for step in self.steps)
        self.shares = self.policy == "all" and not self.bounded and shares_prefixes(rule)
        self.bounded = self.bounded or (self.policy == "all" and not self.shares)
        self.seen: list[int] = []  # the events of the key
        self.runs: list[Run] = []  # as they came to be: in order of start, but for `all`
        self.found: list[Ranked] = []

    # Everything that ends or fires at or before t, then the event.

    def see(self, e: int) -> None:
        self.advance(self.time(e))
        self.seen.append(e)
        complete = self.fork_all(e) if self.policy == "all" else self.offer_all(e)
        start = self.starts(e)
        if start is not None and self.is_complete(start):
            complete.append(start)
        if self.policy in ("each", "all"):
            self.complete_each(complete, e)
        elif complete:
            self.match(complete[0] if self.policy == "first" else complete[-1], self.time(e), (1, e))
            self.runs = []
            return
        if start is not None and start not in complete:
            self.runs.append(start)
        if self.policy == "last":
            self.keep_newest()
        self.bound()

    def offer_all(self, e: int) -> list[Run]:
        """The runs that complete."""
        for waiting in list(self.runs):
            if not self.offer(waiting, e):
                self.runs.remove(waiting)
        return [r for r in self.runs if self.is_complete(r)]

    def fork_all(self, e: int) -> list[Run]:
        """`all`: a copy goes on, and the run itself waits for other events. The copies that complete."""
        waited = len(self.runs)
        complete, copies = [], []
        for waiting in list(self.runs):
            copy = Run({at: list(ordinals) for at, ordinals in waiting.captured.items()}, waiting.start)
            if not self.offer(copy, e):
                self.runs.remove(waiting)
            elif copy == waiting:
                continue
            elif self.is_complete(copy):
                complete.append(copy)
            elif self.shares or waited + len(copies) < self.rule.max_starts:
                copies.append(copy)
            else:
                self.counters.runs_dropped += 1
        self.runs += copies
        if self.shares and len(complete) > self.rule.max_starts:
            self.counters.matches_cut += 1
            return complete[-self.rule.max_starts :]
        return complete

    def complete_each(self, complete: list[Run], e: int) -> None:
        for done in complete:
            self.match(done, self.time(e), (1, e))
        self.runs = [r for r in self.runs if r not in complete]

    def advance(self, t: int) -> None:
        """Horizons and deadlines up to and including t."""
        while due := [(d, r.start, r) for r in self.runs if (d := self.deadline(r)) is not None and d <= t]:
            when, _, done = min(due, key=lambda entry: entry[:2])
            self.match(done, when, (0, done.last))
            self.runs.remove(done)
            if self.policy == "first":
                self.runs = [r for r in self.runs if r.start > done.last]
        self.runs = [r for r in self.runs if t < self.end(r) and not self.is_left_behind(r, t)]

    def is_left_behind(self, run: Run, t: int) -> bool:
        """Whether gaps let the run take nothing at t or later."""
        at = max(run.captured)
        step, count, after = self.steps[at], len(run.captured[at]), self.after(at)
        before = [i for i in self.positive if i < at]
        full = step.most is not None and count >= step.most
        if not full and not (before and self.is_over(run.captured[before[-1]][-1], step.within_us, t)):
            return False
        if count < step.least:
            return True
        return after is not None and self.is_over(run.captured[at][-1], self.steps[after].within_us, t)

    def is_over(self, since: int, within_us: int | None, t: int) -> bool:
        return within_us is not None and self.time(since) + within_us <= t

    # One run and one event.

    def offer(self, run: Run, e: int) -> bool:
        """Let the run take e if it can; False when the run ends."""
        at = max(run.captured)  # the step it waits in, an index into self.steps
        step, count = self.steps[at], len(run.captured[at])
        after = self.after(at)
        ready, full = count >= step.least, step.most is not None and count >= step.most
        next_fits = ready and after is not None and self.can_enter(run, at, after, e)
        killed = ready and any(self.guard_kills(run, at, guard, e) for guard in self.guards(at))
        if next_fits:
            assert after is not None
            if killed:
                return False
            run.captured[after] = [e]
        elif not full and self.fits(step, e, run) and self.in_gap_of_loop(run, at, e):
            run.captured[at].append(e)
        elif killed or (ready and full and after is not None and self.steps[after].link == "next"):
            return False
        return True

    def can_enter(self, run: Run, at: int, after: int, e: int) -> bool:
        last, step = run.captured[at][-1], self.steps[after]
        return (
            self.fits(step, e, run)
            and self.in_gap(last, step.within_us, e)
            and (step.link != "next" or self.is_very_next(last, e))
        )

    def guard_kills(self, run: Run, at: int, guard: Step, e: int) -> bool:
        last = run.captured[at][-1]
        return (
            self.fits(guard, e, run)
            and self.in_gap(last, guard.within_us, e)
            and (guard.link != "next" or self.is_very_next(last, e))
        )

    def in_gap_of_loop(self, run: Run, at: int, e: int) -> bool:
        """A later event of a loop still has to lie in the step's gap from the step before."""
        before = [i for i in self.positive if i < at]
        return not before or self.in_gap(run.captured[before[-1]][-1], self.steps[at].within_us, e)

    def in_gap(self, since: int, within_us: int | None, e: int) -> bool:
        return within_us is None or self.time(e) < self.time(since) + within_us

    def is_very_next(self, last: int, e: int) -> bool:
        return self.seen[self.seen.index(last) + 1] == e

    def fits(self, step: Step, e: int, run: Run | None = None) -> bool:
        captured = {} if run is None else run.captured
        return passes(step.source, e, Place(self.events, self.key, e, self.time(e), 0, e, captured))

    # Starting and ending.

    def starts(self, e: int) -> Run | None:
        first = self.positive[0]
        if not self.fits(self.steps[first], e) or any(self.forbids(guard, e) for guard in self.steps[:first]):
            return None
        return Run({first: [e]}, e)

    def forbids(self, guard: Step, e: int) -> bool:
        length = guard.within_us if guard.within_us is not None else self.rule.within_us
        assert length is not None, "the checker refuses a leading `no` without a bound"
        return any(self.fits(guard, x) and self.time(x) + length > self.time(e) for x in self.seen)

    def keep_newest(self) -> None:
        """`last`: of the runs at one place only the newest start stays."""
        newest = {self.waits_at(r): r for r in self.runs}
        self.runs = [r for r in self.runs if newest[self.waits_at(r)] is r]

    def bound(self) -> None:
        while self.bounded and len(self.runs) > self.rule.max_starts:
            self.runs.pop(0)
            self.counters.runs_dropped += 1

    def waits_at(self, run: Run) -> tuple[int, int]:
        at = max(run.captured)
        return at, min(len(run.captured[at]), self.steps[at].least)

    def is_ready_at_last(self, run: Run) -> bool:
        last = self.positive[-1]
        return len(run.captured.get(last, [])) >= self.steps[last].least

    def is_complete(self, run: Run) -> bool:
        return self.is_ready_at_last(run) and not self.guards(self.positive[-1])

    def deadline(self, run: Run) -> int | None:
        """When the trailing guards have been kept for long enough; None when that will never be."""
        trailing = self.guards(self.positive[-1])
        if not trailing or not self.is_ready_at_last(run):
            return None
        last = self.time(run.captured[self.positive[-1]][-1])
        deadline = max(self.end(run) if g.within_us is None else last + g.within_us for g in trailing)
        return int(deadline) if deadline <= self.end(run) else None

    def end(self, run: Run) -> float:
        """The end of the run's horizon; infinite for a rule that has none."""
        return float("inf") if self.rule.within_us is None else self.time(run.start) + self.rule.within_us

    def match(self, run: Run, t: int, place: tuple[int, int]) -> None:
        last = run.captured[self.positive[-1]][-1]
        seat = Place(self.events, self.key, last, self.time(last), 0, last, run.captured)
        captured = tuple(tuple(self.label(e) for e in run.captured[i]) for i in self.positive)
        outcome = Outcome(self.rule.name, "fired", t, self.key, captured, place=seat)
        self.found.append(Ranked((t, *place, self.index, run.start), outcome))

    # The shape of the rule.

    def after(self, at: int) -> int | None:
        """The positive step after the positive step `at`."""
        return next((i for i in self.positive if i > at), None)

    def guards(self, at: int) -> list[Step]:
        """The guards between the positive step `at` and the one after it, or the trailing ones."""
        after = self.after(at)
        return list(self.steps[at + 1 : len(self.steps) if after is None else after])

    def label(self, ordinal: int) -> int | Outcome:
        """What a captured event is known by: its place among the events that are no alerts, or the alert it is."""
        alert = self.events[ordinal].alert
        return alert or ordinal - sum(event.alert is not None for event in self.events[:ordinal])

    def time(self, ordinal: int) -> int:
        return self.events[ordinal].time_us


def shares_prefixes(rule: Rule) -> bool:
    """Whether `max` bounds the matches of one event and not the runs: nothing tells runs at one step apart but time."""
    assert isinstance(rule.trigger, When)
    first = next(i for i, step in enumerate(rule.trigger.steps) if not step.negated)
    guards = [step for step in rule.trigger.steps[first:] if step.negated]
    plain = all(guard.within_us is None and guard.link != "next" for guard in guards)
    return plain and rule.within_us is not None and not rule.trigger.steps[-1].negated


def looks_back(where: Expr | None) -> bool:
    return any(isinstance(e, CaptureRef | CaptureAggregate) for e in walk(where))
