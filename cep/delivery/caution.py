"""An entry that kills the process must not kill it for ever.

A process that has died often without a commit between reads fewer entries at a time, at last one, which it names
before it is applied. If it dies there again and again, the next process puts that entry aside. (Who is killed for other
reasons is not killed three times at the same entry.) Each of them has to come past the place where its predecessor died
before it takes all for well: a turn without limit is of some thousand entries of each stream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cep.ports import Entries, EntryId, Log, Standing

FAILURES_MAX = 3  # that are taken for accidents
TRIES = 3  # deaths with the same entry before it is put aside
LIMITS = (64, 8, 1)  # entries of a turn after one more failure, two, and three or more
PROBATION = (20_000, 200, 50)  # entries of a stream that then have to go well before turns are as long as ever


class Caution:
    """limit: of entries of a stream in a turn; None where there is none."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self._suspect: tuple[int, EntryId] | None = None
        self._tries = 0  # that the suspect has had
        self._passed, self._probation, self._is_settled = Counter[int](), 0, False  # passed: by stream

    def begin(self, standing: Standing) -> None:
        """A process has begun."""
        excess = standing.failures - FAILURES_MAX
        level = min(excess, len(LIMITS)) - 1
        self.limit, self._probation = (LIMITS[level], PROBATION[level]) if excess > 0 else (None, 0)
        self._suspect, self._tries = (standing.suspect, standing.tries) if self.limit == 1 else (None, 0)
        self._passed, self._is_settled = Counter(), False

    def first(self, batch: Sequence[Entries]) -> Sequence[Entries]:
        """What of a batch is to be applied: one entry where it matters which, the suspect or of each stream in turn."""
        if self.limit != 1:
            return batch

        def rank(entries: Entries) -> tuple[bool, int]:
            return (entries.stream, entries.id(0)) != self._suspect, self._passed[entries.stream]

        return sorted(filter(len, batch), key=rank)[:1]

    def is_suspect(self, batch: Sequence[Entries]) -> bool:
        """Whether a batch is the entry that the process before died of."""
        return self._tries >= TRIES and self._suspect == (batch[0].stream, batch[0].id(0))

    def before(self, batch: Sequence[Entries], log: Log) -> None:
        """A batch is about to be applied."""
        if self.limit == 1:
            entry = (batch[0].stream, batch[0].id(0))
            self._suspect, self._tries = entry, self._tries + 1 if entry == self._suspect else 1
            log.suspect(*entry, self._tries)

    def after(self, batch: Sequence[Entries]) -> bool:
        """A batch has gone well. Whether that, for the first time, makes good what has failed before."""
        self._passed.update({entries.stream: len(entries) for entries in batch})
        if self._is_settled or max(self._passed.values(), default=0) < self._probation:
            return False
        self.limit = self._suspect = None
        self._is_settled = True
        return True
