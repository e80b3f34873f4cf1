"""Fields declared `mask` or `hash` leave nowhere in clear, and the engine works on them as on any other."""

from __future__ import annotations

import json

import pytest

from cep.adapters.cli.console import CommandError
from cep.adapters.cli.detector import build
from cep.alerting import Alerting
from cep.compile import compile_rules
from cep.delivery.outcome import Outcome
from cep.detector import RuleDetector
from cep.engine.snapshot import Freezer, load
from cep.engine.state import EngineState
from cep.engine.step import step
from cep.lang import check_texts
from cep.lang.checked.ruleset import RuleSet
from cep.lang.privacy import privacy
from cep.ports import Entries, EntryId
from cep.testing import VirtualEvent, batch_of, run_tests

TEXT = """
stream payments time ts
event txn from payments (card text mask, mail text hash, amount money mask, country text, flagged flag mask)
event small = txn with pan = card where amount < 5

rule many by card, mail within 1h
  when 2+ small as d where mail != "nobody"
  then txn as hit where amount > d.last.amount and mail == d.last.mail
  alert high "{card} {upper(mail)} {d.first.pan} {hit.amount} {sum(d.amount)} {hit.country} {count(d)} {length(mail)}"
  show spent = hit.amount, most = max(d.amount), number = count(distinct d.mail), mail_of = lower(hit.mail)
  show is_flagged = hit.flagged or false, is_large = hit.amount > 5, twice = 2 * hit.amount, none = hit.card
  label by = hit.mail
  label where_ = hit.country
  score count(d)
  limit 1 per 1h by hit.mail

rule listens by card within 1d
  when many as m where m.mail_of starts with "a"
  alert critical "{card} {m.mail_of} {m.spent}"
  show again = m.mail

test many "works on what is meant"
  at 0s txn {card: "SECRET-1", mail: "Ann@Example", amount: 1.17, country: "NL"} x 2 every 1s
  at 2s txn {card: "SECRET-1", mail: "Ann@Example", amount: 917.13, country: "NL"}
  at 2s expect many {card: "SECRET-1", spent: 917.13, mail_of: "ann@example"}
"""
CLEAR = ("SECRET", "nn@", "917", "1.17", "2.34", "1834", "NN@")


def ruleset(text: str = TEXT) -> RuleSet:
    loaded = check_texts({"private.cep": text.replace("", "")})
    assert loaded.ruleset is not None, loaded.diagnostics
    return loaded.ruleset


def entries(mail: str = "Ann@Example") -> Entries:
    events = [
        {"ts": second, "card": "SECRET-1", "mail": mail, "amount": amount, "country": "NL", "flagged": True}
        for second, amount in enumerate((1.17, 1.17, 917.13))
    ]
    return Entries.of(0, [(EntryId(n, 0), [b"e", json.dumps(event).encode()]) for n, event in enumerate(events, 1)])


def detector(secret: bytes) -> RuleDetector:
    program = compile_rules(ruleset())
    return RuleDetector(program, Alerting(program).render, Freezer().freeze, load, secret)


def outcome(secret: bytes = b"s" * 16, mail: str = "Ann@Example") -> Outcome:
    return detector(secret).apply([entries(mail)])


def test_nothing_private_stands_in_an_alert() -> None:
    many, listens = outcome().alerts
    for body in (many, listens):
        assert not [clear for clear in CLEAR if clear.encode() in body], body
    told = json.loads(many)["data"]
    assert told["key"]["card"] == "***"
    assert (told["shows"]["spent"], told["shows"]["twice"], told["shows"]["most"]) == ("***", "***", "***")
    assert (told["shows"]["number"], told["shows"]["is_large"], told["shows"]["is_flagged"]) == (1, True, "***")
    assert told["labels"]["where_"] == "NL"
    assert told["annotations"]["summary"].endswith(" NL 2 11")
    events = [event["data"] for step_ in told["evidence"]["steps"] for event in step_["events"]]
    assert {event["card"] for event in events} == {"***"}
    assert {event["mail"] for event in events} == {told["labels"]["by"]} == {told["key"]["mail"]}


def test_equal_values_have_equal_digests_and_only_with_the_secret() -> None:
    def digest(body: bytes) -> str:
        return str(json.loads(body)["data"]["labels"]["by"])

    (one, _), (again, _), (other, _) = outcome().alerts, outcome().alerts, outcome(mail="Abe@Example").alerts
    assert digest(one) == digest(again) != digest(other)
    assert one == again
    foreign = outcome(b"t" * 16).alerts[0]
    assert digest(one) != digest(foreign)
    ids = [(json.loads(body)["id"], json.loads(body)["data"]["dedupeKey"]) for body in (one, foreign)]
    assert ids[0][0] != ids[1][0]
    assert ids[0][1] != ids[1][1]


def test_an_alert_that_is_evidence_has_its_own_id() -> None:
    many, listens = map(json.loads, outcome().alerts)
    (event,) = listens["data"]["evidence"]["steps"][0]["events"]
    assert (event["stream"], event["event"], event["id"]) == ("alerts", "many", many["id"])
    assert event["data"]["card"] == "***"


def test_dead_letters_and_late_events_do_not_repeat_it() -> None:
    bad = {"ts": 9, "card": "SECRET-1", "amount": "SECRET-2"}
    late = {"ts": 1, "card": "SECRET-3", "amount": 1}
    found = [json.dumps(event).encode() for event in ({"ts": 9, "card": "c"}, bad, late)]
    made = detector(b"").apply([Entries.of(0, [(EntryId(n, 0), [b"e", body]) for n, body in enumerate(found, 1)])])
    assert [(event.reason, event.path, event.excerpt) for event in made.bad] == [("field", "$.amount", b"")]
    assert "SECRET" not in made.bad[0].detail
    assert [(event.entry, event.raw) for event in made.late] == [(EntryId(3, 0), b"")]


def test_tests_speak_of_values_in_clear() -> None:
    rules = ruleset()
    assert [result.failures for result in run_tests(rules, compile_rules(rules))] == [()]


def test_a_restored_state_keeps_the_secret() -> None:
    first, second = detector(b"s" * 16), detector(b"s" * 16)
    whole = first.apply([entries()]).alerts
    parts = entries()
    second.apply([Entries(0, parts.ms[:2], parts.seq[:2], parts.fields[:2])])
    with second.freeze() as frozen:
        data = bytes(frozen)
    assert b"s" * 16 not in data
    second.load(data)
    assert second.apply([Entries(0, parts.ms[2:], parts.seq[2:], parts.fields[2:])]).alerts == whole


def test_a_secret_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    for name in ("CEP_HASH_KEY", "CEP_HASH_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CommandError, match="CEP_HASH_KEY"):
        build(ruleset())
    monkeypatch.setenv("CEP_HASH_KEY", "short")
    with pytest.raises(CommandError, match="fewer than 16"):
        build(ruleset())
    (tmp_path / "key").write_text("k" * 20 + "\n")
    monkeypatch.setenv("CEP_HASH_KEY_FILE", str(tmp_path / "key"))
    _, made = build(ruleset())
    assert made.state.secret
    masked = "stream s\nevent a from s (k text, t text mask)\nrule r by k when a alert low"
    monkeypatch.delenv("CEP_HASH_KEY_FILE")
    monkeypatch.delenv("CEP_HASH_KEY")
    assert build(ruleset(masked))[1].state.secret == b""


@pytest.mark.parametrize(
    ("expr", "carried"),
    [
        ("hit.card", "mask"),
        ("lower(hit.mail)", "hash"),
        ("length(hit.card)", None),
        ("hit.amount + 1", "mask"),
        ("abs(hit.amount)", "mask"),
        ("min2(hit.amount, 3)", "mask"),
        ("hit.amount > 1", None),
        ("hit.flagged", "mask"),
        ("not hit.flagged", "mask"),
        ("hit.flagged == true", "mask"),
        ("missing(hit.card)", None),
        ("avg(d.amount)", "mask"),
        ("first(d.mail)", "hash"),
        ("count(d.mail)", None),
        ("hit.country", None),
        ("card", "mask"),
    ],
)
def test_what_carries_a_value(expr: str, carried: str | None) -> None:
    text = TEXT.partition("rule many")[0]
    rules = ruleset(f"{text}rule r by card within 1h when 2+ small as d then txn as hit alert low show x = {expr}")
    (rule,) = rules.rules
    assert privacy(rule.shows[0][1], rules.events, rule.keys) == carried


def test_the_subject_hides_the_key() -> None:
    program = compile_rules(ruleset())
    state = EngineState.create(program)
    values = [{"card": "SECRET-1", "mail": "x", "amount": amount} for amount in (10_000, 10_000, 900_000)]
    events = [VirtualEvent(0, at, value) for at, value in enumerate(values)]
    (alert,) = Alerting(program).alerts(state, step(program, state, batch_of(program, state.strings, events)))
    assert alert.key["card"] == "SECRET-1"
    assert json.loads(alert.body)["subject"].startswith("many/card=***,mail=")
