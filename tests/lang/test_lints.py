"""Warnings, contradictions, and the cost of rules: what is certain is said, and nothing else."""

from __future__ import annotations

import pytest

from cep.compile import compile_rules
from cep.engine.combinations import CombinationState
from cep.engine.episodes import EpisodeState
from cep.engine.graph import GraphState
from cep.engine.sequences import ChainState, ProbeState
from cep.engine.state import EngineState
from cep.lang import check_texts
from cep.lang.checked.ruleset import RuleSet
from cep.lang.codes import SCHEMA
from cep.lang.cost import Cost, costs
from tests.generate import random_case


def found(text: str) -> list[str]:
    return [f"{d.code} {d.message}" for d in check_texts({"x.cep": SCHEMA + text}).diagnostics]


def accepted(text: str) -> RuleSet:
    loaded = check_texts({"x.cep": SCHEMA + text})
    assert loaded.ruleset is not None, loaded.diagnostics
    return loaded.ruleset


@pytest.mark.parametrize(
    "filter_",
    [
        "n > 2 and n < 3",  # whole numbers have nothing between them
        "m > 1.0000 and m < 1.0001",
        "not n > 5 and n > 6",
        "not (n <= 5 or ok) and n < 3",
        "(n > 5 or n < 2) and n between 3 and 4",
        '(t == "x" or t == "y") and t not in ["x", "y"]',
        "ok and not ok",
        "n < m and n > m",
        "n < m and m <= n",
        "n != n",
        "length(t) < 0",
        "count(a) over 1h < 0",
        'lower(t) == "x" and lower(t) == "y"',
    ],
)
def test_contradictions(filter_):
    assert [said[:6] for said in found(f"rule r by k when a where {filter_}")] == ["CEP303"]


@pytest.mark.parametrize(
    "filter_",
    [
        "x > 2 and x < 3",
        "m > 1 and m < 2",
        "(n > 5 or n < 2) and n between 3 and 6",
        "n <= m and m <= n",
        "not (ok and n > 5) and n > 6",
        "count(a) over 1h <= 0",
        'lower(t) == "x" and t == "X"',
    ],
)
def test_what_is_possible_is_not_refused(filter_):
    assert found(f"rule r by k when a where {filter_}") == []


def test_a_refinement_and_the_step_that_uses_it():
    assert [said[:6] for said in found("event c = a where n > 5\nrule r by k when c where n < 3")] == ["CEP303"]


IMPLIED = 'CEP391 whenever "r" fires, "q" fires too, at level {}'


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        ("when a where n > 5", "when a where n > 2"),
        ("when a where n > 5 and ok", "when a"),
        ('when a where t == "x"', 'when a where t in ["x", "y"]'),
        ("match each when a where n > 5 then b", "match each when a where n > 2 then b"),
        ("while count(a) > 5", "while count(a) > 2"),
        ("while count(a) > 5 and sum(a.n) > 9 for 1m", "while count(a) > 4 for 1m"),
    ],
)
def test_a_rule_that_says_nothing_new(stronger, weaker):
    rules = f"rule r by k within 1h {stronger} alert {{}}\nrule q by k within 1h {weaker} alert low"
    assert found(rules.format("low")) == [IMPLIED.format("low")]
    assert found(rules.format("info")) == [IMPLIED.format("low")]
    assert found(rules.format("high")) == []


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        ("when a where n > 5", "when b where n > 2"),
        ("when a where n > 5", "when a where x > 2"),
        ("when a where n > 5 then b", "when a where n > 2 then b"),  # the weaker one may be busy with another start
        ("match each when 2 a where n > 5", "match each when 2 a where n > 2"),
        ("match each when a where n > 5 then no b where n > 5", "match each when a where n > 2 then no b"),
        ("while count(a) > 5 until count(a) < 2", "while count(a) > 2"),
        ("while count(a) > 5 for 1m", "while count(a) > 2 for 2m"),
    ],
)
def test_what_may_be_new_is_not_warned_of(stronger, weaker):
    assert found(f"rule r by k within 1h {stronger} alert low\nrule q by k within 1h {weaker} alert low") == []


# ------------------------------------------------------------------------------------------- cost


def cost(text: str) -> Cost:
    return costs(accepted(text))[0]


def test_what_bounds_a_rule():
    assert cost("rule r by k when a").bytes_max is not None
    looks_back = cost("rule r by k within 1h max 10 when a as p then b where n > p.n")
    assert looks_back.bytes_max is not None
    assert looks_back.parts[1].told().endswith("for each waiting start, 10 at most")
    chain = cost("rule r by k within 1h when a then b")
    assert chain.bytes_max is None
    assert chain.parts[1].told().endswith("for each waiting start, of the last 1h")
    combinations = cost("rule r by k within 1h match all when a then no b then a next b")
    assert combinations.parts[1].told().endswith("for each event that a step has captured, of the last 1h")
    one_by_one = cost("rule r by k within 1h match all when a then no b within 5m then a next b")
    assert one_by_one.parts[1].told().endswith("for each waiting start, 1,000 at most")
    gaps = cost("rule r by k when a then b within 10m then a within 5m")
    assert gaps.parts[1].within_us == 15 * 60_000_000
    distinct = cost("rule r by k within 1h while count(distinct a.t) > 5 and count(distinct a.n) > 5")
    assert distinct.parts[-1].told() == "128 for each different value in 2 windows, 4,096 at most"
    newest = cost("rule r by k while avg(a.n) over last 10 > 5")
    assert newest.bytes_max is not None
    assert newest.parts[-1].most == 10


def test_what_is_shared():
    rules = accepted(
        "rule r by k within 1h when a where count(b) > 5\n"
        "rule q by k within 1h when a where count(b) > 9 and n > 1 alert high\n"
        "rule p by t within 1h when a then b\n"
    )
    first, second, third = costs(rules)
    assert (first.windows_shared_with, first.alike) == (("q",), ("q",))
    assert (second.windows_shared_with, third.windows_shared_with, third.alike) == (("r",), (), ())


def test_the_engine_takes_no_more():
    """Rows of the engine's tables against what is said of them."""
    combined = 0
    for seed in range(80):
        print("seed", seed)
        ruleset = random_case(seed).ruleset
        program = compile_rules(ruleset)
        state = EngineState.create(program)
        by_name = {
            entry.rule: {part.each.split(" in ")[0]: part.size for part in entry.parts} for entry in costs(ruleset)
        }
        for rule, (place, _) in zip(program.rules, program.members, strict=True):
            plan = state.shards[0].plans[place]
            said = by_name[rule.name]
            key = 8 * plan.keys.slots.shape[1] + 2 * plan.keys.table.itemsize
            captured = 8 * (5 + len(program.stored))
            if isinstance(plan, ChainState):
                assert key + 8 * plan.chain.slots.shape[1] <= said["the key and its steps"]
                assert 8 * plan.chain.run.shape[1] + captured <= said.get("waiting start", 10**6)
                assert 8 * plan.chain.node.shape[1] + captured <= said.get("event of a loop", 10**6)
            elif isinstance(plan, ProbeState):
                assert key + 8 * plan.probe.slots.shape[1] <= said["the key and its steps"]
                assert 8 * plan.probe.run.shape[1] + captured <= said.get("waiting start", 10**6)
                assert 8 * plan.probe.node.shape[1] + 4 + captured <= said.get("event of a loop", 10**6)
            elif isinstance(plan, CombinationState):
                assert key + 8 * plan.combinations.slots.shape[1] <= said["the key and its steps"]
                assert 8 * plan.combinations.node.shape[1] + captured <= said.get(
                    "event that a step has captured", 10**6
                )
                combined += 1
            elif isinstance(plan, GraphState):
                assert key + 8 * plan.paths.slots.shape[1] <= said["the key and its steps"]
                assert 8 * plan.paths.run.shape[1] + captured <= said.get("waiting start", 10**6)
                assert 8 * plan.paths.node.shape[1] + 4 + captured <= said.get("event of a loop", 10**6)
            elif isinstance(plan, EpisodeState):
                own = 8 * (plan.episodes.state.shape[1] + plan.episodes.now.shape[1])
                assert key + own <= said["the key and its episode"]
                w = plan.windows
                assert 8 * (w.slots.shape[1] + w.extra.shape[1]) <= said.get("its windows", 0)
    assert combined > 2
