"""What `limit` has let through: the periods that still run, and the episodes whose opening was suppressed.

The state is bounded: a period is dropped once it has ended, and alerts come in order of time, so the periods of a rule
stand in the order in which they end. An episode that is forgotten never resolves, so the caller says now and then
which ones are open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cep.layout import LimitSpec

Key = tuple[str | float | int | bool | None, ...]

COMPACT_AT = 1024  # suppressed episodes of one rule; below that, asking which are open is not worth it


@dataclass(slots=True)
class RuleLimit:
    """One rule's part. periods: limit key → (begin, alerts let through). suppressed: keys of silent open episodes.

    count: how many alerts were suppressed since the beginning.
    """

    periods: dict[Key, tuple[int, int]] = field(default_factory=dict)
    suppressed: set[Key] = field(default_factory=set)
    count: int = 0
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
            self.count += 1
            return False
        self.periods[key] = begin, passed + 1
        return True

    def opens(self, episode: Key, *, passes: bool) -> None:
        """An episode has opened; one that did not pass will resolve in silence."""
        if passes:
            self.suppressed.discard(episode)
        else:
            self.suppressed.add(episode)

    def resolves(self, episode: Key) -> bool:
        """Whether the resolution of an episode passes."""
        if episode not in self.suppressed:
            return True
        self.suppressed.discard(episode)
        self.count += 1
        return False

    def keep(self, open_episodes: Iterable[Key]) -> None:
        """Forget the suppressed episodes that are not open any more."""
        self.suppressed.intersection_update(open_episodes)
        self.compact_at = max(COMPACT_AT, 2 * len(self.suppressed))


@dataclass(slots=True)
class Limits:
    """The limits of all rules, by name."""

    rules: dict[str, RuleLimit] = field(default_factory=dict)

    def of(self, rule: str) -> RuleLimit:
        """The part of one rule."""
        return self.rules.setdefault(rule, RuleLimit())

    def dump(self) -> dict[str, Any]:
        """Plain lists, numbers and texts, from which `load` makes an equal value."""
        return {
            name: [
                [[list(key), begin, passed] for key, (begin, passed) in part.periods.items()],
                sorted(map(list, part.suppressed), key=repr),
                part.count,
            ]
            for name, part in self.rules.items()
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Become the value that `dump` was made from."""
        self.rules = {}
        for name, (periods, suppressed, count) in dumped.items():
            silent = {tuple(key) for key in suppressed}
            self.rules[name] = RuleLimit(
                {tuple(key): (begin, passed) for key, begin, passed in periods},
                silent,
                count,
                max(COMPACT_AT, 2 * len(silent)),
            )
