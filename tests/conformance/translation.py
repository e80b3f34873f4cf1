"""A case in our language, and what comes of it: the rule file, the events, and how its matches are to be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.conformance.schema import FOREVER, Fed

Captured = dict[str, tuple[int, ...]]  # alias → places of events


@dataclass(frozen=True)
class Match:
    """One alert: its rule, its time, and the case's events that each step captured, by the step's alias."""

    rule: str
    time_us: int
    captured: Captured = field(hash=False)

    @property
    def flat(self) -> list[int]:
        """All captured events, in order."""
        return sorted(place for places in self.captured.values() for place in places)


# Effects of laws that a translation can take out.
PICK, TWICE, BROKEN, QUOTIENT = "first pick", "one event twice", "broken absence", "quotient"

View = Callable[[list[Match]], list[Match]]


def everything(matches: list[Match]) -> list[Match]:
    """The alerts as they came."""
    return matches


@dataclass(frozen=True)
class Translation:
    """`until_us` None: time moves on until nothing is pending. `stages`: rule and alias → stage of the case.

    `singly`: the events come one at a time, as where a watermark is at work. `view`: what is done with the alerts.
    `notes` say what a reader should know about the translation. `without`: an effect of a law → the translation with
    it taken out, by which a difference is put down to that law.
    """

    text: str
    feed: Sequence[Fed]
    stages: Mapping[tuple[str, str], str]
    until_us: int | None = None
    singly: bool = False
    view: View = everything
    notes: tuple[str, ...] = ()
    without: Mapping[str, tuple[Translation, ...]] = field(default_factory=dict)


def rule(name: str, when: str, *, by: str = "", within: str = FOREVER, policy: str = "first", more: str = "") -> str:
    """The text of a rule."""
    head = f"rule {name}{f' by {by}' if by else ''} within {within}"
    lines = [head, f"  match {policy}", f"  when {when}"] + ([f"  {more}"] if more else [])
    return "\n".join(lines)
