"""Checked rules: sequences, conditions, and what they alert."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cep.errors import Span
from cep.lang.checked.expressions import Expr, Source
from cep.lang.checked.schema import Kind


@dataclass(frozen=True, slots=True)
class Key:
    """One part of a rule's key, by the name the author wrote. `privacy`: of the fields that it is, the strictest."""

    name: str
    kind: Kind
    privacy: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a sequence. A negated step (`no`) is 1..1 and has no alias in use.

    `link` is "then", "then each" or "next", None on the first of its sequence. `least` is 0 for `optional`. `most`
    None: no bound. `within_us` None: only the horizon. `in_row`: a loop whose events follow each other (law 10).
    """

    link: str | None
    negated: bool
    least: int
    most: int | None
    within_us: int | None
    source: Source
    alias: str | None
    name: str  # the event name the author wrote
    span: Span
    in_row: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """`( … )`, of which `count` is 1 and `branches` one, or `count of (…, …)`; quantifier, link and gap as in Step."""

    link: str | None
    least: int
    most: int | None
    in_row: bool
    within_us: int | None
    count: int
    branches: tuple[tuple[Item, ...], ...]
    alias: str | None
    span: Span


Item = int | Group  # a step, by its place in When.steps, or a group


def groups(items: tuple[Item, ...]) -> Iterator[Group]:
    """Every group in a sequence."""
    for item in items:
        if isinstance(item, Group):
            yield item
            for branch in item.branches:
                yield from groups(branch)


@dataclass(frozen=True, slots=True)
class Resume:
    """`resume at [first|last] x`: the step that x names, and which of its events."""

    step: int
    which: str  # "first" or "last"


@dataclass(frozen=True, slots=True)
class When:
    """A sequence trigger. `policy` is "first", "last", "each" or "all".

    `steps` are all steps in the order of the text, those inside of groups too. `tree` has their structure; it is None
    for a plain sequence: steps that happen at least once, with "then" and "next" between them, without `in a row`,
    `until` and `resume`, and under "all" without loops.
    """

    policy: str
    steps: tuple[Step, ...]
    tree: tuple[Item, ...] | None = None
    until: Source | None = None
    resume: Resume | None = None

    @property
    def items(self) -> tuple[Item, ...]:
        """The structure, also of a plain sequence."""
        return tuple(range(len(self.steps))) if self.tree is None else self.tree


@dataclass(frozen=True, slots=True)
class While:
    """A condition trigger. `until` None: the episode resolves when the condition stops."""

    condition: Expr
    for_us: int
    until: Expr | None
    keep_us: int


@dataclass(frozen=True, slots=True)
class Template:
    """A message: text and expressions in turn."""

    parts: tuple[str | Expr, ...]


@dataclass(frozen=True, slots=True)
class AlertClause:
    """`alert LEVEL "message" if condition`. Of a rule's clauses the first whose condition holds makes the alert."""

    level: str
    message: Template | None
    condition: Expr | None


@dataclass(frozen=True, slots=True)
class Limit:
    """`limit COUNT per D by keys`; `keys` are expressions over the match, none for one count over the whole rule."""

    count: int
    per_us: int
    keys: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, ready to compile. `version` is a short digest of its checked form, stable over formatting and comments.

    Output expressions (messages, shows, labels, score) may use KeyRef, CaptureRef, CaptureAggregate, Aggregate, and, in
    a `while`, LatestRef. An unqualified field in them has been bound to the rule's last positive step as CaptureRef.
    `alerts` is never empty: a rule without an `alert` clause alerts at level info without a message.
    """

    name: str
    version: str
    span: Span
    keys: tuple[Key, ...]
    within_us: int | None
    trigger: When | While
    alerts: tuple[AlertClause, ...]
    shows: tuple[tuple[str, Expr], ...]
    labels: tuple[tuple[str, Expr], ...]
    score: Expr | None
    limit: Limit | None
    mode: str  # "live", "shadow" or "off"
    max_starts: int
    forget_us: int
    about: str | None
    owner: str | None
    tags: tuple[str, ...]
    to: tuple[str, ...] = ()
    stratum: int = 0  # 0: it reads declared events only; s + 1: alerts of rules up to stratum s
    roster: str | None = None  # the keys that must exist


@dataclass(frozen=True, slots=True)
class Fed:
    """A rule whose alerts other rules listen to: the root events that its `fired` and its `resolved` alerts are."""

    rule: str
    fired: int
    resolved: int
