"""`active in SCHEDULE` and `by KEY in ROSTER`: conditions that hold for every event that a rule looks at.

They are and-ed into each of the rule's sources: to the rule, the other events fit no step, no `no` and no window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

from cep.lang import ast
from cep.lang.checked.expressions import Const, Expr, FieldRef, Op, Source
from cep.lang.checked.rules import Rule
from cep.lang.checked.schema import Kind
from cep.lang.names import Names
from cep.lang.operators import KindError, conjunction
from cep.lang.report import Page, nearest
from cep.lang.tables import KEY_KINDS


def restricted(names: Names, node: ast.Rule, rule: Rule, page: Page) -> Rule:
    """The rule with the conditions of its headers in its sources; what is wrong with those is reported."""
    for header in node.headers:
        if isinstance(header, ast.By) and header.roster is not None:
            rule = _rostered(names, header.roster, node, rule, page)
        elif isinstance(header, ast.Setting) and header.word == "active":
            rule = _scheduled(names, header, rule, page)
    return rule


def _scheduled(names: Names, header: ast.Setting, rule: Rule, page: Page) -> Rule:
    name = str(header.value)
    schedule = names.schedules.get(name)
    if schedule is None:
        if name not in names.broken:
            hint = nearest(name, names.schedules) or f'declare it: schedule {name} = "* 9-16 * * mon-fri"'
            page.error("CEP104", header.at, f'there is no schedule "{name}"', hint)
        return rule
    return _with(rule, lambda source: schedule.covers(FieldRef(source.event, "time", Kind.TIME)))


def _rostered(names: Names, word: ast.Word, node: ast.Rule, rule: Rule, page: Page) -> Rule:
    name = word.text
    if name not in names.rosters:
        if name not in names.broken:
            hint = nearest(name, names.rosters) or f'declare it: roster {name} from "{name}.csv"'
            page.error("CEP104", word.at, f'there is no roster "{name}"', hint)
        return rule
    if len(rule.keys) != 1:
        page.error("CEP360", word.at, f"a roster holds keys of one part, and the rule's has {len(rule.keys)}")
        return rule
    (key,) = rule.keys
    if key.kind not in KEY_KINDS:
        page.error("CEP360", word.at, f'a roster holds texts or whole numbers, and "{key.name}" is {key.kind.value}')
        return rule
    if any(isinstance(header, ast.Setting) and header.word == "forget" for header in node.headers):
        page.error("CEP361", word.at, "the keys of a roster are never forgotten", 'leave out "forget"')
    try:
        names.keyed(name, key.kind)
    except KindError as mistake:
        page.error(mistake.code, word.at, mistake.message, mistake.hint)
        return rule

    def listed(source: Source) -> Expr | None:
        """An event without its key passes, to be counted as such; an aggregate's own key is nobody's."""
        if [own.kind for own in source.key] != [key.kind]:  # where it has none that has been reported
            return None
        (own,) = source.key
        among = Op("rostered", (own, Const(name, Kind.TEXT)), Kind.FLAG)
        return Op("or", (Op("missing", (own,), Kind.FLAG), among), Kind.FLAG)

    return replace(_with(rule, listed), roster=name)


def _with(rule: Rule, condition: Callable[[Source], Expr | None]) -> Rule:
    return cast("Rule", _rewritten(rule, condition))


def _rewritten(node: Any, condition: Callable[[Source], Expr | None]) -> Any:
    """A part of the rule with the condition in each of its sources."""
    if isinstance(node, Source):
        return replace(node, where=conjunction((condition(node), _rewritten(node.where, condition))))
    if isinstance(node, tuple):
        return tuple(_rewritten(part, condition) for part in node)
    if not is_dataclass(node):
        return node
    parts = {part.name: getattr(node, part.name) for part in fields(node)}
    return replace(cast("Any", node), **{name: _rewritten(part, condition) for name, part in parts.items()})
