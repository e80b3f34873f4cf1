"""Test blocks: what an expectation means, and what is said when it is not met."""

from __future__ import annotations

from cep.compile import compile_rules
from cep.lang import check_texts
from cep.testing import VirtualEvent, Way, covered, run_tests, singly

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


def test_near() -> None:
    assert not failures("""
test unpaid "what waits, and for what"
  at 0s move {card: "c"}
  at 9s expect near unpaid {card: "c"}
  at 9s expect near unpaid
  at 10s expect unpaid {card: "c"}
  at 11s txn {card: "d", amount: 1}
  at 12s expect near busy {card: "d"}
""")
    assert failures("""
test unpaid "no longer"
  at 0s move {card: "c"}
  at 9s expect near unpaid {card: "d"}
  at 10s expect near unpaid {card: "c"}
""") == (
        'rules.cep:21:21: expected near unpaid {card: "d"} at 9s, but nothing waits',
        'rules.cep:22:22: expected near unpaid {card: "c"} at 10s, but nothing waits',
    )


def test_near_missing_a_step() -> None:
    pair = """
rule pair by card within 1m
  when 2+ txn as many then move as moved within 10s
  alert low
"""
    block = """
test pair "what is missing changes"
  at 0s txn {card: "c"}
  at 0s expect near pair {card: "c"} missing txn
  at 1s txn {card: "c"}
  at 1s expect near pair {card: "c"} missing moved
  at 1s expect near pair missing move {card: "c"}
  at 59s expect near pair missing many
  at 1m1s expect near pair
"""
    assert failures(pair + block) == ("rules.cep:30:23: expected near pair at 1m1s, but nothing waits",)


WAYS = [Way("shuffled", seed=3), Way("cut", singly), Way("restarted", singly, restart=True)]


def test_ways_change_nothing() -> None:
    loaded = check_texts(
        {
            "rules.cep": RULES
            + """
test big "in any order"
  at 0s txn {card: "c", amount: 1} x 10 every 7s
  at 3s move {card: "e"} x 5 every 11s
  at 5s txn {card: "d", amount: 200} x 5 every 5s
  at 20s expect busy {card: "c"}
  at 2m expect unpaid {card: "e"}
"""
        }
    )
    assert loaded.ruleset is not None
    (result,) = run_tests(loaded.ruleset, compile_rules(loaded.ruleset), ways=WAYS)
    assert result.failures == ()


def test_events_are_shuffled_within_late() -> None:
    loaded = check_texts({"rules.cep": RULES})
    assert loaded.ruleset is not None
    program = compile_rules(loaded.ruleset)
    events = [VirtualEvent(0, second * 1_000_000, {}) for second in range(100)]
    order = Way("shuffled", seed=1).order(program, events)
    assert sorted(order) == list(range(100))
    assert order != list(range(100))
    assert all(max(order[: place + 1]) - event < 30 for place, event in enumerate(order))
    ledger = [VirtualEvent(1, second * 1_000_000, {}) for second in range(100)]
    assert Way("shuffled", seed=1).order(program, ledger) == list(range(100))


def test_a_way_that_changes_alerts_is_told() -> None:
    loaded = check_texts(
        {
            "rules.cep": RULES
            + """
test big "lost"
  at 0s txn {card: "c", amount: 200}
  at 0s expect big
"""
        }
    )
    assert loaded.ruleset is not None
    lost = Way("without events", lambda _: [])
    (result,) = run_tests(loaded.ruleset, compile_rules(loaded.ruleset), ways=[lost])
    (failure,) = result.failures
    assert "without events, an alert is lost: big {" in failure
    assert failure.endswith('card: "c"} fired at 0s')


def test_coverage() -> None:
    loaded = check_texts(
        {
            "rules.cep": RULES
            + """
rule pair by card within 1m
  when txn as p then no txn as q where amount > 5 then move
  alert low
test unpaid "fires, and a payment in time"
  at 0s move {card: "c"}
  at 1s move {card: "d"}
  at 2s txn {card: "d", amount: 1}
  at 1m expect unpaid {card: "c"}
test busy "open only"
  at 0s txn {card: "c"} x 2 every 1s
  at 1s expect busy
test pair "one step"
  at 0s txn {card: "c"}
  at 1m expect no pair
"""
        }
    )
    assert loaded.ruleset is not None
    big, unpaid, busy, pair = covered(loaded.ruleset, compile_rules(loaded.ruleset))
    assert (big.tests, big.hits, big.misses, big.unreached) == (0, 0, None, ("p",))
    assert (unpaid.tests, unpaid.hits, unpaid.misses) == (1, 1, 1)
    assert (unpaid.reached, unpaid.noticed, unpaid.unnoticed) == (("move",), ("no txn",), ())
    assert (busy.hits, busy.resolves) == (1, 0)
    assert (pair.reached, pair.unreached, pair.unnoticed) == (("p",), ("move",), ("no txn",))


def test_coverage_of_branches() -> None:
    """What one branch takes says nothing of the others, nor does an alert of what may be left out."""
    loaded = check_texts(
        {
            "rules.cep": RULES
            + """
rule either by card within 1h
  when optional txn as small where amount < 1
  then any of (txn as big where amount > 10 then move as gone, 2 move as moves)
  then optional txn as late where amount > 100
  then no move where count(big) > 5
  alert low
test either "the first branch begins, the second is it"
  at 0s txn {card: "c", amount: 50}
  at 1s move {card: "d"} x 2 every 1s
  at 2h expect either {card: "d"}
"""
        }
    )
    assert loaded.ruleset is not None, loaded.diagnostics
    either = covered(loaded.ruleset, compile_rules(loaded.ruleset))[-1]
    assert (either.hits, either.misses) == (1, 1)
    assert (either.reached, either.unreached) == (("big", "moves"), ("small", "gone", "late"))
