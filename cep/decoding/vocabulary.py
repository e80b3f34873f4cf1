"""Texts as they are written on the wire, each with the word that it stands for, so that a text met before costs a look.

A cache, which forgets everything when it is full or told to: no result depends on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from cep.kernels import cells as ck
from cep.kernels.scan import Bytes, Places

Ints = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]
Meaning = Callable[[list[str]], Sequence[int] | Ints]

TEXTS_MAX = 2**20
BYTES_MAX = 2**26  # more than any one text
_FIRST_TEXTS, _FIRST_BYTES = 1024, 2**16
_parse = msgspec.json.Decoder(str).decode


class Vocabulary:
    """The word of each text; `meaning` is asked for the words of texts that are new.

    integers_too: an integer stands for the text that it is written as. is_json: texts are written as in JSON, so a
    backslash may stand in them for something else.
    """

    def __init__(self, meaning: Meaning, integers_too: bool = False, is_json: bool = True) -> None:
        self._meaning, self._integers_too, self._is_json = meaning, integers_too, is_json
        self._secret = np.frombuffer(os.urandom(16), np.int64)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._texts = _room(_FIRST_TEXTS, _FIRST_BYTES)
        self._texts.count[ck.SECRET :] = self._secret
        self._known = 0  # how many have their word
        ck.enter(self._texts)  # nothing yet, but no kernel may be compiled later than at the first use

    def words(self, data: Bytes, cells: Places, cell: int, rows: Ints, words: Ints, refused: Marks) -> None:
        """Write the words of the texts in one cell of some documents to `words` at `rows`, null being NULL.

        Marks those in which something else stands. data, cells: as `cep.kernels.scan` leaves them, UTF-8 throughout.
        """
        ck.hashes(data, cells, cell, rows, words, refused, self._integers_too, self._secret)
        fresh = np.empty((2, len(rows)), np.int32)
        while len(rows):
            done, n = ck.known(data, cells, cell, rows, words, self._texts, self._known, fresh)
            self._learn()
            new = fresh[0, :n]
            words[new] = self._texts.entries[words[new], ck.WORD]
            rows = rows[done:]
            if len(rows):
                self._make_room()

    def _learn(self) -> None:
        """Ask what the new texts mean."""
        first, end = self._known, int(self._texts.count[ck.TEXTS])
        if first == end:
            return
        spans = self._texts.entries[first:end, ck.SPAN]
        ends = np.cumsum(spans & ck.LENGTHS)
        begin = int(spans[0]) >> ck.LENGTH_BITS
        spelled = self._texts.spelled[begin : begin + int(ends[-1])].tobytes()
        places = pairwise([0, *ends.tolist()])
        if spelled.isascii() and not (self._is_json and b"\\" in spelled):
            plain = spelled.decode()
            texts = [plain[a:b] for a, b in places]
        else:
            written = [spelled[a:b] for a, b in places]
            texts = list(map(_text, written)) if self._is_json else [text.decode() for text in written]
        self._texts.entries[first:end, ck.WORD] = self._meaning(texts)
        self._known = end

    def _make_room(self) -> None:
        """Twice as much, or none of what there is."""
        old = self._texts
        texts, size = 2 * len(old.entries), 2 * len(old.spelled)
        if texts > TEXTS_MAX or size > BYTES_MAX:
            self.clear()
            return
        self._texts = _room(texts, size)
        self._texts.entries[: len(old.entries)] = old.entries
        self._texts.spelled[: len(old.spelled)] = old.spelled
        self._texts.count[:] = old.count
        ck.enter(self._texts)


def _room(texts: int, size: int) -> ck.Texts:
    return ck.Texts(
        np.full(2 * texts, -1, np.int32),
        np.zeros((texts, ck.WORD + 1), np.int64),
        np.zeros(size, np.uint8),
        np.zeros(ck.SECRET + 2, np.int64),
    )


def _text(written: bytes) -> str:
    """A text from what stands between its quotes."""
    return _parse(b'"%b"' % written) if b"\\" in written else written.decode()
