"""A workload as a bytewax dataflow: keyed by card, one Python function for each rule that keeps the state of a card.

    python bytewax_flow.py WORKLOAD EVENTS.csv PASSES

prints a line of JSON for each pass. It stands alone, so that it runs where bytewax is installed and nothing else. The
list of events is in memory beforehand. As an author would, it leaves out in front of the keyed state what the rule
never looks at.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

SOURCE_BATCH = 1_000  # its default of one event at a time would measure the source


class Event(NamedTuple):
    ts: int
    type: str
    card: str
    amount: float


class Rule(NamedTuple):
    """What a rule looks at, and its step: (state of the card, event) → (state, matches)."""

    wants: Callable[[Event], bool]
    step: Callable[[Any, Event], tuple[Any, tuple[int, ...]]]


MATCH, NOTHING = (1,), ()


def w1(times: deque[int] | None, event: Event) -> tuple[deque[int] | None, tuple[int, ...]]:
    times = deque() if times is None else times
    while times and event.ts - times[0] > 60_000:
        times.popleft()
    times.append(event.ts)
    return (None, MATCH) if len(times) == 5 else (times, NOTHING)


def sequence(within_ms: int, *steps: Callable[[Event, list[Event]], bool]) -> Callable[..., Any]:
    """Every fitting first event begins a run; the first run to complete makes the match and ends all of its card."""

    def step(runs: list[list[Event]] | None, event: Event) -> tuple[list[list[Event]] | None, tuple[int, ...]]:
        live = [run for run in runs or () if event.ts - run[0].ts <= within_ms]
        for run in live:
            if steps[len(run)](event, run):
                run.append(event)
                if len(run) == len(steps):
                    return None, MATCH
        if steps[0](event, []):
            live.append([event])
        return live or None, NOTHING

    return step


def w3(times: deque[int] | None, event: Event) -> tuple[deque[int] | None, tuple[int, ...]]:
    times = deque() if times is None else times
    while times and event.ts - times[0] > 600_000:
        times.popleft()
    if event.amount < 2:
        times.append(event.ts)
    elif len(times) >= 3:
        return None, MATCH
    return times or None, NOTHING


def w6(state: tuple[deque[tuple[int, float]], float] | None, event: Event) -> tuple[Any, tuple[int, ...]]:
    window, total = (deque(), 0.0) if state is None else state
    window.append((event.ts, event.amount))
    total += event.amount
    while event.ts - window[0][0] > 3_600_000:
        total -= window.popleft()[1]
    return (window, total), MATCH if total > 20_000 else NOTHING


RULES = {
    "w1": Rule(lambda e: e.type == "login_failed", w1),
    "w2": Rule(
        lambda e: e.type in ("login_failed", "password_change") or (e.type == "payment" and e.amount > 900),
        sequence(
            600_000,
            lambda e, _: e.type == "login_failed",
            lambda e, _: e.type == "password_change",
            lambda e, _: e.type == "payment",
        ),
    ),
    "w3": Rule(lambda e: e.type == "payment" and (e.amount < 2 or e.amount > 500), w3),
    "w4": Rule(
        lambda e: e.type == "payment",
        sequence(
            300_000,
            lambda e, _: True,
            lambda e, run: e.amount > run[0].amount * 2,
            lambda e, run: e.amount > run[1].amount * 2,
        ),
    ),
    "w6": Rule(lambda e: e.type == "payment", w6),
}


def one_pass(rule: Rule, events: list[Event]) -> dict[str, float]:
    """The matches, and the seconds that the dataflow ran."""
    found: list[tuple[str, int]] = []
    flow = Dataflow("workload")
    stream = op.input("events", flow, TestingSource(events, SOURCE_BATCH))
    wanted = op.filter("wanted", stream, rule.wants)
    keyed = op.key_on("card", wanted, lambda event: event.card)
    op.output("matches", op.stateful_flat_map("rule", keyed, rule.step), TestingSink(found))
    begin = time.perf_counter()
    run_main(flow)
    return {"matches": len(found), "seconds": time.perf_counter() - begin}


def read(path: str) -> list[Event]:
    with open(path, newline="", encoding="utf-8") as file:
        return [Event(int(r["ts"]), r["type"], r["card"], float(r["amount"])) for r in csv.DictReader(file)]


def main() -> None:
    name, path, passes = sys.argv[1:]
    events = read(path)
    for _ in range(int(passes)):
        print(json.dumps(one_pass(RULES[name], events)), flush=True)


if __name__ == "__main__":
    main()
