"""EQL → a tree: queries of one event, sequences, samples and joins. Source: the syntax reference of Elastic's EQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedInput

from cep.adapters.importers.draft import NotCarried

_GRAMMAR = r"""
start: query (";" query)* [";"]
query: (sequence | sample | single) pipe*
single: event
sequence: SEQUENCE option* item+ ["until" item]
sample: (SAMPLE | JOIN) option* item+ ["until" item]
?option: "by" terms -> by
       | "with" "maxspan" "=" (DURATION | NUMBER) -> maxspan
item: [MISSING] "[" event "]" mark*
?mark: "by" terms -> by
     | "with" "runs" "=" NUMBER -> runs
     | "fork" ["=" TRUE] -> fork
event: (NAME | STRING) "where" expr
terms: sum ("," sum)*
pipe: "|" NAME [sum ("," sum)*]

?expr: conjunction | expr "or" conjunction -> or_
?conjunction: negation | conjunction "and" negation -> and_
?negation: comparison | "not" negation -> not_
?comparison: sum
           | sum COMPARE sum -> compare
           | sum [NOT] IN "(" sum ("," sum)* ")" -> member
           | sum TEST sum -> test
           | sum TEST "(" sum ("," sum)* ")" -> test
?sum: product | sum (PLUS | MINUS) product -> arithmetic
?product: unary | product (STAR | SLASH | PERCENT) unary -> arithmetic
?unary: primary | MINUS unary -> minus
?primary: NUMBER -> number
        | STRING -> string
        | TRUE -> true
        | FALSE -> false
        | NULL -> null
        | NAME -> field
        | NAME CALL [expr ("," expr)*] ")" -> call
        | NAME "of" "[" event "]" -> descent
        | "(" expr ")"

SEQUENCE.3: /sequence\b/
SAMPLE.3: /sample\b/
JOIN.3: /join\b/
NOT.3: /not\b/
IN.3: /in(~|\b)/
TEST.3: /(like|regex)(~|\b)|:/
TRUE.3: /true\b/
FALSE.3: /false\b/
NULL.3: /null\b/
MISSING: "!"
COMPARE: /==|!=|<=|>=|<|>/
CALL: /~?\(/
PLUS: "+"
MINUS: "-"
STAR: "*"
SLASH: "/"
PERCENT: "%"
DURATION.2: /\d+(ms|[smhd])\b/
NUMBER: /\d+(\.\d+)?([eE][+-]?\d+)?/
NAME: /\??(`[^`]+`|[a-zA-Z_@][\w@]*)(\[\d+\]|\.(`[^`]+`|[\w@\-]+))*/
STRING.4: /\"\"\"[\s\S]*?\"\"\"|\??\"(?:[^\"\\\n]|\\.)*\"|\??'(?:[^'\\\n]|\\.)*'/
%ignore /\s+/
%ignore /\/\/[^\n]*/
%ignore /\/\*[\s\S]*?\*\//
"""
_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


@dataclass(frozen=True, slots=True)
class Field:
    """A field, with the dots of its path; optional: it may be missing altogether."""

    path: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; None is null."""

    value: str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Call:
    """A function, an operator ("and", "==", "+", "neg") or a test ("in", "like", ":"); fold: capitals do not matter."""

    name: str
    args: tuple[Expr, ...]
    fold: bool = False


Expr = Field | Literal | Call


@dataclass(frozen=True, slots=True)
class Item:
    """`[category where condition]`, negated with `!`, with its own keys and repetitions."""

    category: str
    where: Expr
    by: tuple[Expr, ...] = ()
    runs: int = 1
    missing: bool = False
    fork: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """form: "sequence", "sample" (also a join) or "single"; maxspan in seconds."""

    form: str
    items: tuple[Item, ...]
    by: tuple[Expr, ...] = ()
    maxspan_s: float | None = None
    until: Item | None = None
    pipes: tuple[str, ...] = ()


def parse(text: str) -> tuple[Query, ...]:
    """The queries of a file, which semicolons part. Raises NotCarried where they cannot be read."""
    try:
        queries: tuple[Query, ...] = _Tree().transform(_parser().parse(text))
    except UnexpectedInput as error:
        raise NotCarried(f"the query cannot be read at line {error.line}, column {error.column}") from None
    return queries


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=True)


class _Tree(Transformer[Token, Any]):
    """From reductions to nodes. A part that is absent is None."""

    def start(self, c: list[Any]) -> tuple[Query, ...]:
        return tuple(query for query in c if query is not None)

    def query(self, c: list[Any]) -> Query:
        form, items, options, until = c[0]
        given = dict(options)
        return Query(form, items, given.get("by", ()), given.get("maxspan"), until, tuple(c[1:]))

    def single(self, c: list[Any]) -> tuple[Any, ...]:
        return "single", (c[0],), (), None

    def sequence(self, c: list[Any]) -> tuple[Any, ...]:
        return self._several("sequence", c[1:])

    def sample(self, c: list[Any]) -> tuple[Any, ...]:
        return self._several("sample", c[1:])

    def _several(self, form: str, parts: list[Any]) -> tuple[Any, ...]:
        *rest, until = parts
        items = tuple(part for part in rest if isinstance(part, Item))
        return form, items, [part for part in rest if not isinstance(part, Item)], until

    def by(self, c: list[Any]) -> tuple[str, Any]:
        return "by", c[0]

    def maxspan(self, c: list[Any]) -> tuple[str, Any]:
        found = re.fullmatch(r"([\d.]+)(\w*)", c[0])
        assert found is not None
        return "maxspan", float(found[1]) * _UNITS_S[found[2] or "s"]

    def runs(self, c: list[Any]) -> tuple[str, Any]:
        return "runs", int(c[0])

    def fork(self, c: list[Any]) -> tuple[str, Any]:
        return "fork", True

    def item(self, c: list[Any]) -> Item:
        marks = dict(c[2:])
        event = c[1]
        runs, fork = marks.get("runs", 1), marks.get("fork", False)
        return Item(event.category, event.where, marks.get("by", ()), runs, c[0] is not None, fork)

    def event(self, c: list[Any]) -> Item:
        return Item(_unquoted(c[0]) if c[0].type == "STRING" else str(c[0]), c[1])

    def terms(self, c: list[Any]) -> tuple[Expr, ...]:
        return tuple(c)

    def pipe(self, c: list[Any]) -> str:
        return str(c[0])

    def or_(self, c: list[Any]) -> Call:
        return Call("or", tuple(c))

    def and_(self, c: list[Any]) -> Call:
        return Call("and", tuple(c))

    def not_(self, c: list[Any]) -> Call:
        return Call("not", tuple(c))

    def compare(self, c: list[Any]) -> Call:
        return Call(str(c[1]), (c[0], c[2]))

    def member(self, c: list[Any]) -> Call:
        found = Call("in", (c[0], *c[3:]), c[2].endswith("~"))
        return found if c[1] is None else Call("not", (found,))

    def test(self, c: list[Any]) -> Call:
        word = str(c[1])
        return Call(word.rstrip("~"), (c[0], *c[2:]), word.endswith("~") or word == ":")

    def arithmetic(self, c: list[Any]) -> Call:
        return Call(str(c[1]), (c[0], c[2]))

    def minus(self, c: list[Any]) -> Expr:
        if isinstance(c[1], Literal) and isinstance(c[1].value, int | float):
            return Literal(-c[1].value)
        return Call("neg", (c[1],))

    def number(self, c: list[Any]) -> Literal:
        return Literal(int(c[0]) if c[0].isdecimal() else float(c[0]))

    def string(self, c: list[Any]) -> Literal:
        return Literal(_unquoted(c[0]))

    def true(self, c: list[Any]) -> Literal:
        return Literal(True)

    def false(self, c: list[Any]) -> Literal:
        return Literal(False)

    def null(self, c: list[Any]) -> Literal:
        return Literal(None)

    def field(self, c: list[Any]) -> Field:
        return Field(c[0].lstrip("?").replace("`", ""), c[0].startswith("?"))

    def call(self, c: list[Any]) -> Call:
        args = tuple(arg for arg in c[2:] if arg is not None)
        return Call(str(c[0]), args, c[1].startswith("~"))

    def descent(self, c: list[Any]) -> Call:
        return Call(f"{c[0]} of", ())


def _unquoted(token: str) -> str:
    if token.startswith('"""'):
        return token[3:-3]
    if token.startswith("?"):
        return token[2:-1]
    return re.sub(r"\\(u\{([0-9a-fA-F]+)\}|.)", _unescaped, token[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[2], 16)) if match[2] else _ESCAPED.get(match[1], match[1])
