"""Expressions and parts of rules as text again, in the layout of the formatter and with no more brackets than needed.

Literals and names are as the author wrote them, so the text that was parsed is needed.
"""

from __future__ import annotations

import re

from cep.lang import ast
from cep.lang.text import Place

_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _UNARY, _PRIMARY = range(8)
_BINDING = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "%": _PRODUCT}
_WINDOWS = {
    "over": "over",
    "over_last": "over last",
    "over_each": "over each",
    "over_session": "over session",
    "by": "by",
    "since": "since",
    "offset": "offset",
}
_UNITS_US = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}


def duration(length_us: int) -> str:
    """`1h30m`."""
    parts = []
    for unit, size in _UNITS_US.items():
        number, length_us = divmod(length_us, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def length_us(text: str) -> int | None:
    """The microseconds of a duration such as `1h30m`; None when it is none."""
    if not re.fullmatch(r"(?:\d+(?:us|ms|[smhdw]))+", text):
        return None
    units = {**_UNITS_US, "w": 7 * _UNITS_US["d"]}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(us|ms|[smhdw])", text))


def quoted(text: str) -> str:
    """A string as it is written."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def expression(node: ast.Expr | ast.Choices, content: str, binding: int = _OR) -> str:
    """The expression as it stands where operators bind at least as tightly as `binding`."""
    text, own = _spelled(node, content)
    return text if own >= binding else f"({text})"


def atom(node: ast.Atom, content: str) -> str:
    """`decline as d where amount < small`."""
    alias = f" as {node.alias.text}" if node.alias else ""
    where = f" where {expression(node.where, content)}" if node.where else ""
    return f"{node.event.text}{alias}{where}"


def quantifier(node: ast.Quantifier) -> str:
    """`5+ in a row`."""
    if node.optional:
        return "optional"
    counts = f"{node.least}" if node.most == node.least else f"{node.least}..{node.most}"
    return f"{node.least}+" * (node.most is None) + counts * (node.most is not None) + " in a row" * node.in_row


def _spelled(node: ast.Expr | ast.Choices, content: str) -> tuple[str, int]:
    """The text, and how tightly its outermost operator binds."""
    match node:
        case ast.Name() | ast.Literal():
            return _written(node.at, content), _PRIMARY
        case ast.Member():
            return f"{expression(node.base, content, _PRIMARY)}.{_written(node.name.at, content)}", _PRIMARY
        case ast.Lookup():
            return f"{_written(node.table.at, content)}[{expression(node.key, content)}]", _PRIMARY
        case ast.Call():
            return _call(node, content), _PRIMARY
        case ast.Choices():
            return f"[{', '.join(expression(item, content) for item in node.items)}]", _PRIMARY
        case _:
            return _operation(node, content)


def _operation(node: ast.Unary | ast.Logic | ast.Between | ast.MemberOf | ast.Binary, content: str) -> tuple[str, int]:
    def inner(part: ast.Expr | ast.Choices, binding: int) -> str:
        return expression(part, content, binding)

    match node:
        case ast.Unary():
            sign, own = ("not ", _NOT) if node.op == "not" else ("-", _UNARY)
            return f"{sign}{inner(node.operand, own)}", own
        case ast.Logic():
            own = _AND if node.op == "and" else _OR
            return f" {node.op} ".join(inner(operand, own + 1) for operand in node.operands), own
        case ast.Between():
            value, low, high = (inner(part, _SUM) for part in (node.value, node.low, node.high))
            return f"{value} between {low} and {high}", _COMPARE
        case ast.MemberOf():
            return f"{inner(node.value, _SUM)} {'not ' * node.negated}in {inner(node.choices, _OR)}", _COMPARE
        case ast.Binary():
            own = _BINDING.get(node.op, _COMPARE)
            left, right = inner(node.left, max(own, _SUM)), inner(node.right, own + 1)
            return f"{left} {node.op.replace('_', ' ')} {right}", own


def _call(node: ast.Call, content: str) -> str:
    args = ", ".join(expression(arg, content) for arg in node.args)
    where = f" where {expression(node.where, content)}" if node.where else ""
    windows = "".join(f" {_window(window)}" for window in node.windows)
    return f"{node.function.text}({'distinct ' * node.distinct}{args}{where}){windows}"


def _window(node: ast.Window) -> str:
    is_length = isinstance(node.value, int) and node.form != "over_last"
    value = duration(int(node.value)) if is_length else str(node.value)
    every = f" every {duration(node.step_us)}" if node.step_us is not None else ""
    zone = f" tz {quoted(node.zone)}" if node.zone is not None else ""
    return f"{_WINDOWS[node.form]} {value}{every}{zone}"


def _written(at: Place, content: str) -> str:
    return content[at[0] : at[1]]
