"""EQL's lists and objects: each place of a list is a field of ours, so what is asked of a list is asked of its places.

A name of a case is a path (`list[1].name`); `places` finds those that the events have. An object, or a place, is there
when something in it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from tests.conformance.cases import Node, Outside
from tests.conformance.expressions import Writer, Written, text_of
from tests.conformance.schema import name_of

_PLACES_MAX = 8
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def dotted(name: str) -> str:
    """`list[1].name` as a path."""
    return re.sub(r"\[(\d+)\]", r".\1", name)


@dataclass(frozen=True)
class Lists:
    """The paths of what stands inside lists and objects."""

    paths: frozenset[str]

    def holds(self, path: str) -> bool:
        """Whether there is something inside."""
        return any(inner.startswith(f"{path}.") for inner in self.paths)

    def places(self, path: str) -> list[str]:
        """The places of a list, those that some event has."""
        begin = len(path) + 1
        found = {inner[begin:].split(".")[0] for inner in self.paths if inner.startswith(f"{path}.")}
        if not all(place.isdecimal() for place in found):
            raise Outside("an object asked as if it were a list")
        if len(found) > _PLACES_MAX:
            raise Outside("a list longer than fields that one would declare")
        return [f"{path}.{place}" for place in sorted(found, key=int)]

    def is_there(self, path: str) -> str:
        """That an object, or a place of a list, is there."""
        leaves = sorted(inner for inner in self.paths if inner == path or inner.startswith(f"{path}."))
        return f"({' or '.join(f'not missing({name_of(leaf)})' for leaf in leaves)})"


def list_call(writer: Writer, lists: Lists, name: str, args: list[Node]) -> Written | None:
    """A function that says whether a list has something; None for another function."""
    if name == "arrayContains":
        places = lists.places(_path(args[0]))
        return _any([text_of(writer.write(["==", ["field", place], value])) for place in places for value in args[1:]])
    if name == "arraySearch":
        return _any([_both(lists.is_there(place), body) for place, body in _bodies(writer, lists, args)])
    return None


def counted(writer: Writer, lists: Lists, node: list[Node]) -> Written | None:
    """A comparison of how many places of a list there are, or fit, with a number; None for another comparison."""
    operator, one, other = node
    if isinstance(one, int | float):
        operator, one, other = _MIRRORED.get(operator, operator), other, one
    if not isinstance(one, list) or one[0] != "call" or not isinstance(other, int):
        return None
    if one[1] == "arrayCount":
        found = [(lists.is_there(place), body) for place, body in _bodies(writer, lists, one[2:])]
    elif one[1] == "length" and one[2][0] == "field" and lists.holds(dotted(one[2][1])):
        found = [(lists.is_there(place), True) for place in lists.places(dotted(one[2][1]))]
    else:
        return None
    numbers = [n for n in range(len(found) + 1) if _HOLDS[operator](n, other)]
    return _any([_exactly(found, chosen) for n in numbers for chosen in combinations(range(len(found)), n)])


_HOLDS = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _exactly(found: list[tuple[str, Written]], chosen: tuple[int, ...]) -> str:
    """That some places fit and no others do."""
    parts = []
    for place, (there, body) in enumerate(found):
        fits = text_of(_both(there, body))
        parts.append(fits if place in chosen else f"(not {there} or not {text_of(body)})")
    return f"({' and '.join(parts)})"


def _bodies(writer: Writer, lists: Lists, args: list[Node]) -> Iterator[tuple[str, Written]]:
    """For each place of a list what is asked of it."""
    of, (_, variable), body = args
    for place in lists.places(_path(of)):
        yield place, writer.condition(_bound(body, variable, place))


def _bound(node: Node, variable: str, place: str) -> Node:
    """The node, the variable in it replaced by a place."""
    if not isinstance(node, list):
        return node
    if node[:1] == ["field"] and (node[1] == variable or node[1].startswith((f"{variable}.", f"{variable}["))):
        return ["field", place + node[1][len(variable) :]]
    return [_bound(part, variable, place) for part in node]


def _path(node: Node) -> str:
    if not isinstance(node, list) or node[0] != "field":
        raise Outside("a list that is computed")
    return dotted(node[1])


def _both(there: str, body: Written) -> Written:
    return there if body is True else False if body is False else f"({there} and {text_of(body)})"


def _any(parts: list[Written]) -> Written:
    rest = [text_of(part) for part in parts if part is not False]
    if not rest:
        return False
    return rest[0] if len(rest) == 1 else f"({' or '.join(rest)})"
