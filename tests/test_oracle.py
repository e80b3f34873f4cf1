"""The oracle itself: laws on rule sets built by hand, then every `test` block of the case files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cep.errors import Span
from cep.lang import load
from cep.lang.checked.expressions import Aggregate, CaptureRef, Const, Expr, FieldRef, LatestRef, Op, Source, Window
from cep.lang.checked.rules import Key, Limit, Rule, Step, When, While
from cep.lang.checked.ruleset import Expect, Given, RuleSet
from cep.lang.checked.ruleset import Test as Block
from cep.lang.checked.schema import Event, Field, Kind, Stream
from tests.oracle import OracleEvent, Outcome, report, run, said
from tests.oracle_tables import with_tables

SECOND = 1_000_000
NOWHERE = Span("hand.cep", 1, 1, 1, 1)
NAMES = ("a", "b", "c", "x")
FIELDS = (Field("k", Kind.TEXT, ("k",)), Field("v", Kind.INTEGER, ("v",)))
EVENTS = tuple(Event(name, i, 0, name, FIELDS) for i, name in enumerate(NAMES))


def source(name: str, where: Expr | None = None) -> Source:
    event = NAMES.index(name)
    return Source(event, where, (FieldRef(event, "k", Kind.TEXT),))


def step(word: str, link: str | None = "then", least=1, most=1, within=None, where=None) -> Step:
    """`step("a")`, or `step("no x")`; times in seconds."""
    name = word.rsplit(maxsplit=1)[-1]
    within_us = None if within is None else within * SECOND
    return Step(link, word.startswith("no "), least, most, within_us, source(name, where), None, name, NOWHERE)


def ruleset(trigger: When | While, within: int | None = 1000, **changes) -> RuleSet:
    within_us = None if within is None else within * SECOND
    rule = Rule(
        "r", "v", NOWHERE, (Key("k", Kind.TEXT),), within_us, trigger, (), (), (), None, None, "live", 1000,
        86_400 * SECOND, None, None, (),
    )  # fmt: skip
    stream = Stream("s", 0, ("ts",), ("type",), 0, None)
    return RuleSet((stream,), EVENTS, (replace(rule, **changes),), ())


def stream(text: str, key: str = "k") -> list[OracleEvent]:
    """`a1@0 b@2.5`: event names, with a value when a digit follows, at seconds."""
    found = []
    for word in text.split():
        name, at = word.split("@")
        fields = {"k": key} | ({"v": int(name[1:])} if name[1:] else {})
        found.append(OracleEvent(NAMES.index(name[0]), round(float(at) * SECOND), fields))
    return found


def fired(rules: RuleSet, text: str, until: float = 10_000) -> list[tuple[str, float]]:
    """What was captured, as `a1 b1` (name and ordinal of the event), and when."""
    events = stream(text)
    words = [word.split("@")[0] for word in text.split()]
    outcomes = run(rules, events, round(until * SECOND))
    return [(" ".join(words[i] for s in o.captured for i in s), o.time_us / SECOND) for o in outcomes]


def episodes(rules: RuleSet, text: str, until: float = 100_000) -> list[tuple[str, float]]:
    return [(o.status, o.time_us / SECOND) for o in run(rules, stream(text), round(until * SECOND))]


def when(*steps: Step, policy: str = "first") -> When:
    return When(policy, (replace(steps[0], link=None), *steps[1:]))


def count(name: str, within: int) -> Aggregate:
    return Aggregate("count", source(name), None, Window("over", within * SECOND), Kind.INTEGER)


def compare(name: str, left: Expr, right: float | Expr) -> Op:
    return Op(name, (left, Const(right, left.kind) if isinstance(right, int) else right), Kind.FLAG)


def test_policies():
    text = "a1@1 a2@2 b1@3 b2@4"
    assert fired(ruleset(when(step("a"), step("b"))), text) == [("a1 b1", 3)]
    assert fired(ruleset(when(step("a"), step("b"), policy="last")), text) == [("a2 b1", 3)]
    assert fired(ruleset(when(step("a"), step("b"), policy="each")), text) == [("a1 b1", 3), ("a2 b1", 3)]


def test_every_combination():
    pairs = ruleset(when(step("a"), step("b"), policy="all"))
    made = [("a1 b1", 3), ("a2 b1", 3), ("a1 b2", 4), ("a2 b2", 4)]
    assert fired(pairs, "a1@1 a2@2 b1@3 b2@4") == made
    following = when(step("a"), step("b"), step("c"), policy="all")
    assert fired(ruleset(following), "a1@1 b1@2 b2@3 c@4") == [("a1 b1 c", 4), ("a1 b2 c", 4)]
    bounded = report(ruleset(following, max_starts=1), stream("a1@1 b1@2 b2@3 c@4"), 10 * SECOND)
    assert [outcome.captured for outcome in bounded.outcomes] == [((0,), (2,), (3,))]
    assert bounded.counters.matches_cut == 1
    guarded = when(step("a"), step("b"), step("no x", within=1), step("c"), policy="all")
    dropped = report(ruleset(guarded, max_starts=2), stream("a1@1 b1@2 b2@3 c@4"), 10 * SECOND)
    assert [outcome.captured for outcome in dropped.outcomes] == [((0,), (1,), (3,))]
    assert dropped.counters.runs_dropped == 1


def test_next_is_the_very_next_event_of_the_key():
    rules = ruleset(when(step("a"), step("b", "next")))
    assert fired(rules, "a1@1 a2@2 b1@3") == [("a2 b1", 3)]
    assert fired(rules, "a1@1 c@2 b1@3") == [("a1 b1", 3)]  # the rule does not name c


def test_loops():
    rules = ruleset(when(step("b", least=1, most=None), step("c")))
    assert fired(rules, "b1@1 b2@2 b3@3 c@4") == [("b1 b2 b3 c", 4)]
    each = ruleset(when(step("b", least=1, most=None), step("c"), policy="each"))
    assert [text for text, _ in fired(each, "b1@1 b2@2 b3@3 c@4")] == ["b1 b2 b3 c", "b2 b3 c", "b3 c"]
    three = when(step("a", least=3, most=3))
    assert fired(ruleset(three), "a1@1 a2@2 a3@3 a4@4 a5@5 a6@6") == [("a1 a2 a3", 3), ("a4 a5 a6", 6)]
    assert len(fired(ruleset(replace(three, policy="each")), "a1@1 a2@2 a3@3 a4@4 a5@5 a6@6")) == 4


def test_horizon_is_half_open_and_a_leading_loop_slides():
    rules = ruleset(when(step("a"), step("b")), within=10)
    assert fired(rules, "a1@0 b1@10") == []
    assert fired(rules, "a1@0 a2@9 b1@10.5") == [("a2 b1", 10.5)]
    slides = ruleset(when(step("b", least=2, most=None), step("c")), within=10)
    assert fired(slides, "b1@0 b2@4 b3@8 c@11") == [("b2 b3 c", 11)]


def test_trailing_no():
    text = "a1@1 b1@2 a2@4 c1@5 b2@10 a3@11 b3@13"
    assert fired(ruleset(when(step("a"), step("no b")), within=3), text) == [("a2", 7)]
    unpaid = ruleset(when(step("a"), step("no b")), within=30)
    assert fired(unpaid, "a1@0 a2@5") == [("a1", 30), ("a2", 35)]
    assert fired(unpaid, "a1@0 a2@5", until=30) == [("a1", 30)]
    assert fired(unpaid, "a1@0 b1@30") == [("a1", 30)]


def test_a_burst_ends_with_silence():
    burst = ruleset(when(step("a", least=2, most=None), step("no a", within=5)), within=60)
    assert fired(burst, "a1@0 a2@4 a3@8 a4@20") == [("a1 a2 a3", 13)]


def test_no_between_and_in_front():
    assert fired(ruleset(when(step("a"), step("no x"), step("b"))), "a1@1 x1@2 b1@3") == []
    leading = ruleset(when(step("no x", within=5), step("b")))
    assert fired(leading, "b1@10") == [("b1", 10)]
    assert fired(leading, "x1@6 b1@10") == []
    assert fired(leading, "x1@5 b1@10") == [("b1", 10)]


def test_look_back_and_max():
    higher = compare("gt", FieldRef(1, "v", Kind.INTEGER), CaptureRef(0, "last", 0, "v", Kind.INTEGER))
    trigger = when(step("a"), step("b", where=higher), policy="each")
    assert fired(ruleset(trigger), "a1@1 a5@2 b3@3") == [("a1 b3", 3)]
    bounded = report(ruleset(trigger, max_starts=1), stream("a1@1 a5@2 b3@3"), 10 * SECOND)
    assert bounded.outcomes == []
    assert bounded.counters.runs_dropped == 1


def test_an_aggregate_in_a_when_leaves_its_own_event_out():
    busy = compare("ge", count("a", 10), 2)
    assert fired(ruleset(when(step("a", where=busy))), "a1@0 a2@5 a3@9 a4@10 a5@20") == [("a3", 9), ("a4", 10)]


def test_an_episode_opens_and_resolves_at_the_exact_expiry():
    rules = ruleset(While(compare("ge", count("a", 60), 3), 0, None, 0))
    assert episodes(rules, "a@0 a@20 a@40") == [("fired", 40), ("resolved", 60)]
    kept = ruleset(While(compare("ge", count("a", 60), 3), 0, None, 30 * SECOND))
    assert episodes(kept, "a@0 a@20 a@40 a@85") == [("fired", 40), ("resolved", 90)]
    assert episodes(kept, "a@0 a@20 a@40 a@61 a@62") == [("fired", 40), ("resolved", 130)]


def test_hold_and_hysteresis():
    latest = LatestRef(source("a"), "v", Kind.INTEGER)
    trigger = While(compare("gt", latest, 80), 300 * SECOND, compare("lt", latest, 75), 0)
    text = "a81@0 a79@100 a82@200 a83@400 a78@600 a74@700"
    assert episodes(ruleset(trigger), text) == [("fired", 500), ("resolved", 700)]


def test_a_key_that_goes_quiet_is_forgotten():
    latest = LatestRef(source("a"), "v", Kind.INTEGER)
    rules = ruleset(While(compare("gt", latest, 80), 0, None, 0), forget_us=10 * SECOND)
    found = report(rules, stream("a81@0 a82@10 a83@25"), 30 * SECOND)
    assert [(o.status, o.time_us // SECOND) for o in found.outcomes] == [("fired", 0), ("fired", 10), ("fired", 25)]
    assert found.counters.episodes_forgotten == 2


def test_null_keys_are_counted_and_unknown_never_passes():
    rules = ruleset(when(step("a", where=Op("not", (compare("gt", FieldRef(0, "v", Kind.INTEGER), 3),), Kind.FLAG))))
    found = report(rules, [OracleEvent(0, 0, {}), OracleEvent(0, 1, {"k": "k"}), *stream("a2@1")], SECOND)
    assert [o.captured for o in found.outcomes] == [((2,),)]
    assert found.counters.without_key == 1


def test_a_limit_lets_the_first_of_a_period_through():
    rules = ruleset(when(step("a")), limit=Limit(1, 10 * SECOND, ()))
    events = stream("a@0 a@9 a@10 a@19 a@20")
    passed = run(rules, events, 100 * SECOND)
    assert [o.time_us // SECOND for o in passed] == [0, 10, 20]


# ---------------------------------------------------------------------------------- test blocks

CASES = Path(__file__).parent / "cases"
FILES = sorted(path for path in CASES.rglob("*.cep") if "errors" not in path.parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CASES)))
def test_case_file(path: Path):
    loaded = load([path])
    rules = loaded.ruleset
    assert rules is not None, loaded.diagnostics
    assert rules.tests
    failures = [failure for test in rules.tests for failure in broken_promises(rules, test)]
    assert not failures, "\n".join(failures)


def broken_promises(rules: RuleSet, test: Block) -> list[str]:
    """What the oracle makes of a `test` block: one line for each expectation that it does not meet."""
    rules = with_tables(rules)
    givens = [step for step in test.steps if isinstance(step, Given)]
    expects = [step for step in test.steps if isinstance(step, Expect)]
    events = [
        OracleEvent(given.event, given.at_us + i * given.every_us, dict(given.values))
        for given in givens
        for i in range(given.times)
    ]
    events.sort(key=lambda event: event.time_us)
    outcomes = run(rules, events, max(step.at_us for step in test.steps))
    failures = []
    for i, expect in enumerate(expects):
        since = max((e.at_us for e in expects[:i] if e.at_us < expect.at_us), default=-1)
        within = [o for o in outcomes if since < o.time_us <= expect.at_us]
        found = [o for o in within if answers(rules, expect, o)]
        if bool(found) != (expect.what in ("fired", "resolved")):
            told = [(o.rule, o.status, o.time_us / SECOND, o.key, o.captured) for o in within]
            failures.append(f"{expect.span} {test.rule} {test.title!r}: {expect.what} {expect.values}, but {told}")
    return failures


def answers(rules: RuleSet, expect: Expect, outcome: Outcome) -> bool:
    """Whether the outcome is what the expectation speaks of."""
    if expect.what == "nothing":
        return True
    rule = next(rule for rule in rules.rules if rule.name == outcome.rule)
    told = said(rule, outcome)
    status = "resolved" if expect.what == "resolved" else "fired"
    return (outcome.rule, outcome.status) == (expect.rule, status) and all(
        told[name] == wanted for name, wanted in expect.values
    )
