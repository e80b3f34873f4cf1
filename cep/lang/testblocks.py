"""Test blocks: the events that are given, and the alerts that are expected.

Values come in their kind's unit. A time is written as RFC 3339 text, as microseconds, or as a
duration on the test's own clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cep.lang import ast
from cep.lang.checked.expressions import Const, Expr
from cep.lang.checked.rules import Rule, While
from cep.lang.checked.ruleset import Expect, Given, Test
from cep.lang.checked.schema import Kind
from cep.lang.infer import Inference, Scope
from cep.lang.names import Names
from cep.lang.operators import KindError, article, money_units, time_us
from cep.lang.report import Page, nearest

Value = str | float | int | bool


def check_test(names: Names, rules: Mapping[str, Rule | None], node: ast.Test, page: Page) -> Test | None:
    """The checked test, or None when something in it was reported. `rules` has None for a rule that was refused."""
    known = _rule(rules, node.rule, names, page)
    checks = _Block(names, rules, page)
    steps: list[Given | Expect | None] = [checks.moment(moment) for moment in node.moments]
    if not any(isinstance(moment, ast.Expect) for moment in node.moments):
        page.error("CEP402", node.rule.at, "the test expects nothing", f"add: at 1m expect {node.rule.text}")
        return None
    present = tuple(step for step in steps if step is not None)
    if not known or len(present) < len(steps):
        return None
    return Test(node.rule.text, node.title.text if node.title else "", present, page.span(node.rule.at))


def _rule(rules: Mapping[str, Rule | None], word: ast.Word, names: Names, page: Page) -> bool:
    if word.text in rules:
        return True
    if word.text not in names.broken:
        page.error("CEP401", word.at, f'there is no rule "{word.text}"', nearest(word.text, rules))
    return False


class _Block:
    """The moments of one test, in written order."""

    def __init__(self, names: Names, rules: Mapping[str, Rule | None], page: Page) -> None:
        self._names = names
        self._rules = rules
        self._page = page
        self._expected_us = -1

    def moment(self, node: ast.Given | ast.Expect) -> Given | Expect | None:
        """The checked moment, or None when it was reported."""
        return self._given(node) if isinstance(node, ast.Given) else self._expect(node)

    def _given(self, node: ast.Given) -> Given | None:
        if node.event.text in self._names.rules or (node.event.text == "alert" and "alert" not in self._names.views):
            hint = "give the events that make the rule fire"
            self._page.error("CEP371", node.event.at, f'"{node.event.text}" is not given: it is what rules make', hint)
            return None
        event = self._names.events.get(node.event.text)
        if event is None:
            view = self._names.view(node.event, self._page)
            if view is not None:
                root = next(e.name for e in self._names.events.values() if e.index == view.event)
                hint = f"write {root} with the values that make it one"
                self._page.error(
                    "CEP405", node.event.at, f'"{node.event.text}" is a view; a test gives declared events', hint
                )
            return None
        if node.times == 0:
            self._page.error("CEP304", node.at, '"x 0" gives no event')
        kinds = {field.name: field.kind for field in event.fields}
        values = self._values(node.pairs, kinds, f'"{event.name}" has no field', "CEP104")
        return (
            None
            if values is None
            else Given(node.at_us, event.index, values, node.times, node.every_us, self._page.span(node.at))
        )

    def _expect(self, node: ast.Expect) -> Expect | None:
        page = self._page
        if node.at_us < self._expected_us:
            page.error(
                "CEP406", node.at, "an expectation stands before an earlier one", "expectations go forward in time"
            )
        self._expected_us = max(self._expected_us, node.at_us)
        if node.rule is None:
            return Expect(node.at_us, "nothing", None, (), page.span(node.at))
        if not _rule(self._rules, node.rule, self._names, page):
            return None
        rule = self._rules[node.rule.text]
        if rule is None:
            return None
        if node.what == "resolved" and not isinstance(rule.trigger, While):
            page.error("CEP404", node.rule.at, f'"{rule.name}" never resolves: only a "while" does')
            return None
        if node.what == "near":
            return self._near(node, rule)
        values = self._values(node.pairs, _shown(rule), f'alerts of "{rule.name}" show no', "CEP407")
        return None if values is None else Expect(node.at_us, node.what, rule.name, values, page.span(node.at))

    def _near(self, node: ast.Expect, rule: Rule) -> Expect | None:
        """What nearly happened is known by its key, and by the step that it waits for."""
        kinds = {key.name: key.kind for key in rule.keys}
        values = self._values(node.pairs, kinds, f'a near miss is known by its key, and "{rule.name}" has no', "CEP407")
        missing: tuple[int, ...] = ()
        if node.missing is not None:
            missing = self._missing(node.missing, rule)
            if not missing:
                return None
        if values is None:
            return None
        return Expect(node.at_us, "near", rule.name, values, self._page.span(node.at), missing)

    def _missing(self, word: ast.Word, rule: Rule) -> tuple[int, ...]:
        """The places among the positive steps of those that are called so; () when that was reported."""
        if isinstance(rule.trigger, While):
            hint = f"write: expect near {rule.name}"
            self._page.error("CEP409", word.at, "a condition waits for no step: it only does not hold yet", hint)
            return ()
        positive = [step for step in rule.trigger.steps if not step.negated]
        places = tuple(place for place, step in enumerate(positive) if word.text in (step.alias, step.name))
        if not places:
            known = {name for step in positive for name in (step.alias, step.name) if name is not None}
            self._page.error("CEP408", word.at, f'"{rule.name}" has no step "{word.text}"', nearest(word.text, known))
        return places

    def _values(
        self, pairs: Iterable[ast.Pair], kinds: Mapping[str, Kind], unknown: str, code: str
    ) -> tuple[tuple[str, Value], ...] | None:
        """The values in their kinds' units; None when one of them was reported."""
        values: dict[str, Value] = {}
        failed = False
        for pair in pairs:
            name = pair.name.text
            value = None
            if name not in kinds:
                hint = nearest(name, kinds) or (f"there are {', '.join(sorted(kinds))}" if kinds else None)
                self._page.error(code, pair.name.at, f'{unknown} "{name}"', hint)
            elif name in values:
                self._page.error("CEP107", pair.name.at, f'"{name}" stands twice')
            else:
                value = self._value(pair, kinds[name])
            if value is None:
                failed = True
            else:
                values[name] = value
        return None if failed else tuple(values.items())

    def _value(self, pair: ast.Pair, kind: Kind) -> Value | None:
        const: Expr | None = Inference(self._names, self._page).expr(pair.value, Scope())
        if const is None:
            return None
        if not isinstance(const, Const):
            self._page.error("CEP207", pair.value.at, "a test gives constants")
            return None
        try:
            return _in_unit(const, kind)
        except KindError as mistake:
            self._page.error(mistake.code, pair.value.at, mistake.message, mistake.hint)
            return None


def _shown(rule: Rule) -> dict[str, Kind]:
    """What an alert of the rule can be matched on."""
    kinds = {key.name: key.kind for key in rule.keys}
    for name, value in (*rule.shows, *rule.labels):
        kinds.setdefault(name, value.kind)
    return kinds


def _in_unit(const: Const, kind: Kind) -> Value:
    """A constant's value in the unit of `kind`. Raises KindError."""
    value = const.value
    if const.kind is kind:
        return value
    if kind is Kind.MONEY and const.kind in (Kind.INTEGER, Kind.NUMBER):
        return money_units(value)
    if kind is Kind.NUMBER and const.kind is Kind.INTEGER:
        return float(value)
    if kind is Kind.TIME and const.kind is Kind.TEXT:
        return time_us(str(value))
    if kind is Kind.TIME and const.kind in (Kind.DURATION, Kind.INTEGER):
        return value
    raise KindError("CEP403", f"{article(kind)} is needed here, and this is {article(const.kind)}")
