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
    assert loud > 0.8 * len(SEEDS)
    assert len(features) > 80
