"""A rule as a graph: the chain of a `when`, the states of a `while`. It is made from the tree, so nothing needs to run.

Nodes stand in the order in which they are reached. An edge that is `back` leads to an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cep.lang import ast
from cep.lang.spelling import atom, duration, expression, quantifier, quoted


@dataclass(frozen=True, slots=True)
class Node:
    """A step or a state. `kind` is start, step, split, join, state or alert; `level` is how many groups it lies in."""

    kind: str
    title: str
    details: tuple[str, ...] = ()
    level: int = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """How one node (by its place) leads to another, and on which conditions: a line each."""

    source: int
    target: int
    labels: tuple[str, ...] = ()
    back: bool = False


@dataclass(slots=True)
class Graph:
    """A rule's graph; `heading` are its name, key and horizon, `notes` what concerns all of it."""

    name: str
    trigger: str
    heading: str
    notes: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def node(self, kind: str, title: str, details: Iterable[str] = (), level: int = 0) -> int:
        """Add a node; its place."""
        self.nodes.append(Node(kind, title, tuple(details), level))
        return len(self.nodes) - 1

    def edge(self, source: int, target: int, *labels: str) -> None:
        """Add an edge."""
        self.edges.append(Edge(source, target, tuple(label for label in labels if label), target <= source))


def graph(rule: ast.Rule, content: str) -> Graph:
    """The graph of a rule; `content` is the text that it was parsed from."""
    trigger = "when" if isinstance(rule.trigger, ast.When) else "while"
    result = Graph(rule.name.text, trigger, " ".join(["rule", rule.name.text, *map(_header, rule.headers)]).strip())
    if isinstance(rule.trigger, ast.When):
        _Chain(result, content).when(rule.trigger, rule)
    else:
        _states(result, rule.trigger, rule, content)
    return result


def _header(header: ast.Header) -> str:
    """The headers that say what a rule waits for; the others describe it."""
    if isinstance(header, ast.By):
        roster = f" in {header.roster.text}" if header.roster else ""
        return f"by {'any of ' * header.any_of}{', '.join(key.text for key in header.keys)}{roster}"
    match header.word, header.value:
        case ("within" | "forget") as word, int(length_us):
            return f"{word} {duration(length_us)}"
        case ("mode" | "active" | "max") as word, value:
            return f"{word} {'in ' * (word == 'active')}{value}"
    return ""


def _alert(rule: ast.Rule, content: str) -> tuple[str, list[str]]:
    """What the last node says: the levels, and what else goes out."""
    alerts = [output for output in rule.outputs if isinstance(output, ast.Alert)]
    title = " or ".join(f"alert {alert.level.text}" for alert in alerts) or "alert info"
    details = [f"if {expression(alert.condition, content)}" for alert in alerts if alert.condition]
    for output in rule.outputs:
        if isinstance(output, ast.Limit):
            keys = f" by {', '.join(expression(key, content) for key in output.keys)}" if output.keys else ""
            details.append(f"limit {output.count} per {duration(output.per_us)}{keys}")
        elif isinstance(output, ast.To):
            details.append(f"to {quoted(output.sink.text)}")
    return title, details


# ------------------------------------------------------------------------------------------- when


@dataclass(frozen=True, slots=True)
class _Way:
    """An open end of the graph: the node it comes from, and what is waited for on the way to the next one."""

    node: int
    labels: tuple[str, ...] = ()


class _Chain:
    """The steps of a `when`, added one after the other."""

    def __init__(self, result: Graph, content: str) -> None:
        self._graph, self._content = result, content

    def when(self, trigger: ast.When, rule: ast.Rule) -> None:
        """Add the whole trigger and its alert."""
        notes = self._graph.notes
        notes.append(f"match {trigger.policy.text if trigger.policy else 'first'}")
        if trigger.until is not None:
            notes.append(f"until {atom(trigger.until, self._content)}")
        if trigger.resume is not None:
            end = f"{trigger.resume.end} " if trigger.resume.end else ""
            notes.append(f"resume at {end}{trigger.resume.alias.text}")
        ways = self._sequence(trigger.sequence, [_Way(self._graph.node("start", "start"))], 0)
        self._arrive(self._graph.node("alert", *_alert(rule, self._content)), ways)

    def _sequence(self, sequence: ast.Sequence, ways: list[_Way], level: int) -> list[_Way]:
        """Add steps behind the open ends; the open ends behind them."""
        for step, link in zip(sequence.steps, ("", *sequence.links), strict=True):
            gap = f"within {duration(step.within_us)}" if step.within_us is not None else ""
            if step.negated and isinstance(step.body, ast.Atom):
                label = " ".join(part for part in (f"no {atom(step.body, self._content)}", gap) if part)
                ways = [_Way(way.node, (*way.labels, label)) for way in ways]
                continue
            skipped = ways
            entering = tuple(part for part in (link, gap) if part)
            ways = [_Way(way.node, (*way.labels, " ".join(entering))) for way in ways]
            ways = self._step(step, ways, level)
            if step.quantifier is not None and step.quantifier.optional:
                ways = [*ways, *skipped]
        return ways

    def _step(self, step: ast.Step, ways: list[_Way], level: int) -> list[_Way]:
        counts = quantifier(step.quantifier) if step.quantifier else ""
        if isinstance(step.body, ast.Group):
            return self._group(step.body, counts, ways, level)
        alias = f" as {step.body.alias.text}" if step.body.alias else ""
        where = [f"where {expression(step.body.where, self._content)}"] if step.body.where else []
        node = self._graph.node("step", f"{counts} {step.body.event.text}{alias}".strip(), where, level)
        self._arrive(node, ways)
        return [_Way(node)]

    def _group(self, group: ast.Group, counts: str, ways: list[_Way], level: int) -> list[_Way]:
        of = f"{group.count} of" if group.count is not None else "group"
        alias = f" as {group.alias.text}" if group.alias else ""
        split = self._graph.node("split", f"{counts} {of}{alias}".strip(), (), level)
        self._arrive(split, ways)
        ends = [way for part in group.sequences for way in self._sequence(part, [_Way(split)], level + 1)]
        join = self._graph.node("join", f"end of {of}", (), level)
        self._arrive(join, ends)
        if counts and counts != "optional":
            self._graph.edge(join, split, counts)
        return [_Way(join)]

    def _arrive(self, node: int, ways: list[_Way]) -> None:
        for way in ways:
            self._graph.edge(way.node, node, *way.labels)


# ------------------------------------------------------------------------------------------ while


def _states(result: Graph, trigger: ast.While, rule: ast.Rule, content: str) -> None:
    """Closed, perhaps pending, open, perhaps ending: and what leads from one to the other."""
    condition = expression(trigger.condition, content)
    title, details = _alert(rule, content)
    closed = result.node("start", "closed")
    if trigger.for_us is not None:
        pending = result.node("state", "pending", (f"for {duration(trigger.for_us)}",))
        result.edge(closed, pending, condition)
        result.edge(pending, closed, "the condition stops")
        opened = result.node("alert", "open", (title, *details))
        result.edge(pending, opened, f"{duration(trigger.for_us)} later")
    else:
        opened = result.node("alert", "open", (title, *details))
        result.edge(closed, opened, condition)
    over = f"until {expression(trigger.until, content)}" if trigger.until is not None else "the condition stops"
    if trigger.keep_us is None:
        result.edge(opened, closed, over, "alert resolved")
        return
    ending = result.node("state", "ending", (f"keep {duration(trigger.keep_us)}",))
    result.edge(opened, ending, over)
    result.edge(ending, opened, "not over any more")
    result.edge(ending, closed, f"{duration(trigger.keep_us)} later", "alert resolved")
