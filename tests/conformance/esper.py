"""Esper's patterns in our language; `trees` says how.

`->` is `then`, `and` is `all of`, `or` is `any of`, `not x` beside something is `no x`, a timer is a time that has to
pass, `timer:within` a condition on the time since. The pattern runs from `start_time` to the last event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.conformance.cases import Case, Node, Outside
from tests.conformance.schema import (
    FOREVER,
    MS_US,
    NEVER,
    duration,
    event_per_type,
    feed,
    fields_compared,
)
from tests.conformance.translation import TWICE, Match, Translation, rule
from tests.conformance.trees import (
    HIDDEN,
    MARKED,
    ORIGIN,
    Author,
    Forbid,
    Group,
    Line,
    Take,
    Wait,
    bounded,
    event_types,
    every_order,
    is_event,
    is_single,
    joined,
    linked,
)


def translate(case: Case) -> Translation:
    """The rules of a case."""
    tree = case.pattern["tree"]
    reading = _merged(tree)
    without = {} if reading == tree else {TWICE: (_translated(case, reading),)}
    return replace(_translated(case, tree), without=without)


def _translated(case: Case, tree: Node) -> Translation:
    schema = event_per_type(case.events, event_types(tree), fields_compared(tree))
    reader = _Reader([event["type"] for event in case.events])
    repeated = tree["op"] == "every" and not is_event(tree["arg"])
    within = FOREVER
    if repeated:
        tree = tree["arg"]
        if tree["op"] in ("within", "within_max"):
            reader.within_max(tree)
            within, tree = duration(tree["ms"]), tree["arg"]
        lines = reader.lines(tree)
        _must_begin_with_an_event(lines)
    elif tree["op"] == "match_until" and tree["until"] is not None and tree["until"]["op"] == "timer":
        within, lines = duration(tree["until"]["ms"]), _collected(tree)
    else:
        lines = reader.lines(tree)
    if repeated and len(lines) > 1:
        raise Outside("`every` around several alternatives that begin anew together")
    rules, stages = [], {}
    for number, line in enumerate(lines, 1):
        author = Author(schema, line, anchored=not repeated)
        when = author.when()
        rules.append(rule(f"r{number}", when, within=within, policy="first" if repeated else "each"))
        stages |= {(f"r{number}", alias): tag for alias, tag in author.stages.items()}
    until_us = max((event["ts"] for event in case.events), default=0) * MS_US
    fed = feed(schema, case.events, begun_ms=case.semantics["start_time"])
    text = "\n\n".join([schema.text(), *rules])
    return Translation(text, fed, stages, until_us=until_us, view=visible, notes=() if repeated else (MARKED,))


def _merged(node: Node) -> Node:
    """The tree where events of one type beside each other in an `and` are one event: the reading without law 3."""
    if isinstance(node, list):
        return [_merged(part) for part in node]
    if not isinstance(node, dict):
        return node
    changed = {name: _merged(part) for name, part in node.items()}
    if node.get("op") != "and" or not all(is_event(arg) for arg in node["args"]):
        return changed
    by_type: dict[str, Node] = {}
    for arg in changed["args"]:
        before = by_type.get(arg["type"])
        by_type[arg["type"]] = arg if before is None else {**before, "where": ["and", before["where"], arg["where"]]}
    merged = list(by_type.values())
    return merged[0] if len(merged) == 1 else {**changed, "args": merged}


def visible(matches: list[Match]) -> list[Match]:
    """The matches without the events that no tag names."""
    return [
        Match(m.rule, m.time_us, {a: p for a, p in m.captured.items() if a != ORIGIN and not a.startswith(HIDDEN)})
        for m in matches
    ]


def _collected(tree: Node) -> list[Line]:
    """What is collected until a timer: it ends with the horizon."""
    if tree.get("min") or tree.get("max") or not is_event(tree["arg"]):
        raise Outside("a number of events until a timer")
    never = {"op": "event", "type": NEVER}
    return [(Take(tree["arg"], count="1+", optional=True), Forbid(never))]


def _must_begin_with_an_event(lines: list[Line]) -> None:
    if any(getattr(line[0], "link", None) == "then each" for line in lines):
        raise Outside("`every` of `every`, which multiplies matches")
    if any(not isinstance(line[0], Take | Group) for line in lines):
        raise Outside("a timer or an absence that begins anew after each match")


class _Reader:
    """Trees → lines. `types`: those of the events there are; a bound above their number bounds nothing."""

    def __init__(self, types: Sequence[str]) -> None:
        self._types = types

    def _of_types(self, node: Node) -> int:
        named = set(event_types(node))
        return sum(name in named for name in self._types)

    def lines(self, node: Node) -> list[Line]:
        """The alternatives of a tree."""
        return getattr(self, f"_{node['op']}")(node)

    def _event(self, node: Node) -> list[Line]:
        return [(Take(node),)]

    def _followed_by(self, node: Node) -> list[Line]:
        for most, arg in zip(node.get("max") or [], node["args"], strict=False):
            if most is not None and most < self._of_types(arg):
                raise Outside("a bound on the partial matches of a step")
        if any(arg["op"] == "not" for arg in node["args"]):
            raise Outside("`not` by itself, which is true at once")
        return joined([self.lines(arg) for arg in node["args"]])

    def _every(self, node: Node) -> list[Line]:
        arg = node["arg"]
        if arg["op"] == "within" and is_event(arg["arg"]):
            raise Outside("`every` around a time limit inside a pattern")
        lines = self.lines(arg)
        if len(lines) == 1 and len(lines[0]) == 1 and isinstance(lines[0][0], Take | Group):
            if lines[0][0].link == "then each":
                raise Outside("`every` of `every`, which multiplies matches")
            if is_single(lines[0][0]):
                return [linked(lines[0], "then each")]
        if any(isinstance(part, Wait) for line in lines for part in line):
            raise Outside("a timer that begins anew by itself")
        raise Outside("`every` around several steps inside a pattern")

    def _and(self, node: Node) -> list[Line]:
        absent = [arg["arg"] for arg in node["args"] if arg["op"] == "not"]
        present = [arg for arg in node["args"] if arg["op"] != "not"]
        if not all(is_event(arg) for arg in absent):
            raise Outside("`not` of something other than an event")
        if absent:
            return self._without(absent, present)
        if any(arg["op"] == "every" for arg in present):
            if not all(is_event(arg) or (arg["op"] == "every" and is_event(arg["arg"])) for arg in present):
                raise Outside("`every` in one of several branches")
            return every_order(present)
        branches = [self.lines(arg) for arg in present]
        if any(isinstance(part, Wait) for lines in branches for line in lines for part in line):
            raise Outside("a timer in one of several branches")
        return [(Group("all", chosen),) for chosen in _products(branches)]

    def _without(self, absent: list[Node], present: list[Node]) -> list[Line]:
        """What comes while something else does not: nothing of it up to the last step."""
        if not present:
            raise Outside("`not` by itself, which is true at once")
        lines = self.lines(present[0]) if len(present) == 1 else self._and({"op": "and", "args": present})
        found = []
        for line in lines:
            if any(isinstance(part, Group) for part in line):
                raise Outside("`not` beside a group of steps")
            parts = []
            for part in line:
                ms = part.ms if isinstance(part, Wait) else None
                parts += [Forbid(node, ms) for node in absent] + [part]
            found.append(tuple(parts))
        return found

    def _or(self, node: Node) -> list[Line]:
        args = node["args"]
        if any(arg["op"] in ("not", "every", "timer") for arg in args):
            raise Outside(f"`{next(a['op'] for a in args if a['op'] in ('not', 'every', 'timer'))}` as an alternative")
        branches = [self.lines(arg) for arg in args]
        return [(Group("any", chosen),) for chosen in _products(branches)]

    def _repeat(self, node: Node) -> list[Line]:
        (line,) = self.lines(node["arg"])
        if node["min"] != node["max"]:
            raise Outside("a repeat with a range")
        part = line[0]
        if len(line) == 1 and isinstance(part, Take) and part.link == "then":
            return [(Take(part.node, count=str(node["min"])),)]
        if len(line) == 1 and isinstance(part, Group) and part.count == "any":
            return [(Group(str(node["min"]), part.branches),)]
        raise Outside("a repeat of several steps")

    def _match_until(self, node: Node) -> list[Line]:
        """So many events until another: those that are needed one by one, then the others, then the end."""
        if node["until"] is None or not is_event(node["until"]) or not is_event(node["arg"]):
            raise Outside("`until` of something other than events")
        least, most = node.get("min") or 0, node.get("max")
        parts: list[Take | Forbid] = []
        for _ in range(least):
            parts += [Forbid(node["until"]), Take(node["arg"])]
        if most is None or most > least:
            count = "1+" if most is None else f"1..{most - least}"
            parts.append(Take(node["arg"], count=count, optional=True))
        # So many and no more are complete by themselves.
        return [(*parts,) if most == least else (*parts, Take(node["until"]))]

    def _within(self, node: Node) -> list[Line]:
        return [bounded(line, node["ms"]) for line in self.lines(node["arg"])]

    def _within_max(self, node: Node) -> list[Line]:
        self.within_max(node)
        return self._within(node)

    def within_max(self, node: Node) -> None:
        """Refuses a bound on the number of matches, where there could be more of them."""
        if node.get("max") is not None and node["max"] < self._of_types(node["arg"]):
            raise Outside("a bound on the number of matches of a step")

    def _while(self, _: Node) -> list[Line]:
        raise Outside("a condition that ends a pattern")

    def _not(self, _: Node) -> list[Line]:
        raise Outside("`not` by itself, which is true at once")

    def _timer(self, node: Node) -> list[Line]:
        return [(Wait(node["ms"]),)]


def _products(branches: list[list[Line]]) -> list[tuple[Line, ...]]:
    if any(len(lines) != 1 for lines in branches):
        raise Outside("alternatives in one of several branches")
    return [tuple(lines[0] for lines in branches)]
