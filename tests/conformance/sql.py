"""SQL's MATCH_RECOGNIZE in our language.

Rows of a partition are strictly contiguous: `next` between variables, `in a row` inside a loop. `skip past last row` is
`match first`, `to next row` `match each`, to a variable `resume at` it. A loop that ends a pattern and takes as many
rows as it can is released later: `then no never within` a time that no gap between rows reaches.

`PREV(x)` is the latest row of the partition before this one; `LAST(A.x, 1)` inside `A` is what the loop has captured
last. What is measured is not compared, only which rows match, and under which variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations

from tests.conformance.cases import Case, Node, Outside
from tests.conformance.expressions import Writer, Written, quoted, text_of
from tests.conformance.schema import FOREVER, NEVER, Schema, disorder_ms, feed, fields_compared, name_of, one_event
from tests.conformance.translation import Translation, rule

_RELEASE = "365d"  # longer than any gap between the rows of a case, shorter than the horizon


def translate(case: Case) -> Translation:
    """The rule of a case."""
    if "expected_error" in case.result:
        raise Outside("a failure at run time when there is nothing to resume at")
    skip, by = case.semantics["skip"], ", ".join(name_of(name) for name in case.semantics["partition_by"])
    events, order = _ordered(case)
    schema = one_event(events, fields_compared(case.pattern["define"]))
    author = _Author(schema, case.pattern)
    when = author.when()
    policy = "each" if skip["strategy"] == "skip_to_next" else "first"
    if skip["strategy"] in ("skip_to_first", "skip_to_last"):
        when += f"\n  resume at {skip['strategy'].removeprefix('skip_to_')} {author.alias_of(skip['stage'])}"
    late_ms = disorder_ms([events[place] for place in order])
    text = f"{schema.text(late_ms)}\n\n{rule('found', when, by=by, policy=policy)}"
    stages = {("found", alias): variable for alias, variable in author.variables.items()}
    return Translation(text, feed(schema, events, order=order), stages)


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


@dataclass(frozen=True)
class Step:
    """A variable with its quantifier; `most` None: no bound."""

    variable: str
    least: int = 1
    most: int | None = 1
    greedy: bool = True


@dataclass(frozen=True)
class Choice:
    """Alternatives, the first preferred, with a quantifier."""

    branches: tuple[tuple[Item, ...], ...]
    least: int = 1
    most: int | None = 1
    greedy: bool = True


Item = Step | Choice
_IMPOSSIBLE = None


def _nullable(items: Sequence[Item]) -> bool:
    """Whether a pattern can be made of no row at all."""
    return all(
        item.least == 0 or (isinstance(item, Choice) and any(_nullable(branch) for branch in item.branches))
        for item in items
    )


@dataclass
class _Author:
    """Writes the pattern. `variables`: alias → variable."""

    schema: Schema
    pattern: Node
    variables: dict[str, str] = field(default_factory=dict)
    _bound: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)
    _anchors: set[str] = field(default_factory=set)

    def when(self) -> str:
        """The sequence."""
        tree = _trimmed(self.pattern["pattern"], self._anchors)
        items = None if tree is None else self._items(tree)
        if items is _IMPOSSIBLE:
            return f"{NEVER} as nothing_happens"
        if not items or _prefers_nothing(items):
            raise Outside("a pattern that prefers to match nothing")
        steps, open_ended = self._sequence(items, outer=True)
        if "partition_end" in self._anchors:
            if open_ended:
                raise Outside("the end of a partition behind a loop")
            return f"{steps}\n  then no row"
        return f"{steps}\n  then no {NEVER} within {_RELEASE}" if open_ended else steps

    def alias_of(self, variable: str) -> str:
        """The alias of a variable that stands once."""
        found = self._bound.get(_folded(variable), [])
        if len(found) != 1:
            raise Outside("a variable that is not in the pattern exactly once, to resume at")
        return found[0][0]

    # ------------------------------------------------------------------------ trees → items

    def _items(self, node: Node) -> tuple[Item, ...] | None:
        """The items of a tree, or None when it never matches."""
        operator, *args = node
        if operator == "var":
            return None if self._defined(args[0]) is False else (Step(args[0]),)
        if operator == "empty":
            return ()
        if operator == "exclude":
            return self._items(args[0])
        if operator == "concat":
            parts = [self._items(arg) for arg in _operands(args)]
            return None if None in parts else tuple(item for part in parts if part is not None for item in part)
        if operator == "alt":
            return self._choice([self._items(arg) for arg in _operands(args)])
        if operator == "permute":
            return self._choice([self._items(["concat", *order]) for order in permutations(_operands(args))])
        if operator == "quant":
            return self._quantified(*args)
        if operator in ("partition_start", "partition_end"):
            return None  # those at the ends have been taken off; anywhere else there are rows beyond
        raise Outside(f"the pattern `{operator}`")

    def _choice(self, branches: Sequence[tuple[Item, ...] | None]) -> tuple[Item, ...] | None:
        possible = [branch for branch in branches if branch is not None]
        if not possible:
            return None
        if not possible[0]:
            raise Outside("a pattern that prefers to match nothing")
        least = 1
        if not possible[-1]:
            possible, least = possible[:-1], 0
        if len(possible) == 1 and len(possible[0]) == 1 and least == 1:
            return possible[0]
        return (Choice(tuple(possible), least),)

    def _quantified(self, node: Node, least: int, most: int | None, greedy: bool) -> tuple[Item, ...] | None:
        inner = self._items(node)
        if inner is None:
            return () if least == 0 else None
        if not inner:
            return ()
        if len(inner) == 1 and isinstance(inner[0], Step) and (inner[0].least, inner[0].most) == (1, 1):
            return (Step(inner[0].variable, least, most, greedy),)
        return (Choice((inner,), least, most, greedy),)

    # ------------------------------------------------------------------------- items → text

    def _sequence(self, items: Sequence[Item], outer: bool = False) -> tuple[str, bool]:
        """The steps; and whether the last could go on."""
        steps, open_ended = [], False
        for place, item in enumerate(items):
            last = outer and all(_nullable([behind]) for behind in items[place + 1 :])
            if last and not item.greedy:
                item = _shortest(item)
                if item is None:
                    break
            first = outer and place == 0
            steps.append(("" if place == 0 else "next ") + self._item(item, first))
            open_ended = last and item.most != item.least
            if last and isinstance(item, Choice):
                open_ended = open_ended or any(_open(branch) for branch in item.branches)
        return "\n  ".join(steps) if outer else " ".join(steps), open_ended

    def _item(self, item: Item, first: bool) -> str:
        least, most = max(item.least, 1), item.most
        count = f"{least}+" if most is None else "" if least == most == 1 else f"{least}..{most}"
        if most is not None and least == most > 1:
            count = str(least)
        loop = f"{count} in a row " if count else ""
        if isinstance(item, Step):
            body = loop + self._step(item.variable, bool(count), first)
        elif len(item.branches) == 1:
            body = f"{loop}({self._sequence(item.branches[0])[0]})"
        else:
            body = f"{loop}any of ({', '.join(self._sequence(branch)[0] for branch in item.branches)})"
        if item.least > 0:
            return body
        return f"optional ({body})" if count or isinstance(item, Choice) else f"optional {body}"

    def _step(self, variable: str, loop: bool, first: bool) -> str:
        alias = f"x{len(self.variables) + 1}"
        where = self._define(variable, alias if loop else None)
        self.variables[alias] = variable
        self._bound.setdefault(_folded(variable), []).append((alias, loop))
        parts = [] if isinstance(where, bool) else [text_of(where)]
        if first and "partition_start" in self._anchors:
            parts.append(f"count(row) over {FOREVER} == 0")
        return f"row as {alias} where {' and '.join(parts)}" if parts else f"row as {alias}"

    # ---------------------------------------------------------------------------- conditions

    def _define(self, variable: str, loop: str | None = None) -> Written:
        """The condition of a variable; `loop` is its alias when it is a loop."""
        writer: list[Writer] = []
        place = _Place(self, _folded(variable), loop, writer)
        writer.append(Writer(place.leaf, self.schema.kinds("row")))
        return writer[0].condition(self._defined(variable))

    def _defined(self, variable: str) -> Node:
        """The definition of a variable; what has none is any row."""
        define = {_folded(name): node for name, node in self.pattern["define"].items()}
        return define.get(_folded(variable), True)

    def bound(self, variable: str) -> tuple[str, bool]:
        """The alias of a variable that has been matched, and whether it is a loop."""
        if variable in {_folded(name) for name in self.pattern.get("subsets") or {}}:
            raise Outside("a union of variables in a condition")
        found = self._bound.get(variable, [])
        if not found:
            raise Outside("a variable that is matched later, in a condition")
        return found[-1]


@dataclass(frozen=True)
class _Place:
    """Where a condition stands: in the definition of `variable`, which is a loop if it has an alias already."""

    author: _Author
    variable: str
    loop: str | None
    writer: list[Writer]

    def leaf(self, node: list[Node]) -> Written | None:
        """What an operator of SQL means here."""
        operator, *args = node
        if operator == "col":
            return self._column(args[0], args[1])
        if operator in ("prev", "next", "first", "last"):
            return self._moved(operator, args[0], args[1] if len(args) > 1 else 0)
        if operator == "agg":
            return self._aggregate(*args)
        if operator == "running":
            return self.writer[0].write(args[0])
        if operator == "cast":
            return self.writer[0].write(args[0])
        if operator == "sql_like":
            return self._like(args)
        if operator == "call":
            return self._call(*args)
        if operator in ("classifier", "match_number", "final"):
            raise Outside(f"`{operator}` in a condition")
        return None

    def _own(self, variable: str | None) -> bool:
        return variable is None or _folded(variable) == self.variable

    def _column(self, variable: str | None, name: str) -> str:
        if self._own(variable):
            return name_of(name)
        alias, loop = self.author.bound(_folded(variable))
        return f"{alias}.last.{name_of(name)}" if loop else f"{alias}.{name_of(name)}"

    def _moved(self, operator: str, node: Node, steps: int) -> Written:
        if operator == "next":
            raise Outside("a look at the rows to come")
        if not isinstance(node, list) or node[0] != "col":
            raise Outside(f"`{operator}` of something other than a column")
        variable, name = node[1], name_of(node[2])
        if operator == "prev":
            if not self._own(variable):
                raise Outside("the row before one that was matched earlier")
            return self._before(name, steps)
        if self._own(variable):
            return self._own_row(operator, name, steps)
        alias, loop = self.author.bound(_folded(variable))
        if steps:
            raise Outside("a row of a variable, neither its first nor its last")
        return f"{alias}.{operator}.{name}" if loop else f"{alias}.{name}"

    def _before(self, name: str, steps: int) -> str:
        """A column of the row so many rows before this one in the partition."""
        if steps > 2:
            raise Outside("a row more than two before this one")
        return (name, f"last(row.{name}) over {FOREVER}", f"prev(row.{name}) over {FOREVER}")[steps]

    def _own_row(self, operator: str, name: str, steps: int) -> str:
        """A column of the rows that the variable being defined has matched, this one included."""
        if operator == "last" and steps == 0:
            return name
        if operator == "last" and steps == 1 and self.loop is not None:
            return f"{self.loop}.last.{name}"
        raise Outside("a row of the variable itself, neither this one nor the one before")

    def _aggregate(self, function: str, node: Node) -> str:
        """An aggregate over the rows of a variable, this one included when it is its own."""
        variables = {part[1] for part in _columns(node)}
        if len(variables) != 1:
            raise Outside("an aggregate over several variables")
        variable = variables.pop()
        if not self._own(variable):
            alias, _ = self.author.bound(_folded(variable))
            return f"{function}({self._of(alias, node)})"
        if variable is None:
            raise Outside("an aggregate over the whole match")
        own = self.writer[0].text(node)
        if self.loop is None:
            return "1" if function == "count" else own
        before = self._of(self.loop, node)
        if function == "sum":
            return f"(sum({before}) + {own})"
        if function == "count":
            return f"(count({self.loop}) + 1)"
        if function == "avg":
            return f"((sum({before}) + {own}) / (count({self.loop}) + 1))"
        raise Outside(f"`{function}` over the rows of a variable, this one included")

    def _of(self, alias: str, node: Node) -> str:
        """The argument of an aggregate over what an alias has captured."""
        kinds = self.author.schema.kinds("row")
        return Writer(lambda part: f"{alias}.{name_of(part[2])}" if part[0] == "col" else None, kinds).text(node)

    def _like(self, args: list[Node]) -> str:
        value, pattern = args[:2]
        regex = "".join({"%": ".*", "_": "."}.get(c) or quoted(c) for c in pattern)
        return self.writer[0].matches(value, f"^{regex}$")

    def _call(self, name: str, *args: Node) -> str:
        if name.lower() not in ("abs", "floor", "ceil", "round", "sqrt", "lower", "upper", "length"):
            raise Outside(f"no function `{name}`")
        return f"{name.lower()}({', '.join(self.writer[0].text(arg) for arg in args)})"


def _folded(name: str) -> str:
    """A variable without regard to case, as SQL takes names."""
    return name.upper()


def _columns(node: Node) -> list[Node]:
    if not isinstance(node, list):
        return []
    return [node] if node[0] == "col" else [column for part in node for column in _columns(part)]


def _operands(args: list[Node]) -> list[Node]:
    """The operands of `concat`, `alt` and `permute`, given one by one or as one list."""
    return args[0] if len(args) == 1 and args[0] and isinstance(args[0][0], list) else args


def _trimmed(node: Node, anchors: set[str]) -> Node:
    """The pattern without the anchors at its ends, which are noted; an anchor that may be left out is."""
    node = _plain_anchor(node)
    if node[0] in ("partition_start", "partition_end"):
        return ["concat", node]
    if node[0] != "concat":
        return node
    parts = [_plain_anchor(part) for part in _operands(node[1:])]
    parts = [part for part in parts if part != ["empty"]]
    if parts and parts[0] == ["partition_start"]:
        anchors.add("partition_start")
        parts.pop(0)
    if parts and parts[-1] == ["partition_end"]:
        anchors.add("partition_end")
        parts.pop()
    return ["concat", *parts]


def _plain_anchor(node: Node) -> Node:
    if node[0] == "quant" and node[1][0] in ("partition_start", "partition_end"):
        return ["empty"] if node[2] == 0 else node[1]
    return node


def _prefers_nothing(items: Sequence[Item]) -> bool:
    return all(item.least == 0 and not item.greedy for item in items)


def _shortest(item: Item) -> Item | None:
    """What is left of the last item when it takes as little as it can."""
    if item.least == 0:
        return None
    if isinstance(item, Step):
        return Step(item.variable, item.least, item.least)
    return Choice(item.branches, item.least, item.least)


def _open(items: Sequence[Item]) -> bool:
    """Whether a branch ends with something that could go on."""
    last = items[-1]
    if last.most != last.least:
        return True
    return isinstance(last, Choice) and any(_open(branch) for branch in last.branches)
