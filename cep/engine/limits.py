"""What alerts go by: the periods of `limit` that still run, and by which clause an open episode spoke, if by any.

The state is bounded: a period is dropped once it has ended, and alerts come in order of time, so the periods of a rule
stand in the order in which they end. An episode that is forgotten never resolves, so the caller says now and then
which ones are open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cep.layout.alerts import LimitSpec

Key = tuple[str | float | int | bool | None, ...]

COMPACT_AT = 1024  # remembered episodes of one rule; below that, asking which are open is not worth it
CONDITIONAL, LIMITED = -1, -2  # instead of a clause: none of them held, and `limit` had let enough through


@dataclass(slots=True)
class RuleLimit:
    """One rule's part. periods: limit key → (begin, alerts let through).

    opened: key of an open episode → the clause by which it opened, or why it is silent; 0 is left out.
    """

    periods: dict[Key, tuple[int, int]] = field(default_factory=dict)
    opened: dict[Key, int] = field(default_factory=dict)
    compact_at: int = COMPACT_AT

    def lets_through(self, key: Key, time_us: int, limit: LimitSpec) -> bool:
        """Whether an alert at `time_us` passes; a period begins with the first one that does."""
        while self.periods:
            oldest = next(iter(self.periods))
            if time_us < self.periods[oldest][0] + limit.per_us:
                break
            del self.periods[oldest]
        begin, passed = self.periods.get(key, (time_us, 0))
        if passed >= limit.count:
            return False
        self.periods[key] = begin, passed + 1
        return True

    def opens(self, episode: Key, clause: int) -> None:
        """An episode has opened by this clause; below 0: in silence."""
        self.opened.pop(episode, None)
        if clause:
            self.opened[episode] = clause

    def resolves(self, episode: Key) -> int:
        """By which clause the episode that resolves had opened."""
        return self.opened.pop(episode, 0)

    def suit(self, limit: LimitSpec | None, clauses: int) -> None:
        """Go on under a rule that may have been changed: what is open stays so, periods of no limit are forgotten.

        A clause that the rule has no more is taken for its last one.
        """
        if limit is None:
            self.periods = {}
        self.opened = {key: min(clause, clauses - 1) for key, clause in self.opened.items()}

    def keep(self, open_episodes: Iterable[Key]) -> None:
        """Forget the episodes that are not open any more."""
        self.opened = {key: self.opened[key] for key in open_episodes if key in self.opened}
        self.compact_at = max(COMPACT_AT, 2 * len(self.opened))


@dataclass(slots=True)
class Limits:
    """What all rules go by, by name."""

    rules: dict[str, RuleLimit] = field(default_factory=dict)

    def of(self, rule: str) -> RuleLimit:
        """The part of one rule."""
        return self.rules.setdefault(rule, RuleLimit())

    def dump(self) -> dict[str, Any]:
        """Plain lists, numbers and texts, from which `load` makes an equal value."""
        return {
            name: [
                [[list(key), begin, passed] for key, (begin, passed) in part.periods.items()],
                [[list(key), clause] for key, clause in part.opened.items()],
            ]
            for name, part in self.rules.items()
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Become the value that `dump` was made from."""
        self.rules = {}
        for name, (periods, opened) in dumped.items():
            self.rules[name] = RuleLimit(
                {tuple(key): (begin, passed) for key, begin, passed in periods},
                {tuple(key): clause for key, clause in opened},
                max(COMPACT_AT, 2 * len(opened)),
            )
