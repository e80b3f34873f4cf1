"""A rule's version: a digest of its checked form, the same over formatting, comments and the order of declarations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from functools import cache
from typing import Any

from cep.errors import Span
from cep.lang.checked import Event, Rule


def version(rule: Rule, events: Sequence[Event]) -> str:
    """12 hex digits that change whenever the rule's meaning does. Events enter by name, not by index."""
    printed: list[str] = []
    _print(rule, [event.name for event in events], printed)
    return hashlib.blake2b("".join(printed).encode(), digest_size=6).hexdigest()


def _print(value: object, events: list[str], out: list[str]) -> None:
    if isinstance(value, Enum):
        out.append(value.name)
    elif isinstance(value, Span):
        return
    elif hasattr(value, "__dataclass_fields__"):
        out.append(f"{type(value).__name__}(")
        shape: Any = type(value)
        for name in _names(shape):
            part = getattr(value, name)
            out.append(f"{name}=")
            _print(events[part] if name == "event" else part, events, out)
            out.append(",")
        out.append(")")
    elif isinstance(value, tuple):
        out.append("(")
        for item in value:
            _print(item, events, out)
            out.append(",")
        out.append(")")
    else:
        out.append(repr(value))


@cache
def _names(of: Any) -> tuple[str, ...]:
    return tuple(part.name for part in fields(of) if part.name not in ("span", "version", "stratum"))
