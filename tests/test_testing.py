"""Test blocks: what an expectation means, and what is said when it is not met."""

from __future__ import annotations

from cep.compile import compile_rules
from cep.lang import check_texts
from cep.testing import run_tests

RULES = """
stream payments time ts late 30s
stream ledger time ts
event txn from payments (card text, amount money)
event move from ledger (card text)
rule big by card within 1m
  when txn as p where amount > 100
  alert high "{card}"
  show amount = p.amount, at = p.time
  label kind = "big"
rule unpaid by card within 10s
  when move then no txn
  alert low
rule busy by card within 10s
  while count(txn) >= 2
  alert low
"""


def failures(block: str) -> tuple[str, ...]:
    """What the one test block, given after the rules, says."""
    loaded = check_texts({"rules.cep": f"{RULES}\n{block}"})
    assert loaded.ruleset is not None, loaded.diagnostics
    (result,) = run_tests(loaded.ruleset, compile_rules(loaded.ruleset))
    assert result.passed is (not result.failures)
    return result.failures


def test_expectations_that_are_met() -> None:
    assert not failures("""
test big "what was given is found"
  at 0s expect nothing
  at 1s txn {card: "c", amount: 100.01}
  at 1s expect big {card: "c", amount: 100.01, kind: "big", at: 1s}
  at 1s expect no big {card: "d"}
  at 2s expect nothing
  at 3s txn {card: "c", amount: 200} x 2 every 1s
  at 3s expect big {amount: 200}
  at 3s expect busy {card: "c"}
  at 4s expect big
  at 4s expect no busy
  at 14s expect resolved busy
  at 1h expect nothing
""")


def test_a_clock_that_has_moved_on_takes_later_events() -> None:
    assert not failures("""
test unpaid "a deadline at the instant of an expectation, and events after it"
  at 0s move {card: "c"}
  at 9s move {card: "d"}
  at 10s expect unpaid {card: "c"}
  at 10s expect no unpaid {card: "d"}
  at 11s txn {card: "d", amount: 1}
  at 12s move {card: "c"}
  at 21s expect nothing
  at 22s expect unpaid {card: "c"}
""")


def test_an_alert_belongs_to_one_interval() -> None:
    (failure,) = failures("""
test big "the alert at 1s is before the second expectation"
  at 1s txn {card: "c", amount: 200}
  at 1s expect big
  at 5s expect big
""")
    assert failure == "rules.cep:22:16: expected big by 5s, but nothing came"


def test_the_nearest_alert_is_told_by_what_differs() -> None:
    (failure,) = failures("""
test big "a wrong amount"
  at 1s txn {card: "d", amount: 150}
  at 2s txn {card: "c", amount: 150.505}
  at 5s expect big {card: "c", amount: 200, kind: "big"}
""")
    assert failure.endswith(
        'expected big {card: "c", amount: 200.00, kind: "big"} by 5s; the nearest, at 2s, has {amount: 150.505}'
    )


def test_alerts_that_should_not_have_come() -> None:
    told = failures("""
test unpaid "of this rule, of another one, and a resolution"
  at 1s txn {card: "c", amount: 150} x 2 every 1s
  at 1s expect no big {card: "c"}
  at 3s expect nothing
  at 5s expect resolved busy {card: "c"}
""")
    assert [text.split(": ", 1)[1] for text in told] == [
        'expected no big {card: "c"}, but big {kind: "big", amount: 150.00, at: "1970-01-01T00:00:01Z", card: "c"}'
        " fired at 1s",
        'expected no alert, but big {kind: "big", amount: 150.00, at: "1970-01-01T00:00:02Z", card: "c"} fired at 2s',
        'expected resolved busy {card: "c"} by 5s, but nothing came',
    ]
