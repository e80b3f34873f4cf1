"""The workloads as anyone would write them by hand: plain dictionaries, one event at a time, one function a rule.

It is the arbiter of the counts and the yardstick of the speed. An element exactly as old as the window still counts
here; in the language's law 1 it does not, which is why the rule files say one millisecond more.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence

from bench.workloads import LOGIN_FAILED, LOGIN_OK, LOGOUT, PASSWORD_CHANGE, PAYMENT, Events

Event = tuple[int, int, int, float]  # ts in ms, kind, card, amount
Stage = Callable[[Event, Sequence[Event]], bool]  # does the event continue the run?


def rows(events: Events) -> list[Event]:
    """The events, one tuple each."""
    columns = (events.ts, events.kind, events.card, events.amount)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def w1(events: Sequence[Event]) -> int:
    """Five failed log-ins within a minute."""
    matches = 0
    failed: dict[int, deque[int]] = {}
    for ts, kind, card, _ in events:
        if kind != LOGIN_FAILED:
            continue
        times = failed.setdefault(card, deque())
        while times and ts - times[0] > 60_000:
            times.popleft()
        times.append(ts)
        if len(times) == 5:
            matches += 1
            times.clear()
    return matches


def w2(events: Sequence[Event]) -> int:
    """A failed log-in, a changed password, a large payment, within ten minutes."""
    return _sequence(
        events,
        600_000,
        lambda e, _: e[1] == LOGIN_FAILED,
        lambda e, _: e[1] == PASSWORD_CHANGE,
        lambda e, _: e[1] == PAYMENT and e[3] > 900,
    )


def w3(events: Sequence[Event]) -> int:
    """Three tiny payments or more, then a large one, within ten minutes."""
    matches = 0
    tiny: dict[int, deque[int]] = {}
    for ts, kind, card, amount in events:
        if kind != PAYMENT:
            continue
        times = tiny.setdefault(card, deque())
        while times and ts - times[0] > 600_000:
            times.popleft()
        if amount < 2:
            times.append(ts)
        elif amount > 500 and len(times) >= 3:
            matches += 1
            times.clear()
    return matches


def w4(events: Sequence[Event]) -> int:
    """Three payments, each more than double the one before, within five minutes."""
    return _sequence(
        events,
        300_000,
        lambda e, _: e[1] == PAYMENT,
        lambda e, run: e[1] == PAYMENT and e[3] > run[0][3] * 2,
        lambda e, run: e[1] == PAYMENT and e[3] > run[1][3] * 2,
    )


def w5(events: Sequence[Event]) -> int:
    """A log-in without a logout in the next half hour."""
    matches = 0
    waiting: dict[int, set[int]] = defaultdict(set)  # card → log-ins that no logout has answered
    due: deque[tuple[int, int]] = deque()  # log-in, card
    for ts, kind, card, _ in events:
        while due and due[0][0] + 1_800_000 < ts:
            login, owner = due.popleft()
            if login in waiting[owner]:
                waiting[owner].remove(login)
                matches += 1
        if kind == LOGOUT:
            waiting.pop(card, None)
        elif kind == LOGIN_OK:
            waiting[card].add(ts)
            due.append((ts, card))
    return matches


def w6(events: Sequence[Event]) -> int:
    """Each payment that brings the last hour over 20,000."""
    matches = 0
    paid: dict[int, deque[tuple[int, float]]] = {}
    total: dict[int, float] = defaultdict(float)
    for ts, kind, card, amount in events:
        if kind != PAYMENT:
            continue
        window = paid.setdefault(card, deque())
        window.append((ts, amount))
        total[card] += amount
        while ts - window[0][0] > 3_600_000:
            total[card] -= window.popleft()[1]
        if total[card] > 20_000:
            matches += 1
    return matches


def _sequence(events: Sequence[Event], within_ms: int, *stages: Stage) -> int:
    """Every fitting first event begins a run; the first run to complete makes the match and ends all of its card."""
    matches = 0
    runs: dict[int, list[list[Event]]] = {}
    for event in events:
        card = event[2]
        live = runs.get(card)
        if live:
            live = [run for run in live if event[0] - run[0][0] <= within_ms]
            if _advance(event, live, stages):
                matches += 1
                runs[card] = []
                continue
            runs[card] = live
        if stages[0](event, ()):
            runs.setdefault(card, []).append([event])
    return matches


def _advance(event: Event, live: list[list[Event]], stages: tuple[Stage, ...]) -> bool:
    """Offer the event to each run, oldest first; whether one has completed."""
    for run in live:
        if stages[len(run)](event, run):
            run.append(event)
            if len(run) == len(stages):
                return True
    return False


REFERENCES: dict[str, Callable[[Sequence[Event]], int]] = {"w1": w1, "w2": w2, "w3": w3, "w4": w4, "w5": w5, "w6": w6}
