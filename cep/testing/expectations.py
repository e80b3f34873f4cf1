"""What an expectation means, and what is said when it is not met."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from cep.alerting import Alert
from cep.engine.values import Value, duration, in_text
from cep.lang.checked.rules import Rule, When
from cep.lang.checked.ruleset import Expect, RuleSet
from cep.testing.near import Waiting


class Judge:
    """Judges the expectations of a rule set's tests."""

    def __init__(self, ruleset: RuleSet) -> None:
        self._kinds = {rule.name: _kinds(rule) for rule in ruleset.rules}
        self._rules = {rule.name: rule for rule in ruleset.rules}

    def failure(self, expect: Expect, alerts: Sequence[Alert], waiting: Mapping[str, Sequence[Waiting]]) -> str | None:
        """What is wrong with the alerts between two expectations and with what waits then; None if nothing."""
        if expect.what == "nothing":
            return f"expected no alert, but {self._told(alerts[0])}" if alerts else None
        assert expect.rule is not None
        kinds = self._kinds[expect.rule]
        wanted = _pairs(dict(expect.values), kinds)
        if expect.what == "near":
            return self._not_near(expect, self._rules[expect.rule], wanted, waiting.get(expect.rule, ()))
        status = "resolved" if expect.what == "resolved" else "fired"
        of_rule = [alert for alert in alerts if (alert.rule, alert.status) == (expect.rule, status)]
        fitting = [alert for alert in of_rule if not _differences(expect, _values(alert))]
        if expect.what == "none":
            return f"expected no {expect.rule}{wanted}, but {self._told(fitting[0])}" if fitting else None
        if fitting:
            return None
        said = (
            f"expected {'resolved ' if status == 'resolved' else ''}{expect.rule}{wanted} by {duration(expect.at_us)}"
        )
        if not of_rule:
            return f"{said}, but nothing came"
        nearest = min(of_rule, key=lambda alert: len(_differences(expect, _values(alert))))
        told = _values(nearest)
        differing = {name: told[name] for name in _differences(expect, told)}
        return f"{said}; the nearest, at {duration(nearest.time_us)}, has{_pairs(differing, kinds)}"

    def _not_near(self, expect: Expect, rule: Rule, wanted: str, waiting: Sequence[Waiting]) -> str | None:
        """What is wrong with what waits."""
        of_key = [entry for entry in waiting if not _differences(expect, entry.key)]
        if any(not expect.missing or entry.steps & set(expect.missing) for entry in of_key):
            return None
        missing = f" missing {_step_name(rule, expect.missing[0])}" if expect.missing else ""
        said = f"expected near {rule.name}{wanted}{missing} at {duration(expect.at_us)}"
        if not of_key:
            return f"{said}, but nothing waits"
        names = {_step_name(rule, step) for entry in of_key for step in entry.steps}
        return f"{said}, but what waits needs {' or '.join(sorted(names))}"

    def difference(self, alerts: Sequence[Alert], others: Sequence[Alert]) -> str | None:
        """How some alerts differ from those that they should be; None if they do not."""
        for expected, found in zip_longest(alerts, others):
            if expected is None:
                return f"there is one alert more: {self._told(found)}"
            if found is None:
                return f"an alert is lost: {self._told(expected)}"
            if expected != found:
                return f"instead of {self._told(expected)}, {self._told(found)}"
        return None

    def _told(self, alert: Alert) -> str:
        told = _pairs(_values(alert), self._kinds[alert.rule])
        return f"{alert.rule}{told} {alert.status} at {duration(alert.time_us)}"


def _step_name(rule: Rule, step: int) -> str:
    """What a positive step is called; behind the last one only time is waited for."""
    if not isinstance(rule.trigger, When):
        return "its condition"
    positive = [step for step in rule.trigger.steps if not step.negated]
    return positive[step].alias or positive[step].name if step < len(positive) else "nothing but time"


def _values(alert: Alert) -> dict[str, Value]:
    """What an expectation can be matched on: the key goes before what is shown, and that before labels."""
    return {**alert.labels, **alert.shows, **alert.key}


def _differences(expect: Expect, told: Mapping[str, Value]) -> list[str]:
    """The names of the expected values that are others."""
    return [name for name, value in expect.values if not _equal(told[name], value)]


def _equal(value: Value, wanted: Value) -> bool:
    if isinstance(value, float) and isinstance(wanted, float):
        return math.isclose(value, wanted, rel_tol=1e-9)  # people do not write seventeen digits
    return value == wanted


def _kinds(rule: Rule) -> dict[str, str]:
    """The kind of each value that an alert of the rule can be matched on."""
    kinds = {name: value.kind.value for name, value in (*rule.labels, *rule.shows)}
    return kinds | {key.name: key.kind.value for key in rule.keys}


def _pairs(values: Mapping[str, Value], kinds: Mapping[str, str]) -> str:
    """Values as a test block has them; nothing when there are none."""
    if not values:
        return ""
    pairs = [f"{name}: {_written(value, kinds[name])}" for name, value in values.items()]
    return f" {{{', '.join(pairs)}}}"


def _written(value: Value, kind: str) -> str:
    text = in_text([value], kind)[0]
    return f'"{text}"' if value is not None and kind in ("text", "time") else text
