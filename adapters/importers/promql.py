"""PromQL → a tree. Source: the PromQL grammar of the Prometheus documentation; native histograms are left out."""

from __future__ import annotations

import ast as python
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedInput, VisitError

from cep.adapters.importers.draft import NotCarried

_GRAMMAR = r"""
?start: or_
?or_: and_ | or_ OR matching and_ -> binary
?and_: comparison | and_ (AND | UNLESS) matching comparison -> binary
?comparison: sum | comparison COMPARE matching sum -> binary
?sum: product | sum (PLUS | MINUS) matching product -> binary
?product: unary | product (STAR | SLASH | PERCENT) matching unary -> binary
?unary: power | MINUS unary -> negative | PLUS unary -> positive
?power: postfix | postfix POWER matching unary -> binary
?postfix: primary | postfix "[" DURATION ":" [DURATION] "]" offset -> subquery
?primary: NUMBER -> number
        | STRING -> string
        | "(" or_ ")"
        | NAME "(" [arguments] ")" [grouping] -> call
        | NAME grouping "(" arguments ")" -> grouped_call
        | NAME [matchers] range offset -> selector
        | matchers range offset -> nameless
arguments: or_ ("," or_)*
matchers: "{" [matcher ("," matcher)* [","]] "}"
matcher: NAME MATCH STRING
range: ["[" DURATION "]"]
offset: [OFFSET [MINUS] DURATION]
grouping: (BY | WITHOUT) labels
labels: "(" [NAME ("," NAME)* [","]] ")"
matching: [BOOL] [(ON | IGNORING) labels] [(GROUP_LEFT | GROUP_RIGHT) [labels]]

OR.2: /or\b/i
AND.2: /and\b/i
UNLESS.2: /unless\b/i
BY.2: /by\b/i
WITHOUT.2: /without\b/i
ON.2: /on\b/i
IGNORING.2: /ignoring\b/i
GROUP_LEFT.2: /group_left\b/i
GROUP_RIGHT.2: /group_right\b/i
BOOL.2: /bool\b/i
OFFSET.2: /offset\b/i
COMPARE: /[=!<>]=|[<>]/
MATCH.2: /=~|!~|!=|=/
PLUS: "+"
MINUS: "-"
STAR: "*"
SLASH: "/"
PERCENT: "%"
POWER: "^"
DURATION.3: /(\d+(ms|[smhdwy]))+/
NUMBER.2: /0x[0-9a-f]+|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf\b|nan\b/i
NAME: /[a-zA-Z_:][a-zA-Z0-9_:]*/
STRING: /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/
%ignore /\s+/
%ignore /#[^\n]*/
"""
_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 365 * 86_400}


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A string, as some functions take it."""

    value: str


@dataclass(frozen=True, slots=True)
class Matcher:
    """`label = "value"`; operator is =, !=, =~ or !~."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """The series of a metric; `range_s` where it asks for all samples of so long."""

    metric: str
    matchers: tuple[Matcher, ...]
    range_s: float | None
    offset_s: float


@dataclass(frozen=True, slots=True)
class Grouping:
    """`by (labels)` or `without (labels)`."""

    word: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or an aggregation over series."""

    name: str
    args: tuple[Node, ...]
    grouping: Grouping | None


@dataclass(frozen=True, slots=True)
class Matching:
    """How two vectors are brought together: `bool`, `on` or `ignoring` labels."""

    bool: bool
    on: tuple[str, ...] | None
    ignoring: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands of an operator, which is lower-case."""

    op: str
    left: Node
    right: Node
    matching: Matching


Node = Number | Text | Selector | Call | Binary


def parse(expression: str) -> Node:
    """The tree of an expression. Raises NotCarried where it cannot be read."""
    try:
        node: Node = _Tree().transform(_parser().parse(expression))
    except UnexpectedInput as error:
        raise NotCarried(f"the expression cannot be read at column {error.column}") from None
    except VisitError as error:
        if isinstance(error.orig_exc, NotCarried):
            raise error.orig_exc from None
        raise
    return node


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=True)


def seconds(duration: str) -> float:
    """The length of a Prometheus duration such as 1h30m."""
    return sum((float(count) * _UNITS_S[unit] for count, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration)), 0.0)


class _Tree(Transformer[Token, Any]):
    """From reductions to nodes."""

    def number(self, c: list[Any]) -> Number:
        text = c[0].lower()
        return Number(float(int(text, 16)) if text.startswith("0x") else float(text))

    def string(self, c: list[Any]) -> Text:
        return Text(_unquoted(c[0]))

    def negative(self, c: list[Any]) -> Node:
        operand = c[1]
        if isinstance(operand, Number):
            return Number(-operand.value)
        return Binary("-", Number(0), operand, Matching(False, None, None))

    def positive(self, c: list[Any]) -> Node:
        operand: Node = c[1]
        return operand

    def binary(self, c: list[Any]) -> Binary:
        return Binary(str(c[1]).lower(), c[0], c[3], c[2])

    def subquery(self, c: list[Any]) -> Node:
        raise NotCarried("a subquery")

    def call(self, c: list[Any]) -> Call:
        return Call(c[0].lower(), c[1] or (), c[2])

    def grouped_call(self, c: list[Any]) -> Call:
        return Call(c[0].lower(), c[2], c[1])

    def selector(self, c: list[Any]) -> Selector:
        return Selector(str(c[0]), c[1] or (), c[2], c[3])

    def nameless(self, c: list[Any]) -> Selector:
        named = [m for m in c[0] if m.label == "__name__" and m.operator == "="]
        if not named:
            raise NotCarried("a selector that names no metric")
        return Selector(named[0].value, tuple(m for m in c[0] if m is not named[0]), c[1], c[2])

    def arguments(self, c: list[Any]) -> tuple[Node, ...]:
        return tuple(c)

    def matchers(self, c: list[Any]) -> tuple[Matcher, ...]:
        return tuple(matcher for matcher in c if matcher is not None)

    def matcher(self, c: list[Any]) -> Matcher:
        return Matcher(str(c[0]), str(c[1]), _unquoted(c[2]))

    def range(self, c: list[Any]) -> float | None:
        return None if c[0] is None else seconds(c[0])

    def offset(self, c: list[Any]) -> float:
        if c[1] is not None:
            raise NotCarried("an offset into the future")
        return 0.0 if c[2] is None else seconds(c[2])

    def grouping(self, c: list[Any]) -> Grouping:
        return Grouping(c[0].lower(), c[1])

    def labels(self, c: list[Any]) -> tuple[str, ...]:
        return tuple(str(label) for label in c if label is not None)

    def matching(self, c: list[Any]) -> Matching:
        boolean, kind, labels, *_ = c
        on = labels if kind is not None and kind.lower() == "on" else None
        ignoring = labels if kind is not None and kind.lower() == "ignoring" else None
        return Matching(boolean is not None, on, ignoring)


def _unquoted(token: str) -> str:
    if token.startswith("`"):
        return token[1:-1]
    try:
        return str(python.literal_eval(token.replace("\n", "\\n")))
    except (SyntaxError, ValueError):
        return token[1:-1]
