"""Text operations: each is worked out once for every distinct text, then gathered by id.

`matches` has RE2 semantics: linear in the text, whatever the author wrote.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import re2

from cep.engine.strings import Strings
from cep.layout import NULL, Program, TextColumn

Ints = npt.NDArray[np.int64]
UNKNOWN = NULL + 1  # not worked out yet


def _cidr(networks: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether an address lies in a network; a text that is no address lies in none."""
    network = ipaddress.ip_network(networks[0], strict=False)

    def inside(text: str) -> bool:
        try:
            return ipaddress.ip_address(text) in network
        except ValueError:
            return False

    return inside


def text_function(column: TextColumn) -> Callable[[str], bool | int | str]:
    """The operation of a text column, as a function of one text."""
    patterns = column.patterns
    if column.operation == "matches":
        search = re2.compile(patterns[0]).search
        return lambda text: search(text) is not None
    if column.operation == "in":
        members = frozenset(patterns)
        return lambda text: text in members
    if column.operation == "cidr":
        return _cidr(patterns)
    functions: dict[str, Callable[[str], bool | int | str]] = {
        "starts_with": lambda text: text.startswith(patterns[0]),
        "ends_with": lambda text: text.endswith(patterns[0]),
        "contains": lambda text: patterns[0] in text,
        "text_lt": lambda text: text < patterns[0],
        "text_le": lambda text: text <= patterns[0],
        "text_gt": lambda text: text > patterns[0],
        "text_ge": lambda text: text >= patterns[0],
        "lower": str.lower,
        "upper": str.upper,
        "length": len,
    }
    return functions[column.operation]


class TextMemory:
    """For each text column, the outcome for every text id seen so far. A cache: it is not part of snapshots."""

    def __init__(self, program: Program) -> None:
        self._columns = [(column, text_function(column)) for column in program.texts]
        self._known = [np.empty(0, np.int64) for _ in program.texts]

    def fill(self, words: Ints, strings: Strings) -> None:
        """Work out the text columns of a batch's words, shape (slots, n)."""
        for i, (column, function) in enumerate(self._columns):
            ids = words[column.source]
            present = ids != NULL
            known = self._ready(i, function, np.unique(ids[present]), strings)
            words[column.slot] = NULL
            words[column.slot, present] = known[ids[present]]

    def clear(self) -> None:
        """Forget all outcomes: ids have been given to other texts."""
        self._known = [np.empty(0, np.int64) for _ in self._columns]

    def _ready(self, i: int, function: Callable[[str], bool | int | str], ids: Ints, strings: Strings) -> Ints:
        known = self._known[i]
        if len(ids) and ids[-1] >= len(known):
            longer = np.full(max(2 * len(known), int(ids[-1]) + 1, 1024), UNKNOWN, np.int64)
            longer[: len(known)] = known
            known = self._known[i] = longer
        for number in ids[known[ids] == UNKNOWN].tolist():
            text = strings.text(number)
            assert text is not None, "a column holds the id of a text that has been forgotten"
            outcome = function(text)
            known[number] = strings.id(outcome) if isinstance(outcome, str) else int(outcome)
        return known
