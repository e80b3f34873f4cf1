"""Templates of rules: each `use` writes the rule out with its arguments in the places of the parameters.

A parameter stands where a name may: as an event, a key, a field of its own, a list, or any expression. What is wrong
with a rule that was written out is reported where it is used, with the template's line beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, cast

from cep.errors import Span
from cep.lang import ast
from cep.lang.names import Expansion, NamedTemplate, Names
from cep.lang.report import Page, nearest
from cep.lang.rewrite import written_out
from cep.lang.text import Place, Text

_EXPRESSIONS = (
    ast.Name,
    ast.Literal,
    ast.Member,
    ast.Lookup,
    ast.Call,
    ast.Unary,
    ast.Binary,
    ast.Logic,
    ast.Between,
    ast.MemberOf,
)


class _MisfitError(Exception):
    """An expression is given where a parameter stands for a name."""

    def __init__(self, word: ast.Word) -> None:
        super().__init__(word.text)
        self.word = word


@dataclass(frozen=True, slots=True)
class _UsePage(Page):
    """Reports what is found in a template's text at the place that uses it."""

    use: Page
    use_at: Place

    def error(self, code: str, at: Place, message: str, hint: str | None = None) -> None:
        self.use.error(code, self.use_at, message, self._noted(at, hint))

    def warning(self, code: str, at: Place, message: str, hint: str | None = None) -> None:
        self.use.warning(code, self.use_at, message, self._noted(at, hint))

    def span(self, at: Place) -> Span:
        return self.use.span(self.use_at)

    def _noted(self, at: Place, hint: str | None) -> str:
        note = f"in the template, {self.text.span(at)}"
        return f"{note}; {hint}" if hint else note


def declare_template(names: Names, node: ast.Template, text: Text) -> None:
    """Enter a template. It is checked where it is used."""
    page = names.report.on(text)
    seen: set[str] = set()
    for word in node.parameters:
        if word.text in seen:
            page.error("CEP107", word.at, f'the parameter "{word.text}" stands twice')
        seen.add(word.text)
    names.templates[node.name.text] = NamedTemplate(node, text)


def expand(names: Names, node: ast.Use, page: Page) -> None:
    """Enter the rule that a use makes; its name is broken when it makes none."""
    template = names.templates.get(node.template.text)
    if template is None:
        names.broken.add(node.name.text)
        if node.template.text not in names.broken:
            hint = nearest(node.template.text, names.templates) or "declare it: template NAME(parameters) rule …"
            page.error("CEP104", node.template.at, f'there is no template "{node.template.text}"', hint)
        return
    parameters = template.node.parameters
    if len(node.args) != len(parameters):
        names.broken.add(node.name.text)
        shown = f"{node.template.text}({', '.join(word.text for word in parameters)})"
        message = f"{len(parameters)} arguments are needed, and there are {len(node.args)}"
        page.error("CEP203", node.template.at, message, shown)
        return
    given = {word.text: arg for word, arg in zip(parameters, node.args, strict=True)}
    own = _UsePage(page.report, template.text, page, node.at)
    try:
        rule = cast("ast.Rule", _written(replace(template.node.rule, name=node.name), given))
    except _MisfitError as misfit:
        names.broken.add(node.name.text)
        message = f'"{misfit.word.text}" stands for a name in the template, and what is given is an expression'
        own.error("CEP128", misfit.word.at, message)
        return
    names.rules[node.name.text] = rule
    names.expansions[node.name.text] = Expansion(rule, own, given)


def _written(node: Any, given: Mapping[str, ast.Expr]) -> Any:
    """A part of a rule with the arguments in it."""
    if isinstance(node, _EXPRESSIONS):
        return written_out(node, given)
    if isinstance(node, tuple):
        return tuple(_written(part, given) for part in node)
    if isinstance(node, ast.Atom):
        return replace(node, event=_named(node.event, given), where=_written(node.where, given))
    if isinstance(node, ast.By):
        return replace(node, keys=tuple(_named(word, given) for word in node.keys))
    if not is_dataclass(node) or isinstance(node, ast.Word | ast.String):
        return node
    parts = {part.name: getattr(node, part.name) for part in fields(node) if part.name != "at"}
    return replace(cast("Any", node), **{name: _written(part, given) for name, part in parts.items()})


def _named(word: ast.Word, given: Mapping[str, ast.Expr]) -> ast.Word:
    """A name that a parameter may stand for."""
    arg = given.get(word.text)
    if arg is None:
        return word
    if not isinstance(arg, ast.Name):
        raise _MisfitError(word)
    return ast.Word(arg.text, word.at)
