"""Only the fields that a program names: a generated struct for JSON, a table of names for flat entries.

A path at which the events of a stream disagree (two kinds, or a value here and an object there) is parsed as whatever
stands there, and judged when the event is known; so is a path that leads into a list, whose places are numbers from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec

Path = tuple[str, ...]

_TYPES: dict[str, Any] = {
    "text": str | None,
    "number": float | None,
    "integer": int | float | None,
    "money": float | str | None,
    "flag": bool | None,
    "time": datetime | int | float | None,
    "type": str | int | None,
}


class _NotAnObject:
    """Stands for a value that should have been an object, because a path leads through it."""

    def __str__(self) -> str:
        return "a value inside something that is not an object"


NOT_AN_OBJECT = _NotAnObject()


class Projection:
    """What to read of a stream's entries, from (path, kind) pairs; kind "type" marks the path of the event type.

    `decoder` parses a JSON object into the generated struct; None if some name cannot be a struct's.
    """

    def __init__(self, fields: Iterable[tuple[Path, str]]) -> None:
        wanted: dict[Path, set[str]] = {}
        for path, kind in fields:
            wanted.setdefault(path, set()).add(kind)
        self.names = {".".join(path).encode(): path for path in wanted}
        self._plain = [(name, path) for name, path in self.names.items() if len(path) == 1]
        self._dotted = [(name, path) for name, path in self.names.items() if len(path) > 1]
        self._free = {path[0] for path in wanted if _disputed(path[0], wanted)}
        self._attributes: dict[Path, str] = {}
        try:
            self.decoder: msgspec.json.Decoder[Any] | None = msgspec.json.Decoder(self._struct((), wanted))
        except ValueError:
            self.decoder = None

    def _struct(self, prefix: Path, wanted: dict[Path, set[str]]) -> type[msgspec.Struct]:
        fields: list[tuple[str, Any, None]] = []
        rename: dict[str, str] = {}
        for name in dict.fromkeys(path[len(prefix)] for path in wanted if path[: len(prefix)] == prefix):
            path, attribute = (*prefix, name), f"f{len(rename)}"
            kind: Any = Any
            if path[0] not in self._free:
                kind = _TYPES[next(iter(wanted[path]))] if path in wanted else self._struct(path, wanted) | None
            fields.append((attribute, kind, None))
            rename[attribute] = name
            self._attributes[path] = attribute
        return msgspec.defstruct("Projected", fields, rename=rename, gc=False)

    def typed(self, path: Path, parsed: Sequence[Any]) -> list[Any]:
        """The values at a path of structs that `decoder` made; None where there is none."""
        values = list(map(attrgetter(self._attributes[path[:1]]), parsed))
        if path[0] in self._free:
            return loose(path[1:], values)
        for depth in range(2, len(path) + 1):
            get = attrgetter(self._attributes[path[:depth]])
            values = [None if value is None else get(value) for value in values]
        return values

    def flat(self, fields: Sequence[bytes]) -> dict[str, Any]:
        """A flat entry as an object, its values left as bytes."""
        given = dict(zip(fields[::2], fields[1::2], strict=False))
        document: dict[str, Any] = {path[0]: given[name] for name, path in self._plain if name in given}
        for name, path in self._dotted:
            if name in given:
                place = document
                for step in path[:-1]:
                    inner = place.setdefault(step, {})
                    place = inner if type(inner) is dict else {}
                place[path[-1]] = given[name]
        return document


def loose(path: Path, parsed: Sequence[Any]) -> list[Any]:
    """The values at a path of parsed JSON; None where there is none."""
    values = list(parsed)
    for name in path:
        values = [value.get(name) if type(value) is dict else _no_member(value, name) for value in values]
    return values


def _no_member(value: object, name: str) -> object:
    """What stands at a place of a list, or of what is neither a list nor an object."""
    if type(value) is list and name.isdecimal():
        place = int(name)
        return value[place] if place < len(value) else None
    return None if value is None else NOT_AN_OBJECT


def _disputed(name: str, wanted: dict[Path, set[str]]) -> bool:
    """Whether two fields under a top-level name cannot have one static type."""
    paths = [path for path in wanted if path[0] == name]
    if any(step.isdecimal() for path in paths for step in path):
        return True
    split = any(other[: len(path)] == path for path in paths for other in paths if other != path)
    return split or any(len(wanted[path]) > 1 for path in paths)
