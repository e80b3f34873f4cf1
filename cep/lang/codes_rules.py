"""Codes of meaning: 3xx rules and their bounds, 4xx tests."""

from __future__ import annotations

from cep.lang.codes import Code

_RULE = "rule r by k when a where n > 5\n"
_PAIR = "rule r by k within 1h when a then b\n"
_COUNT = "rule r by k within 1h while count(a) > 1\n"

RULE_CODES = (
    Code(
        "CEP301",
        "a rule without a bound",
        "What a rule remembers must end some time: give it a horizon with `within`, or every step after "
        "the first its own. A "
        "loop at the beginning, and a `no` at the beginning or end without its own `within`, need the horizon.",
        "rule r by k when a then b",
        "rule r by k within 1h when a then b",
    ),
    Code(
        "CEP302",
        "`match last` with an absence at the end",
        "With `match last` every newer start would replace the one that waits, and the wait would never end.",
        "rule r by k within 1h match last when a then no b",
        "rule r by k within 1h match first when a then no b",
    ),
    Code(
        "CEP303",
        "what can never match",
        "A filter contradicts itself, alone or with that of the event that it refines, in each of its alternatives; or "
        "a `no` lasts longer than the rule's horizon.",
        "rule r when a where n < 2 and n > 5",
        "rule r when a where n > 2 and n < 5",
    ),
    Code(
        "CEP304",
        "a number that makes no sense here",
        "A step takes at least one event and no more at least than at most; durations and counts are "
        "more than nothing.",
        "rule r by k within 1h when 4..2 a",
        "rule r by k within 1h when 2..4 a",
    ),
    Code(
        "CEP305",
        "a key that an event lacks",
        "The key is a field of every event that the rule speaks of. A refinement can give an event a "
        "field of that name.",
        "rule r by card when a",
        "event c = a with card = k\nrule r by card when c",
    ),
    Code(
        "CEP306",
        "an aggregate without a window",
        "An aggregate looks back over a time: its own, after `over`, or the rule's `within`.",
        "rule r by k while count(a) > 5",
        "rule r by k while count(a) over 1h > 5",
    ),
    Code(
        "CEP307",
        "rules that depend on each other's alerts",
        "A rule over alerts cannot, over other rules, depend on its own.",
        "rule p by k within 1h while count(q) > 1\nrule q by k within 1h while count(p) > 1",
        "rule p by k within 1h while count(a) > 1\nrule q by k within 1h while count(b) > 1",
    ),
    Code(
        "CEP308",
        "an aggregate where none can stand",
        "An event's definition, and the argument of an aggregate, cannot look back over time.",
        "event c = a where count(a) over 1h > 5",
        "rule r by k when a where count(a) over 1h > 5",
    ),
    Code(
        "CEP309",
        "a sequence in which nothing happens",
        "A sequence needs a step that happens. That something is missing altogether is a condition: `while`.",
        "rule r by k within 1h when no a",
        "rule r by k within 1h while count(a) == 0",
    ),
    Code(
        "CEP310",
        "`next` to nothing",
        "After a `no` at the beginning nothing has been captured yet.",
        "rule r by k within 1h when no a next b",
        "rule r by k within 1h when no a then b",
    ),
    Code(
        "CEP311",
        "a condition that speaks of no event",
        "A `while` is judged when something happens: it needs an aggregate or the latest value of an event.",
        "rule r by k while 1 < 2",
        "rule r by k while a.n < 2",
    ),
    Code(
        "CEP312",
        "a gap longer than the horizon (a warning)",
        "A step's `within` counts from the step before, the rule's from the first event: the longer never ends.",
        "rule r by k within 1h when a then b within 2h",
        "rule r by k within 2h when a then b within 1h",
    ),
    Code(
        "CEP390",
        "a look-back longer than the streams reach (a warning)",
        "With `cep check --retention 7d` a rule is warned of that remembers for longer than the streams keep their "
        "entries: a start without a snapshot reads the streams again, and would not find all that the rule needs.",
        "rule r by k within 30d when a then b",
        "rule r by k within 1d when a then b",
    ),
    Code(
        "CEP391",
        "a rule that says nothing new (a warning)",
        "Its filters let through only what those of another rule let through too, for the same key and horizon, and "
        "its level is no higher. A higher level for a stronger filter is no mistake.",
        "rule r by k when a where n > 5 alert low\nrule q by k when a where n > 2 alert low",
        "rule r by k when a where n > 5 alert high\nrule q by k when a where n > 2 alert low",
    ),
    Code(
        "CEP401",
        "a test of an unknown rule",
        "A test, and each of its expectations, names a rule of the rule set.",
        _RULE + 'test q at 0s a {k: "x", n: 6} at 0s expect nothing',
        _RULE + 'test r at 0s a {k: "x", n: 6} at 0s expect r',
    ),
    Code(
        "CEP402",
        "a test without an expectation",
        "A test says what is to happen, or that nothing is.",
        _RULE + 'test r at 0s a {k: "x", n: 6}',
        _RULE + 'test r at 0s a {k: "x", n: 6} at 0s expect r',
    ),
    Code(
        "CEP403",
        "a value of the wrong kind",
        "A test's values are of their fields' kinds.",
        _RULE + 'test r at 0s a {k: "x", n: "six"} at 0s expect r',
        _RULE + 'test r at 0s a {k: "x", n: 6} at 0s expect r',
    ),
    Code(
        "CEP404",
        "a rule that never resolves",
        "Only an episode, opened by a `while`, resolves.",
        _RULE + 'test r at 0s a {k: "x", n: 6} at 0s expect resolved r',
        _RULE + 'test r at 0s a {k: "x", n: 6} at 0s expect r',
    ),
    Code(
        "CEP405",
        "a test that gives a view of an event",
        "A test gives events as they were declared; that one of them is what a refinement describes "
        "follows from its values.",
        "event c = a where n > 5\nrule r by k when c\n" + 'test r at 0s c {k: "x"} at 0s expect r',
        "event c = a where n > 5\nrule r by k when c\n" + 'test r at 0s a {k: "x", n: 6} at 0s expect r',
    ),
    Code(
        "CEP406",
        "an expectation before an earlier one",
        "Each expectation speaks of the time since the one before.",
        _RULE + "test r at 5s expect nothing at 1s expect nothing",
        _RULE + "test r at 1s expect nothing at 5s expect nothing",
    ),
    Code(
        "CEP407",
        "an expected value that no alert shows",
        "An alert is matched on its key, its shows and its labels.",
        _RULE + 'test r at 0s a {k: "x", n: 6} at 0s expect r {n: 6}',
        "rule r by k when a where n > 5 show n = n\n" + 'test r at 0s a {k: "x", n: 6} at 0s expect r {n: 6}',
    ),
    Code(
        "CEP408",
        "a near miss that waits for no step of the rule",
        "`missing` names what a partial match waits for: a step of the rule, by its event or its alias.",
        _PAIR + 'test r at 0s a {k: "x"} at 1s expect near r missing c',
        _PAIR + 'test r at 0s a {k: "x"} at 1s expect near r missing b',
    ),
    Code(
        "CEP409",
        "a condition of which a step is missing",
        "A `while` has no steps. It is near when it remembers something of the key and its condition does not hold.",
        _COUNT + 'test r at 0s a {k: "x"} at 1s expect near r missing a',
        _COUNT + 'test r at 0s a {k: "x"} at 1s expect near r',
    ),
)
