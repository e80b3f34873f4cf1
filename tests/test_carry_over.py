"""A changed rule set goes on with the state of the rules that have not changed, and of no others."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from cep.compile import compile_rules
from cep.engine.picture import restore, take, unknown_to
from cep.engine.snapshot import dump, load
from cep.engine.state import EngineState
from cep.engine.step import drain, step
from cep.lang import check_texts
from cep.layout.program import Program
from cep.testing import VirtualEvent, batch_of
from tests import oracle
from tests.generate import FILES, describe, random_case
from tests.test_engine import outcomes

SCHEMA = """
stream payments time ts type kind late 2s
stream logins time ts type kind late 2s
event payment from payments (card text, amount money, country text)
event login from logins (card text, place text)
event dear = payment where amount > 100
"""
STEADY = """
rule pair by card within 1m
  match each
  when payment as a where country starts with "N"
  then payment as b where amount > a.amount and count(payment) >= 2
  alert low "{card}: {a.amount}, {lower(b.country)}"
  limit 1 per 5m by card
rule often by card within 1m
  while count(payment) >= 3 and count(login) >= 0 or sum(dear.amount) > 500
  alert medium "{card}: {count(payment)}"
"""


def program_of(text: str) -> Program:
    loaded = check_texts({"rules.cep": text})
    assert loaded.ruleset is not None, loaded.diagnostics
    return compile_rules(loaded.ruleset)


Given = tuple[str, int, dict[str, object]]  # event, time in µs, values


def town(rng: random.Random, n: int) -> list[Given]:
    """n payments and log-ins, a few seconds apart."""
    made: list[Given] = []
    time_us = 0
    for _ in range(n):
        time_us += rng.choice((0, 1, 2, 5, 20)) * 1_000_000
        if rng.random() < 0.2:
            made.append(("login", time_us, {"card": rng.choice("abc"), "place": "x", "spot": "x"}))
            continue
        country, amount = rng.choice(("NL", "NO", "DE")), rng.choice((1, 50, 200, 400)) * 10_000
        made.append(("payment", time_us, {"card": rng.choice("abc"), "amount": amount, "country": country}))
    return made


class Run:
    """Programs over one stream, each going on where the one before stood."""

    def __init__(self, events: Sequence[Given], of_bytes: bool = False) -> None:
        self._events, self._of_bytes = events, of_bytes
        self._known: dict[bytes, oracle.Outcome] = {}
        self.made: list[oracle.Outcome] = []

    def go(self, program: Program, state: EngineState, first: int, last: int) -> EngineState:
        places = {event.name: i for i, event in enumerate(program.events)}
        events = [VirtualEvent(places[name], time_us, values) for name, time_us, values in self._events[first:last]]
        if events:
            output = step(program, state, batch_of(program, state.strings, events, first))
            self.made += outcomes(program, state, output, self._known)
        return state

    def change(self, before: Program, state: EngineState, after: Program) -> EngineState:
        return load(after, dump(before, state)) if self._of_bytes else restore(after, take(before, state))

    def end(self, program: Program, state: EngineState) -> list[oracle.Outcome]:
        self.made += outcomes(program, state, drain(program, state), self._known)
        return self.made


def undisturbed(program: Program, events: Sequence[Given]) -> list[oracle.Outcome]:
    run = Run(events)
    return run.end(program, run.go(program, EngineState.create(program), 0, len(events)))


def of(made: list[oracle.Outcome], names: set[str]) -> list[oracle.Outcome]:
    return [outcome for outcome in made if outcome.rule in names]


@pytest.mark.parametrize("block", range(4))
def test_rules_that_stay_make_what_they_would_have_made(block: int) -> None:
    """Random rules: some go, some come, at a random place of a random stream; the others do not notice."""
    compared = 0
    for seed in range(block * 60, block * 60 + 60):
        case, rng = random_case(seed), random.Random(seed)
        declared, *rules = _parted(case.text)
        kept = rng.sample(rules, rng.randint(1, len(rules)))
        more = [rule for rule in rules if rule not in kept and rng.random() < 0.5]
        before = check_texts({"case.cep": "\n".join([declared, *rules])} | FILES).ruleset
        after = check_texts({"case.cep": "\n".join([declared, *more, *kept])} | FILES).ruleset
        if before is None or after is None:
            continue  # a rule over the alerts of one that is gone
        names = {rule.name for rule in after.rules if rule.stratum == 0}
        programs = compile_rules(before), compile_rules(after)
        events = [(programs[0].events[e.event].name, e.time_us, dict(e.values)) for e in case.events]
        cut = rng.randrange(len(events))
        whole = Run(events)
        expected = of(
            whole.end(programs[0], whole.go(programs[0], EngineState.create(programs[0]), 0, len(events))), names
        )
        run = Run(events, of_bytes=rng.random() < 0.5)
        state = run.go(programs[0], EngineState.create(programs[0]), 0, cut)
        state = run.change(programs[0], state, programs[1])
        made = of(run.end(programs[1], run.go(programs[1], state, cut, len(events))), names)
        assert sorted(made, key=repr) == sorted(expected, key=repr), f"changed at event {cut}\n{describe(case)}"
        compared += len(expected)
    assert compared > 100


def _parted(text: str) -> list[str]:
    """The declarations of a case, and each of its rules."""
    declared, *rules = text.split("\nrule ")
    return [declared, *(f"rule {rule}" for rule in rules)]


CHANGES = {
    "nothing": SCHEMA + STEADY,
    "a rule more that reads other columns, and the same aggregates and another": (
        SCHEMA + 'rule new by card within 1h\n  when login where place ends with "x"\n'
        "  then payment where amount > 2 * avg(payment.amount) and count(payment) >= 2\n  alert low\n" + STEADY
    ),
    "another order of rules and of declarations": "\n".join(
        [*SCHEMA.strip().split("\n")[:2], *reversed(SCHEMA.strip().split("\n")[2:]), *reversed(_parted(STEADY)[1:])]
    ),
    "what is said": SCHEMA + STEADY.replace("alert low", "alert critical").replace("{a.amount}", "{b.amount}"),
    "other names and fields of events that the rules do not read": (
        SCHEMA.replace("country text)", "country text, note text)").replace("place text", "spot text") + STEADY
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_changes_that_cost_no_state(change: str) -> None:
    before, after = program_of(SCHEMA + STEADY), program_of(CHANGES[change])
    for seed in range(6):
        events = town(random.Random(seed), 150)
        expected = undisturbed(before, events)
        run = Run(events)
        state = run.go(before, EngineState.create(before), 0, 60)
        assert set(unknown_to(after, take(before, state))) <= {"new"}
        state = run.change(before, state, after)
        made = of(run.end(after, run.go(after, state, 60, len(events))), {"pair", "often"})
        assert sorted(made, key=repr) == sorted(expected, key=repr)
        assert len(expected) > 10


@pytest.mark.parametrize(
    ("was", "now", "anew"),
    [
        ("within 1m\n  match", "within 2m\n  match", ["pair"]),
        ("amount > a.amount", "amount >= a.amount", ["pair"]),
        (">= 3", ">= 4", ["often"]),
        ("amount > 100", "amount > 101", ["often"]),
        ("amount money", "amount money at body.amount", ["pair", "often"]),
        ("rule often", "rule many", []),
        ("{count(payment)}", "{sum(payment.amount)}", ["often"]),
    ],
)
def test_a_rule_begins_anew_where_its_meaning_has_changed(was: str, now: str, anew: list[str]) -> None:
    text = SCHEMA + STEADY
    assert was in text
    before, after = program_of(text), program_of(text.replace(was, now))
    assert set(unknown_to(after, take(before, EngineState.create(before)))) == set(anew)


def test_what_is_open_resolves_under_a_rule_that_says_something_else() -> None:
    text = SCHEMA.replace(" late 2s", "") + (
        "rule often by card within 1m\n  while count(payment) >= 2\n"
        '  alert high "many" if count(payment) >= 9\n  alert low "some"\n'
    )
    before, after = program_of(text), program_of(text.replace('  alert high "many" if count(payment) >= 9\n', ""))
    login: Given = ("login", 5_000_000, {"card": "b"})  # until it comes, what pays has to wait
    run = Run([*(("payment", t * 1_000_000, {"card": "a", "amount": 1, "country": "NL"}) for t in (0, 1, 5)), login])
    state = run.change(before, run.go(before, EngineState.create(before), 0, 4), after)
    assert [(made.status, made.clause) for made in run.end(after, state)] == [("fired", 1), ("resolved", 0)]
