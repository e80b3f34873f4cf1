"""Text as numbers: every distinct text that the state can see has one id, so kernels compare words.

Ids mean nothing but identity; no result depends on their order. The table keeps the text's bytes, so two keys never
merge. `keep` forgets the texts that nothing refers to any more, without changing the ids of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from cep.layout.columns import NULL


class _Ids(dict[str | None, int]):
    """str → id; an unknown text gets a free id when it is looked up."""

    def __init__(self) -> None:
        super().__init__({None: NULL})
        self.texts: list[str | None] = []
        self.free: list[int] = []

    def __missing__(self, text: str) -> int:
        self.enter([text])
        return self[text]

    def enter(self, new: Sequence[str]) -> None:
        """Give ids to different texts that have none."""
        reused = min(len(self.free), len(new))
        numbers = [self.free.pop() for _ in range(reused)]
        for number, text in zip(numbers, new, strict=False):
            self.texts[number] = text
        numbers += range(len(self.texts), len(self.texts) + len(new) - reused)
        self.texts += new[reused:]
        self.update(zip(new, numbers, strict=True))


COMPACT_AT = 65_536  # texts; below that, forgetting is not worth the sweep


class Strings:
    """A two-way table of texts and ids. None stands for null, whose id is `NULL`.

    compact_at: the number of texts at which to forget. sweeps: how often that has been done; until then ids stay good.
    """

    def __init__(self, texts: Iterable[str | None] = ()) -> None:
        self._ids = _Ids()
        self.compact_at = COMPACT_AT
        self.sweeps = 0
        for number, text in enumerate(texts):
            self._ids.texts.append(text)
            if text is None:
                self._ids.free.append(number)
            else:
                self._ids[text] = number

    def __len__(self) -> int:
        return len(self._ids) - 1

    @property
    def capacity(self) -> int:
        """One more than the largest id ever given out."""
        return len(self._ids.texts)

    def id(self, text: str | None) -> int:
        """The id of one text."""
        return self._ids[text]

    def ids(self, texts: Sequence[str | None]) -> npt.NDArray[np.int64]:
        """The ids of many texts, shape (len(texts),)."""
        if new := [text for text in texts if text is not None and text not in self._ids]:
            self._ids.enter(list(dict.fromkeys(new)))
        return np.fromiter(map(self._ids.__getitem__, texts), np.int64, len(texts))

    def text(self, number: int) -> str | None:
        """The text of an id; None for `NULL`."""
        return None if number == NULL else self._ids.texts[number]

    def texts(self) -> list[str | None]:
        """All texts by id, None where an id is free; `Strings(texts)` makes an equal table."""
        return list(self._ids.texts)

    def keep(self, live: npt.NDArray[np.bool_]) -> None:
        """Forget every text whose id is not marked in `live`, shape (capacity,)."""
        table = self._ids
        for number in np.flatnonzero(~live[: len(table.texts)]).tolist():
            text = table.texts[number]
            if text is not None:
                del table[text]
                table.texts[number] = None
                table.free.append(number)
        self.compact_at = max(COMPACT_AT, 2 * len(self))
        self.sweeps += 1
