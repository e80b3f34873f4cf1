"""The events of a case as streams and events of our language: names, kinds of fields, and the values in those kinds.

Times are the case's milliseconds in microseconds. An event without a time comes a second after the one before it. What
stands inside an object or a list is a field of its own, as `name text at object.list.0` declares it, for as many places
as the longest list of the case has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from cep.lang.parse import grammar_text
from cep.testing import VirtualEvent
from tests.conformance.cases import Node, Outside

MS_US = 1_000
SECOND_MS = 1_000
FOREVER = "36500d"  # the longest horizon: what a pattern without a bound is given
TYPE = "of_type"  # the field that holds an event's type where all types are one event
BEGUN = "begun"
NEVER = "never"

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*$", re.IGNORECASE)


def name_of(text: str) -> str:
    """A name of the language for a name of a case."""
    plain = re.sub(r"\W", "_", text)
    plain = plain if _PLAIN.match(plain) else f"_{plain}"
    return f"`{plain}`" if plain in _keywords() else plain


@lru_cache(maxsize=1)
def _keywords() -> frozenset[str]:
    """Every word that the grammar has."""
    return frozenset(re.findall(r'"([a-z]+)"', re.sub(r"//[^\n]*", "", grammar_text())))


def literal(value: Node) -> str:
    """A scalar of a case as the language writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t"))
    if value is None:
        raise Outside("null as a value to compute with")
    return str(value)


def duration(ms: int) -> str:
    """Milliseconds as the language writes a duration."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if ms and ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"


@dataclass(frozen=True)
class Schema:
    """What the rules may speak of.

    roots: event name → its fields with their kinds, in order of declaration. root_of: type of a case → event name. one:
    the name of the only event, where all types are one event whose field `of_type` is the type. paths: of fields inside
    others.
    """

    roots: dict[str, dict[str, str]]
    root_of: dict[str, str]
    one: str | None
    paths: dict[str, str] = field(default_factory=dict)

    def kinds(self, root: str) -> dict[str, str]:
        """The fields of an event."""
        return self.roots[root]

    def text(self, late_ms: int = 0) -> str:
        """The declarations."""
        late = f" late {duration(late_ms)}" if late_ms else ""
        lines = [f"stream cases time ts type type_of_event{late}"]
        for root, fields in self.roots.items():
            columns = ", ".join(f"{name} {kind}{self._at(name)}" for name, kind in fields.items())
            lines.append(f"event {root} from cases ({columns})")
        return "\n".join(lines)

    def _at(self, name: str) -> str:
        """Where a field stands, if it is inside another."""
        return f" at {self.paths[name]}" if name in self.paths else ""

    def number(self, root: str) -> int:
        """The place of an event among the events."""
        return list(self.roots).index(root)


def one_event(events: Sequence[dict[str, Node]], mentioned: Iterable[tuple[str, Node]]) -> Schema:
    """All types as one event, for families whose contiguity speaks of every event of the stream."""
    fields = {TYPE: "text", **_fields([*events], mentioned)}
    paths = {name_of(path): path for event in events for path, _ in inner(event) if "." in path}
    return Schema({"row": fields, BEGUN: fields, NEVER: fields}, {}, "row", paths)


def event_per_type(
    events: Sequence[dict[str, Node]], types: Iterable[str], mentioned: Iterable[tuple[str, Node]]
) -> Schema:
    """An event for each type, those that only the pattern names included."""
    names = dict.fromkeys([event["type"] for event in events] + list(types))
    mentioned = list(mentioned)
    root_of = {name: name_of(f"{name}_event") for name in names}
    roots = {}
    for name in names:
        own = [event for event in events if event["type"] == name]
        roots[root_of[name]] = _fields(own, mentioned) or {"nothing": "text"}
    return Schema({**roots, **_OWN}, {name: name for name in _OWN} | root_of, None)


_OWN = {BEGUN: {"nothing": "text"}, NEVER: {"nothing": "text"}}  # the events that translations add


def _fields(events: Sequence[dict[str, Node]], mentioned: Iterable[tuple[str, Node]]) -> dict[str, str]:
    """Field → kind, from the values that stand in events and, where there are none, from what it is compared with."""
    values: dict[str, list[Node]] = {}
    for event in events:
        for name, value in inner(event):
            if name not in ("ts", "type"):
                values.setdefault(name, []).append(value)
    compared: dict[str, list[Node]] = {}
    for name, value in mentioned:
        compared.setdefault(name, []).append(value)
    kinds = {}
    for name in dict.fromkeys([*values, *compared]):
        kind = _kind(values.get(name, ())) or _kind(compared.get(name, ())) or "text"
        if kind != "mixed":
            kinds[name_of(name)] = kind
    return kinds


def _kind(values: Iterable[Node]) -> str | None:
    """The kind that holds all values; "mixed" when none does, None when there is no value."""
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return None
    if kinds == {int}:
        return "integer"
    if kinds <= {int, float}:
        return "number"
    return {str: "text", bool: "flag"}.get(kinds.pop(), "mixed") if len(kinds) == 1 else "mixed"


@dataclass(frozen=True)
class Fed:
    """An event as the engine gets it, and its place among the events of the case; None for one that is added."""

    event: VirtualEvent
    index: int | None


def feed(
    schema: Schema,
    events: Sequence[dict[str, Node]],
    begun_ms: int | None = None,
    order: Sequence[int] | None = None,
) -> list[Fed]:
    """The events in order of arrival, or in `order`; with `begun_ms` behind one that marks when the pattern begins."""
    fed = [] if begun_ms is None else [Fed(VirtualEvent(schema.number(BEGUN), begun_ms * MS_US, {}), None)]
    now_ms = -SECOND_MS
    for index in order or range(len(events)):
        event = events[index]
        now_ms = event["ts"] if event["ts"] is not None else now_ms + SECOND_MS
        root = schema.one or schema.root_of[event["type"]]
        kinds = schema.kinds(root)
        values = {TYPE: event["type"]} if schema.one and "type" in event else {}
        for name, value in inner(event):
            kind = kinds.get(name_of(name))
            if value is not None and kind is not None and name not in ("ts", "type"):
                values[name_of(name).strip("`")] = float(value) if kind == "number" else value
        fed.append(Fed(VirtualEvent(schema.number(root), now_ms * MS_US, values), index))
    return fed


def inner(value: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Every value that is neither an object nor a list, with its path: names and places joined with "."."""
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from inner(part, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def disorder_ms(events: Sequence[dict[str, Node]]) -> int:
    """How far the events' times fall behind the greatest one before them, at most."""
    latest, most = 0, 0
    for event in events:
        latest = max(latest, event["ts"] or 0)
        most = max(most, latest - (event["ts"] or latest))
    return most


def fields_compared(node: Node) -> Iterable[tuple[str, Node]]:
    """Every field that a condition names, with the constant that it is compared with; None where there is none."""
    if isinstance(node, dict):
        for value in node.values():
            yield from fields_compared(value)
    elif isinstance(node, list):
        constant = next((part for part in node[1:] if not isinstance(part, list | dict)), None)
        if constant is None and node[:1] and node[0] in ("<", "<=", ">", ">=", "+", "-", "*", "/", "%"):
            constant = 0.0  # what has an order, or is computed with, is a number
        for part in node:
            if isinstance(part, list) and len(part) > 1 and part[0] in ("field", "col") and isinstance(part[-1], str):
                yield part[-1], constant
            yield from fields_compared(part)
