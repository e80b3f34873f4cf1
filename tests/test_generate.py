"""The random author: the checker takes whatever it writes, most of it makes something happen, nothing is left out."""

from __future__ import annotations

from collections import Counter

from tests.generate import describe, random_case
from tests.oracle import run

SEEDS = range(300)


def test_the_same_seed_gives_the_same_case():
    assert describe(random_case(7)) == describe(random_case(7))


def test_every_case_is_accepted_and_most_make_something_happen():
    loud, features = 0, Counter()
    for seed in SEEDS:
        case = random_case(seed)  # asserts that the checker accepts it
        loud += bool(run(case.ruleset, case.events, case.until_us))
        features.update(case.features)
    assert loud > 0.6 * len(SEEDS)
    assert len(features) > 80


def test_what_comes_later_changes_nothing():
    """The oracle itself: the outcomes up to an instant are a function of the events up to it."""
    for seed in range(100):
        case = random_case(seed)
        outcomes = run(case.ruleset, case.events, case.until_us)
        middle_us = case.events[len(case.events) // 2].time_us
        before = [event for event in case.events if event.time_us <= middle_us]
        assert run(case.ruleset, before, middle_us) == [o for o in outcomes if o.time_us <= middle_us]
