"""Events without end for detectors that have much to do, and the rules that give it to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count, islice

from bench.workloads import generate, lines
from tests.test_kill import RULES, SCHEMA, STREAMS, Entry

LINES = 20  # events of an entry: a producer must outrun the detector
EVENTS_PER_S = 50  # of event time, so that the longest windows of the rules hold 60,000
NEW_CARDS = 5000  # events after which all cards are others
CARDS = 1000


_SELDOM = ((">= 4", ">= 7"), ("amount > 100", "amount > 1000"), ('"FR"]', '"FR"] and amount > 1000'))


def _rules(times: int) -> str:
    """Those of the other parts several times over, each with windows of its own, so that none shares its state.

    All but the first seldom alert, as most rules do. An open episode of a card that never comes again is held until it
    is forgotten: here after minutes, and not a day.
    """
    told = RULES.replace("guessing by card within 10m", "guessing by card within 10m forget 30m")
    head, first, body = told.partition("rule ")
    seconds = {"s": 1, "m": 60}

    def variant(number: int) -> str:
        found = re.sub(r"^rule (\w+)", rf"rule \1_{number}", first + body, flags=re.M)
        found = re.sub(r"within (\d+)([sm])", lambda m: f"within {int(m[1]) * seconds[m[2]] + number}s", found)
        for often, seldom in _SELDOM if number else ():
            found = found.replace(often, seldom)
        return found

    return head + "".join(map(variant, range(times)))


RULE_FILE = _rules(8)
SCHEMA_FILE = SCHEMA.replace("from sessions", "from payments").replace(
    "stream sessions time ts type type late 5s\n", ""
)


class Blocks:
    """Events of all kinds in one stream, many in an entry, of keys that come and go; as many as are asked for."""

    def __init__(self, seed: int) -> None:
        self._further, self._back = entries(seed), list[Entry]()

    def next(self, events: int) -> list[Entry]:
        count = events // LINES
        found, self._back = self._back[:count], self._back[count:]
        return found + list(islice(self._further, count - len(found)))

    def back(self, entries: list[Entry]) -> None:
        """They were not needed yet."""
        self._back = entries + self._back


def entries(seed: int) -> Iterator[Entry]:
    """All of them, for ever; the same each time, so that who compares need not have kept them."""
    numbers = count(1)
    for cards in count():
        first = cards * NEW_CARDS
        made = generate(NEW_CARDS, cards=CARDS, seed=seed + first, rate=EVENTS_PER_S)
        made.card[:] += cards * 1_000_000
        made.ts[:] += first * 1000 // EVENTS_PER_S
        texts = (line for block in lines(made) for line in block.splitlines())
        while part := list(islice(texts, LINES)):
            yield STREAMS[0], f"{next(numbers)}-1", b"\n".join(part)
