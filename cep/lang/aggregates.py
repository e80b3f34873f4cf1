"""Aggregates: over a window of an event's past, or over what a step has captured.

The argument speaks of one event, which it names: `sum(txn.amount)`, `count(d)`. In the aggregate's own `where` that
event's fields need no name, as in a step. A window's filter cannot look at captured events: one window serves every run
of a key. What windows keep is a smaller set than what authors write: a rate, and the z-score of a judged event, are
arithmetic over other aggregates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from cep.lang import ast
from cep.lang.checked.expressions import (
    Aggregate,
    CaptureAggregate,
    CaptureRef,
    Const,
    Expr,
    FieldRef,
    GroupCapture,
    Op,
    Source,
    Window,
)
from cep.lang.checked.schema import EWMA_HALVINGS, Kind
from cep.lang.functions import aggregate_kind
from cep.lang.names import asks_status, rebase
from cep.lang.operators import conjunction, to_number
from cep.lang.report import listed
from cep.lang.windows import has_own_key, judged_view, own_key, window

if TYPE_CHECKING:
    from cep.lang.infer import Bound, Inference, Scope

_IN_FILTERS = ("count", "sum", "avg", "min", "max", "first", "last", "count_distinct")
_OF_NO_CAPTURE = ("rate", "ewma", "new", "zscore")


def aggregate(infer: Inference, node: ast.Call, scope: Scope) -> Expr | None:
    """The checked aggregate, or None when something in it was reported."""
    name = node.function.text
    page = infer.page
    if len(node.args) != 1:
        page.error("CEP203", node.function.at, f"{name}() takes one argument, and has {len(node.args)}")
        return None
    if node.distinct and name != "count":
        page.error("CEP203", node.function.at, f"{name}(distinct …) has no meaning", "only count takes distinct")
        return None
    subject = _subject(infer, node, scope)
    if subject is None:
        return None
    if subject.text in scope.aliases:
        return _of_captured(infer, node, subject, scope.aliases[subject.text], scope)
    if subject.text in scope.later or subject.text in scope.absent or subject.text in scope.refused:
        infer.unbound(subject, scope)
    elif subject.text in scope.own_names and not infer.names.is_event(subject.text):
        page.error("CEP109", subject.at, f'"{subject.text}" is the one event being judged', "name the event itself")
    else:
        return _of_window(infer, node, subject, scope)
    return None


def _function(node: ast.Call) -> str:
    if node.function.text == "median":
        return "p50"
    return "count_distinct" if node.distinct else node.function.text


def _subject(infer: Inference, node: ast.Call, scope: Scope) -> ast.Name | None:
    """The one event or alias that the argument speaks of; reported when there is none or more."""
    argument = node.args[0]
    if isinstance(argument, ast.Name):
        if node.function.text in ("count", "rate") and not node.distinct:
            return argument
        owner = scope.own or (scope.captured and scope.captured.view) or scope.single
        example = f"{node.function.text}({owner.name if owner else 'EVENT'}.{argument.text})"
        infer.page.error("CEP204", argument.at, f"{node.function.text}() takes a field of an event", f"as in {example}")
        return None
    members = (part for part in ast.walk(argument) if isinstance(part, ast.Member))
    named = {part.base.text: part.base for part in members if isinstance(part.base, ast.Name)}
    known = {text: name for text, name in named.items() if text not in infer.names.lets}
    if len(known) == 1:
        return next(iter(known.values()))
    if known:
        hint = f"it names {' and '.join(sorted(known))}"
        infer.page.error("CEP204", argument.at, "an aggregate speaks of one event", hint)
    else:
        hint = f"as in {node.function.text}({nearest_event(infer)}.FIELD)"
        infer.page.error("CEP204", argument.at, f"{node.function.text}() takes a field of an event", hint)
    return None


def nearest_event(infer: Inference) -> str:
    """Any event's name, for an example in a hint."""
    return min(infer.names.views, default="EVENT")


def _of_captured(infer: Inference, node: ast.Call, subject: ast.Name, bound: Bound, scope: Scope) -> Expr | None:
    """An aggregate over what a step captured; its own `where` leaves out values, so it becomes part of the argument."""
    function = _function(node)
    page = infer.page
    if node.windows:
        hint = "what a step has captured is counted as a whole; a window is over an event"
        page.error("CEP347", node.windows[0].at, f'a window over the captured "{subject.text}" has no meaning', hint)
        return None
    if function in _OF_NO_CAPTURE:
        hint = "it needs a window over an event"
        page.error("CEP347", node.at, f'{function}() of the captured "{subject.text}" has no meaning', hint)
        return None
    if scope.own is not None and function not in _IN_FILTERS:
        hint = f"a filter that looks back has {listed(_IN_FILTERS[:-1])}; the alert can show {node.function.text}()"
        page.error("CEP348", node.at, f"{node.function.text}() of captured events stands in outputs only", hint)
        return None
    if bound.members:
        return _of_group(infer, node, subject, bound, scope)
    inner = _inner(bound.view, subject.text, scope)
    bare_count = isinstance(node.args[0], ast.Name)
    argument = None if bare_count else infer.expr(node.args[0], inner)
    where = infer.flag(node.where, replace(inner, bare=True))
    if (argument is None and not bare_count) or (where is None and node.where is not None):
        return None
    kind = aggregate_kind(function, argument)
    if where is not None:
        counted = argument or Const(1, Kind.INTEGER)
        argument = Op("given", (counted, where), counted.kind)
    return CaptureAggregate(function, bound.step, argument, kind)


def _of_group(infer: Inference, node: ast.Call, subject: ast.Name, bound: Bound, scope: Scope) -> Expr | None:
    """An aggregate over what all steps of a group have captured: the argument is read for each step's event."""
    function = _function(node)
    steps = tuple(step for step, _ in bound.members)
    if isinstance(node.args[0], ast.Name):
        return GroupCapture(function, steps, (), aggregate_kind(function, None))
    if infer.expr(node.args[0], _inner(bound.view, subject.text, scope)) is None:
        return None
    arguments: list[Expr] = []
    for _, view in bound.members:
        argument = infer.expr(node.args[0], _inner(view, subject.text, scope))
        assert argument is not None, "what all events have, each of them has"
        arguments.append(argument)
    return GroupCapture(function, steps, tuple(arguments), aggregate_kind(function, arguments[0]))


def _of_window(infer: Inference, node: ast.Call, subject: ast.Name, scope: Scope) -> Expr | None:
    function = _function(node)
    page = infer.page
    asks = asks_status((subject.text,), node.where, *node.args)
    view = infer.names.view(subject, page, scope.rule, asks_status=asks)
    if scope.aggregates != "built":
        page.error("CEP308", node.at, scope.aggregates)
        return None
    if view is None:
        return None
    by = own_key(infer, node, view, scope)
    if has_own_key(infer, node, scope) and by is None:
        return None
    over = window(infer, node, by, scope)
    inner = _inner(view, subject.text, scope)
    bare_count = isinstance(node.args[0], ast.Name)
    argument = None if bare_count else infer.expr(node.args[0], inner)
    where = infer.flag(node.where, replace(inner, bare=True))
    refused = (argument is None and not bare_count) or (where is None and node.where is not None)
    if refused or over is None or not _fits(infer, node, function, over):
        return None
    key = scope.keys.of(view, page) if by is None else by.source
    source = Source(view.event, conjunction((view.where, where)), key)
    made = Aggregate(function, source, argument, over, aggregate_kind(function, argument), by.judged if by else None)
    return _of_own_value(infer, node, made, scope) if function in ("new", "zscore") else _as_kept(made)


def _fits(infer: Inference, node: ast.Call, function: str, over: Window) -> bool:
    """Whether the function has a meaning over such a window."""
    if function == "rate" and (over.form not in ("over", "every") or over.count or over.since):
        hint = "as in rate(e) over 5m: it is divided by the seconds of the window"
        infer.page.error("CEP343", node.at, "rate() needs a window of one length", hint)
        return False
    if function == "ewma" and (over.form != "over" or over.count or over.since or over.offset_us):
        hint = "as in ewma(e.f) over 5m: a value weighs half as much for every 5m by which it is older than the newest"
        infer.page.error("CEP343", node.at, "ewma() has a half-life, not a window", hint)
        return False
    return True


def _as_kept(made: Aggregate) -> Expr:
    """The aggregate in terms of what windows keep: a rate is a count or an increase, divided by seconds."""
    if made.function == "ewma":
        over = replace(made.window, form="session", length_us=EWMA_HALVINGS * made.window.length_us)
        return replace(made, window=over)
    if made.function != "rate":
        return made
    seconds = Const(made.window.length_us / 1_000_000, Kind.NUMBER)
    if made.argument is None:
        return Op("div", (replace(made, function="count", kind=Kind.INTEGER), seconds), Kind.NUMBER)
    return Op("div", (replace(made, function="increase", kind=made.argument.kind), seconds), Kind.NUMBER)


def _of_own_value(infer: Inference, node: ast.Call, made: Aggregate, scope: Scope) -> Expr | None:
    """`new` and `zscore`: in a `when` of the judged event's own value, in a `while` of the latest event's."""
    if scope.latest:
        return made
    judged = judged_view(scope)
    assert judged is not None
    assert made.argument is not None
    if judged.event != made.source.event:
        message = f"{made.function}() speaks of the judged event's own value, and here that is a {judged.name}"
        infer.page.error("CEP344", node.at, message, "ask it in the step of that event")
        return None
    if made.function == "new":
        return made
    own = made.argument if scope.own is not None else rebase(made.argument, _last_of(scope))
    average = replace(made, function="avg")
    deviation = replace(made, function="stddev")
    return Op("div", (Op("sub", (to_number(own), average), Kind.NUMBER), deviation), Kind.NUMBER)


def _last_of(scope: Scope) -> Callable[[FieldRef], Expr]:
    """Fields as those of the last event captured."""
    bound = scope.captured
    assert bound is not None
    return lambda ref: CaptureRef(bound.step, "last", ref.event, ref.field, ref.kind)


def _inner(view: object, name: str, scope: Scope) -> Scope:
    """The scope of an aggregate's argument: the one event, by its name."""
    from cep.lang.infer import Scope as _Scope
    from cep.lang.names import View

    assert isinstance(view, View)
    return _Scope(
        own=view,
        own_names=frozenset((name, view.name)),
        bare=False,
        later=scope.later,
        keys=scope.keys,
        aggregates="an aggregate cannot stand inside another",
        rule=scope.rule,
    )
