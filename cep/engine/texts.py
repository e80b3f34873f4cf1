"""Text operations: each is a function of one text, and worked out once for every distinct text.

`matches` has RE2 semantics: linear in the text, whatever the author wrote.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import re2

from cep.engine.strings import Strings
from cep.layout.columns import NULL

Ints = npt.NDArray[np.int64]
Outcome = Callable[[str, Strings], int]  # a text → the word that it gives
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


def text_function(operation: str, patterns: tuple[str, ...]) -> Callable[[str], bool | int | str]:
    """A text operation, as a function of one text."""
    if operation == "matches":
        search = re2.compile(patterns[0]).search
        return lambda text: search(text) is not None
    if operation == "in":
        members = frozenset(patterns)
        return lambda text: text in members
    if operation == "cidr":
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
    return functions[operation]


class TextMemory:
    """The outcome of one operation for every text id seen so far. A cache: it is not part of snapshots."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._known = np.empty(0, np.int64)

    def words(self, ids: Ints, strings: Strings) -> Ints:
        """The outcome for each text, none of which is null, shape (n,)."""
        distinct = np.unique(ids)
        if len(distinct) and distinct[-1] >= len(self._known):
            longer = np.full(max(2 * len(self._known), int(distinct[-1]) + 1, 1024), UNKNOWN, np.int64)
            longer[: len(self._known)] = self._known
            self._known = longer
        for number in distinct[self._known[distinct] == UNKNOWN].tolist():
            text = strings.text(number)
            assert text is not None, "a column holds the id of a text that has been forgotten"
            self._known[number] = self._outcome(text, strings)
        return self._known[ids]

    def clear(self) -> None:
        """Forget all outcomes: ids have been given to other texts."""
        self._known = np.empty(0, np.int64)
