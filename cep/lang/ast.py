"""The tree of what was written: one node for each production of `grammar.lark`, complete, unchecked and immutable.

Rules it keeps: durations are microseconds, strings are unescaped, back-ticks are gone; nothing else is interpreted.
Every node has `at`, the offsets of its text (without its leading keyword); clauses keep their written order. `depth` is
the height of an expression, which the builder holds under a limit so that everything after it may recurse.
"""

from __future__ import annotations

from dataclasses import dataclass

# ruff: noqa: PLC0414  (a name imported as itself is exported: expressions are part of the tree)
from cep.lang.expressions import (
    Assignment as Assignment,
)
from cep.lang.expressions import (
    Between as Between,
)
from cep.lang.expressions import (
    Binary as Binary,
)
from cep.lang.expressions import (
    Call as Call,
)
from cep.lang.expressions import (
    Choices as Choices,
)
from cep.lang.expressions import (
    Expr as Expr,
)
from cep.lang.expressions import (
    Literal as Literal,
)
from cep.lang.expressions import (
    Logic as Logic,
)
from cep.lang.expressions import (
    Lookup as Lookup,
)
from cep.lang.expressions import (
    Member as Member,
)
from cep.lang.expressions import (
    MemberOf as MemberOf,
)
from cep.lang.expressions import (
    Name as Name,
)
from cep.lang.expressions import (
    String as String,
)
from cep.lang.expressions import (
    Unary as Unary,
)
from cep.lang.expressions import (
    Window as Window,
)
from cep.lang.expressions import (
    Word as Word,
)
from cep.lang.expressions import (
    walk as walk,
)
from cep.lang.text import Place, Text

# --------------------------------------------------------------------------------- declarations


@dataclass(frozen=True, slots=True)
class Import:
    """`import "schema.cep"`."""

    path: String
    at: Place


@dataclass(frozen=True, slots=True)
class StreamOption:
    """`time PATH`, `type PATH`, `late D` or `idle D`; `value` is the path or the microseconds."""

    word: str
    value: tuple[str, ...] | int
    at: Place


@dataclass(frozen=True, slots=True)
class Stream:
    """`stream NAME …`."""

    name: Word
    options: tuple[StreamOption, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Field:
    """`NAME KIND [at PATH] [mask | hash]`."""

    name: Word
    kind: Word
    path: tuple[str, ...] | None
    privacy: Word | None
    at: Place


@dataclass(frozen=True, slots=True)
class Event:
    """`event NAME ["TYPE"] from STREAM (…)`."""

    name: Word
    wire_type: String | None
    stream: Word
    fields: tuple[Field, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Refinement:
    """`event NAME = BASE [with …] [where …]`."""

    name: Word
    base: Word
    renames: tuple[Assignment, ...]
    where: Expr | None
    at: Place


@dataclass(frozen=True, slots=True)
class Let:
    """`let NAME = expr`, or with parameters a function by substitution."""

    name: Word
    parameters: tuple[Word, ...] | None
    value: Expr
    at: Place


@dataclass(frozen=True, slots=True)
class List:
    """`list NAME = […]` or `list NAME from "file"`."""

    name: Word
    source: Choices | String
    at: Place


@dataclass(frozen=True, slots=True)
class Table:
    """`table NAME from "…" key COLUMN [(COLUMN KIND, …)]`."""

    name: Word
    source: String
    key: Word
    fields: tuple[Field, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class External:
    """`roster`, `function`, `model` and `schedule`: a name for something outside; `detail` is a kind or a zone."""

    word: str
    name: Word
    source: String
    detail: Word | String | None
    at: Place


@dataclass(frozen=True, slots=True)
class Template:
    """`template NAME (…) rule …`."""

    name: Word
    parameters: tuple[Word, ...]
    rule: Rule
    at: Place


@dataclass(frozen=True, slots=True)
class Use:
    """`use TEMPLATE (…) as NAME`."""

    template: Word
    args: tuple[Expr, ...]
    name: Word
    at: Place


# ---------------------------------------------------------------------------------------- rules


@dataclass(frozen=True, slots=True)
class By:
    """`by KEY, … [in ROSTER]` and `by any of KEY, …`."""

    keys: tuple[Word, ...]
    roster: Word | None
    any_of: bool
    at: Place


@dataclass(frozen=True, slots=True)
class Setting:
    """A header of one value: within, mode, active, forget, max, owner, tags, about; durations in microseconds."""

    word: str
    value: str | int | tuple[str, ...]
    at: Place


Header = By | Setting


@dataclass(frozen=True, slots=True)
class Quantifier:
    """`3`, `5+`, `2..4` (all perhaps `in a row`), or `optional`; `most` None has no bound."""

    least: int
    most: int | None
    in_row: bool
    optional: bool
    at: Place


@dataclass(frozen=True, slots=True)
class Atom:
    """`EVENT [as ALIAS] [where …]`."""

    event: Word
    alias: Word | None
    where: Expr | None
    at: Place


@dataclass(frozen=True, slots=True)
class Group:
    """`( … )`, or `all|any|N of ( …, … ) [as ALIAS]` with `count` "all", "any" or the number."""

    sequences: tuple[Sequence, ...]
    count: str | int | None
    alias: Word | None
    at: Place


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `within_us` is its own gap."""

    quantifier: Quantifier | None
    body: Atom | Group
    negated: bool
    within_us: int | None
    at: Place


@dataclass(frozen=True, slots=True)
class Sequence:
    """Steps and the links between them: "then", "then each" or "next"; one link fewer than steps."""

    steps: tuple[Step, ...]
    links: tuple[str, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Resume:
    """`resume at [first | last] ALIAS`."""

    end: str | None
    alias: Word
    at: Place


@dataclass(frozen=True, slots=True)
class When:
    """`[match POLICY] when … [until …] [resume at …]`."""

    policy: Word | None
    sequence: Sequence
    until: Atom | None
    resume: Resume | None
    at: Place


@dataclass(frozen=True, slots=True)
class While:
    """`while … [for D] [until …] [keep D]`."""

    condition: Expr
    for_us: int | None
    until: Expr | None
    keep_us: int | None
    at: Place


@dataclass(frozen=True, slots=True)
class Alert:
    """`alert LEVEL ["template"] [if …]`."""

    level: Word
    message: String | None
    condition: Expr | None
    at: Place


@dataclass(frozen=True, slots=True)
class Show:
    """`show NAME = expr, …`."""

    shows: tuple[Assignment, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Label:
    """`label NAME = expr`."""

    label: Assignment
    at: Place


@dataclass(frozen=True, slots=True)
class Score:
    """`score expr`."""

    value: Expr
    at: Place


@dataclass(frozen=True, slots=True)
class To:
    """`to "sink"`."""

    sink: String
    at: Place


@dataclass(frozen=True, slots=True)
class Limit:
    """`limit COUNT per D [by …]`."""

    count: int
    per_us: int
    keys: tuple[Expr, ...]
    at: Place


Output = Alert | Show | Label | Score | To | Limit


@dataclass(frozen=True, slots=True)
class Rule:
    """`rule NAME header… trigger output…`."""

    name: Word
    headers: tuple[Header, ...]
    trigger: When | While
    outputs: tuple[Output, ...]
    at: Place


# ---------------------------------------------------------------------------------------- tests


@dataclass(frozen=True, slots=True)
class Pair:
    """`name: value` in a test."""

    name: Word
    value: Expr
    at: Place


@dataclass(frozen=True, slots=True)
class Given:
    """`at D EVENT {…} [x N every D]`."""

    at_us: int
    event: Word
    pairs: tuple[Pair, ...]
    times: int
    every_us: int
    at: Place


@dataclass(frozen=True, slots=True)
class Expect:
    """`at D expect …`; `what` is "fired", "none", "resolved", "near" or "nothing"."""

    at_us: int
    what: str
    rule: Word | None
    pairs: tuple[Pair, ...]
    missing: Word | None
    at: Place


@dataclass(frozen=True, slots=True)
class Test:
    """`test RULE ["title"] at …`."""

    rule: Word
    title: String | None
    moments: tuple[Given | Expect, ...]
    at: Place


Declaration = Import | Stream | Event | Refinement | Let | List | Table | External | Template | Use | Rule | Test


@dataclass(frozen=True, slots=True)
class File:
    """One file: its text, what it declares in written order, and the names of declarations that did not parse."""

    text: Text
    declarations: tuple[Declaration, ...]
    broken: frozenset[str]
