"""Filters that no event can pass, and filters that let nothing through that another does not.

Comparisons with constants and of two operands are looked at, and-ed, negated, and in a few alternatives. What is not
found here is simply never true at run time; what is found here is certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cep.lang.checked.expressions import Aggregate, CaptureAggregate, Const, Expr, Op
from cep.lang.checked.schema import Kind

_MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
_NEGATED = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt", "eq": "ne", "ne": "eq"}
_ORDERS = {"lt": {-1}, "le": {-1, 0}, "gt": {1}, "ge": {0, 1}, "eq": {0}, "ne": {-1, 1}}
_WHOLE = (Kind.INTEGER, Kind.MONEY, Kind.TIME, Kind.DURATION)  # between two neighbours of which there is nothing
_MOST_ALTERNATIVES = 64
Value = str | float | int | bool


@dataclass(slots=True)
class _Range:
    """What the comparisons seen so far leave of one operand's values; bounds are (value, whether it is left out)."""

    low: tuple[float, bool] = (float("-inf"), False)
    high: tuple[float, bool] = (float("inf"), False)
    among: set[Value] | None = None
    besides: set[Value] = field(default_factory=set)

    @staticmethod
    def of(operand: Expr) -> _Range:
        """What an operand can be before anything is said of it."""
        counts = isinstance(operand, Aggregate | CaptureAggregate) and operand.function in ("count", "count_distinct")
        return _Range(low=(0, False)) if counts or (isinstance(operand, Op) and operand.name == "length") else _Range()

    def narrow(self, name: str, values: set[Value], whole: bool) -> None:
        if name == "in":
            self.among = values if self.among is None else self.among & values
        elif name == "ne":
            self.besides |= values
        else:
            (value,) = values
            assert not isinstance(value, str)
            if name in ("lt", "le"):
                bound = (value - 1, False) if whole and name == "lt" else (value, name == "lt")
                self.high = min(self.high, bound, key=lambda bound: (bound[0], not bound[1]))
            else:
                bound = (value + 1, False) if whole and name == "gt" else (value, name == "gt")
                self.low = max(self.low, bound)

    def empty(self) -> bool:
        if self.among is not None:
            return not any(self._holds(value) for value in self.among)
        low, high = self.low, self.high
        return low[0] > high[0] or (low[0] == high[0] and (low[1] or high[1] or low[0] in self.besides))

    def _holds(self, value: Value) -> bool:
        if value in self.besides:
            return False
        if isinstance(value, str):
            return True
        over = value > self.low[0] or (value == self.low[0] and not self.low[1])
        return over and (value < self.high[0] or (value == self.high[0] and not self.high[1]))


def impossible(condition: Expr | None) -> bool:
    """Whether the condition contradicts itself."""
    return condition is not None and _contradicts([condition], _MOST_ALTERNATIVES)


def implies(stronger: Expr | None, weaker: Expr | None) -> bool:
    """Whether all that passes the one certainly passes the other. A comparison that is true has no null in it."""
    if weaker is None:
        return True
    given = [] if stronger is None else [stronger]
    known = set(conjuncts(stronger))
    return all(
        part in known or _contradicts([*given, Op("not", (part,), Kind.FLAG)], _MOST_ALTERNATIVES)
        for part in conjuncts(weaker)
    )


def conjuncts(condition: Expr | None) -> Iterator[Expr]:
    """The conditions that all have to hold."""
    if isinstance(condition, Op) and condition.name == "and":
        for arg in condition.args:
            yield from conjuncts(arg)
    elif condition is not None:
        yield condition


def _contradicts(conditions: Sequence[Expr], alternatives: int) -> bool:
    """Whether conditions contradict each other; those that leave a choice are tried with each of its sides."""
    plain: list[Expr] = []
    choices: list[Op] = []
    for part in _parts(conditions):
        if isinstance(part, Op) and part.name == "or":
            choices.append(part)
        else:
            plain.append(part)
    if _excluded(plain):
        return True
    if not choices:
        return False
    choice, *others = choices
    left = alternatives // len(choice.args)
    return left > 0 and all(_contradicts([*plain, *others, side], left) for side in choice.args)


def _parts(conditions: Iterable[Expr]) -> Iterator[Expr]:
    """What has to hold, with `not` moved inwards as far as it goes."""
    for condition in conditions:
        for part in conjuncts(condition):
            negated = _negated(part.args[0]) if isinstance(part, Op) and part.name == "not" else None
            if negated is None:
                yield part
            else:
                yield from _parts([negated])


def _negated(part: Expr) -> Expr | None:
    """What holds where `part` does not, None where that is not said without `not`."""
    if not isinstance(part, Op):
        return None
    if part.name == "not":
        return part.args[0]
    if part.name in _NEGATED:
        return Op(_NEGATED[part.name], part.args, Kind.FLAG)
    if part.name in ("and", "or"):
        sides = tuple(Op("not", (arg,), Kind.FLAG) for arg in part.args)
        return Op("or" if part.name == "and" else "and", sides, Kind.FLAG)
    return None


def _excluded(parts: Iterable[Expr]) -> bool:
    """Whether plain conditions exclude each other."""
    ranges: dict[Expr, _Range] = {}
    orders: dict[tuple[Expr, Expr], set[int]] = {}
    for part in parts:
        if isinstance(part, Const) and part.value is False:
            return True
        if (found := _comparison(part)) is not None:
            operand, name, values = found
            if operand not in ranges:
                ranges[operand] = _Range.of(operand)
            ranges[operand].narrow(name, values, operand.kind in _WHOLE)
        elif isinstance(part, Op) and part.name in _ORDERS:
            left, right = part.args
            if left == right and part.name in ("lt", "gt", "ne"):
                return True
            name = part.name if (right, left) not in orders else _MIRRORED[part.name]
            pair = (left, right) if (right, left) not in orders else (right, left)
            orders[pair] = orders.get(pair, {-1, 0, 1}) & _ORDERS[name]
    return any(left.empty() for left in ranges.values()) or not all(orders.values())


def _comparison(part: Expr) -> tuple[Expr, str, set[Value]] | None:
    """The operand, how it is compared, and with which constants. A bare flag is compared with true."""
    negated = isinstance(part, Op) and part.name == "not"
    plain = part.args[0] if isinstance(part, Op) and negated else part
    if isinstance(plain, Const):
        return None
    if not isinstance(plain, Op) or plain.name not in (*_MIRRORED, "in"):
        return plain, "in", {not negated}
    if plain.name == "in":
        return plain.args[0], "ne" if negated else "in", {arg.value for arg in plain.args[1:] if isinstance(arg, Const)}
    left, right = plain.args
    name = plain.name
    if isinstance(left, Const):
        left, right, name = right, left, _MIRRORED[name]
    if not isinstance(right, Const) or isinstance(left, Const):
        return None
    return left, "in" if name == "eq" else name, {right.value}
