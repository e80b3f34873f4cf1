"""What state means apart from its program: digests by which a changed program finds the state that it can go on with.

Equal digests: the plan takes in the same events with the same keys and does the same with them, whatever the places of
columns, predicates and instructions are in its program. What an alert says does not enter, save where a `while` keeps
values for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any

from cep.lang.checked.rules import Rule
from cep.lang.checked.ruleset import RuleSet
from cep.lang.digest import digest
from cep.layout.columns import ColumnSpec

_LEAVES = frozenset((str, int, float, bool, type(None)))

Spoken = frozenset[tuple[int, str]]  # (event, field); "time" stands for the event itself


@dataclass(slots=True)
class Known:
    """What compiling some rules leaves to the next time, when most of them are the very same objects.

    of: each rule, what it speaks of, and its structure, by the rule's identity; true among the declarations `basis`.
    """

    basis: tuple[object, ...] = ()
    of: dict[int, tuple[Rule, Spoken, str]] = field(default_factory=dict)

    def stand_on(self, rules: RuleSet) -> None:
        """Forget all where declarations are others: rules name them by their places."""
        basis = (rules.streams, rules.events)
        if basis != self.basis:
            self.basis, self.of = basis, {}

    def spoken(self, rule: Rule) -> Spoken:
        """What a rule speaks of."""
        known = self.of.get(id(rule))
        return known[1] if known is not None and known[0] is rule else spoken_of(rule)

    def structure(self, rule: Rule) -> str | None:
        """A rule's structure, if it is known."""
        known = self.of.get(id(rule))
        return known[2] if known is not None and known[0] is rule else None

    def keep(self, found: Iterable[tuple[Rule, Spoken, str]]) -> None:
        """Know these rules and no others."""
        self.of = {id(entry[0]): entry for entry in found}


def of_rule(rules: RuleSet, rule: Rule, kept: tuple[object, ...]) -> str:
    """Of a rule's plan: all of the rule but its name, outputs and mode. kept: the values that a `while` keeps."""
    plan = replace(
        rule, name="", version="", alerts=(), shows=(), labels=(), score=None, limit=None, mode="", about=None,
        owner=None, tags=(), to=(),
    )  # fmt: skip
    return of_value(rules, (plan, kept))


def of_value(rules: RuleSet, value: object) -> str:
    """Of any checked value, with the declarations of the events and fields that it speaks of."""
    declared = sorted((_declared(rules, event, name) for event, name in spoken_of(value)), key=repr)
    return digest((value, tuple(declared)), rules.events)


def of_column(rules: RuleSet, column: ColumnSpec) -> str:
    """Of a decoded column."""
    stream = rules.streams[column.stream].name if column.stream >= 0 else ""
    return repr((stream, column.path, column.kind))


def _declared(rules: RuleSet, event: int, name: str) -> tuple[object, ...]:
    root = rules.events[event]
    stream = rules.streams[root.stream].name if root.stream >= 0 else ""
    found = next((field for field in root.fields if field.name == name), None)
    return stream, root.name, root.wire_type, name, found and found.path, found and found.kind


def spoken_of(node: object) -> Spoken:
    """Every (event, field) that a checked value speaks of."""
    found: set[tuple[int, str]] = set()
    stack: list[Any] = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, tuple):
            stack += part
            continue
        kind: Any = type(part)
        names, has_field, has_event = _shape(kind)
        if not names:
            continue
        stack += [inner for name in names if type(inner := getattr(part, name)) not in _LEAVES]
        if has_field:
            found.add(((part if has_event else part.source).event, part.field))
        elif has_event:
            found.add((part.event, "time"))
    return frozenset(found)


@cache
def _shape(of: Any) -> tuple[tuple[str, ...], bool, bool]:
    """The names of a dataclass's fields, none of anything else; whether `field` and `event` are among them."""
    names = tuple(part.name for part in fields(of)) if is_dataclass(of) else ()
    return names, "field" in names, "event" in names
