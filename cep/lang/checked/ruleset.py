"""The rule set as a whole, with its tests."""

from __future__ import annotations

from dataclasses import dataclass

from cep.errors import Span
from cep.lang.checked.rules import Fed, Rule
from cep.lang.checked.schema import Event, Outside, Stream, Table


@dataclass(frozen=True, slots=True)
class Given:
    """`at D event {field: value, ...} x N every D`: values by root field, already in their kind's unit."""

    at_us: int
    event: int
    values: tuple[tuple[str, str | float | int | bool], ...]
    times: int
    every_us: int
    span: Span


@dataclass(frozen=True, slots=True)
class Expect:
    """`at D expect [no|resolved|near] rule {field: value, ...}` or `expect nothing` (rule None, negated).

    It is judged when all events and deadlines up to and including `at_us` have been: the alert's time must lie in
    (time of the previous `expect` of the test, at_us]. `values` are matched with the alert's key, shows and labels;
    those of `near` with the key of what waits then. `missing`: for one of which positive steps it waits, () for any.
    """

    at_us: int
    what: str  # "fired", "none", "resolved", "near", "nothing"
    rule: str | None
    values: tuple[tuple[str, str | float | int | bool], ...]
    span: Span
    missing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Test:
    """A `test` block. Its clock begins at 0; events stand in written order, stably sorted by time."""

    rule: str
    title: str
    steps: tuple[Given | Expect, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rule files of one load, checked together."""

    streams: tuple[Stream, ...]
    events: tuple[Event, ...]
    rules: tuple[Rule, ...]
    tests: tuple[Test, ...]
    fed: tuple[Fed, ...] = ()
    tables: tuple[Table, ...] = ()
    outside: tuple[Outside, ...] = ()
