"""Planting bugs and finding them: a bug is found when a seed breaks the promise that kept it without the bug.

A change is a piece of the source and what stands there instead. The source must still have the piece, so a check that
is rewritten takes its bug along.
"""

from __future__ import annotations
import __future__

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any
from unittest import mock

from cep.adapters.files import snapshots
from cep.adapters.redis import log, reader, server, session
from cep.delivery import caution, recovery, runtime
from tests.simulation import mutants
from tests.simulation.faults import WORLDS
from tests.simulation.mutants import LIBRARY, Change, Mutant
from tests.simulation.plan import Plan, plan_of
from tests.simulation.world import World

SEEDS_MAX = 6000
OWNERS: dict[str, Any] = {
    "Runtime": runtime.Runtime,
    "Recovery": recovery.Recovery,
    "RedisLog": log.RedisLog,
    "Reader": reader.Reader,
    "Session": session.Session,
    "DirectorySnapshots": snapshots.DirectorySnapshots,
    "log": log,
    "Caution": caution.Caution,
}


@contextlib.contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The code is as the mutant has it."""
    with contextlib.ExitStack() as stack:
        library = server.shipped().decode()
        for change in mutant.changes:
            if change.where == LIBRARY:
                library = replaced(library, change)
            else:
                owner, _, name = change.where.partition(".")
                stack.enter_context(mock.patch.object(OWNERS[owner], name, changed(OWNERS[owner], name, change)))
        stack.enter_context(mock.patch.object(server, "shipped", return_value=library.encode()))
        yield


def replaced(source: str, change: Change) -> str:
    assert source.count(change.old) == 1, f"{change.where} has {source.count(change.old)} of {change.old!r}"
    return source.replace(change.old, change.new)


def changed(owner: Any, name: str, change: Change) -> Callable[..., Any]:
    """A function whose source is changed."""
    function = getattr(owner, name)
    source = replaced(textwrap.dedent(inspect.getsource(function)), change)
    flags = __future__.annotations.compiler_flag
    found: dict[str, Any] = {}
    exec(compile(source, f"<{name}>", "exec", flags), function.__globals__, found)
    return found[name]  # type: ignore[no-any-return]


def is_sound(seed: int, plan: Plan | None) -> bool:
    """Whether a seed keeps the promise when nothing is planted."""
    return complaint_of(seed, plan) is None


def complaint_of(seed: int, plan: Plan | None = None) -> str | None:
    """What broke the promise."""
    try:
        World(seed, plan).run()
    except Exception as error:  # noqa: BLE001  # a bug may show in any way
        return f"{type(error).__name__}: {error}"
    return None


def find(mutant: Mutant, seeds: int = SEEDS_MAX) -> tuple[int, int, str] | None:
    """How many seeds, of those that have the trouble for it, it took to find the bug; which it was, what it says."""
    plan, tried = WORLDS.get(mutant.name), 0
    for seed in range(SEEDS_MAX * 20):
        if plan is None and not set(mutant.needs) <= set(plan_of(World.random(seed)).trouble):
            continue
        tried += 1
        if tried > seeds:
            return None
        with planted(mutant):
            complaint = complaint_of(seed, plan)
        if complaint is not None and is_sound(seed, plan):
            return tried, seed, complaint
    return None


def report(names: list[str], processes: int, seeds: int = SEEDS_MAX) -> int:
    """Print how many seeds each took; those that are covered get a fifth. The number of those that were missed."""
    chosen = [mutant for mutant in mutants.ALL if not names or mutant.name in names]
    missed = 0
    with ProcessPoolExecutor(processes) as pool:
        runs = {pool.submit(find, m, seeds // 5 if m.covered else seeds): m for m in chosen}
        for run in as_completed(runs):
            mutant, found = runs[run], run.result()
            missed += found is None and not mutant.covered
            said = "not found" if found is None else f"{found[0]:,} seeds ({found[1]}): {found[2][:90]}"
            covered = "(covered) " if mutant.covered else ""
            print(f"{mutant.name:60} {covered}{said}", flush=True)
    print(f"{missed} of {len(chosen)} should have been found and were not, in {seeds:,} seeds")
    return missed
