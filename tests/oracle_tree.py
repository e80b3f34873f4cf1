"""`when` with structure, naively: what a run has captured is a tree like the pattern's, and all is read off it.

A sequence's state holds the items that the run has entered, in order: `(place, state)`. A step's state is the ordinals
it has captured; a group's is its iterations, and an iteration the states of its branches, `()` for one not begun. There
are no counters, checkpoints or marks: to leave something out is to build the tree without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from cep.lang.checked.expressions import Source
from cep.lang.checked.rules import Group, Item, Rule, Step, When
from tests.oracle_values import Counters, Key, OracleEvent, Outcome, Place, Ranked, passes

Items = tuple[Item, ...]
State = tuple  # of a sequence, a step or a group


@dataclass(frozen=True)
class Move:
    """Something a run may do: `before` is the run's tree without what is left out, `after(e)` the tree with the event.

    last: the event it follows, None at a start. gaps: (since, within) in which it must lie. step: None for the end.
    """

    step: int | None
    before: State
    after: Callable[[int], State]
    last: int | None
    gaps: tuple[tuple[int | None, int | None], ...] = ()
    immediate: bool = False
    guards: tuple[int, ...] = ()
    loop: bool = False
    ready: bool = False  # of a loop: whether it has enough already
    each: bool = False

    def inside(self, wrap: Callable[[State], State]) -> Move:
        """The same move as one of the surrounding sequence."""
        return replace(self, before=wrap(self.before), after=lambda e: wrap(self.after(e)))


@dataclass(eq=False)
class Run:
    """A partial match. `barred`: guards that have fit, each with the event that it watched from."""

    state: State
    start: int
    barred: set[tuple[int, int | None]] = field(default_factory=set)


class TreeRuns:
    """`when` for one rule and one key."""

    def __init__(self, index: int, rule: Rule, key: Key, events: Sequence[OracleEvent], counters: Counters) -> None:
        assert isinstance(rule.trigger, When)
        self.index, self.rule, self.key, self.events, self.counters = index, rule, key, events, counters
        self.trigger = rule.trigger
        self.steps, self.items, self.policy = rule.trigger.steps, rule.trigger.items, rule.trigger.policy
        self.positive = [i for i, step in enumerate(self.steps) if not step.negated]
        self.seen: list[int] = []  # the events of the key
        self.runs: list[Run] = []  # as they came to be
        self.found: list[Ranked] = []

    # Everything that ends or fires at or before t, then the event.

    def see(self, e: int) -> None:
        t = self.time(e)
        self.advance(t)
        self.runs = [r for r in self.runs if self.has_hope(r, t)]
        self.seen.append(e)
        waited = len(self.runs)
        self.runs = [r for r in self.runs if not self.is_stopped(r, e)]
        copies: list[Run] = []
        for run in list(self.runs):
            copy = self.offer(run, e)
            if copy is not None and not self.holds_its_start(copy):
                copy = None
            waiting = waited + sum(not self.is_complete(c, t) for c in copies)
            if copy is not None and not self.is_complete(copy, t) and waiting >= self.rule.max_starts:
                self.counters.runs_dropped += 1
                copy = None
            copies += [copy] if copy is not None else []
            if not self.holds_its_start(run) or not (self.is_complete(run, t) or self.has_hope(run, t)):
                self.runs.remove(run)
        self.runs += copies
        start = self.start(e)
        self.runs += [start] if start is not None else []
        self.report(t, e)
        if self.policy == "last":
            self.keep_newest()
        while len(self.runs) > self.rule.max_starts:
            self.runs.pop(0)
            self.counters.runs_dropped += 1

    def report(self, t: int, e: int) -> None:
        """The matches that are complete at the event."""
        if self.policy in ("each", "all"):
            for run in [r for r in self.runs if self.is_complete(r, t)]:
                self.runs.remove(run)
                if self.keeps_its_start(run):
                    self.match(run, t, (1, e))
            return
        while complete := [r for r in self.runs if self.is_complete(r, t)]:
            starts = [r.start for r in complete]
            chosen = complete[starts.index(min(starts) if self.policy == "first" else max(starts))]
            self.runs.remove(chosen)
            if self.keeps_its_start(chosen):
                self.match(chosen, t, (1, e))
                self.consume(chosen, e)

    def consume(self, done: Run, last: int) -> None:
        """Drop what the match has used up: what began at or before its end, or before the event to resume at."""
        resume, captured = self.trigger.resume, self.captured(self.settled(self.items, done.state))
        limit = last + 1
        if resume is not None and captured.get(resume.step):
            limit = captured[resume.step][0 if resume.which == "first" else -1]
        self.runs = [r for r in self.runs if r.start >= limit or (r.start == done.start and self.is_before_each(r))]

    def advance(self, t: int) -> None:
        """Deadlines and horizons up to and including t."""
        while due := [
            (d, r.start, i) for i, r in enumerate(self.runs) if (d := self.deadline(r)) is not None and d <= t
        ]:
            when, _, i = min(due)
            done = self.runs.pop(i)
            last = max(ordinals(self.settled(self.items, done.state)))
            if self.keeps_its_start(done):
                self.match(done, when, (0, last))
                if self.policy in ("first", "last"):
                    self.consume(done, last)
        self.runs = [r for r in self.runs if t < self.end(r)]

    # One run and one event.

    def offer(self, run: Run, e: int) -> Run | None:
        """Let the run take e if it can. What comes back is the copy that moves on, if it was a copy that did."""
        moves = list(self.moves(self.items, run.state, None))
        for move in moves:
            for guard in move.guards:
                if self.guard_fits(move, guard, e):
                    run.barred.add((guard, move.last))
        copy, blocked = None, False
        for move in moves:
            if move.step is None or (move.loop and blocked) or (copy is not None and not move.loop):
                continue
            if not self.is_possible(move, e):
                continue
            if self.is_barred(run, move):
                blocked = True
            elif (self.policy == "all" or move.each) and not move.loop:
                copy = Run(self.pruned(self.items, move.after(e)), run.start, set(run.barred))
            else:
                run.state = self.pruned(self.items, move.after(e))
                break
        return copy

    def is_possible(self, move: Move, e: int) -> bool:
        assert move.step is not None
        follows = not move.immediate or move.last is None or self.is_very_next(move.last, e)
        return (
            follows and self.is_in_time(move, self.time(e)) and self.fits(self.steps[move.step].source, e, move.before)
        )

    def is_in_time(self, move: Move, t: int) -> bool:
        return all(since is None or w is None or t < self.time(since) + w for since, w in move.gaps)

    def guard_fits(self, move: Move, guard: int, e: int) -> bool:
        if move.last is None:
            return False
        step = self.steps[guard]
        in_time = step.within_us is None or self.time(e) < self.time(move.last) + step.within_us
        follows = step.link != "next" or self.is_very_next(move.last, e)
        return in_time and follows and self.fits(step.source, e, move.before)

    def is_barred(self, run: Run, move: Move) -> bool:
        return any((guard, move.last) in run.barred for guard in move.guards)

    def is_very_next(self, last: int, e: int) -> bool:
        return self.seen[self.seen.index(last) + 1] == e

    def is_stopped(self, run: Run, e: int) -> bool:
        return self.trigger.until is not None and self.fits(self.trigger.until, e, run.state)

    def fits(self, source: Source, e: int, state: State = ()) -> bool:
        return passes(source, e, Place(self.events, self.key, e, self.time(e), 0, e, self.captured(state)))

    # The moves from a state, those of first pick first.

    def moves(self, items: Items, state: State, before: int | None) -> Iterator[Move]:
        """What may happen next in a sequence; `before` is the last event before it."""
        yield from self.onward(items, state, before)
        if state:
            at, inner = state[-1]
            prior = last_of(state[:-1], before)
            for move in self.within(items[at], inner, prior):
                yield move.inside(lambda made: (*state[:-1], (at, made)) if made else state[:-1])

    def onward(self, items: Items, state: State, before: int | None) -> Iterator[Move]:
        """Moves to items behind the one that the run is in, the furthest first; before all, the end of the pattern."""
        at = state[-1][0] if state else -1
        if state and not self.may_leave(items[at], state[-1][1]):
            return
        view = self.settled(items, state)
        last = last_of(view, before)
        reach = self.reach(items, at)
        if items is self.items and state and reach[-1:] == [len(items)]:
            yield Move(None, view, lambda e: view, last, guards=self.guards(items, at, len(items)))
        for place in reversed([place for place in reach if place < len(items)]):
            part = self.part(items[place])
            guards = self.guards(items, at, place)
            for move in self.entries(items[place], last):
                made = move.inside(lambda inner, place=place: (*view, (place, inner)) if inner else view)
                link = part.link if state else "then"  # links are between two items, so none counts on the way in
                immediate = link == "next" and last is not None
                yield replace(
                    made, guards=(*guards, *move.guards), immediate=immediate, each=link == "then each", last=last
                )

    def within(self, item: Item, state: State, prior: int | None) -> Iterator[Move]:
        """Moves inside of the item that the run is in."""
        if not isinstance(item, Group):
            step = self.steps[item]
            if step.most is None or len(state) < step.most:
                gaps = ((prior, step.within_us),)
                yield Move(
                    item,
                    state,
                    lambda e: (*state, e),
                    state[-1],
                    gaps,
                    step.in_row,
                    loop=True,
                    ready=len(state) >= step.least,
                )
            return
        current = state[-1]
        earlier = state[:-1]
        if self.is_done(item, current) and (item.most is None or len(state) < item.most):
            view = self.counted(item, state)
            for move in self.openings(item, last_of(view, prior)):
                made = move.inside(lambda inner: (*view, *inner))
                yield replace(made, immediate=item.in_row)
        before = last_of(earlier, prior)
        for i, (branch, inner) in enumerate(zip(item.branches, current, strict=True)):
            if self.is_done(item, current) and not self.is_finished(branch, inner):
                continue
            for move in self.moves(branch, inner, before):
                yield move.inside(lambda made, i=i: (*earlier, (*current[:i], made, *current[i + 1 :])))

    def entries(self, item: Item, last: int | None) -> Iterator[Move]:
        """Moves that enter an item."""
        part = self.part(item)
        alone = [] if isinstance(item, Group) else [Move(item, (), lambda e: (e,), last)]
        for move in self.openings(item, last) if isinstance(item, Group) else alone:
            yield replace(move, gaps=(*move.gaps, (last, part.within_us)))

    def openings(self, group: Group, last: int | None) -> Iterator[Move]:
        """Moves that begin an iteration: a state of that one iteration."""
        for i, branch in enumerate(group.branches):
            empty: State = ((),) * len(group.branches)
            for place in reversed([place for place in self.reach(branch, -1) if place < len(branch)]):
                for move in self.entries(branch[place], last):
                    made = move.inside(
                        lambda inner, i=i, place=place, empty=empty: (
                            ((*empty[:i], ((place, inner),), *empty[i + 1 :]),) if inner else ()
                        )
                    )
                    yield replace(made, guards=(*self.guards(branch, -1, place), *move.guards))

    # Reading a state.

    def may_leave(self, item: Item, state: State) -> bool:
        if isinstance(item, Group):
            return len(self.counted(item, state)) >= item.least
        return len(state) >= self.steps[item].least

    def counted(self, group: Group, state: State) -> State:
        """The iterations that count, without what is unfinished in them."""
        if not state or not self.is_done(group, state[-1]):
            return state[:-1]
        return (*state[:-1], self.settled_iteration(group, state[-1]))

    def settled_iteration(self, group: Group, iteration: State) -> State:
        return tuple(
            self.settled(branch, s) if self.is_finished(branch, s) else ()
            for branch, s in zip(group.branches, iteration, strict=True)
        )

    def is_done(self, group: Group, iteration: State) -> bool:
        return sum(map(self.is_finished, group.branches, iteration)) >= group.count

    def is_finished(self, items: Items, state: State) -> bool:
        """Whether the sequence could be complete."""
        return bool(state) and self.may_leave(items[state[-1][0]], state[-1][1]) and self.ends(items, state[-1][0])

    def settled(self, items: Items, state: State) -> State:
        """The state without the iterations under way that do not count."""
        if not state:
            return state
        at, inner = state[-1]
        item = items[at]
        kept = self.counted(item, inner) if isinstance(item, Group) else inner
        return (*state[:-1], (at, kept)) if kept else state[:-1]

    def pruned(self, items: Items, state: State) -> State:
        """The state without the branches that are left out: enough others are finished."""
        return tuple(
            (at, self.pruned_group(item, inner) if isinstance(item := items[at], Group) else inner)
            for at, inner in state
        )

    def pruned_group(self, group: Group, state: State) -> State:
        made = []
        for iteration in state:
            inner = tuple(map(self.pruned, group.branches, iteration))
            done = self.is_done(group, inner)
            made.append(
                tuple(
                    s if not done or self.is_finished(branch, s) else ()
                    for branch, s in zip(group.branches, inner, strict=True)
                )
            )
        return tuple(made)

    def captured(self, state: State) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        self.collect(self.items, state, found)
        return {step: sorted(ordinals) for step, ordinals in found.items()}

    def collect(self, items: Items, state: State, found: dict[int, list[int]]) -> None:
        for at, inner in state:
            item = items[at]
            if isinstance(item, Group):
                for iteration in inner:
                    for branch, s in zip(item.branches, iteration, strict=True):
                        self.collect(branch, s, found)
            else:
                found.setdefault(item, []).extend(inner)

    def keeps_its_start(self, run: Run) -> bool:
        """Whether a match of the run has the event that it began at."""
        return self.holds_its_start(replace_state(run, self.settled(self.items, run.state)))

    def holds_its_start(self, run: Run) -> bool:
        return run.start in ordinals(run.state)

    # Whether a run can still come to something.

    def has_hope(self, run: Run, t: int) -> bool:
        return t < self.end(run) and self.hopes(run, self.items, run.state, None, t)

    def hopes(self, run: Run, items: Items, state: State, before: int | None, t: int) -> bool:
        """Whether a move leads on from here, now or after what the run may capture where it stands."""
        lively = bool(state) and self.keeps_all(items, state) and self.is_lively(run, items, state, before, t)
        if any(self.leads_on(run, move, t, lively) for move in self.onward(items, state, before)):
            return True
        if not state:
            return False
        at, inner = state[-1]
        item = items[at]
        if not isinstance(item, Group):
            return not self.may_leave(item, inner) and lively
        prior = last_of(state[:-1], before)
        iteration, since = inner[-1], last_of(inner[:-1], prior)
        done = self.is_done(item, iteration)
        if done and (item.most is None or len(inner) < item.most):
            moves = self.within(item, inner, prior)
            again = [move for move in moves if len(move.after(-1)) > len(inner)]
            if any(self.leads_on(run, move, t, lively) for move in again):
                return True
        branches = list(zip(item.branches, iteration, strict=True))
        if len(branches) == 1:
            return self.hopes(run, *branches[0], since, t)
        able = sum(self.is_finished(b, s) or self.hopes(run, b, s, since, t) for b, s in branches)
        return not done and able >= item.count

    def leads_on(self, run: Run, move: Move, t: int, lively: bool) -> bool:
        if self.is_barred(run, move):
            return False
        missed = move.immediate and move.last is not None and move.last != self.seen[-1]
        return lively or (self.is_in_time(move, t) and not missed)

    def keeps_all(self, items: Items, state: State) -> bool:
        """Whether leaving from here leaves nothing out."""
        item, inner = items[state[-1][0]], state[-1][1]
        if not isinstance(item, Group) or len(item.branches) > 1:
            return True
        return self.is_done(item, inner[-1]) and self.keeps_all(item.branches[0], inner[-1][0])

    def is_lively(self, run: Run, items: Items, state: State, before: int | None, t: int) -> bool:
        """Whether the run may capture more where it stands: in its loop, or in the finished branches of a group."""
        at, inner = state[-1]
        item, prior = items[at], last_of(state[:-1], before)
        if not isinstance(item, Group):
            loops = list(self.within(item, inner, prior))
            return any(self.is_in_time(m, t) and not (m.immediate and m.last != self.seen[-1]) for m in loops)
        iteration, since = inner[-1], last_of(inner[:-1], prior)
        branches = list(zip(item.branches, iteration, strict=True))
        if len(branches) == 1:
            return self.is_lively(run, *branches[0], since, t)
        return self.is_done(item, iteration) and any(
            self.is_finished(b, s) and (self.hopes(run, b, s, since, t) or self.is_lively(run, b, s, since, t))
            for b, s in branches
        )

    def waits_for(self, run: Run, t: int) -> set[int]:
        """The places among the positive steps to which a move is open; behind them that of the end."""
        found = set()
        for move in self.moves(self.items, run.state, None) if t < self.end(run) else ():
            missed = move.immediate and move.last is not None and move.last != self.seen[-1]
            if not (missed or move.ready or self.is_barred(run, move)) and self.is_in_time(move, t):
                found.add(len(self.positive) if move.step is None else self.positive.index(move.step))
        return found

    # Starting and ending.

    def start(self, e: int) -> Run | None:
        for move in self.onward(self.items, (), None):
            assert move.step is not None
            if self.fits(self.steps[move.step].source, e) and not any(self.forbids(g, e) for g in move.guards):
                return Run(self.pruned(self.items, move.after(e)), e)
        return None

    def forbids(self, guard: int, e: int) -> bool:
        step = self.steps[guard]
        if step.link == "next":
            return False
        length = step.within_us if step.within_us is not None else self.rule.within_us
        assert length is not None, "the checker refuses a leading `no` without a bound"
        return any(self.fits(step.source, x) and self.time(x) + length > self.time(e) for x in self.seen)

    def ending(self, run: Run) -> Move | None:
        """The move to the pattern's end, if the pattern could be complete."""
        return next((move for move in self.onward(self.items, run.state, None) if move.step is None), None)

    def is_complete(self, run: Run, t: int) -> bool:
        """Whether the run is a match at the event of time t that it has just been offered."""
        end, deadline = self.ending(run), self.deadline(run)
        return end is not None and (not end.guards or (deadline is not None and deadline <= t))

    def deadline(self, run: Run) -> int | None:
        """When the trailing guards have been kept for long enough; None when that will never be."""
        end = self.ending(run)
        if end is None or not end.guards or self.is_barred(run, end):
            return None
        assert end.last is not None
        guards = [self.steps[guard] for guard in end.guards]
        last = self.time(end.last)
        deadline = max(self.end(run) if g.within_us is None else last + g.within_us for g in guards)
        return int(deadline) if deadline <= self.end(run) else None

    def end(self, run: Run) -> float:
        """The end of the run's horizon; infinite for a rule that has none."""
        return float("inf") if self.rule.within_us is None else self.time(run.start) + self.rule.within_us

    def keep_newest(self) -> None:
        """`last`: of the runs at one place only those of the newest start stay."""
        newest: dict[object, int] = {}
        for run in self.runs:
            place = self.place(self.items, run.state)
            newest[place] = max(run.start, newest.get(place, -1))
        self.runs = [r for r in self.runs if newest[self.place(self.items, r.state)] == r.start]

    def place(self, items: Items, state: State) -> object:
        """Where a run waits: the positions, with counts up to the minimum."""
        if not state:
            return None
        at, inner = state[-1]
        item = items[at]
        if not isinstance(item, Group):
            return at, min(len(inner), self.steps[item].least)
        return at, min(len(inner), item.least), tuple(map(self.place, item.branches, inner[-1]))

    def is_before_each(self, run: Run) -> bool:
        """Whether a `then each` still lies behind the place where the run stands."""
        stands = self.stands(self.items, run.state)
        return any(stands < first for first in self.each_places(self.items))

    def stands(self, items: Items, state: State) -> int:
        at, inner = state[-1]
        item = items[at]
        if not isinstance(item, Group):
            return item
        if len(item.branches) > 1:
            return min(self.inside(item))
        return self.stands(item.branches[0], inner[-1][0])

    def each_places(self, items: Items) -> Iterator[int]:
        for item in items:
            if self.part(item).link == "then each":
                yield min(self.inside(item))
            if isinstance(item, Group):
                for branch in item.branches:
                    yield from self.each_places(branch)

    def match(self, run: Run, t: int, place: tuple[int, int]) -> None:
        captured = self.captured(self.settled(self.items, run.state))
        last = captured.get(self.positive[-1], [max(ordinals(run.state))])[-1]
        blind = self.positive[-1] not in captured
        seat = Place(self.events, self.key, last, self.time(last), 0, last, captured, blind)
        told = tuple(tuple(self.label(e) for e in captured.get(i, ())) for i in self.positive)
        outcome = Outcome(self.rule.name, "fired", t, self.key, told, place=seat)
        self.found.append(Ranked((t, *place, self.index, run.start), outcome))

    # The shape of the rule.

    def part(self, item: Item) -> Group | Step:
        return item if isinstance(item, Group) else self.steps[item]

    def inside(self, item: Item) -> Iterator[int]:
        """The positive steps of an item."""
        if isinstance(item, Group):
            for branch in item.branches:
                for part in branch:
                    yield from self.inside(part)
        elif not self.steps[item].negated:
            yield item

    def is_guard(self, item: Item) -> bool:
        return not isinstance(item, Group) and self.steps[item].negated

    def reach(self, items: Items, at: int) -> list[int]:
        """The places that may come next after `at`; the length of `items` when that may be the end."""
        found = []
        for place in range(at + 1, len(items)):
            if self.is_guard(items[place]):
                continue
            found.append(place)
            if self.part(items[place]).least > 0:
                return found
        return [*found, len(items)]

    def ends(self, items: Items, at: int) -> bool:
        return self.reach(items, at)[-1:] == [len(items)]

    def guards(self, items: Items, at: int, place: int) -> tuple[int, ...]:
        """The guards between two places."""
        return tuple(i for i in items[at + 1 : place] if not isinstance(i, Group) and self.steps[i].negated)

    def label(self, ordinal: int) -> int | Outcome:
        """What a captured event is known by: its place among the events that are no alerts, or the alert it is."""
        alert = self.events[ordinal].alert
        return alert or ordinal - sum(event.alert is not None for event in self.events[:ordinal])

    def time(self, ordinal: int) -> int:
        return self.events[ordinal].time_us


def ordinals(state: State) -> list[int]:
    """Every event in a state. Places stand in pairs with a tuple, ordinals in tuples of their own kind."""
    if state and all(isinstance(part, int) for part in state):
        return list(state)
    found: list[int] = []
    for part in state:
        if isinstance(part, tuple):
            pair = len(part) == 2 and isinstance(part[0], int) and isinstance(part[1], tuple)
            found += ordinals(part[1] if pair else part)
    return found


def last_of(state: State, before: int | None) -> int | None:
    """The last event in a state, or the one before it."""
    return max(ordinals(state), default=before)


def replace_state(run: Run, state: State) -> Run:
    return Run(state, run.start, run.barred)
