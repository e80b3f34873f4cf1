"""An entry that kills is found, whatever else waits."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from cep.adapters.redis.reader import COUNT_MAX
from cep.delivery.caution import Caution
from cep.ports import Entries, EntryId, Point, Standing


@pytest.mark.parametrize("deadly", [0, 7, 63, COUNT_MAX - 1])
@pytest.mark.parametrize("streams", [1, 2, 5])
def test_a_suspect_is_found_in_whichever_stream_it_stands(streams: int, deadly: int) -> None:
    """The other streams have more than enough; without a limit a turn takes so much of each."""
    last, at, failures = streams - 1, Counter[int](), 0
    named = list[tuple[int, EntryId, int]]()
    log = SimpleNamespace(suspect=lambda stream, entry, tries: named.append((stream, entry, tries)))
    for _ in range(20):
        caution, failures = Caution(), failures + 1
        suspect = {"suspect": named[-1][:2], "tries": named[-1][2]} if named else {}
        caution.begin(Standing(Point(), failures, **suspect))
        is_alive = True
        while is_alive:
            room = range(caution.limit or COUNT_MAX)
            waiting = [Entries.of(s, [(EntryId(at[s] + n + 1, 0), ()) for n in room]) for s in range(streams)]
            batch = caution.first(waiting)
            if caution.is_suspect(batch):
                assert (batch[0].stream, batch[0].id(0)) == (last, EntryId(deadly + 1, 0))
                return
            caution.before(batch, log)
            is_alive = not any(e.stream == last and e.id(0).ms <= deadly + 1 <= e.id(-1).ms for e in batch)
            if is_alive:
                at.update({entries.stream: len(entries) for entries in batch})
                failures = 0 if caution.after(batch) else failures
    pytest.fail("not found in 20 deaths")
