"""The packs under `rules/`: no finding, all tests pass on the engine, every rule is shown firing and not firing."""

from __future__ import annotations

from pathlib import Path

import pytest

from cep.compile import compile_rules
from cep.lang import load
from cep.lang.checked.ruleset import Expect, RuleSet
from cep.testing import run_tests

RULES = Path(__file__).parents[1] / "rules"
PACKS = sorted(path.name for path in RULES.iterdir() if path.is_dir())


def rules_under(folder: Path) -> RuleSet:
    loaded = load([folder])
    assert loaded.diagnostics == ()
    assert loaded.ruleset is not None
    return loaded.ruleset


def one_by_one(events: int) -> list[int]:
    return list(range(1, events + 1))


def test_all_packs_together() -> None:
    rules = rules_under(RULES)
    results = run_tests(rules, compile_rules(rules))
    assert [failure for result in results for failure in result.failures] == []


@pytest.mark.parametrize("pack", PACKS)
def test_a_pack_by_itself(pack: str) -> None:
    rules = rules_under(RULES / pack)
    results = run_tests(rules, compile_rules(rules), one_by_one)
    assert [failure for result in results for failure in result.failures] == []


def test_every_rule_is_shown_firing_and_not_firing() -> None:
    rules = rules_under(RULES)
    fires, rests = set(), set()
    for test in rules.tests:
        expects = [step for step in test.steps if isinstance(step, Expect)]
        if any(expect.what == "fired" and expect.rule == test.rule for expect in expects):
            fires.add(test.rule)
        if all(expect.what in ("none", "nothing") for expect in expects):
            rests.add(test.rule)
    names = {rule.name for rule in rules.rules}
    assert (names - fires, names - rests) == (set(), set())


def test_every_rule_says_what_it_is_about() -> None:
    assert [rule.name for rule in rules_under(RULES).rules if not (rule.about and rule.owner and rule.tags)] == []
