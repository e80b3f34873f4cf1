"""Codes of what alerts say and of rules over alerts."""

from __future__ import annotations

from cep.lang.codes import Code

_RULE = "rule r by k when a where n > 5\n"

ALERT_CODES = (
    Code(
        "CEP370",
        "alerts outside of a rule",
        "A rule's name is the event of its alerts, and `alert` that of all alerts, for rules alone: an event of an own "
        "name cannot be made of them.",
        _RULE + 'event c = r where k == "x"',
        _RULE + 'rule q by k when r where k == "x"',
    ),
    Code(
        "CEP371",
        "a test that gives an alert",
        "A test gives events; the alerts that a rule listens to are made of them by the rules that make them.",
        _RULE + 'rule q by k when r\ntest q at 0s r {k: "x"} at 0s expect q',
        _RULE + 'rule q by k when r\ntest q at 0s a {k: "x", n: 6} at 0s expect q',
    ),
    Code(
        "CEP372",
        "alerts of alerts without end",
        "A rule may listen to a rule that listens to a rule, sixteen times over.",
        "rule r0 by k when a\n" + "".join(f"rule r{i} by k when r{i - 1}\n" for i in range(1, 18)),
        "rule r0 by k when a\n" + "".join(f"rule r{i} by k when r{i - 1}\n" for i in range(1, 17)),
    ),
    Code(
        "CEP373",
        "a score that tells a private field",
        "A score is a number in every alert and for every rule over alerts, so that it cannot be made of a field "
        "that is declared `mask` or `hash`. What was counted, or the length of a text, may be told.",
        "event c from s (k text, n integer mask)\nrule r by k when c score n",
        "event c from s (k text, n integer mask)\nrule r by k within 1h when 3 c as d score count(d)",
    ),
    Code(
        "CEP374",
        "a rule whose alerts nobody hears (a warning)",
        "The alerts of a rule in mode shadow or off feed no other rule.",
        "rule r by k mode shadow when a where n > 5\nrule q by k when r",
        _RULE + "rule q by k when r",
    ),
    Code(
        "CEP376",
        "an alert that is never made",
        "Of several alert clauses the first whose condition holds makes the alert, so none can stand after one without "
        "a condition.",
        "rule r by k when a alert low alert high if n > 5",
        "rule r by k when a alert high if n > 5 alert low",
    ),
)
