"""SQL's MATCH_RECOGNIZE in our language.

Rows of a partition are strictly contiguous: `next` between variables, `in a row` inside a loop. `skip past last row` is
`match first`, `to next row` `match each`, to a variable `resume at` it. A loop that ends a pattern and takes as many
rows as it can is released later: `then no never within` a time that no gap between rows reaches.

What is measured is not compared, only which rows match, and under which variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.conformance.cases import Case, Node, Outside
from tests.conformance.expressions import Writer, Written, text_of
from tests.conformance.schema import FOREVER, NEVER, Schema, feed, fields_compared, name_of, one_event
from tests.conformance.sql_conditions import Place, folded
from tests.conformance.sql_pattern import Choice, Item, Reader, Step, is_open, loops_before, nullable, shortest
from tests.conformance.translation import PICK, Translation, rule

_RELEASE = "365d"  # longer than any gap between the rows of a case, shorter than the horizon


def translate(case: Case) -> Translation:
    """The rule of a case."""
    if "expected_error" in case.result:
        raise Outside("a failure at run time when there is nothing to resume at")
    skip, by = case.semantics["skip"], ", ".join(name_of(name) for name in case.semantics["partition_by"])
    events, order = _ordered(case)
    schema = one_event(events, fields_compared(case.pattern["define"]))
    late_ms = case.semantics.get("watermark", {}).get("max_out_of_order_ms", 0)

    def written(greedy: bool) -> Translation:
        author = _Author(schema, case.pattern, greedy)
        when = author.when()
        policy = "each" if skip["strategy"] == "skip_to_next" else "first"
        if skip["strategy"] in ("skip_to_first", "skip_to_last"):
            when += f"\n  resume at {skip['strategy'].removeprefix('skip_to_')} {author.alias_of(skip['stage'])}"
        text = f"{schema.text(late_ms)}\n\n{rule('found', when, by=by, policy=policy)}"
        stages = {("found", alias): variable for alias, variable in author.variables.items()}
        return Translation(text, feed(schema, events, order=order), stages, singly="watermark" in case.semantics)

    return replace(written(greedy=False), without={PICK: (written(greedy=True),)})


def _ordered(case: Case) -> tuple[list[Node], list[int]]:
    """The events with the times that they are to have, and their places in the order in which they come."""
    columns = case.semantics.get("order_by") or []
    places = list(range(len(case.events)))
    if not columns:
        return [{**event, "ts": None} for event in case.events], places
    if columns[0][0] == "ts" and "watermark" in case.semantics:
        return case.events, places
    for name, direction in reversed(columns):
        places.sort(key=lambda place: case.events[place][name], reverse=direction == "desc")
    return [{**event, "ts": None} for event in case.events], places


@dataclass
class _Author:
    """Writes the pattern. `variables`: alias → variable. `greedy`: what fits a loop is kept from the step behind it."""

    schema: Schema
    pattern: Node
    greedy: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    _bound: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)
    _anchors: set[str] = field(default_factory=set)

    def when(self) -> str:
        """The sequence."""
        items = Reader(self._defined, self._anchors).pattern(self.pattern["pattern"])
        if items is None:
            return f"{NEVER} as nothing_happens"
        steps, open_ended = self._sequence(items, outer=True)
        if "partition_end" in self._anchors:
            if open_ended:
                raise Outside("the end of a partition behind a loop")
            return f"{steps}\n  then no row"
        return f"{steps}\n  then no {NEVER} within {_RELEASE}" if open_ended else steps

    def alias_of(self, variable: str) -> str:
        """The alias of a variable that stands once."""
        found = self._bound.get(folded(variable), [])
        if len(found) != 1:
            raise Outside("a variable that is not in the pattern exactly once, to resume at")
        return found[0][0]

    # ------------------------------------------------------------------------- items → text

    def _sequence(self, items: Sequence[Item], outer: bool = False) -> tuple[str, bool]:
        """The steps; and whether the last could go on."""
        steps, open_ended = [], False
        for place, written in enumerate(items):
            item = written
            last = outer and all(nullable([behind]) for behind in items[place + 1 :])
            if last and not item.greedy:
                short = shortest(item)
                if short is None:
                    break
                item = short
            first = outer and place == 0
            before = loops_before(items[:place]) if self.greedy else []
            steps.append(("" if place == 0 else "next ") + self._item(item, first, before))
            open_ended = last and item.most != item.least
            if last and isinstance(item, Choice):
                open_ended = open_ended or any(is_open(branch) for branch in item.branches)
        return "\n  ".join(steps) if outer else " ".join(steps), open_ended

    def _item(self, item: Item, first: bool, before: Sequence[Step]) -> str:
        least, most = max(item.least, 1), item.most
        count = f"{least}+" if most is None else "" if least == most == 1 else f"{least}..{most}"
        if most is not None and least == most > 1:
            count = str(least)
        loop = f"{count} in a row " if count else ""
        if isinstance(item, Step):
            body = loop + self._step(item.variable, bool(count), first, before)
        elif len(item.branches) == 1:
            body = f"{loop}({self._sequence(item.branches[0])[0]})"
        elif any(len(branch) > 1 for branch in item.branches):
            # They would run side by side and take each other's events, where SQL tries one after the other.
            raise Outside("alternatives of several steps")
        else:
            body = f"{loop}any of ({', '.join(self._sequence(branch)[0] for branch in item.branches)})"
        if item.least > 0:
            return body
        return f"optional ({body})" if count or isinstance(item, Choice) else f"optional {body}"

    def _step(self, variable: str, loop: bool, first: bool, before: Sequence[Step]) -> str:
        alias = f"x{len(self.variables) + 1}"
        where = self._define(variable, alias if loop else None)
        self.variables[alias] = variable
        self._bound.setdefault(folded(variable), []).append((alias, loop))
        parts = [] if isinstance(where, bool) else [text_of(where)]
        parts += [unfit for step in before for unfit in self._unfit(step)]
        if first and "partition_start" in self._anchors:
            parts.append(f"count(row) over {FOREVER} == 0")
        return f"row as {alias} where {' and '.join(parts)}" if parts else f"row as {alias}"

    def _unfit(self, step: Step) -> list[str]:
        """That the event does not fit a loop that could go on."""
        alias, _ = self.bound(folded(step.variable))
        fits = self._define(step.variable, alias)
        full = f"count({alias}) >= {step.most} or " if step.most is not None else ""
        return [] if isinstance(fits, bool) else [f"({full}not ({fits}))"]

    # ---------------------------------------------------------------------------- conditions

    def _define(self, variable: str, loop: str | None = None) -> Written:
        """The condition of a variable; `loop` is its alias when it is a loop."""
        writer: list[Writer] = []
        place = Place(self.schema.kinds("row"), self.bound, folded(variable), loop, writer)
        writer.append(Writer(place.leaf, self.schema.kinds("row")))
        return writer[0].condition(self._defined(variable))

    def _defined(self, variable: str) -> Node:
        """The definition of a variable; what has none is any row."""
        define = {folded(name): node for name, node in self.pattern["define"].items()}
        return define.get(folded(variable), True)

    def bound(self, variable: str) -> tuple[str, bool]:
        """The alias of a variable that has been matched, and whether it is a loop."""
        if variable in {folded(name) for name in self.pattern.get("subsets") or {}}:
            raise Outside("a union of variables in a condition")
        found = self._bound.get(variable, [])
        if not found:
            raise Outside("a variable that is matched later, in a condition")
        return found[-1]
