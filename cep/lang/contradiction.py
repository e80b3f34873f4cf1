"""Filters that no event can pass: `x < 2 and x > 5`, `status == "a" and status == "b"`.

Only comparisons with constants that are and-ed are looked at; what is not found here is simply never true at run time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cep.lang.checked import Const, Expr, Op

_MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
Value = str | float | int | bool


@dataclass(slots=True)
class _Range:
    """What the comparisons seen so far leave of one operand's values; bounds are (value, whether it is left out)."""

    low: tuple[float, bool] = (float("-inf"), False)
    high: tuple[float, bool] = (float("inf"), False)
    among: set[Value] | None = None
    besides: set[Value] = field(default_factory=set)

    def narrow(self, name: str, values: set[Value]) -> None:
        if name == "in":
            self.among = values if self.among is None else self.among & values
        elif name == "ne":
            self.besides |= values
        else:
            (value,) = values
            assert not isinstance(value, str)
            if name in ("lt", "le"):
                self.high = min(self.high, (value, name == "lt"), key=lambda bound: (bound[0], not bound[1]))
            else:
                self.low = max(self.low, (value, name == "gt"))

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
    ranges: dict[Expr, _Range] = {}
    for part in _conjuncts(condition):
        if isinstance(part, Const) and part.value is False:
            return True
        if (found := _comparison(part)) is not None:
            operand, name, values = found
            ranges.setdefault(operand, _Range()).narrow(name, values)
    return any(left.empty() for left in ranges.values())


def _conjuncts(condition: Expr | None) -> Iterator[Expr]:
    if isinstance(condition, Op) and condition.name == "and":
        for arg in condition.args:
            yield from _conjuncts(arg)
    elif condition is not None:
        yield condition


def _comparison(part: Expr) -> tuple[Expr, str, set[Value]] | None:
    """The operand, how it is compared, and with which constants."""
    if not isinstance(part, Op):
        return None
    if part.name == "not" and isinstance(inner := part.args[0], Op) and inner.name == "in":
        return inner.args[0], "ne", {arg.value for arg in inner.args[1:] if isinstance(arg, Const)}
    if part.name == "in":
        return part.args[0], "in", {arg.value for arg in part.args[1:] if isinstance(arg, Const)}
    if part.name not in _MIRRORED:
        return None
    left, right = part.args
    name = part.name
    if isinstance(left, Const):
        left, right, name = right, left, _MIRRORED[name]
    if not isinstance(right, Const) or isinstance(left, Const):
        return None
    return left, "in" if name == "eq" else name, {right.value}
