"""Planted bugs with a world that brings them out soon: faults that drafts of such a protocol had, and rare ones."""

from __future__ import annotations

from dataclasses import replace

from tests.simulation.mutants import ALL, Mutant
from tests.simulation.plan import Plan

_BASE = Plan(
    is_real=False,
    streams=1,
    entries=30,
    workers=("w0", "w1"),
    hosts=(0, 0),
    lease_s=1.0,
    trims=False,
    goes_on=False,
    idle_s={},
    snapshot_entries=3,
    snapshot_s=1e9,
    has_deadly=False,
    changes=False,
    trouble=("save", "fail over", "kill"),
    rate=0.08,
    turns=250,
    grain_ms=1000,
)
_ALONE = replace(_BASE, workers=("w",), hosts=(0,), snapshot_entries=10**6, trouble=("save", "fail over", "unanswered"))
_TAKEN_OVER = replace(
    _BASE,
    workers=("w", "w", "w"),
    hosts=(0, 0, 0),
    trims=True,
    entries=60,
    snapshot_entries=2,
    trouble=("pause", "pause", "kill"),
    rate=0.15,
    turns=350,
)
_BY_NAME = {mutant.name: mutant for mutant in ALL}

FAULTS: dict[str, tuple[Mutant, Plan]] = {
    "a batch read in one life of the server is committed in the next": (
        _BY_NAME["a reader outlives its session"],
        replace(_BASE, trouble=("save", "fail over", "pause")),
    ),
    "a snapshot of a lost history is loaded": (
        _BY_NAME["a snapshot belongs by its seq, no digest"],
        replace(_BASE, hosts=(0, 1), turns=350),
    ),
    "a snapshot of any history is loaded": (
        _BY_NAME["any snapshot belongs, no digest"],
        replace(_BASE, hosts=(0, 1), turns=350),
    ),
    "the log is trimmed up to a snapshot of a lost history": (
        _BY_NAME["only the newest snapshots are kept"],
        replace(
            _BASE, trims=True, entries=200, turns=700, rate=0.04, snapshot_entries=1, trouble=("save", "fail over")
        ),
    ),
    "a zombie says that entries are lost": (_BY_NAME["a zombie says what is lost"], _TAKEN_OVER),
    "a zombie drops what its successor needs": (_BY_NAME["a zombie drops the snapshots of its successor"], _TAKEN_OVER),
    "a batch is sent again without reading it again": (_BY_NAME["a lost commit is sent again unread"], _ALONE),
    "a batch is sent again though other entries came under its ids": (
        _BY_NAME["a lost commit is sent again if as many entries are there"],
        replace(_ALONE, entries=60, rate=0.15),
    ),
    "a state is rebuilt from the entries though not all were applied": (
        _BY_NAME["the beginning will do though turns are not plain"],
        replace(_BASE, hosts=(0, 1), has_deadly=True, trouble=("kill", "kill host")),
    ),
    "commands are sent again underneath": (_BY_NAME["commands are sent again, as redis-py does"], _ALONE),
}

WORLDS = {mutant.name: plan for mutant, plan in FAULTS.values()}  # where a planted bug is sought if it has one
