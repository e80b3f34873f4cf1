"""Messages: text with expressions in braces. A brace itself is written twice."""

from __future__ import annotations

import re

from cep.lang import ast
from cep.lang.build import unescape
from cep.lang.checked.expressions import Expr
from cep.lang.checked.rules import Template
from cep.lang.infer import Inference, Scope
from cep.lang.parse import parse_expression
from cep.lang.rewrite import written_out
from cep.lang.text import Place

_PIECE = re.compile(
    r"""(?P<text>(?:[^{}\\]|\\.|\{\{|\}\})++)
      | \{ (?P<hole> (?:[^{}"\\] | \\"(?:[^"\\]|\\[^"])*\\" | \\.)*+ ) \}
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
    hole = infer.page.text.content[place[0] : place[1]]
    if not hole.strip():
        at = (place[0] - 1, place[1] + 1)
        infer.page.error("CEP105", at, "the braces are empty", "they hold a name or an expression")
        return None
    node = parse_expression(_QUOTED.sub(r' "\1" ', hole), infer.page, place[0])
    return None if node is None else infer.expr(written_out(node, infer.given) if infer.given else node, scope)
