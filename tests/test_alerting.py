"""Alerts: what they say equals the oracle, however the stream is cut; every one of them fits the published schema."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import cep
from cep.alerting import BYTES_MAX, SCHEMA, Alert, Alerting
from cep.compile import compile_rules
from cep.engine.limits import COMPACT_AT, LIMITED, Limits, RuleLimit
from cep.engine.state import EngineState
from cep.engine.step import drain, step
from cep.engine.values import duration, money, number, time
from cep.lang import check_texts
from cep.lang.checked.rules import Rule, When
from cep.lang.checked.ruleset import RuleSet
from cep.layout.alerts import LimitSpec
from cep.layout.program import Program
from cep.testing import VirtualEvent, batch_of
from tests.generate import Case, random_case
from tests.generate_tables import FILES
from tests.oracle import OracleEvent, Outcome, run
from tests.oracle_tables import with_tables
from tests.oracle_values import value
from tests.test_engine import random_cuts

SECOND = 1_000_000
FOLDER = Path(cep.__file__ or "").parent / "schema"
DECLARED = json.loads((FOLDER / "alert.v1.schema.json").read_text())
VALIDATOR = Draft202012Validator(DECLARED)


def compiled(text: str) -> tuple[RuleSet, Program]:
    loaded = check_texts({"alerts.cep": text} | FILES)
    assert loaded.ruleset is not None, loaded.diagnostics
    return loaded.ruleset, compile_rules(loaded.ruleset)


def alerts_of(
    program: Program, events: Sequence[VirtualEvent], cuts: Sequence[int] = (), until_us: int | None = None
) -> tuple[list[Alert], EngineState]:
    alerting, state = Alerting(program), EngineState.create(program)
    made = []
    for first, last in zip([0, *cuts], [*cuts, len(events)], strict=True):
        made += alerting.alerts(
            state, step(program, state, batch_of(program, state.strings, events[first:last], first))
        )
    return made + alerting.alerts(state, drain(program, state, until_us)), state


def document(alert: Alert) -> dict[str, Any]:
    """The alert's document, which fits the schema."""
    assert len(alert.body) < BYTES_MAX
    parsed: dict[str, Any] = json.loads(alert.body)
    VALIDATOR.validate(parsed)
    return parsed


def test_the_schema_is_one_and_is_the_one_that_alerts_name() -> None:
    Draft202012Validator.check_schema(DECLARED)
    assert DECLARED["$id"] == SCHEMA


# ------------------------------------------------------------------------------------- as the oracle

SHOWN = (
    *("count({a})", "sum({a}.u)", "avg({a}.u)", "min({a}.u)", "max({a}.u)", "first({a}.u)", "last({a}.u)"),
    *("prev({a}.u)", "stddev({a}.u)", "median({a}.u)", "p90({a}.u)", "changes({a}.u)", "slope({a}.u)", "top({a}.u)"),
    *("count({a} where u > 1)", "sum({a}.u where u > 1)", "max({a}.u where u < 3)"),
)
WINDOWS = (
    *("count({e}) over 5s", "sum({e}.u) over 4s every 2s", "zscore({e}.u) over 20s", "new({e}.u) over 10s"),
    *("rate({e}) over 8s", "top({e}.u) over session 3s", "median({e}.u) over last 5", "avg({e}.u) over each 7s"),
    *(
        "last({e}.u) over 9s offset 2s",
        "count({e}) over 9s by u",
        "ewma({e}.u) over 3s",
        "min({e}.u) over 9s since {e}",
    ),
)
MORE = {
    "v": ("stddev({a}.v)", "median({a}.v)", "sum({a}.v)", "avg({a}.v * 2)", "min({a}.v)", "{a}.first.v"),
    "w": (
        "slope({a}.w)",
        "p90({a}.w)",
        "sum({a}.w)",
        "max({a}.w)",
        "min({a}.w)",
        "first({a}.w)",
        "count(distinct {a}.w)",
        "{a}.w / 3",
    ),
    "t": (
        "top({a}.t)",
        "prev({a}.t)",
        "count(distinct {a}.t)",
        "first({a}.t)",
        "last({a}.t)",
        "{a}.first.t",
        "count({a}.t)",
    ),
    "f": ("{a}.f", "{a}.first.f"),
}


def with_outputs(case: Case) -> str:
    """The case's file; every `when` shows much of what it captured, and every other rule has a limit."""
    *parts, rest = re.split("(  alert low.*\n)", case.text)
    text = ""
    for number_, (part, clause, rule) in enumerate(zip(parts[::2], parts[1::2], case.ruleset.rules, strict=True)):
        text += part + clause
        if isinstance(rule.trigger, When):
            text += "".join(f"  show s{i} = {shown}\n" for i, shown in enumerate(shows(case.ruleset, rule.trigger)))
        if number_ % 2 == 0 and "  limit " not in part:
            by = f" by {rule.keys[0].name}" if rule.keys else ""
            text += f"  limit {1 + case.seed % 2} per {2 + case.seed % 7}s{by}\n"
    return text + rest


def shows(rules: RuleSet, trigger: When) -> list[str]:
    """Of each step's captured events, and windows as they stood before the last."""
    last = rules.events[[taken for taken in trigger.steps if not taken.negated][-1].source.event].name
    found = [] if last == "move" else [form.format(e=last) for form in WINDOWS]
    for taken in trigger.steps:
        if taken.negated:
            continue
        fields = {field.name for field in rules.events[taken.source.event].fields}
        forms = [*SHOWN, *(form for name, more in MORE.items() if name in fields for form in more)]
        is_loop = taken.most is None or taken.most > 1
        found += [form.format(a=taken.alias) for form in forms if is_loop or "(" not in form]
    return found


Told = tuple[str, str, int, tuple[object, ...], dict[str, object]]


def told_by_oracle(rules: RuleSet, events: list[OracleEvent], until_us: int) -> list[Told]:
    by_name = {rule.name: rule for rule in with_tables(rules).rules}
    passed = run(rules, events, until_us)
    return [(o.rule, o.status, o.time_us, o.key, shown_by(by_name[o.rule], o)) for o in passed]


def shown_by(rule: Rule, outcome: Outcome) -> dict[str, object]:
    assert outcome.place is not None
    return {name: value(expr, outcome.place) for name, expr in rule.shows}


def told(alert: Alert) -> Told:
    return alert.rule, alert.status, alert.time_us, tuple(alert.key.values()), alert.shows


@pytest.mark.parametrize("block", range(6))
def test_alerts_equal_the_oracle_however_the_stream_is_cut(block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        case = random_case(seed)
        rules, program = compiled(with_outputs(case))
        expected = told_by_oracle(rules, case.events, case.until_us)
        events = [VirtualEvent(e.event, e.time_us, e.values) for e in case.events]  # type: ignore[arg-type]
        bodies = []
        for cuts in ([], random_cuts(seed, len(events))):
            alerts, _ = alerts_of(program, events, cuts, case.until_us)
            assert list(map(told, alerts)) == expected, f"seed {seed}, cuts {cuts}"
            bodies.append([alert.body for alert in alerts])
        assert bodies[0] == bodies[1], f"seed {seed}"
        ids = [document(alert)["id"] for alert in alerts]
        assert len(set(ids)) == len(ids), f"seed {seed}"


# -------------------------------------------------------------------------------------- documents

CARDS = """
stream payments time ts
event txn from payments (card text, amount money, rate number, ok flag)
rule testing by card within 10m
  about "100 % \\"sure\\""
  owner "risk"
  tags ["fraud", "cards"]
  when no txn where amount > 1000 within 5m
  then 2+ txn as d where amount < 5
  then txn as hit where amount > 100
  alert high "{card}: {count(d)} small ({sum(d.amount)}), {hit.amount} at {hit.rate}, {hit.ok}, {hit.time - d.time} % {d.rate}"
  show n = count(d), total = sum(d.amount), gap = hit.time - d.first.time, at = hit.time, mean = avg(d.rate)
  label team = "a\\"b"
  label rate = hit.rate
  score count(d) * 2
rule busy by card within 1m
  while count(txn) >= 3
  alert low "{card} {count(txn)}"
  show n = count(txn), latest = last(txn.amount)
"""  # noqa: E501


def paid(second: float, amount: str, **values: Any) -> VirtualEvent:
    return VirtualEvent(
        0, round(second * SECOND), {"card": 'c"1%s', "amount": round(float(amount) * 10_000), "rate": None} | values
    )


def cards() -> list[Alert]:
    _, program = compiled(CARDS)
    events = [paid(0, "1"), paid(10.25, "2.5"), paid(20, "605", rate=2.0, ok=True)]
    return alerts_of(program, events)[0]


def test_a_sequences_document() -> None:
    alert = next(alert for alert in cards() if alert.rule == "testing")
    told = document(alert)
    data = told.pop("data")
    at = "1970-01-01T00:00:20Z"
    assert told | {"id": ""} == {
        "specversion": "1.0",
        "id": "",
        "source": "/cep",
        "type": "cep.alert.fired.v1",
        "subject": 'testing/card=c"1%s',
        "time": at,
        "datacontenttype": "application/json",
        "dataschema": SCHEMA,
    }
    assert (data["status"], data["startsAt"], data["endsAt"], data["severity"]) == ("fired", at, None, "high")
    assert data["rule"] | {"version": ""} == {
        "id": "testing",
        "version": "",
        "file": "alerts.cep",
        "line": 4,
        "owner": "risk",
        "tags": ["fraud", "cards"],
    }
    assert data["annotations"] == {
        "summary": 'c"1%s: 2 small (3.50), 605.00 at 2, true, 9s750ms % null',
        "about": '100 % "sure"',
    }
    assert data["shows"] == {"n": 2, "total": "3.50", "gap": "20s", "at": at, "mean": None}
    assert (data["labels"], data["score"], data["key"]) == ({"team": 'a"b', "rate": "2"}, 4.0, {"card": 'c"1%s'})
    assert data["window"] == {"start": "1970-01-01T00:00:00Z", "end": at, "within": "10m"}
    absent, small, hit = data["evidence"]["steps"]
    assert absent == {"step": "txn", "absent": True, "from": "1969-12-31T23:55:00Z", "until": "1970-01-01T00:00:00Z"}
    assert (small["alias"], small["quantifier"], small["count"], len(small["events"])) == ("d", "2+", 2, 2)
    assert small["events"][1]["time"] == "1970-01-01T00:00:10.250Z"
    assert hit["events"] == [
        {
            "event": "txn",
            "stream": "payments",
            "id": "0-3",
            "index": 0,
            "time": at,
            "data": {"amount": "605.00", "card": 'c"1%s', "ok": True, "rate": 2.0},
        }
    ]
    assert data["truncated"] == {"events": 0, "texts": 0}


def test_an_episodes_documents() -> None:
    fired, resolved = [document(alert) for alert in cards() if alert.rule == "busy"]
    assert (fired["type"], resolved["type"]) == ("cep.alert.fired.v1", "cep.alert.resolved.v1")
    assert fired["id"] != resolved["id"]
    assert fired["data"]["dedupeKey"] == resolved["data"]["dedupeKey"]
    assert fired["data"]["shows"] == {"n": 3, "latest": "605.00"}
    assert resolved["data"]["startsAt"] == fired["time"] == "1970-01-01T00:00:20Z"
    assert resolved["data"]["endsAt"] == resolved["time"] == "1970-01-01T00:01:00Z"
    assert [entry["id"] for entry in resolved["data"]["evidence"]["steps"][0]["events"]] == ["0-3"]


def test_render_is_the_alerts_as_json() -> None:
    _, program = compiled(CARDS)
    events = [paid(0, "1"), paid(10, "2"), paid(20, "605")]
    state = EngineState.create(program)
    rendered = Alerting(program).render(state, step(program, state, batch_of(program, state.strings, events)))
    assert rendered == [alert.body for alert in alerts_of(program, events)[0][: len(rendered)]]


def test_an_alerts_source_is_the_operators() -> None:
    _, program = compiled(CARDS)
    state = EngineState.create(program)
    output = step(program, state, batch_of(program, state.strings, [paid(i, "1") for i in range(3)]))
    assert json.loads(Alerting(program, "/cep/prod").render(state, output)[0])["source"] == "/cep/prod"


@pytest.mark.parametrize(
    ("units", "text"),
    [(6_050_000, "605.00"), (1001, "0.1001"), (-1230, "-0.123"), (0, "0.00"), (55_000, "5.50"), (-1, "-0.0001")],
)
def test_money(units: int, text: str) -> None:
    assert money(units) == text


def test_durations_times_and_numbers() -> None:
    assert [duration(us) for us in (0, 5_400 * SECOND, 250_000, -61 * SECOND, 1)] == [
        "0s",
        "1h30m",
        "250ms",
        "-1m1s",
        "1us",
    ]
    assert [time(us) for us in (0, 31_000, 1, -1)] == [
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00.031Z",
        "1970-01-01T00:00:00.000001Z",
        "1969-12-31T23:59:59.999999Z",
    ]
    assert [number(x) for x in (5.0, 0.1, 1e300, 1e16)] == ["5", "0.1", "1e+300", "1e+16"]


TEXTS = """
stream s time ts
event a from s (k text, t text)
rule seen by k within 1m
  when 2 a as p
  alert low "{lower(k)} {length(k)} {upper(first(p.t))} {lower(p.t)} {lower(k) == \\"ab\\"} {p.t starts with \\"X\\"}"
rule held by k within 1m
  while count(a) >= 2
  alert low "{upper(k)} {lower(a.t)} {length(last(a.t))} {a.t in [\\"1\\", \\"2\\", \\"3\\", \\"4\\", \\"Xy\\"]}"
  limit 1 per 1h by upper(k)
"""


def test_texts_are_worked_on_wherever_they_come_from() -> None:
    _, program = compiled(TEXTS)
    events = [
        VirtualEvent(0, i * SECOND, {"k": k, "t": t}) for i, (k, t) in enumerate([("Ab", "Xy"), ("AB", None)] * 2)
    ]
    summaries = [document(alert)["data"]["annotations"]["summary"] for alert in alerts_of(program, events)[0]]
    assert summaries == [
        "ab 2 XY xy true true",
        "AB xy 2 true",
        "ab 2 null null true null",
        "AB xy 2 true",
    ]


# ----------------------------------------------------------------------------------------- bounds

LOOP = """
stream s time ts
event a from s (k text, n integer, t text)
event b from s (k text)
rule long by k within 1d
  match POLICY when 2+ a as d then b
  alert low "{count(d)} {sum(d.n)}"
  show n = count(d), total = sum(d.n), least = min(d.n), first = first(d.n), last = last(d.n)
  show kinds = count(distinct d.n), begin = d.first.n, end = d.last.n, late = first(d.t)
"""


def burst(n: int, **values: Any) -> list[VirtualEvent]:
    return [VirtualEvent(0, i * SECOND, {"k": "k", "n": i} | values) for i in range(n)] + [
        VirtualEvent(1, n * SECOND, {"k": "k"})
    ]


def test_a_loop_that_was_cut_says_how_long_it_was_and_nothing_wrong() -> None:
    _, program = compiled(LOOP.replace("POLICY", "each"))
    alerts, _ = alerts_of(program, burst(100))
    assert len(alerts) == 99
    cut, whole = alerts[0], alerts[40]
    assert {name: shown for name, shown in cut.shows.items() if shown is not None} == {
        "n": 100,
        "first": 0,
        "last": 99,
        "begin": 0,
        "end": 99,
    }
    assert whole.shows["total"] == sum(range(40, 100))
    told = document(cut)["data"]
    assert told["annotations"]["summary"] == "100 null"
    first, _ = told["evidence"]["steps"]
    ids = [int(event["id"].removeprefix("0-")) for event in first["events"]]
    assert ids == [*range(1, 50), 100]
    assert (first["count"], told["truncated"]["events"]) == (100, 50)


def test_a_long_match_shows_its_first_events_and_the_last_ones() -> None:
    _, program = compiled(LOOP.replace("POLICY", "first"))
    (alert,), _ = alerts_of(program, burst(5000))
    assert alert.shows["total"] == sum(range(5000))
    told = document(alert)["data"]
    assert (told["evidence"]["steps"][0]["count"], told["truncated"]["events"]) == (5000, 4950)
    assert told["evidence"]["steps"][0]["events"][-1]["id"] == "0-5000"


@pytest.mark.parametrize("length", [3_000, 30_000, 300_000])
def test_no_alert_is_too_long(length: int) -> None:
    _, program = compiled(LOOP.replace("POLICY", "first"))
    (alert,), _ = alerts_of(program, burst(60, t="é" * length))
    told = document(alert)["data"]
    steps = told["evidence"]["steps"]
    assert told["truncated"]["events"] == 61 - sum(len(shown["events"]) for shown in steps)
    assert told["truncated"]["texts"] > 0
    assert told["shows"]["n"] == 60


def test_a_key_that_is_too_long_still_makes_different_alerts() -> None:
    _, program = compiled(CARDS)
    keys = ["x" * 70_000 + tail for tail in "ab"]
    alerts, _ = alerts_of(program, [paid(0, "1", card=key) for key in keys for _ in range(3)])
    fired = [document(alert) for alert in alerts if alert.status == "fired"]
    assert len({told["id"] for told in fired}) == len({told["data"]["dedupeKey"] for told in fired}) == 2


# ----------------------------------------------------------------------------------------- limits


def test_a_period_that_has_ended_is_dropped() -> None:
    limit, part = LimitSpec(1, 10, ()), RuleLimit()
    passed = [part.lets_through((key,), time_us, limit) for time_us, key in enumerate("abcaabc")]
    assert passed == [True, True, True, False, False, False, False]
    assert part.lets_through(("d",), 11, limit)
    assert list(part.periods) == [("c",), ("d",)]
    assert part.lets_through(("a",), 11, limit)


def test_what_limit_remembers_goes_through_plain_values() -> None:
    limits = Limits()
    part = limits.of("r")
    part.lets_through(("a", 1.5, None), 3, LimitSpec(1, 10, ()))
    part.opens(("k", True), LIMITED)
    part.opens(("m", False), 0)
    again = Limits()
    again.load(json.loads(json.dumps(limits.dump())))
    assert again == limits
    assert again.of("r").resolves(("k", True)) == LIMITED
    assert again.of("r").resolves(("m", False)) == 0


def test_suppressed_episodes_of_forgotten_keys_are_forgotten() -> None:
    _, program = compiled(
        "stream s time ts\nevent a from s (k integer, v integer)\n"
        "rule r by k within 10s forget 10s\n  while a.v > 0\n  alert low\n  limit 1 per 1d\n"
    )
    n = 3 * COMPACT_AT
    events = [VirtualEvent(0, i * SECOND, {"k": i, "v": 1}) for i in range(n)]
    alerts, state = alerts_of(program, events, list(range(100, n, 100)), n * SECOND)
    assert len(alerts) == 1
    part = state.limits.of("r")
    assert state.counters.limited == n - 1
    assert len(part.opened) <= COMPACT_AT + 200
    assert np.all([key[0] >= n - COMPACT_AT - 200 for key in part.opened])


COUNTED = """
stream s type kind
event a from s (k text, n integer)
event ask from s (k text)

rule many by k within 10000s
  while count(distinct a.n) >= 5000
  alert low "{count(distinct a.n)}"

rule few by k within 10000s
  while count(distinct a.n) >= 4000
  alert low "{count(distinct a.n)} and {count(distinct a.n) over last 10}"

rule asked by k within 10000s
  match each
  when ask where count(distinct a.n) > 0
  alert low "{count(a)}"

rule shown by k within 10000s
  match each
  when ask
  alert low "{count(distinct a.n)}"

rule plain by k when ask
  alert low "{count(distinct a.n) over last 10}"
"""


def test_an_estimate_is_marked_as_one() -> None:
    """6,000 values; when the first half of them has left the window, the rest still is a sample."""
    _, program = compiled(COUNTED)
    of = {event.name: place for place, event in enumerate(program.events)}
    events = [VirtualEvent(of["a"], i * SECOND, {"k": "k", "n": i}) for i in range(6_000)]
    asked = [VirtualEvent(of["ask"], at * SECOND, {"k": "k"}) for at in (13_000, 30_000)]
    early = VirtualEvent(of["ask"], 2_000 * SECOND, {"k": "k"})
    told, _ = alerts_of(program, sorted([*events, early, *asked], key=lambda event: event.time_us), (500, 7_001))
    said = [(alert.rule, alert.status, document(alert)["data"].get("estimated")) for alert in told]
    name = "count(distinct a.n)"
    assert said == [
        ("asked", "fired", []),
        ("shown", "fired", []),
        ("plain", "fired", None),
        ("few", "fired", []),
        ("many", "fired", [name]),
        ("many", "resolved", [name]),
        ("few", "resolved", [name]),
        ("asked", "fired", [name]),
        ("shown", "fired", [name]),
        ("plain", "fired", None),
        ("shown", "fired", []),
        ("plain", "fired", None),
    ]
