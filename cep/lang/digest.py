"""Digests of checked values, the same over formatting, comments and the order of declarations; a rule's version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from functools import cache
from typing import Any

from cep.lang.checked.rules import Rule
from cep.lang.checked.schema import Event


def version(rule: Rule, events: Sequence[Event]) -> str:
    """12 hex digits that change whenever the rule's meaning does. Events enter by name, not by index."""
    return digest(rule, events)[:12]


def digest(value: object, events: Sequence[Event]) -> str:
    """32 hex digits of any checked value, in which events stand by name."""
    printed: list[str] = []
    _print(value, [event.name for event in events], printed)
    return hashlib.blake2b("".join(printed).encode(), digest_size=16).hexdigest()


def _print(value: object, events: list[str], out: list[str]) -> None:
    kind: Any = type(value)
    if kind is tuple:
        out.append("(")
        for item in value:  # type: ignore[attr-defined]
            _print(item, events, out)
            out.append(",")
        out.append(")")
    elif names := _names(kind):
        out.append(f"{kind.__name__}(")
        for name in names:
            part = getattr(value, name)
            out.append(f"{name}=")
            if name == "event":
                out.append(repr(events[part]))
            else:
                _print(part, events, out)
            out.append(",")
        out.append(")")
    else:
        out.append(value.name if isinstance(value, Enum) else repr(value))


@cache
def _names(of: Any) -> tuple[str, ...]:
    """The fields of a dataclass that say what a value means; none of anything else."""
    shown = fields(of) if hasattr(of, "__dataclass_fields__") else ()
    return tuple(part.name for part in shown if part.name not in ("span", "version", "stratum"))
