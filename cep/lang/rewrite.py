"""Rewriting expressions: writing out a let, and moving what was parsed on its own to where it stands in its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from cep.lang import ast
from cep.lang.build import DEEPEST
from cep.lang.operators import KindError
from cep.lang.text import Place

_INNER = (
    ast.Member,
    ast.Lookup,
    ast.Call,
    ast.Unary,
    ast.Binary,
    ast.Logic,
    ast.Between,
    ast.Choices,
    ast.MemberOf,
    ast.Word,
    ast.Literal,
    ast.Window,
)


def substitute(body: ast.Expr, given: Mapping[str, ast.Expr], at: Place) -> ast.Expr:
    """A let's body with the arguments in the places of its parameters. Raises KindError when it becomes too deep.

    The body takes the place of the call, so that a mistake in it is shown where the let is used.
    """
    node: ast.Expr = _rewritten(body, given, lambda _: at)
    return node


def written_out(node: ast.Expr, given: Mapping[str, ast.Expr]) -> ast.Expr:
    """An expression of a template with its arguments, which all stand where the whole expression does."""
    given = {name: _rewritten(arg, {}, lambda _: node.at) for name, arg in given.items()}
    result: ast.Expr = _rewritten(node, given, lambda at: at)
    return result


def moved(node: ast.Expr, by: int) -> ast.Expr:
    """The same expression, its places `by` characters further on."""
    result: ast.Expr = _rewritten(node, {}, lambda at: (at[0] + by, at[1] + by))
    return result


def _rewritten(node: Any, given: Mapping[str, ast.Expr], place: Callable[[Place], Place]) -> Any:
    if isinstance(node, ast.Name):
        return given[node.text] if node.text in given else replace(node, at=place(node.at))
    if isinstance(node, tuple):
        return tuple(_rewritten(item, given, place) for item in node)
    if not isinstance(node, _INNER):
        return node
    if isinstance(node, ast.Window) and isinstance(named := given.get(str(node.value)), ast.Name):
        node = replace(node, value=named.text)
    changes: dict[str, Any] = {}
    for part in fields(node):
        if part.name not in ("at", "depth"):
            changes[part.name] = _rewritten(getattr(node, part.name), given, place)
    if hasattr(node, "depth") and not isinstance(node, ast.Literal):
        changes["depth"] = 1 + max(map(_depth, changes.values()))
        if changes["depth"] > DEEPEST:
            raise KindError("CEP102", "with its lets written out the expression is too deep")
    return replace(node, at=place(node.at), **changes)


def _depth(value: Any) -> int:
    if isinstance(value, tuple):
        return max(map(_depth, value), default=0)
    depth: int = getattr(value, "depth", 0)
    return depth
