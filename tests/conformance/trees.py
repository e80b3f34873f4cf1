"""Operator trees, of Esper and of Siddhi, as sequences of ours.

A tree becomes one or more *lines*: lists of parts in order, each of them a rule. A part takes an event (or a group of
steps), forbids one, or waits. What has no `every` around it happens once: such a rule begins with the event `begun`,
which the harness puts where the engine's statement starts, so that timers and absences count from there too. `every`
before one event is `then each`; `every` around a whole pattern is a rule that begins anew after each match.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations, product

from tests.conformance.cases import Node, Outside
from tests.conformance.expressions import Writer, Written, text_of
from tests.conformance.schema import BEGUN, NEVER, Schema, duration, name_of

MARKED = "begins with an event that marks the start"
ORIGIN = "z"  # the alias of `begun`
HIDDEN = "h"  # what the aliases of events begin with that no result names
_ALTERNATIVES_MAX = 200


@dataclass(frozen=True)
class Take:
    """An event to take. `count`: a quantifier of ours. `before_ms`: sooner than so long after the part before.

    `alone_ms`: nothing of its kind has come in so long before it.
    """

    node: Node
    link: str = "then"
    count: str = ""
    before_ms: int | None = None
    optional: bool = False
    hidden: bool = False
    alone_ms: int | None = None


@dataclass(frozen=True)
class Group:
    """Steps of which `count` ("all", "any") are taken, or a plain group with a quantifier."""

    count: str
    branches: tuple[tuple[Part, ...], ...]
    link: str = "then"
    before_ms: int | None = None


@dataclass(frozen=True)
class Forbid:
    """An event that must not come: for so long, or until what follows is taken (None).

    `shared`: the time counts from the part that stands so many takes back, because it watches over them too.
    """

    node: Node
    for_ms: int | None = None
    shared: int = 0


@dataclass(frozen=True)
class Wait:
    """The next part comes no sooner than so long after the take before; `shared` as in `Forbid`."""

    ms: int
    shared: int = 0


@dataclass(frozen=True)
class Silence:
    """The next part comes when each of some events (`either`: one of them) has not come for its time, in ms."""

    nodes: tuple[tuple[Node, int], ...]
    either: bool = False


Part = Take | Group | Forbid | Wait | Silence
Line = tuple[Part, ...]


def event_types(node: Node) -> Iterator[str]:
    """The types that a tree names."""
    if isinstance(node, dict):
        if node.get("op") == "event":
            yield node["type"]
        for value in node.values():
            yield from event_types(value)
    elif isinstance(node, list):
        for value in node:
            yield from event_types(value)


def is_event(node: Node) -> bool:
    """Whether a node is one event."""
    return node["op"] == "event"


def is_single(part: Part) -> bool:
    """Whether a part is one event, or one of several."""
    if isinstance(part, Take):
        return not part.count
    return isinstance(part, Group) and part.count == "any" and all(len(branch) == 1 for branch in part.branches)


def joined(choices: Sequence[list[Line]]) -> list[Line]:
    """Every way to choose one line of each, one behind the other."""
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > _ALTERNATIVES_MAX:
        raise Outside("more alternatives than rules that one would write")
    return [tuple(part for line in chosen for part in line) for chosen in product(*choices)]


def every_order(nodes: Sequence[Node]) -> list[Line]:
    """All pairs, triples … of some events of which some are `every`, in any order: a line for each order.

    An event without `every` is the first of its kind, so none of its kind comes before it.
    """
    lines = []
    for order in permutations(nodes):
        parts: list[Part] = []
        for place, node in enumerate(order):
            firsts = [other for other in order[place:] if is_event(other)]
            parts += [Forbid(other) for other in firsts if other is not node]
            parts.append(Take(node) if is_event(node) else Take(node["arg"], "then each"))
        lines.append(tuple(parts))
    return lines


def linked(line: Line, link: str) -> Line:
    """The line, its first take linked so."""
    for place, part in enumerate(line):
        if isinstance(part, Take | Group):
            return (*line[:place], replace(part, link=link), *line[place + 1 :])
    return line


def bounded(line: Line, ms: int) -> Line:
    """The line, all of it sooner than so long after what stands before it."""
    if sum(isinstance(part, Take | Group) for part in line) != 1:
        raise Outside("a limit of time on several steps inside a pattern")
    return tuple(replace(part, before_ms=ms) if isinstance(part, Take | Group) else part for part in line)


@dataclass
class Author:
    """Writes lines. `tags`: tag → the aliases that it is bound to, and whether each is a loop."""

    schema: Schema
    line: Line
    anchored: bool
    strict: bool = False
    within_ms: int | None = None  # a bound on the whole, where a horizon would count from `begun`
    tags: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    _marks: list[str] = field(default_factory=list)  # for each take: what its time is called
    _waits: list[Wait | Silence] = field(default_factory=list)
    _roots: dict[str, str] = field(default_factory=dict)  # the event of each alias
    _count: int = 0
    _last: str | None = None

    def when(self) -> str:
        """The sequence."""
        steps = [f"{BEGUN} as {ORIGIN}"] if self.anchored else []
        if self.anchored:
            self._marks.append(f"{ORIGIN}.time")
        for part in self.line:
            steps += self._written(part, first=not steps)
        steps += self._end()
        return "\n  ".join(steps)

    def ends_with_event(self) -> str | None:
        """The alias of the last part, when that is an event that cannot be left out."""
        part = self.line[-1]
        return self._last if isinstance(part, Take) and not part.optional else None

    def _written(self, part: Part, first: bool) -> list[str]:
        if isinstance(part, Wait | Silence):
            self._waits.append(part)
            return []
        if isinstance(part, Forbid):
            return [self._forbidden(part, first)]
        after_guard = bool(self.line) and not self._marks
        link = "" if first else f"{'then' if after_guard else part.link} "
        conditions = self._conditions(part)
        self._waits = []
        if isinstance(part, Take):
            written, mark = self._take(part, conditions)
        else:
            written, mark = self._group(part, conditions)
        self._marks.append(mark)
        return [link + written]

    def _conditions(self, part: Take | Group) -> list[str]:
        """What the time of a part must be."""
        found = []
        for wait in self._waits:
            if isinstance(wait, Wait):
                found.append(f"time - {self._mark(wait.shared)} >= {duration(wait.ms)}")
            else:
                found.append(self._silence(wait))
        if isinstance(part, Take) and part.alone_ms is not None:
            found.append(self._none(part.node, part.alone_ms))
        if part.before_ms is not None:
            if not self._marks:
                raise Outside("a limit of time that begins anew after each match")
            found.append(f"time - {self._mark(0)} < {duration(part.before_ms)}")
        if self.within_ms is not None and len(self._marks) > self.anchored:
            found.append(f"time - {self._marks[int(self.anchored)]} < {duration(self.within_ms)}")
        return found

    def _silence(self, silence: Silence) -> str:
        """That some events have not come for a time, and that so much time has passed since the start."""
        parts = []
        for node, ms in silence.nodes:
            parts.append(f"({self._none(node, ms)} and time - last({BEGUN}.time) >= {duration(ms)})")
        return f"({' or '.join(parts)})" if silence.either else " and ".join(parts)

    def _none(self, node: Node, ms: int) -> str:
        where = self.condition(node)
        chosen = "" if where is True else f" where {text_of(where)}"
        return f"count({self.schema.root_of[node['type']]}{chosen}) over {duration(ms)} == 0"

    def _mark(self, back: int) -> str:
        place = len(self._marks) - 1 - back
        return self._marks[place] if place >= 0 else f"last({BEGUN}.time)"

    def _take(self, part: Take, conditions: list[str]) -> tuple[str, str]:
        alias = self._alias(part.node.get("tag"), part.hidden)
        self._last = alias
        loop = part.count not in ("", "1") or part.optional
        atom = self.atom(part.node, alias, conditions, loop=loop)
        self._bind(part.node, alias, loop)
        body = f"{part.count} {atom}".strip()
        if part.optional:
            body = f"optional ({body})"
        return body, f"{alias}.last.time" if loop else f"{alias}.time"

    def _group(self, part: Group, conditions: list[str]) -> tuple[str, str]:
        name = f"g{self._next()}"
        branches, bound = [], {tag: list(aliases) for tag, aliases in self.tags.items()}
        for branch in part.branches:
            before, self.tags = self.tags, {tag: list(aliases) for tag, aliases in bound.items()}
            branches.append(self._branch(branch, conditions))
            before |= {tag: aliases for tag, aliases in self.tags.items() if aliases != bound.get(tag)}
            self.tags = before
        count = "any" if part.count in ("all", "any") and len(branches) == 1 else part.count
        if count in ("all", "any"):
            return f"{count} of ({', '.join(branches)}) as {name}", f"{name}.last.time"
        return f"{count} any of ({', '.join(branches)}) as {name}", f"{name}.last.time"

    def _branch(self, branch: Line, conditions: list[str]) -> str:
        steps: list[str] = []
        for part in branch:
            if isinstance(part, Forbid):
                if not steps:
                    raise Outside("an absence at the beginning of one of several steps")
                steps.append(f"then no {self.atom(part.node, None, [])}")
                continue
            if not isinstance(part, Take):
                raise Outside("groups of steps inside groups of steps")
            alias = self._alias(part.node.get("tag"), part.hidden)
            loop = part.count not in ("", "1") or part.optional
            more = conditions
            if part.before_ms is not None:
                if not self._marks:
                    raise Outside("a limit of time that begins anew after each match")
                more = [*conditions, self._before(part.before_ms)]
            atom = self.atom(part.node, alias, more, loop=loop)
            self._bind(part.node, alias, loop)
            steps.append(f"{'then ' if steps else ''}{part.count} {atom}".replace("  ", " ").strip())
        return " ".join(steps)

    def _before(self, ms: int) -> str:
        return f"time - {self._mark(0)} < {duration(ms)}"

    def _forbidden(self, part: Forbid, first: bool) -> str:
        conditions = []
        gap = f" within {duration(part.for_ms)}" if part.for_ms is not None else ""
        if part.shared:
            conditions, gap = [f"time - {self._mark(part.shared)} < {duration(part.for_ms or 0)}"], ""
        return f"{'' if first else 'then '}no {self.atom(part.node, None, conditions)}{gap}"

    def _end(self) -> list[str]:
        """What a last wait needs: a deadline, which an absence that takes as long already is."""
        last = 0
        for part in reversed(self.line):
            if isinstance(part, Take | Group):
                break
            last = max(last, part.for_ms or 0 if isinstance(part, Forbid) else 0)
        if any(isinstance(wait, Silence) for wait in self._waits):
            raise Outside("an absence that nothing stands beside")
        waits = [wait for wait in self._waits if isinstance(wait, Wait)]
        due = max((wait.ms for wait in waits), default=0)
        if any(wait.shared for wait in waits):
            raise Outside("a time that counts from an earlier step, at the end")
        if due and self.within_ms is not None and due >= self.within_ms:
            raise Outside("an absence that outlasts the pattern's own limit")
        return [f"then no {NEVER} within {duration(due)}"] if due > last else []

    def atom(self, node: Node, alias: str | None, conditions: Sequence[str], loop: bool = False) -> str:
        """An event with its condition, and others."""
        where = self.condition(node, alias, loop)
        if where is False:
            return f"{NEVER}{f' as {alias}' if alias else ''}"
        parts = [*([] if where is True else [text_of(where)]), *conditions]
        filtered = f" where {' and '.join(parts)}" if parts else ""
        return f"{self.schema.root_of[node['type']]}{f' as {alias}' if alias else ''}{filtered}"

    def condition(self, node: Node, alias: str | None = None, loop: bool = False) -> Written:
        """The condition of an event; in a loop it may speak of the loop itself."""

        def leaf(part: list[Node]) -> Written | None:
            if part[0] != "tag_field":
                return None
            if loop and alias is not None and part[1] == node.get("tag"):
                self._roots[alias] = self.schema.root_of[node["type"]]
                return self._of_tag([(alias, True)], part[2:])
            return self._of_tag(self.tags.get(part[1], []), part[2:])

        where = node.get("where", True)
        return Writer(leaf, self.schema.kinds(self.schema.root_of[node["type"]])).condition(where)

    def _of_tag(self, bound: list[tuple[str, bool]], args: list[Node]) -> Written:
        """A field of the event that a tag has, or of one of them."""
        if not bound:
            raise Outside("a field of an event that is not bound yet")
        alias, loop = bound[-1]
        name = name_of(args[0])
        if name not in self.schema.kinds(self._roots[alias]):
            raise Outside("a field that the event does not have")
        if not loop:
            return f"{alias}.{name}"
        index = args[1] if len(args) > 1 else -1
        if index not in (0, -1):
            raise Outside("a field of one of many events, neither the first nor the last")
        return f"{alias}.{'last' if index else 'first'}.{name}"

    def _bind(self, node: Node, alias: str, loop: bool) -> None:
        if node.get("tag") is not None:
            self.tags.setdefault(node["tag"], []).append((alias, loop))
            self._roots[alias] = self.schema.root_of[node["type"]]

    def _alias(self, tag: str | None, hidden: bool) -> str:
        alias = f"{HIDDEN if tag is None or hidden else 'x'}{self._next()}"
        if not alias.startswith(HIDDEN):
            self.stages[alias] = tag or ""
        return alias

    def _next(self) -> int:
        self._count += 1
        return self._count
