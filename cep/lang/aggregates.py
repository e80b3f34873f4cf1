"""Aggregates: over a window of an event's past, or over what a step has captured.

The argument speaks of one event, which it names: `sum(txn.amount)`, `count(d)`. In the aggregate's own `where` that
event's fields need no name, as in a step. A window's filter cannot look at captured events: one window serves every run
of a key.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cep.lang import ast
from cep.lang.checked import Aggregate, CaptureAggregate, Expr, GroupCapture, Source
from cep.lang.functions import aggregate_kind
from cep.lang.operators import conjunction

if TYPE_CHECKING:
    from cep.lang.infer import Bound, Inference, Scope

_UNBUILT_WINDOWS = {
    "over_last": ("CEP914", 'windows "over last N"'),
    "over_each": ("CEP914", 'windows "over each"'),
    "over_session": ("CEP914", 'windows "over session"'),
    "by": ("CEP916", 'an aggregate\'s own "by"'),
    "since": ("CEP915", '"since"'),
    "offset": ("CEP915", '"offset"'),
}


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
    elif subject.text in scope.own_names and subject.text not in infer.names.views:
        page.error("CEP109", subject.at, f'"{subject.text}" is the one event being judged', "name the event itself")
    else:
        return _of_window(infer, node, subject, scope)
    return None


def _function(node: ast.Call) -> str:
    return "count_distinct" if node.distinct else node.function.text


def _subject(infer: Inference, node: ast.Call, scope: Scope) -> ast.Name | None:
    """The one event or alias that the argument speaks of; reported when there is none or more."""
    argument = node.args[0]
    if isinstance(argument, ast.Name):
        if node.function.text == "count" and not node.distinct:
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
    function = _function(node)
    if node.where is not None or node.windows:
        infer.page.error("CEP917", node.at, f'a window or filter over the captured "{subject.text}" is not built yet')
        return None
    if bound.members:
        return _of_group(infer, node, subject, bound, scope)
    if isinstance(node.args[0], ast.Name):
        return CaptureAggregate(function, bound.step, None, aggregate_kind(function, None))
    inner = _inner(bound.view, subject.text, scope)
    argument = infer.expr(node.args[0], inner)
    if argument is None:
        return None
    return CaptureAggregate(function, bound.step, argument, aggregate_kind(function, argument))


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
    view = infer.names.view(subject, page, scope.rule)
    window_us = _window_us(infer, node, scope)
    if scope.aggregates == "unbuilt":
        page.error(
            "CEP925", node.at, 'windows in the outputs of a "when" are not built yet', "aggregate an alias: count(d)"
        )
        return None
    if scope.aggregates != "built":
        page.error("CEP308", node.at, scope.aggregates)
        return None
    if view is None:
        return None
    inner = _inner(view, subject.text, scope)
    bare_count = isinstance(node.args[0], ast.Name)
    argument = None if bare_count else infer.expr(node.args[0], inner)
    where = infer.flag(node.where, replace(inner, bare=True))
    refused = (argument is None and not bare_count) or (where is None and node.where is not None)
    if refused or window_us is None:
        return None
    source = Source(view.event, conjunction((view.where, where)), scope.keys.of(view, page))
    return Aggregate(function, source, argument, window_us, aggregate_kind(function, argument))


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


def _window_us(infer: Inference, node: ast.Call, scope: Scope) -> int | None:
    """The look-back in microseconds, or None when it was reported."""
    window_us = scope.window_us
    built = True
    for window in node.windows:
        if window.form == "over" and window.step_us is None:
            window_us = int(window.value)
            if window_us == 0:
                infer.page.error("CEP304", window.at, "a window is longer than nothing")
                built = False
            continue
        code, what = _UNBUILT_WINDOWS.get(window.form, ("CEP914", 'windows "over D every D"'))
        infer.page.error(
            code, window.at, f"{what} are not built yet" if what.startswith("w") else f"{what} is not built yet"
        )
        built = False
    if window_us is None and built and scope.aggregates == "built":
        hint = f'give the rule a "within", or write {node.function.text}(…) over 1h'
        infer.page.error("CEP306", node.at, "the aggregate has no window", hint)
    return window_us if built else None
