"""Whether a detector that has stopped, and says why, says the truth."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cep.delivery.recovery import HistoryError
from cep.errors import ConfigurationError
from tests.simulation.checker import JOURNAL, META, ViolationError, lost_of
from tests.simulation.data import Data, Hash

if TYPE_CHECKING:
    from tests.simulation.world import World

_LOST = re.compile(r"stream (\w+) has lost (an unknown number of|\d+) entries behind")


def judge(world: World, error: HistoryError) -> None:
    """Entries are lost if it says so, and as many; and nobody but others has taken what a state is rebuilt from."""
    found = _LOST.match(str(error))
    if found is None:
        judge_missing(world, str(error))
        return
    key, is_known = found[1].encode(), found[2].isdigit()
    lost = max(lost_of(data, key) for data in (world.server.data, *world.server.past))  # it may have been true then
    if int(found[2]) > lost if is_known else not world.is_torn:
        raise ViolationError(f"I8: {error}, but {lost} are")
    world.counts["halts"] += 1


def judge_missing(world: World, message: str) -> None:
    """A state cannot be had: others have taken what it is rebuilt from, or the only snapshots are of another host."""
    if not world.is_torn:
        if len(set(world.plan.hosts)) == 1 or not any(map(_needs_a_snapshot, (world.server.data, *world.server.past))):
            raise ViolationError(f"I12: a state is given up without a need: {message}")
        world.is_partial = True
        world.counts["states that only another host has"] += 1


def _needs_a_snapshot(data: Data) -> bool:
    """Whether the entries alone do not tell the state, and the journal no longer does."""
    meta = data.keys.get(META)
    return isinstance(meta, Hash) and b"marked" in meta and bool(data.removed.get(JOURNAL))


def judge_refusal(world: World, error: ConfigurationError) -> None:
    """Only a stream that was deleted may be in the way."""
    if not (world.is_torn and "it was deleted" in str(error)):
        raise ViolationError(f"I12: it refused without a need: {error}")
    world.counts["refusals"] += 1
