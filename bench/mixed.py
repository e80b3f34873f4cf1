"""500 rules over 20 kinds of events: an installation that has grown, where w7 is one rule again and again.

Three areas (money, access, devices) with fields and keys of their own, eight shapes of rules with weights, and
constants that are drawn: windows, bounds, numbers of events, texts. The same seed gives the same rules and the same
stream, and the first rules of a larger set are the smaller set.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.workloads import BEGINNING_MS, COUNTRIES, Ints, batch_rows
from cep.compile import compile_rules
from cep.engine.batch import Batch
from cep.engine.strings import Strings
from cep.lang import check_texts
from cep.layout.program import Program

RULES = 500
STATES = ("ok", "warm", "hot", "open", "shut", "low battery")


@dataclass(frozen=True, slots=True)
class Area:
    """Kinds of events with the same fields: keys (and how many of each there are), a number, a text."""

    name: str
    kinds: tuple[str, ...]
    keys: Mapping[str, int]
    number: str
    text: str
    texts: tuple[str, ...]


AREAS = (
    Area(
        "money",
        ("payment", "refund", "transfer", "withdrawal", "chargeback", "card_block"),
        {"card": 50_000, "account": 30_000},
        "amount",
        "country",
        COUNTRIES,
    ),
    Area(
        "access",
        (
            "login_ok",
            "login_failed",
            "logout",
            "password_change",
            "mfa_denied",
            "address_change",
            "api_call",
            "download",
        ),
        {"user": 30_000, "address": 20_000},
        "size",
        "region",
        COUNTRIES,
    ),
    Area(
        "devices",
        ("reading", "heartbeat", "restart", "alarm", "door", "update"),
        {"device": 5_000, "site": 2_000},
        "value",
        "state",
        STATES,
    ),
)
KINDS = tuple(kind for area in AREAS for kind in area.kinds)
AREA_OF = np.array([place for place, area in enumerate(AREAS) for _ in area.kinds])


# ------------------------------------------------------------------------------------------ rules


@dataclass(frozen=True, slots=True)
class Draw:
    """The constants of a rule, as they are drawn."""

    rng: random.Random
    area: Area

    def kind(self) -> str:
        """A kind of event; the first of an area are the frequent ones, in rules as in streams."""
        return self.rng.choice(self.area.kinds)

    def bound(self, rare: float) -> int:
        """A bound for the number, `rare` standard deviations above what is usual, or somewhat more."""
        return round(math.exp(3.0 + 1.5 * (rare + self.rng.random())))

    def number(self) -> str:
        return self.area.number

    def text(self) -> str:
        return f'{self.area.text} == "{self.rng.choice(self.area.texts)}"'


def _threshold(d: Draw) -> str:
    return f"when {d.rng.randint(3, 8)} {d.kind()} where {d.number()} > {d.bound(0.5)}"


def _sequence(d: Draw) -> str:
    return f"when {d.kind()} where {d.text()}\n  then {d.kind()}\n  then {d.kind()} where {d.number()} > {d.bound(1.5)}"


def _loop(d: Draw) -> str:
    return (
        f"when {d.rng.randint(2, 4)}+ {d.kind()} where {d.number()} < {d.rng.randint(3, 9)}\n"
        f"  then {d.kind()} where {d.number()} > {d.bound(1.5)}"
    )


def _look_back(d: Draw) -> str:
    return (
        f"when {d.kind()} as one where {d.number()} > {d.bound(1)}\n"
        f"  then {d.kind()} where {d.number()} > one.{d.number()} * 2 and {d.area.text} != one.{d.area.text}"
    )


def _absence(d: Draw) -> str:
    return f"when {d.kind()} where {d.number()} > {d.bound(2)} and {d.text()}\n  then no {d.kind()}"


def _sum(d: Draw) -> str:
    kind = d.kind()
    return f"when {kind} where sum({kind}.{d.number()}) + {d.number()} > {d.bound(3.5)}"


def _unusual(d: Draw) -> str:
    kind = d.kind()
    return (
        f"when {kind} where {d.number()} > {d.rng.randint(5, 20)} * avg({kind}.{d.number()})"
        f" and count({kind}) >= {d.rng.randint(3, 10)}"
    )


def _state(d: Draw) -> str:
    return f"while count({d.kind()}) > {d.rng.randint(5, 50)}"


SHAPES: dict[Callable[[Draw], str], int] = {
    _threshold: 25,
    _sequence: 25,
    _loop: 10,
    _look_back: 10,
    _absence: 10,
    _sum: 10,
    _unusual: 5,
    _state: 5,
}
WINDOWS = ("30s", "1m", "2m", "5m", "10m", "30m", "1h")


def rule_texts(rules: int = RULES, seed: int = 11) -> str:
    """Schema and rules, as an author would have written them over the years."""
    rng = random.Random(seed)
    lines = ["stream events time ts type type"]
    for area in AREAS:
        declared = ", ".join([*(f"{key} text" for key in area.keys), f"{area.number} number", f"{area.text} text"])
        lines += [f"event {kind} from events ({declared})" for kind in area.kinds]
    for place in range(rules):
        draw = Draw(rng, rng.choice(AREAS))
        key, window = rng.choice(list(draw.area.keys)), rng.choice(WINDOWS)
        (shape,) = rng.choices(list(SHAPES), list(SHAPES.values()))
        level = rng.choice(("low", "medium", "high"))
        lines += [f"rule {draw.area.name}_{place} by {key} within {window}", f"  {shape(draw)}"]
        lines += [f'  alert {level} "{{{key}}}: see runbook {place}"']
    return "\n".join(lines) + "\n"


def compile_mixed(rules: int = RULES) -> Program:
    """The program of the first so many rules."""
    loaded = check_texts({"mixed.cep": rule_texts(rules)})
    assert loaded.ruleset is not None, loaded.diagnostics
    return compile_rules(loaded.ruleset)


# ----------------------------------------------------------------------------------------- stream


@dataclass(frozen=True, slots=True)
class MixedEvents:
    """n events in order of time. kind: places in KINDS; number: every event's; keys, text: draws of (0, 1) for each."""

    ts: Ints
    kind: npt.NDArray[np.int8]
    number: npt.NDArray[np.float64]
    keys: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
    text: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ts)

    def batches(self, program: Program, strings: Strings, size: int) -> list[Batch]:
        """As the engine takes them in, decoded already."""
        words = {field: values for area in AREAS for field, values in self._fields(area, strings).items()}
        return batch_rows(program, KINDS, self.kind, self.ts, lambda column: words[column], size)

    def _fields(self, area: Area, strings: Strings) -> dict[str, Ints]:
        """The words of an area's fields, of all events."""
        fields: dict[str, Any] = {area.number: self.number.view(np.int64)}
        fields[area.text] = strings.ids(area.texts)[(self.text * len(area.texts)).astype(np.int64)]
        for (key, many), drawn in zip(area.keys.items(), self.keys, strict=True):
            # The density goes with 1 / sqrt(key), as it does with cards.
            distinct, place = np.unique((many * drawn**2).astype(np.int64), return_inverse=True)
            fields[key] = strings.ids([f"{key}{number:06d}" for number in distinct.tolist()])[place]
        return fields


def generate_mixed(n: int, seed: int = 7, rate: float = 500) -> MixedEvents:
    """n events, `rate` of them in a second of event time; within an area a kind is rarer than the one before it."""
    rng = np.random.default_rng(seed)
    shares = np.concatenate([1.0 / np.arange(1, len(area.kinds) + 1) ** 1.5 for area in AREAS])
    return MixedEvents(
        ts=BEGINNING_MS + np.cumsum(rng.exponential(1000.0 / rate, n)).astype(np.int64),
        kind=rng.choice(len(KINDS), n, p=shares / shares.sum()).astype(np.int8),
        number=np.round(np.exp(rng.normal(3.0, 1.5, n)), 2),
        keys=(rng.random(n), rng.random(n)),
        text=rng.random(n),
    )
