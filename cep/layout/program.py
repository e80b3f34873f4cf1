"""`Program`, the waist of the house: the compiled rule set, immutable, made of tables.

`compile` makes it, `engine` runs it, and neither knows the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from cep.layout.aggregates import FeaturePlan
from cep.layout.alerts import RuleSpec
from cep.layout.columns import ColumnSpec, EventSpec, StreamSpec
from cep.layout.expressions import (
    CalendarColumn,
    ComputedColumn,
    DerivedColumn,
    FilterIndex,
    Opcode,
    Outside,
    Predicate,
    TableData,
)
from cep.layout.patterns import EpisodePlan, SequencePlan


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What one state runs: the plan of a rule, or of rules that differ only in what their last step's filter asks.

    rules: places in the program; those that share are its members, in this order. index: their last filters, by member,
    a place in Program.indexes; -1 for a rule whose plan can not be shared. structure: of what they share.
    """

    rules: tuple[int, ...]
    plan: SequencePlan | EpisodePlan
    index: int = -1
    structure: str = ""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Plans and features (places in the program) that run together, and the root events that they read."""

    plans: tuple[int, ...]
    features: tuple[int, ...]
    events: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """The compiled rule set.

    code: shape (n, 2), opcode and argument; an expression begins at its offset and ends with END.
    consts: one word each; those at the places `const_texts` names are the ids of texts, which a state fills in.
    columns: what is decoded; slots from len(columns) on are worked out: derived and computed columns, each after those
    that it reads, then features.
    tables, outside: what derivations speak of by name; neither is part of the state's identity.
    """

    streams: tuple[StreamSpec, ...]
    events: tuple[EventSpec, ...]
    columns: tuple[ColumnSpec, ...]
    slots: int
    derived: tuple[DerivedColumn | ComputedColumn, ...]
    calendars: tuple[CalendarColumn, ...]
    predicates: tuple[Predicate, ...]
    features: tuple[FeaturePlan, ...]
    rules: tuple[RuleSpec, ...]
    plans: tuple[RunPlan, ...]
    indexes: tuple[FilterIndex, ...]
    shown: tuple[int, ...]  # a captured event keeps the decoded columns, then these
    shown_as: tuple[str, ...]  # of each: equal where it holds the same, in whichever program
    code: tuple[tuple[int, int], ...]
    consts: tuple[int, ...]
    const_texts: tuple[tuple[int, str], ...]
    strata: tuple[Stratum, ...]
    tables: tuple[TableData, ...] = ()
    outside: tuple[Outside, ...] = ()

    @property
    def members(self) -> list[tuple[int, int]]:
        """For each rule the plan that runs it, and which of its members it is."""
        found = [(-1, -1)] * len(self.rules)
        for place, run in enumerate(self.plans):
            for member, rule in enumerate(run.rules):
                found[rule] = place, member
        return found

    @property
    def needs_secret(self) -> bool:
        """Whether alerts hold digests of private values, from which a value could be guessed without a secret."""
        hashed = any("hash" in dict(event.private).values() for event in self.events)
        return hashed or any(part is not None for rule in self.rules for part in rule.private)

    @property
    def stored(self) -> tuple[int, ...]:
        """The columns that a captured event keeps, in this order."""
        return (*range(len(self.columns)), *self.shown)

    def listing(self, at: int) -> str:
        """The instructions of the expression at `at`, for people and tests."""
        words: list[str] = []
        while self.code[at][0] != Opcode.END:
            opcode, argument = self.code[at]
            words.append(f"{Opcode(opcode).name} {argument}" if argument else Opcode(opcode).name)
            at += 1
        return "; ".join(words)
