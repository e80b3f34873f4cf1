"""What entries have caused, and the sums of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cep.ports import BadEvent, LateEvent

UNKNOWN_TYPES_MAX = 100  # that are counted by name; the others are counted together
OTHER_TYPES = "…"


@dataclass(slots=True)
class Outcome:
    """What some entries caused. `events` counts the ones that were applied or late.

    alerts: all of them, in order. shadow: the places among them of those of shadow rules.
    """

    events: int = 0
    alerts: list[bytes] = field(default_factory=list)
    shadow: frozenset[int] = frozenset()
    bad: list[BadEvent] = field(default_factory=list)
    late: list[LateEvent] = field(default_factory=list)
    unknown: dict[str, int] = field(default_factory=dict)

    def delivered(self) -> list[bytes]:
        """The alerts that are meant for somebody."""
        return [alert for place, alert in enumerate(self.alerts) if place not in self.shadow]

    def shadowed(self) -> list[bytes]:
        """The alerts of rules on trial."""
        return [alert for place, alert in enumerate(self.alerts) if place in self.shadow]


@dataclass(slots=True)
class Counters:
    """What has happened since the process began; what was replayed does not count again, except in `replayed`."""

    events: int = 0
    bad: int = 0
    late: int = 0
    alerts: int = 0
    shadow: int = 0
    batches: int = 0
    replayed: int = 0
    snapshots: int = 0
    changes: int = 0
    sessions: int = 0
    lost: int = 0
    put_aside: int = 0
    unknown: dict[str, int] = field(default_factory=dict)

    def count(self, outcome: Outcome) -> None:
        """Add a committed batch."""
        self.batches += 1
        self.events += outcome.events
        self.alerts += len(outcome.alerts) - len(outcome.shadow)
        self.shadow += len(outcome.shadow)
        self.late += len(outcome.late)
        self.bad += sum(bad.count for bad in outcome.bad)
        for name, number in outcome.unknown.items():
            known = name if name in self.unknown or len(self.unknown) < UNKNOWN_TYPES_MAX else OTHER_TYPES
            self.unknown[known] = self.unknown.get(known, 0) + number
