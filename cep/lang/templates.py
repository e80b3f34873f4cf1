"""Messages: text with expressions in braces. A brace itself is written twice."""

from __future__ import annotations

import re
from dataclasses import replace

from cep.lang import ast
from cep.lang.build import unescape
from cep.lang.checked import Expr, Template
from cep.lang.infer import Inference, Scope
from cep.lang.parse import parse_expression
from cep.lang.text import Place, Text

_PIECE = re.compile(
    r"""(?P<text>(?:[^{}\\]|\\.|\{\{|\}\})+)
      | \{ (?P<hole> (?:[^{}"\\] | \\"(?:[^"\\]|\\[^"])*\\" | \\.)* ) \}
      | (?P<wrong>[{}])""",
    re.VERBOSE,
)
_QUOTED = re.compile(r'\\"((?:[^"\\]|\\[^"])*)\\"')


def template(infer: Inference, string: ast.String, scope: Scope) -> Template:
    """The message's parts; holes that were reported are left out."""
    parts: list[str | Expr] = []
    offset = string.at[0] + 1
    for piece in _PIECE.finditer(string.raw):
        if piece["text"] is not None:
            parts.append(unescape(piece["text"].replace("{{", "{").replace("}}", "}")))
        elif piece["hole"] is not None:
            value = _hole(infer, (offset + piece.start("hole"), offset + piece.end("hole")), scope)
            if value is not None:
                parts.append(value)
        else:
            at = (offset + piece.start(), offset + piece.end())
            hint = "a brace in a message is written twice: {{"
            infer.page.error("CEP105", at, f'"{piece["wrong"]}" stands alone in the message', hint)
            break
    return Template(tuple(parts))


def _hole(infer: Inference, place: Place, scope: Scope) -> Expr | None:
    text = _unescaped(infer.page.text, place)
    if not text.content[place[0] : place[1]].strip():
        infer.page.error(
            "CEP105", (place[0] - 1, place[1] + 1), "the braces are empty", "they hold a name or an expression"
        )
        return None
    node = parse_expression(text, place, infer.page)
    return None if node is None else infer.expr(node, scope)


def _unescaped(text: Text, place: Place) -> Text:
    r"""The same text with the hole's \" as plain quotes, every offset unchanged."""
    hole = text.content[place[0] : place[1]]
    if "\\" not in hole:
        return text
    content = text.content[: place[0]] + _QUOTED.sub(r' "\1" ', hole) + text.content[place[1] :]
    return replace(text, content=content)
