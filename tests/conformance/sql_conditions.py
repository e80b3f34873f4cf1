"""The conditions of SQL's MATCH_RECOGNIZE in our language: what a row of a variable is asked.

`PREV(x)` is the latest row of the partition before this one; `LAST(A.x, 1)` inside `A` is what the loop has captured
last, and an aggregate over `A` inside `A` counts this row in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.conformance.cases import Node, Outside
from tests.conformance.expressions import COMPARISONS, Writer, Written, quoted
from tests.conformance.schema import FOREVER, name_of


@dataclass(frozen=True)
class Place:
    """Where a condition stands: in the definition of `variable`, which is a loop if it has an alias already.

    kinds: of the fields of a row. bound: the alias of a variable that has been matched, and whether it is a loop.
    """

    kinds: dict[str, str]
    bound: Callable[[str], tuple[str, bool]]
    variable: str
    loop: str | None
    writer: list[Writer]
    skipped: list[bool] = field(default_factory=lambda: [False])  # whether this row's null is being left out

    def leaf(self, node: list[Node]) -> Written | None:
        """What an operator of SQL means here."""
        operator, *args = node
        if operator in COMPARISONS and self.loop is not None and not self.skipped[0]:
            return self._with_nulls(node)
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

    def _with_nulls(self, node: list[Node]) -> Written | None:
        """A comparison with an aggregate that this row's null does not count in; None when there is none such."""
        own = [part for part in _aggregates(node) if part[1] != "count" and self._own(_columns(part)[0][1])]
        if not own:
            return None
        absent = " or ".join(f"missing({self.writer[0].text(part[2])})" for part in own)
        kept = Writer(self.without_comparisons, self.writer[0].kinds).text(node)
        self.skipped[0] = True
        left_out = self.writer[0].text(node)
        self.skipped[0] = False
        return f"({kept} or ({absent}) and {left_out})"

    def without_comparisons(self, node: list[Node]) -> Written | None:
        """As `leaf`, for the operands of a comparison."""
        return None if node[0] in COMPARISONS else self.leaf(node)

    def _own(self, variable: str | None) -> bool:
        return variable is None or folded(variable) == self.variable

    def _column(self, variable: str | None, name: str) -> str:
        if self._own(variable):
            return name_of(name)
        alias, loop = self.bound(folded(variable))
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
        alias, loop = self.bound(folded(variable))
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
            alias, _ = self.bound(folded(variable))
            return f"{function}({self._of(alias, node)})"
        if variable is None:
            raise Outside("an aggregate over the whole match")
        own = self.writer[0].text(node)
        if self.loop is None:
            return "1" if function == "count" else own
        before = self._of(self.loop, node)
        if self.skipped[0] and function != "count":
            return f"{function}({before})"
        if function == "sum":
            return f"(sum({before}) + {own})"
        if function == "count":
            return f"(count({self.loop}) + 1)"
        if function == "avg":
            return f"((sum({before}) + {own}) / (count({self.loop}) + 1))"
        raise Outside(f"`{function}` over the rows of a variable, this one included")

    def _of(self, alias: str, node: Node) -> str:
        """The argument of an aggregate over what an alias has captured."""
        return Writer(lambda part: f"{alias}.{name_of(part[2])}" if part[0] == "col" else None, self.kinds).text(node)

    def _like(self, args: list[Node]) -> str:
        value, pattern = args[:2]
        regex = "".join({"%": ".*", "_": "."}.get(c) or quoted(c) for c in pattern)
        return self.writer[0].matches(value, f"^{regex}$")

    def _call(self, name: str, *args: Node) -> str:
        if name.lower() not in ("abs", "floor", "ceil", "round", "sqrt", "lower", "upper", "length"):
            raise Outside(f"no function `{name}`")
        return f"{name.lower()}({', '.join(self.writer[0].text(arg) for arg in args)})"


def folded(name: str) -> str:
    """A variable without regard to case, as SQL takes names."""
    return name.upper()


def _columns(node: Node) -> list[Node]:
    if not isinstance(node, list):
        return []
    return [node] if node[0] == "col" else [column for part in node for column in _columns(part)]


def _aggregates(node: Node) -> list[Node]:
    if not isinstance(node, list):
        return []
    return [node] if node[0] == "agg" else [found for part in node for found in _aggregates(part)]
