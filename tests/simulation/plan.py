"""What a seed stands for: how the detector is run, what comes, and which trouble there is."""

from __future__ import annotations

import random
from dataclasses import dataclass

KILLS = ("kill", "kill host", "pause", "stop")
WIRES = ("lost", "late", "unanswered")
SERVERS = ("restart", "save", "fail over")
DISKS = ("disk full", "flip")
FOREIGN = ("delete entries", "trim entries", "delete stream")


@dataclass(frozen=True)
class Plan:
    """workers: their names; those of the same name take over from each other at once. hosts: where each runs, which is
    where its snapshots are. trouble: what may happen, and how likely it is that something happens before a step."""

    is_real: bool
    streams: int
    entries: int
    workers: tuple[str, ...]
    hosts: tuple[int, ...]
    lease_s: float
    trims: bool
    goes_on: bool
    idle_s: dict[int, float]
    snapshot_entries: int
    snapshot_s: float
    has_deadly: bool
    changes: bool
    trouble: tuple[str, ...]
    rate: float
    turns: int
    grain_ms: int


def plan_of(rng: random.Random, real_share: float = 0.04) -> Plan:
    """One that makes sense: what nothing could repair is not combined."""
    is_real = rng.random() < real_share
    streams = 2 if is_real else rng.choice((1, 1, 1, 2))
    count = rng.choice((1, 1, 2, 2, 3))
    is_one = rng.random() < 0.3
    workers = tuple("w" if is_one else f"w{number}" for number in range(count))
    is_foreign, is_lagging = rng.random() < 0.2, rng.random() < 0.5
    has_deadly = not is_real and rng.random() < 0.05
    idle_s = {n: rng.choice((0.7, 2.0, 5.0)) for n in range(streams)} if rng.random() < 0.2 else {}
    is_shared = is_foreign or has_deadly or bool(idle_s) or rng.random() < 0.6
    hosts = tuple(0 if is_shared else number for number in range(count))
    trouble = [*_some(rng, KILLS), *_some(rng, WIRES), *_some(rng, SERVERS[:1])]
    trouble += [*SERVERS[1:]] * is_lagging + _some(rng, DISKS[:1])
    trouble += _some(rng, FOREIGN) if is_foreign else []
    trims = is_shared and rng.random() < 0.5
    if not trims and not idle_s and not has_deadly and not is_foreign:
        trouble += _some(rng, DISKS[1:])
    return Plan(
        is_real=is_real,
        streams=streams,
        entries=rng.randrange(8, 50),
        workers=workers,
        hosts=hosts,
        lease_s=rng.choice((1.0, 3.0, 10.0)),
        trims=trims,
        goes_on=rng.random() < 0.5,
        idle_s=idle_s,
        snapshot_entries=rng.choice((3, 8, 20, 10**6)),
        snapshot_s=rng.choice((1.0, 5.0, 1e9)),
        has_deadly=has_deadly,
        changes=rng.random() < 0.3,
        trouble=tuple(trouble),
        rate=rng.choice((0.02, 0.05, 0.12)),
        turns=rng.randrange(60, 350),
        grain_ms=rng.choice((1, 1, 100, 1000)),
    )


def _some(rng: random.Random, kinds: tuple[str, ...]) -> list[str]:
    return [kind for kind in kinds if rng.random() < 0.6]
