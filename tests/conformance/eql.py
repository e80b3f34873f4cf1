"""EQL in our language.

A sequence is `match last`: a newer start replaces an older one at the same place. After a match only its own events are
used up, so it resumes at the first of them. A join is `all of` its stages. `maxspan` includes its end, so it is a
millisecond more; `by` is the key, under one name in a view of the event for each stage where the fields differ. A
filter is a rule of one step.

Pipes that choose by what an event is are part of the rule (`filter`: its condition; `unique`: `limit 1 per … by …`);
`head`, `tail` and `sort` speak of the finished list of alerts, and are done to it. Stored events that are not in the
order of time are waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tests.conformance.cases import Case, Node, Outside
from tests.conformance.eql_functions import bound
from tests.conformance.expressions import Writer, text_of
from tests.conformance.schema import (
    FOREVER,
    TYPE,
    Schema,
    disorder_ms,
    duration,
    feed,
    fields_compared,
    literal,
    name_of,
    one_event,
)
from tests.conformance.translation import QUOTIENT, Match, Translation, View, everything, rule

_FOREVER_IS_LONG = f"limit 1 per {FOREVER}"


def translate(case: Case) -> Translation:
    """The rule of a case."""
    readings = (_translated(case, whole_quotients=True),) if _divides(case.pattern) else ()
    return replace(_translated(case), without={QUOTIENT: readings})


def _translated(case: Case, whole_quotients: bool = False) -> Translation:
    pattern = case.pattern
    schema = one_event(case.events, [*fields_compared(pattern)])
    author = _Author(schema, case.semantics["string_compare"] == "case_insensitive", whole_quotients)
    kept, pipes = _split(pattern.get("pipes", []))
    if pattern["kind"] == "filter":
        text = rule("found", author.step(pattern["stages"][0], kept), more=author.unique(kept))
    elif pattern["kind"] == "sequence":
        text = author.sequence(pattern, kept)
    else:
        text = author.all_of(pattern, kept)
    text = "\n\n".join([schema.text(disorder_ms(case.events)), *author.views.values(), text])
    stages = {("found", alias): alias for alias in author.aliases}
    return Translation(text, feed(schema, case.events), stages, view=_view(case, pipes))


def _divides(node: Node) -> bool:
    """Whether something is divided."""
    if isinstance(node, dict):
        return any(_divides(part) for part in node.values())
    return isinstance(node, list) and (node[:1] == ["/"] or node[:2] == ["call", "divide"] or any(map(_divides, node)))


def _repeated(stages: Sequence[Node]) -> list[Node]:
    """Each stage as often as it has runs."""
    return [stage for stage in stages for _ in range(stage.get("runs", 1))]


@dataclass
class _Author:
    """Writes steps; `views` are the events that it declares on the way, by their text's beginning."""

    schema: Schema
    any_case: bool
    whole_quotients: bool
    views: dict[str, str] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)

    def sequence(self, pattern: Node, kept: Sequence[Node]) -> str:
        """The rule of a sequence."""
        stages = _repeated(pattern["stages"])
        if any(pipe["pipe"] != "filter" for pipe in kept):
            raise Outside("`unique` over whole sequences")
        conditions = [self._of_match(pipe["args"][0]) for pipe in kept]
        trailing = bool(stages[-1].get("negated"))
        names = self._events([*stages, *([pattern["until"]] if pattern.get("until") else [])])
        steps = []
        for place, stage in enumerate(stages):
            link = "" if not place else "then each " if stage.get("fork") else "then "
            if stage.get("negated"):
                steps.append(f"{link}no {self._atom(stage, names[place], None)}")
            else:
                more = [where for at, where in conditions if at == place]
                steps.append(link + self._atom(stage, names[place], self._alias(), more))
        lines = ["\n  ".join(steps)]
        if pattern.get("until"):
            lines.append(f"until {self._atom(pattern['until'], names[-1], None)}")
        if not trailing:
            lines.append(f"resume at {self.aliases[0]}")
        within = duration(pattern["within_ms"] + 1) if "within_ms" in pattern else FOREVER
        policy = "each" if trailing else "last"
        return rule("found", "\n  ".join(lines), by=self._by(stages), within=within, policy=policy)

    def all_of(self, pattern: Node, kept: Sequence[Node]) -> str:
        """The rule of a join: its events in any order."""
        stages = pattern["stages"]
        if kept:
            raise Outside("`unique` or `filter` over whole joins")
        names = self._events([*stages, *([pattern["until"]] if pattern.get("until") else [])])
        parts = [self._atom(stage, name, self._alias()) for stage, name in zip(stages, names, strict=False)]
        lines = [f"all of ({', '.join(parts)})"]
        if pattern.get("until"):
            lines.append(f"until {self._atom(pattern['until'], names[-1], None)}")
        within = duration(pattern["within_ms"] + 1) if "within_ms" in pattern else FOREVER
        return rule("found", "\n  ".join(lines), by=self._by(stages), within=within)

    def step(self, stage: Node, kept: Sequence[Node]) -> str:
        """The one step of a filter."""
        wheres = [text_of(self._condition(pipe["args"][0])) for pipe in kept if pipe["pipe"] == "filter"]
        return self._atom(stage, "row", self._alias(), wheres)

    def unique(self, kept: Sequence[Node]) -> str:
        """The clause that lets only the first alert of each kind through."""
        chosen = [pipe["args"] for pipe in kept if pipe["pipe"] == "unique"]
        if not chosen:
            return ""
        if len(chosen) > 1:
            raise Outside("`unique` twice")
        return f"{_FOREVER_IS_LONG} by {', '.join(text_of(self._writer().write(arg)) for arg in chosen[0])}"

    def _alias(self) -> str:
        self.aliases.append(f"x{len(self.aliases) + 1}")
        return self.aliases[-1]

    def _atom(self, stage: Node, name: str, alias: str | None, more: Sequence[str] = ()) -> str:
        parts = [] if stage["event_type"] == "any" else [f"{TYPE} == {literal(stage['event_type'])}"]
        where = self._condition(stage["where"])
        if where is False:
            return f"never{f' as {alias}' if alias else ''}"
        parts += [] if where is True else [text_of(where)]
        parts += more
        filtered = f" where {' and '.join(parts)}" if parts else ""
        return f"{name}{f' as {alias}' if alias else ''}{filtered}"

    def _condition(self, node: Node) -> object:
        return self._writer().condition(node)

    def _writer(self) -> Writer:
        return bound(self.schema, self.any_case, self.whole_quotients)

    def _of_match(self, node: Node) -> tuple[int, str]:
        """A condition on one event of the match: its stage, and what it is of that event."""
        places: set[int] = set()

        def moved(part: Node) -> Node:
            if isinstance(part, list) and part and part[0] == "field" and part[1].startswith("events["):
                at, _, name = part[1][len("events[") :].partition("].")
                places.add(int(at))
                return ["field", name]
            return [moved(p) for p in part] if isinstance(part, list) else part

        changed = moved(node)
        if len(places) != 1:
            raise Outside("a filter on several events of a match at once")
        return places.pop(), text_of(self._condition(changed))

    def _by(self, stages: Sequence[Node]) -> str:
        by = stages[0].get("by") or []
        if len({len(stage.get("by") or []) for stage in stages}) > 1:
            raise Outside("stages that are joined by different numbers of keys")
        if not self.views:
            return ", ".join(name_of(expression[1]) for expression in by)
        return ", ".join(f"key{i}" for i in range(len(by)))

    def _events(self, stages: Sequence[Node]) -> list[str]:
        """The event of each stage: a view that renames its key's fields, where stages have different ones."""
        keys = [[_field(expression) for expression in stage.get("by") or []] for stage in stages]
        if all(key == keys[0] for key in keys):
            return ["row"] * len(stages)
        return [self._view(key) for key in keys]

    def _view(self, key: Sequence[str]) -> str:
        name = f"row_by_{'_'.join(part.strip('`') for part in key)}"
        renamed = ", ".join(f"key{i} = {part}" for i, part in enumerate(key))
        self.views[name] = f"event {name} = row with {renamed}"
        return name


def _field(expression: Node) -> str:
    if expression[0] != "field":
        raise Outside("a key that is computed")
    return name_of(expression[1])


def _split(pipes: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """The pipes that are part of the rule, and those behind them that are done to the list of alerts."""
    kept: list[Node] = []
    rest = list(pipes)
    while rest and rest[0]["pipe"] in ("filter", "unique"):
        if rest[0]["pipe"] == "filter" and any(pipe["pipe"] == "unique" for pipe in kept):
            break
        kept.append(rest.pop(0))
    for pipe in rest:
        if pipe["pipe"] not in ("head", "tail", "sort"):
            raise Outside(f"the pipe `{pipe['pipe']}` behind others")
    return kept, rest


def _view(case: Case, pipes: Sequence[Node]) -> View:
    """What the pipes do to the list of alerts."""
    if not pipes:
        return everything

    def view(matches: list[Match]) -> list[Match]:
        for pipe in pipes:
            matches = _PIPES[pipe["pipe"]](case, matches, pipe["args"])
        return matches

    return view


def _sorted(case: Case, matches: list[Match], args: list[Node]) -> list[Match]:
    def value(match: Match, expression: Node) -> tuple[bool, object]:
        found = case.events[match.flat[0]].get(_field(expression).strip("`"))
        found = found.lower() if isinstance(found, str) else found
        return (found is None, 0 if found is None else found)

    return sorted(matches, key=lambda match: [value(match, arg) for arg in args])


_PIPES: dict[str, Callable[[Case, list[Match], list[Node]], list[Match]]] = {
    "head": lambda _, matches, args: matches[: args[0]],
    "tail": lambda _, matches, args: matches[-args[0] :],
    "sort": _sorted,
}
