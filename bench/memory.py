"""What a key costs, and what a partial match that waits: bytes, beside what `cep check --cost` says.

    python -m bench.memory [--keys N,…] [--only WORKLOAD,…] [--limit-gib N] [--what NAME] [--no-record]

Every key begins a partial match (w6: puts an event into its window), and in a second run further ones, all within the
rule's time; a key is the first run, a further partial match the difference. `resident` is what the process grew by,
`set aside` the length of the arrays, of which what was never written to is not resident. The text of a key stands once
for all rules, so it is counted by itself. Each run is a process that was forked from one in which all is loaded.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import multiprocessing
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from bench.engine import NEVER
from bench.measure import machine
from bench.table import Section, keep
from bench.workloads import (
    BEGINNING_MS,
    LOGIN_FAILED,
    LOGIN_OK,
    NAMES,
    PAYMENT,
    RULES,
    Events,
    batches,
    card_name,
    compile_workload,
)
from cep.engine.state import EngineState
from cep.engine.step import step
from cep.lang import load
from cep.lang.cost import costs

KEYS = (10_000, 100_000, 1_000_000)
WAITING = 4  # of a key in the second run; a fifth would complete w1
STREAM_MS = 50_000  # inside the minute of w1
BATCH = 2_048  # small, so that what a step works in does not show
OPENING = {
    "w1": (LOGIN_FAILED, 0.0),
    "w2": (LOGIN_FAILED, 0.0),
    "w3": (PAYMENT, 1.0),
    "w4": (PAYMENT, 10.0),
    "w5": (LOGIN_OK, 0.0),
    "w6": (PAYMENT, 1.0),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A rule before so many keys, each with so many partial matches that wait."""

    workload: str
    keys: int
    waiting: int

    def stream(self) -> Iterator[Events]:
        """The opening event of each key, then again of each, in pieces of a batch."""
        kind, amount = OPENING[self.workload]
        total = self.keys * self.waiting
        for first in range(0, total, BATCH):
            place = np.arange(first, min(first + BATCH, total))
            n = len(place)
            yield Events(
                ts=BEGINNING_MS + place * STREAM_MS // total,
                kind=np.full(n, kind, np.int8),
                card=place % self.keys,
                amount=np.full(n, amount),
                country=np.zeros(n, np.int8),
                merchant=np.zeros(n, np.int32),
            )


@dataclass(frozen=True, slots=True)
class Filled:
    """Bytes of a whole state: the texts of its keys, what else the process grew by, and the length of its arrays."""

    texts: int
    resident: int
    set_aside: int


def fill(case: Case) -> Filled:
    """Put the keys into an empty state."""
    program = compile_workload(case.workload)
    state = EngineState.create(program)
    state.strings.compact_at = NEVER
    empty = _resident()
    for first in range(0, case.keys, BATCH):
        state.strings.ids([card_name(card) for card in range(first, min(first + BATCH, case.keys))])
    named = _resident()
    for events in case.stream():
        for batch in batches(program, state.strings, events, BATCH):
            assert not len(step(program, state, batch).order), f"{case} is no waiting"
    return Filled(named - empty, _resident() - named, array_bytes(state))


def _resident() -> int:
    """Bytes of this process's own memory, once what it has freed has gone back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("RssAnon:"))
    return int(kib) * 1024


def array_bytes(state: EngineState) -> int:
    """The length of all arrays in a state, of each once; texts are in none."""
    arrays: dict[int, int] = {}
    seen = {id(state.strings)}
    waiting: list[Any] = [state]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            owner = value if value.base is None else value.base
            arrays[id(owner)] = owner.nbytes
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
        elif type(value).__module__.startswith("cep.engine"):
            waiting += [getattr(value, f.name) for f in fields(value)] if is_dataclass(value) else vars(value).values()
    return sum(arrays.values())


def said(workload: str) -> tuple[int, int]:
    """What `cep check --cost` says: bytes for a key in any case, and for each event that opens a partial match."""
    ruleset = load([RULES / f"{workload}.cep"]).ruleset
    assert ruleset is not None
    (cost,) = costs(ruleset)
    fixed = sum(part.size for part in cost.parts if part.most == 1)
    return fixed, sum(part.size for part in cost.parts if part.most != 1)


def measure(names: list[str], numbers: list[int], limit: float) -> Section:
    """The table. A run that would need more than `limit` bytes by what is said is left out."""
    section = Section(
        "Memory",
        "Bytes. A key: with one partial match that waits. Further: each further partial match of a key.",
    )
    for name in names:
        fill(Case(name, BATCH, 1))  # loads the kernels
        fixed, each = said(name)
        for keys in numbers:
            runs = [Case(name, keys, waiting) for waiting in (1, WAITING) if keys * (fixed + waiting * each) <= limit]
            filled = []
            for run in runs:
                print(f"{run} …", file=sys.stderr, flush=True)
                with multiprocessing.get_context("fork").Pool(1) as pool:
                    filled.append(pool.apply(fill, (run,)))
            if not filled:
                continue
            one, more = filled[0], filled[1] if len(filled) > 1 else None
            further = keys * (WAITING - 1)
            section.add(
                [],
                workload=name,
                keys=keys,
                **{
                    "a key, said": fixed + each,
                    "resident": one.resident / keys,
                    "set aside": one.set_aside / keys,
                    "further, said": each,
                    "further, resident": (more.resident - one.resident) / further if more else None,
                    "further, set aside": (more.set_aside - one.set_aside) / further if more else None,
                    "text": one.texts / keys,
                },
            )
    return section


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keys", default=",".join(map(str, KEYS)), help="numbers of keys, joined with commas")
    parser.add_argument("--only", default=",".join(NAMES), help="workloads, joined with commas")
    parser.add_argument("--limit-gib", type=float, default=8)
    parser.add_argument("--what", default="memory", help="the record's name, behind the date")
    parser.add_argument("--no-record", action="store_true")
    given = parser.parse_args()
    facts: dict[str, Any] = {"date": date.today().isoformat(), "what": given.what, "machine": machine()}
    section = measure(given.only.split(","), [int(n) for n in given.keys.split(",")], given.limit_gib * 2**30)
    print(section.markdown())
    if not given.no_record:
        print(f"kept in {keep([section], facts)}.md and .json", file=sys.stderr)


if __name__ == "__main__":
    main()
