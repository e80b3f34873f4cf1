"""Names and kinds of expressions: a written expression becomes a checked one, in the scope of its place.

A `Scope` says what names mean where the expression stands. Every mistake in an expression is reported; the part that
holds it is None from there on, so that one mistake gives one diagnostic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cep.lang import ast, lookups, operators
from cep.lang.aggregates import aggregate
from cep.lang.build import DEEPEST
from cep.lang.checked.expressions import CaptureRef, Const, Expr, FieldRef, GroupCapture, KeyRef, LatestRef, Op, Source
from cep.lang.checked.schema import Kind
from cep.lang.functions import AGGREGATES, CALENDAR, FUNCTIONS, apply, text_operator
from cep.lang.names import Keys, NamedLet, Names, View, rebase
from cep.lang.operators import KindError
from cep.lang.report import Page, nearest
from cep.lang.rewrite import substitute

_MOST_NODES = 4_000
_KINDS = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Bound:
    """A step that has been captured: its place in the sequence, its event, and whether it is a loop.

    Of a group `members` are its steps and their events, and `view` has the fields that all of them have.
    """

    step: int
    view: View
    loop: bool
    members: tuple[tuple[int, View], ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean at one place.

    `own` is the event being judged, `own_names` what it may be called besides nothing at all (`bare`). `window_us` is
    the default look-back of aggregates, `forget_us` that of windows without a length of time; `aggregates` is "built"
    or the reason why there can be none.
    """

    own: View | None = None
    own_names: frozenset[str] = frozenset()
    bare: bool = True
    aliases: Mapping[str, Bound] = field(default_factory=dict)
    later: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    keys: Keys = field(default_factory=Keys)
    key_names: bool = False
    captured: Bound | None = None
    latest: bool = False
    single: View | None = None
    window_us: int | None = None
    forget_us: int = 0
    aggregates: str = "an aggregate cannot stand here"
    rule: str | None = None


@dataclass(slots=True)
class Inference:
    """Checks the expressions of one declaration, within a budget that expanding lets cannot exceed."""

    names: Names
    page: Page
    nodes: int = 0
    level: int = 0
    outgrown: bool = False
    given: Mapping[str, ast.Expr] = field(default_factory=dict)  # what a template's parameters stand for in messages

    def expr(self, node: ast.Expr, scope: Scope) -> Expr | None:
        """The checked expression, or None when something in it was reported."""
        self.nodes += 1
        if self.nodes > _MOST_NODES or self.level > DEEPEST:
            if not self.outgrown:
                self.page.error("CEP102", node.at, "with its lets written out the expression is too large")
            self.outgrown = True
            return None
        self.level += 1
        try:
            return self._expr(node, scope)
        except KindError as mistake:
            self.page.error(mistake.code, node.at, mistake.message, mistake.hint)
            return None
        finally:
            self.level -= 1

    def flag(self, node: ast.Expr | None, scope: Scope) -> Expr | None:
        """A condition. Absent or reported: None."""
        if node is None:
            return None
        value = self.expr(node, scope)
        if value is not None and value.kind is not Kind.FLAG:
            self.page.error(
                "CEP210", node.at, f"a condition is needed here, and this is {operators.article(value.kind)}"
            )
            return None
        return value

    def _all(self, nodes: tuple[ast.Expr, ...], scope: Scope) -> list[Expr] | None:
        values = [self.expr(node, scope) for node in nodes]
        present = [value for value in values if value is not None]
        return present if len(present) == len(values) else None

    def _expr(self, node: ast.Expr, scope: Scope) -> Expr | None:
        match node:
            case ast.Literal():
                return Const(node.value, _KINDS[node.kind])
            case ast.Logic() | ast.Unary(op="not"):
                return self._logic(node, scope)
            case ast.Unary() | ast.Binary() | ast.Between():
                return self._operation(node, scope)
            case ast.MemberOf():
                return self._member_of(node, scope)
            case ast.Call():
                return self._call(node, scope)
            case _:
                return self._reference(node, scope)

    def _reference(self, node: ast.Name | ast.Member | ast.Lookup, scope: Scope) -> Expr | None:
        if isinstance(node, ast.Name):
            return self._name(node, scope)
        if isinstance(node, ast.Member):
            return self._member(node, scope)
        hint = f"name a column: {node.table.text}[…].COLUMN"
        self.page.error("CEP124", node.at, "a row of a table is no value", hint)
        return None

    def _logic(self, node: ast.Logic | ast.Unary, scope: Scope) -> Expr | None:
        operands = node.operands if isinstance(node, ast.Logic) else (node.operand,)
        conditions = [self.flag(operand, scope) for operand in operands]
        present = [condition for condition in conditions if condition is not None]
        if len(present) < len(conditions):
            return None
        return Op("not", (present[0],), Kind.FLAG) if node.op == "not" else operators.logic(node.op, present)

    def _operation(self, node: ast.Unary | ast.Binary | ast.Between, scope: Scope) -> Expr | None:
        if isinstance(node, ast.Binary):
            return self._binary(node, scope)
        if isinstance(node, ast.Between):
            values = self._all((node.value, node.low, node.high), scope)
            return None if values is None else operators.between(*values)
        value = self.expr(node.operand, scope)
        return None if value is None else operators.negative(value)

    def _binary(self, node: ast.Binary, scope: Scope) -> Expr | None:
        values = self._all((node.left, node.right), scope)
        if values is None:
            return None
        if node.op in ("matches", "starts_with", "ends_with", "contains"):
            return text_operator(node.op, *values)
        if node.op in ("+", "-", "*", "/", "%"):
            return operators.arithmetic(node.op, *values)
        return operators.compare(node.op, *values)

    def _member_of(self, node: ast.MemberOf, scope: Scope) -> Expr | None:
        value = self.expr(node.value, scope)
        op = self._named_choice(node.choices, value, scope)
        if op is None:
            items = self._items(node.choices, scope, value)
            if value is None or items is None:
                return None
            op = operators.member_of(value, items)
        return Op("not", (op,), Kind.FLAG) if node.negated else op

    def _named_choice(self, choices: ast.Name | ast.Choices, value: Expr | None, scope: Scope) -> Expr | None:
        """`value in` a schedule or a list from a file, where that can be looked up; None for all others."""
        if value is None or not isinstance(choices, ast.Name):
            return None
        name = choices.text
        if name in self.names.schedules and value.kind is Kind.TIME:
            return lookups.derived(self.names.schedules[name].covers(value), scope.key_names)
        if name in self.names.files and lookups.of_one_event(value, scope.key_names):
            self.names.keyed(name, value.kind)
            return Op("listed", (value, Const(name, Kind.TEXT)), Kind.FLAG)
        return None

    def _items(self, choices: ast.Name | ast.Choices, scope: Scope, value: Expr | None) -> list[Const] | None:
        if isinstance(choices, ast.Choices):
            return self.constants(choices, scope)
        name = choices.text
        if name in self.names.lists:
            return list(self.names.lists[name])
        if name in self.names.files:
            entries = () if value is None else self.names.keyed(name, value.kind).rows
            return [Const(key, value.kind) for key, _ in entries] if value is not None else []
        if name not in self.names.broken:
            hint = nearest(name, {*self.names.lists, *self.names.files}) or 'declare it: list NAME = ["a", "b"]'
            self.page.error("CEP104", choices.at, f'there is no list "{name}"', hint)
        return None

    def constants(self, choices: ast.Choices, scope: Scope) -> list[Const] | None:
        """The entries of a list as written; None when one of them was reported."""
        items: list[Const] = []
        for node in choices.items:
            if isinstance(node, ast.Literal):  # of which there may be more than an expression has parts
                items.append(Const(node.value, _KINDS[node.kind]))
                continue
            item = self.expr(node, replace(scope, own=None, captured=None, single=None, aliases={}))
            if isinstance(item, Const):
                items.append(item)
            elif item is not None:
                self.page.error("CEP207", node.at, "a list holds constants")
        return items if len(items) == len(choices.items) else None

    # ------------------------------------------------------------------------------------- names

    def _name(self, node: ast.Name, scope: Scope) -> Expr | None:
        name = node.text
        if scope.own is not None and scope.bare and name in scope.own.fields:
            return scope.own.fields[name]
        if scope.key_names and (key := self._key(name, scope)) is not None:
            return key
        if scope.captured is not None and name in scope.captured.view.fields:
            return capture(scope.captured, "last", name)
        if scope.single is not None and name in scope.single.fields:
            return self._latest(scope.single, name, scope)
        if name in self.names.lets:
            return self._let(ast.Word(name, node.at), (), scope, node.at)
        self._unknown_name(node, scope)
        return None

    def _key(self, name: str, scope: Scope) -> Expr | None:
        for index, word in enumerate(scope.keys.words):
            if word.text == name and name in scope.keys.kinds:
                return KeyRef(index, scope.keys.kinds[name])
        return None

    def _unknown_name(self, node: ast.Name, scope: Scope) -> None:
        name = node.text
        if name in self.names.broken or any(word.text == name for word in scope.keys.words if scope.key_names):
            return
        views = [scope.own, scope.captured.view if scope.captured else None, scope.single]
        fields = {f for view in views if view is not None for f in view.fields if scope.bare}
        if scope.own is not None and not scope.bare and name in scope.own.fields:
            hint: str | None = f"name its event: {scope.own.name}.{name}"
        elif name in scope.aliases or name in scope.own_names:
            hint = f'"{name}" is an event, of which a field is meant: {name}.FIELD'
        elif self.names.is_event(name):
            hint = f'"{name}" is an event: write {name}.FIELD or count({name})'
        elif (what := self.names.what(name)) is not None:
            use = ', which stands after "in"' if what in ("list", "schedule") else ""
            hint = f'"{name}" is a {what}{f": write {name}[KEY].COLUMN" if what == "table" else use}'
        elif name in ("null", "none", "None", "nil"):
            hint = "whether a field is missing is asked with missing(FIELD)"
        else:
            hint = nearest(name, fields | set(self.names.lets) | {w.text for w in scope.keys.words if scope.key_names})
            holders = sorted(view.name for view in self.names.views.values() if name in view.fields)
            if hint is None and holders and (scope.latest or scope.single is None):
                hint = f"name its event: {holders[0]}.{name}"
        self.page.error("CEP104", node.at, f'unknown name "{name}"', hint)

    def _member(self, node: ast.Member, scope: Scope) -> Expr | None:
        base = node.base
        if isinstance(base, ast.Name):
            return self._field_of(base, node.name, "", scope)
        if isinstance(base, ast.Lookup):
            key = self.expr(base.key, scope)
            return lookups.lookup(self.names, self.page, base, node.name, key, scope.key_names)
        if isinstance(base, ast.Member) and isinstance(base.base, ast.Name) and base.name.text in ("first", "last"):
            return self._field_of(base.base, node.name, base.name.text, scope)
        if self.expr(base, scope) is not None:
            self.page.error("CEP201", node.name.at, "only events have fields")
        return None

    def _field_of(self, base: ast.Name, word: ast.Word, which: str, scope: Scope) -> Expr | None:
        name = base.text
        bound = scope.aliases.get(name)
        if bound is not None and (which or name not in scope.own_names):
            return capture(bound, which or "last", word.text) if self._has(bound.view, word) else None
        if scope.own is not None and name in scope.own_names:
            if which:
                hint = "the event being judged is not captured yet; its fields need no alias"
                self.page.error("CEP109", base.at, f'"{name}" has captured nothing here', hint)
                return None
            return scope.own.fields[word.text] if self._has(scope.own, word) else None
        if name in scope.later or name in scope.absent or name in scope.refused:
            self.unbound(base, scope)
            return None
        if scope.latest and not which:
            view = self.names.view(base, self.page, scope.rule, asks_status=word.text == "status")
            return self._latest(view, word.text, scope) if view is not None and self._has(view, word) else None
        if self.names.is_event(name):
            hint = f"name the step: {name} as x, and then write x.{word.text}"
            self.page.error("CEP104", base.at, f'"{name}" is an event, and no captured one is called so', hint)
        elif name not in self.names.broken:
            known = set(scope.aliases) | scope.own_names | (set(self.names.views) if scope.latest else set())
            self.page.error("CEP104", base.at, f'unknown name "{name}"', nearest(name, known))
        return None

    def unbound(self, name: ast.Name, scope: Scope) -> None:
        """Report the use of an alias that has no event here; that of a refused step has been reported already."""
        if name.text in scope.refused:
            return
        if name.text in scope.absent:
            self.page.error("CEP109", name.at, f'"{name.text}" belongs to a "no", which captures nothing')
        else:
            hint = "a step may speak of steps before it"
            self.page.error("CEP109", name.at, f'"{name.text}" is not captured yet at this step', hint)

    def _has(self, view: View, word: ast.Word) -> bool:
        if word.text not in view.fields:
            hint = nearest(word.text, view.fields) or f"its fields are {', '.join(sorted(view.fields))}"
            self.page.error("CEP104", word.at, f'"{view.name}" has no field "{word.text}"', hint)
        return word.text in view.fields

    def _latest(self, view: View, name: str, scope: Scope) -> Expr:
        source = Source(view.event, view.where, scope.keys.of(view, self.page))
        return rebase(view.fields[name], lambda ref: LatestRef(source, ref.field, ref.kind))

    # ------------------------------------------------------------------------------------- calls

    def _call(self, node: ast.Call, scope: Scope) -> Expr | None:
        name = node.function.text
        if name in AGGREGATES:
            return aggregate(self, node, scope)
        suffixed = node.distinct or node.windows or node.where is not None
        if suffixed:
            self.page.error("CEP203", node.function.at, f'"{name}" is not an aggregate', nearest(name, AGGREGATES))
            return None
        if name in self.names.lets:
            return self._let(node.function, node.args, scope, node.at)
        if name in FUNCTIONS or name in self.names.outside:
            args = self._all(node.args, scope)
            return None if args is None else self._applied(name, args, scope)
        self._unknown_function(node.function)
        return None

    def _applied(self, name: str, args: list[Expr], scope: Scope) -> Expr:
        if name in self.names.outside:
            return lookups.called(self.names.outside[name], args, scope.key_names)
        op = apply(name, args)
        return lookups.derived(op, scope.key_names) if name in CALENDAR else op

    def _unknown_function(self, word: ast.Word) -> None:
        name = word.text
        if name not in self.names.broken:
            lets = (n for n, let in self.names.lets.items() if let.node.parameters)
            known = {*FUNCTIONS, *AGGREGATES, *self.names.outside, *lets}
            self.page.error("CEP104", word.at, f'there is no function "{name}"', nearest(name, known))

    def _let(self, word: ast.Word, args: tuple[ast.Expr, ...], scope: Scope, at: tuple[int, int]) -> Expr | None:
        let: NamedLet = self.names.lets[word.text]
        parameters = let.node.parameters or ()
        if len(args) != len(parameters):
            shown = f"{word.text}({', '.join(p.text for p in parameters)})" if parameters else word.text
            self.page.error(
                "CEP203", word.at, f"{len(parameters)} arguments are needed, and there are {len(args)}", shown
            )
            return None
        given = {parameter.text: arg for parameter, arg in zip(parameters, args, strict=True)}
        return self.expr(substitute(let.node.value, given, at), scope)


def capture(bound: Bound, which: str, name: str) -> Expr:
    """A field of a captured event."""
    if bound.members:
        steps = tuple(step for step, _ in bound.members)
        values = tuple(view.fields[name] for _, view in bound.members)
        return GroupCapture(f"of_{which}", steps, values, values[0].kind)

    def seat(ref: FieldRef) -> Expr:
        return CaptureRef(bound.step, which, ref.event, ref.field, ref.kind)

    return rebase(bound.view.fields[name], seat)
