"""Rules, and what their alerts say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from cep.layout.expressions import Derivation
from cep.layout.patterns import EpisodePlan, SequencePlan


class Status(IntEnum):
    """What an alert says of its rule."""

    FIRED = 0
    RESOLVED = 1


class InputKind(IntEnum):
    """Where an input word of an output expression comes from."""

    KEY = 0  # a = key part
    FIRST = 1  # a = step, b = base slot
    LAST = 2
    COUNT = 3  # a = step; b = slot of which values that are not null count, -1: all events
    SUM = 4
    MIN = 5
    MAX = 6
    DISTINCT = 7
    VALUE = 8  # a = place among the words of a condition
    FIRST_VALUE = 9  # that is not null
    LAST_VALUE = 10
    DERIVED = 11  # of expressions over the inputs before it
    STATISTIC = 12  # `function` of the values that are not null


@dataclass(frozen=True, slots=True)
class Input:
    """One input word of a rule's output expressions. `real`: it is a float.

    members: of what a group captured, its positive steps, each with the base slot; `a` and `b` are not used then.
    derivation, args: of a DERIVED one, what it is and the offsets of its arguments' code.
    function, scale, real_out: of a STATISTIC, what a word is divided by to be a number, and whether it gives a float.
    """

    source: InputKind
    a: int = 0
    b: int = 0
    real: bool = False
    derivation: Derivation | None = None
    args: tuple[int, ...] = ()
    function: str = ""
    scale: int = 1
    real_out: bool = False
    members: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """An output expression: code over the rule's inputs, and the kind of its result.

    private: "mask" or "hash" when it may not leave in clear.
    """

    code: int
    kind: str
    private: str | None = None


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """At most `count` alerts in `per_us` for each value of the keys (places among the rule's outputs)."""

    count: int
    per_us: int
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StepText:
    """What an alert says about a step: its name, quantifier and window, as the author wrote them."""

    name: str
    alias: str | None
    negated: bool
    least: int
    most: int | None
    within_us: int | None
    event: int


@dataclass(frozen=True, slots=True)
class Clause:
    """One way to alert. message: text and places among the outputs in turn. condition: such a place, -1 for none."""

    level: str
    message: tuple[str | int, ...] = ()
    condition: int = -1


@dataclass(frozen=True, slots=True)
class Estimate:
    """A count of different values that the rule speaks of, and which bit of which input says that it is an estimate."""

    name: str
    input: int
    bit: int


class Said(IntEnum):
    """What a field of the event that an alert is says."""

    RULE = 0
    SEVERITY = 1
    SCORE = 2
    STATUS = 3
    ID = 4
    KEY = 5  # part `place` of the key
    OUTPUT = 6  # output `place`


@dataclass(frozen=True, slots=True)
class Feeding:
    """What a rule's alerts are to the rules that listen to them.

    fired, resolved: their root events by status. columns: slot, what stands in it, and its place.
    """

    fired: int
    resolved: int
    columns: tuple[tuple[int, Said, int], ...]


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A compiled rule: its plan and everything an alert says.

    structure: equal where the state means the same, in whichever program; the version is of all that is said.
    plan: as if no other rule were there; what runs is a RunPlan. clauses: the first whose condition holds makes the
    alert. private: of each part of the key "mask", "hash" or None. feeding: None when no rule listens.
    """

    name: str
    version: str
    file: str
    line: int
    clauses: tuple[Clause, ...]
    owner: str | None
    about: str | None
    tags: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]  # name and kind
    plan: SequencePlan | EpisodePlan
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    shows: tuple[tuple[str, int], ...]
    labels: tuple[tuple[str, int], ...]
    score: int | None
    limit: LimitSpec | None
    within_us: int | None
    steps: tuple[StepText, ...]
    to: tuple[str, ...] = ()
    private: tuple[str | None, ...] = ()
    is_shadow: bool = False
    feeding: Feeding | None = None
    structure: str = ""
    estimates: tuple[Estimate, ...] = ()

    @property
    def is_selective(self) -> bool:
        """Whether some of its matches make no alert, or another one than the first clause says."""
        return self.limit is not None or self.clauses[0].condition >= 0
