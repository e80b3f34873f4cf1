"""The expressions of the syntax tree, and the small parts that clauses share; `cep.lang.ast` has the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from cep.lang.text import Place


@dataclass(frozen=True, slots=True)
class Word:
    """A name that declares, selects or refers, where it stands."""

    text: str
    at: Place


@dataclass(frozen=True, slots=True)
class Name:
    """A name in an expression: `amount`."""

    text: str
    at: Place
    depth: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant. `kind` is "text", "number", "integer", "flag" or "duration" (microseconds)."""

    value: str | float | int | bool
    kind: str
    at: Place
    depth: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Member:
    """`base.name`."""

    base: Expr
    name: Word
    at: Place
    depth: int = field(default=1, repr=False)


@dataclass(frozen=True, slots=True)
class Lookup:
    """`table[key]`."""

    table: Word
    key: Expr
    at: Place
    depth: int = field(default=1, repr=False)


@dataclass(frozen=True, slots=True)
class Window:
    """A suffix of an aggregate. `form` is over, over_last, over_each, over_session, by, since or offset.

    `value` is the length in microseconds, the number of events, or the name, as the form asks; `step_us` is the
    `every` of `over`; `zone` the `tz` of `over each`.
    """

    form: str
    value: int | str
    at: Place
    step_us: int | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A function or aggregate: `count(distinct txn.merchant where amount > 5) over 1h`."""

    function: Word
    distinct: bool
    args: tuple[Expr, ...]
    where: Expr | None
    windows: tuple[Window, ...]
    at: Place
    depth: int = field(default=1, repr=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """`not x` or `-x`; `op` is "not" or "neg"."""

    op: str
    operand: Expr
    at: Place
    depth: int = field(default=1, repr=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """An arithmetic, comparing or text operator: + - * / % == != < <= > >= matches starts_with ends_with contains."""

    op: str
    left: Expr
    right: Expr
    at: Place
    depth: int = field(default=1, repr=False)


@dataclass(frozen=True, slots=True)
class Logic:
    """A whole chain of one connective: `a and b and c`; `op` is "and" or "or"."""

    op: str
    operands: tuple[Expr, ...]
    at: Place
    depth: int = field(default=1, repr=False)


@dataclass(frozen=True, slots=True)
class Between:
    """`x between low and high`, both ends included."""

    value: Expr
    low: Expr
    high: Expr
    at: Place
    depth: int = field(default=1, repr=False)


@dataclass(frozen=True, slots=True)
class Choices:
    """A list as written: `["NG", "RU"]`."""

    items: tuple[Expr, ...]
    at: Place
    depth: int = field(default=1, repr=False)


@dataclass(frozen=True, slots=True)
class MemberOf:
    """`x in choices` and `x not in choices`; the choices are a list's name or a list as written."""

    value: Expr
    choices: Name | Choices
    negated: bool
    at: Place
    depth: int = field(default=1, repr=False)


Expr = Name | Literal | Member | Lookup | Call | Unary | Binary | Logic | Between | MemberOf


@dataclass(frozen=True, slots=True)
class String:
    """A string in a clause; `raw` is what stands between the quotes, of which a template is made."""

    text: str
    raw: str
    at: Place


@dataclass(frozen=True, slots=True)
class Assignment:
    """`name = expr`."""

    name: Word
    value: Expr
    at: Place


def walk(*nodes: Expr | Choices | None) -> Iterator[Expr | Choices]:
    """These expressions and everything below them, in no particular order."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        yield node
        match node:
            case Member(base=below) | Unary(operand=below) | Lookup(key=below):
                waiting.append(below)
            case Call(args=several, where=where):
                waiting += [*several, where]
            case Binary(left=left, right=right):
                waiting += [left, right]
            case Logic(operands=several) | Choices(items=several):
                waiting += several
            case Between(value=value, low=low, high=high):
                waiting += [value, low, high]
            case MemberOf(value=value, choices=choices):
                waiting += [value, choices]
            case _:
                pass
