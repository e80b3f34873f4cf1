"""Rules over alerts over several late streams: however entries arrive, alerts and their order are the same."""

from __future__ import annotations

import json
import random

import pytest

from cep.alerting import Alerting
from cep.compile import compile_rules
from cep.engine.snapshot import dump, load
from cep.engine.state import EngineState
from cep.engine.step import drain, step
from cep.lang import check_texts
from cep.layout.program import Program
from cep.testing import VirtualEvent, batch_of

SECOND = 1_000_000
RULES = """
stream left time ts late 2s
stream right time ts late 1s
event a from left (k text, n integer)
event b from right (k text, n integer)

rule waits by k within 5s
  when a as p then no b
  alert low
  show n = p.n
  score 2

rule pair by k within 6s
  when a then b as q
  alert high if q.n > 2
  alert medium
  score 3
  limit 2 per 4s by k

rule many by k within 4s
  while count(a) + count(b) >= 3
  alert low
  score 4

rule both by k within 10s
  match each when pair as x then waits as y
  alert low
  show n = y.n

rule quiet by k within 3s
  when pair then no waits
  alert info

rule risk by k within 8s
  while sum(alert.score) > 5
  alert critical "{sum(alert.score)} of {count(alert)}"

rule late_risk by k within 20s
  when risk as r where status == "resolved" then a within 10s
  alert low

rule on_trial by k mode shadow within 9s
  when 2 waits then risk
  alert low
"""


def program() -> Program:
    loaded = check_texts({"chain.cep": RULES})
    assert loaded.ruleset is not None, loaded.diagnostics
    return compile_rules(loaded.ruleset)


def events(rng: random.Random, of: int, late_us: int) -> list[VirtualEvent]:
    """Events of one stream as they arrive: out of order, but none too late."""
    time_us, found, latest = 0, list[VirtualEvent](), 0
    for _ in range(60):
        time_us += rng.choice((0, 0, 1, 1, 2, 5)) * SECOND
        at = max(0, time_us - rng.randint(0, late_us // SECOND) * SECOND)
        at = max(at, latest - late_us)
        latest = max(latest, at)
        found.append(VirtualEvent(of, at, {"k": rng.choice("xy"), "n": rng.randint(0, 4)}))
    return found


def bodies(made: Program, arriving: list[list[VirtualEvent]], rng: random.Random) -> list[bytes]:
    """The alerts when the streams arrive in pieces of any length, in any turns, with a restore now and then."""
    state, alerting, found = EngineState.create(made), Alerting(made), list[bytes]()
    taken = [0, 0]
    longest = rng.choice((1, 3, 20, 60))
    while any(at < len(own) for at, own in zip(taken, arriving, strict=True)):
        of = rng.choice([number for number in (0, 1) if taken[number] < len(arriving[number])])
        piece = arriving[of][taken[of] : taken[of] + rng.randint(1, longest)]
        ended = frozenset(number for number in (0, 1) if number != of and taken[number] == len(arriving[number]))
        output = step(made, state, batch_of(made, state.strings, piece, taken[of]), ended)
        assert not len(output.late)
        found += alerting.render(state, output)
        taken[of] += len(piece)
        if rng.random() < 0.1:
            state = load(made, dump(made, state))
    return found + alerting.render(state, drain(made, state))


@pytest.mark.parametrize("block", range(4))
def test_how_it_arrives_makes_no_difference(block: int) -> None:
    made, fired = program(), set[str]()
    for seed in range(block * 10, block * 10 + 10):
        rng = random.Random(seed)
        arriving = [events(rng, 0, 2 * SECOND), events(rng, 1, SECOND)]
        whole = bodies(made, arriving, random.Random(f"{seed} first"))
        for turn in range(3):
            assert bodies(made, arriving, random.Random(f"{seed} {turn}")) == whole, f"seed {seed}, turn {turn}"
        told = [json.loads(body) for body in whole]
        assert len({alert["id"] for alert in told}) == len(told)
        assert [alert["time"] for alert in told] == sorted(alert["time"] for alert in told)
        fired |= {alert["data"]["rule"]["id"] for alert in told}
    assert fired == {rule.name for rule in made.rules}


def test_an_alert_names_the_alerts_that_caused_it() -> None:
    made = program()
    state, alerting = EngineState.create(made), Alerting(made)
    given = [VirtualEvent(0, 0, {"k": "x", "n": 1}), VirtualEvent(1, SECOND, {"k": "x", "n": 3})]
    given += [VirtualEvent(0, 2 * SECOND, {"k": "x", "n": 2})]
    found = alerting.render(state, step(made, state, batch_of(made, state.strings, given)))
    told = [json.loads(body) for body in found + alerting.render(state, drain(made, state))]
    by_rule = {alert["data"]["rule"]["id"]: alert for alert in told if alert["data"]["status"] == "fired"}
    captured = [event for part in by_rule["both"]["data"]["evidence"]["steps"] for event in part["events"]]
    assert [event["id"] for event in captured] == [by_rule["pair"]["id"], by_rule["waits"]["id"]]
    assert [event["stream"] for event in captured] == ["alerts", "alerts"]
    assert by_rule["pair"]["data"]["severity"] == "high"
