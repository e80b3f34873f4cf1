"""`match all`: what an event costs when it is part of very many combinations, by the number of stages.

One card, an event a millisecond, a window of 10,000 events. The stages share them in turn: with nine stages some 10³⁰
combinations are under way at any instant. The last stage comes once in 10,000 events and completes the newest 1,000
(the bound that a rule has if it says no other); another figure is the time from one match of it to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.engine import EngineRun
from bench.measure import PASSES, Timing, ratio, side_by_side
from bench.workloads import BEGINNING_MS, COUNTRIES, RULES, Events
from cep.compile import compile_rules
from cep.lang import check_texts
from cep.layout.program import Program

STAGES = (3, 5, 7, 9)
EVENTS = 131_072
WITHIN_MS = 10_000
RARE = 10_000  # one event in so many is of the last stage
END = len(COUNTRIES) - 1  # the country that stands for it
MOST = 1000  # matches of one event


def compile_stages(stages: int, most: int = MOST) -> Program:
    """A rule of so many stages, told apart by the country of the payment."""
    countries = [*COUNTRIES[: stages - 1], COUNTRIES[END]]
    steps = " then ".join(f'payment where country == "{country}"' for country in countries)
    text = f"rule all_{stages} by card within {WITHIN_MS}ms max {most}\n  match all when {steps}\n"
    loaded = check_texts({"schema.cep": (RULES / "schema.cep").read_text("utf-8"), "all.cep": text})
    assert loaded.ruleset is not None, loaded.diagnostics
    return compile_rules(loaded.ruleset)


def dense(stages: int, n: int = EVENTS) -> Events:
    """n payments of one card, of each stage but the last in turn."""
    at = np.arange(n, dtype=np.int64)
    country = (at % (stages - 1)).astype(np.int8)
    country[RARE - 1 :: RARE] = END
    return Events(
        ts=BEGINNING_MS + at,
        kind=np.zeros(n, np.int8),
        card=np.zeros(n, np.int64),
        amount=np.ones(n),
        country=country,
        merchant=np.zeros(n, np.int32),
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of the table. cost: beside the first number of stages. match_ns: what one more match takes."""

    stages: int
    matches: int
    timing: Timing
    cost: float
    match_ns: float


def measure_combinations(rounds: int = PASSES, stages: Sequence[int] = STAGES) -> list[Outcome]:
    """All numbers of stages side by side, with few matches of an event and with many."""
    few = [EngineRun(compile_stages(number, 1), dense(number)) for number in stages]
    many = [EngineRun(compile_stages(number), dense(number)) for number in stages]
    timings = side_by_side(EVENTS, [run.timed for run in (*few, *many)], rounds)
    outcomes = []
    for number, one, all_of, update, whole in zip(
        stages, few, many, timings[: len(few)], timings[len(few) :], strict=True
    ):
        more = all_of.matches - one.matches
        match_ns = (whole.ns - update.ns) * EVENTS / more
        outcomes.append(Outcome(number, all_of.matches, update, ratio(update, timings[0]), match_ns))
    return outcomes
