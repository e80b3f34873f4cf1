"""Writing out a let: its body with the arguments in the places of its parameters.

The body takes the place of the call, so that a mistake in it is shown where the let is used.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """The body over the arguments. Raises KindError when it becomes too deep."""
    node: ast.Expr = _replaced(body, given, at)
    return node


def _replaced(node: Any, given: Mapping[str, ast.Expr], at: Place) -> Any:
    if isinstance(node, ast.Name):
        return given.get(node.text, replace(node, at=at))
    if isinstance(node, tuple):
        return tuple(_replaced(item, given, at) for item in node)
    if not isinstance(node, _INNER):
        return node
    changes: dict[str, Any] = {}
    deepest = 0
    for part in fields(node):
        if part.name in ("at", "depth"):
            continue
        changes[part.name] = _replaced(getattr(node, part.name), given, at)
        deepest = max(deepest, _depth(changes[part.name]))
    if hasattr(node, "depth") and not isinstance(node, ast.Literal):
        if deepest >= DEEPEST:
            raise KindError("CEP102", "with its lets written out the expression is too deep")
        changes["depth"] = deepest + 1
    return replace(node, at=at, **changes)


def _depth(value: Any) -> int:
    if isinstance(value, tuple):
        return max((_depth(item) for item in value), default=0)
    depth: int = getattr(value, "depth", 0)
    return depth
