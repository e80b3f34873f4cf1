"""The state machines under test: one that shows every mistake, and the real one with a few rules."""

from __future__ import annotations

import ast
import functools
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from hashlib import blake2b

from cep.adapters.cli.detector import detector_of
from cep.compile.program import compile_rules
from cep.delivery.outcome import Outcome
from cep.delivery.runtime import Detector
from cep.lang import check_texts
from cep.layout.program import Program
from cep.ports import BadEvent, Entries, Frozen, LateEvent

STREAMS = ("payments", "visits")
_RULES = """
stream payments time ts late 5s
stream visits time ts late 5s
event txn from payments (card text, amount money)
event visit from visits (card text)
rule spree by card within 1m
  when 3 txn where amount > 10
  alert high "{card}"
rule seen by card within 2m
  when visit then txn where amount > 50
  alert low "{card}"
"""


class Digests:
    """Its state is a digest of all that each stream brought, so an entry lost, doubled or changed changes all alerts.

    look: is shown what is about to be applied, which may be the end of the process.
    """

    def __init__(self, look: Callable[[bytes], None] = lambda content: None) -> None:
        self._look = look
        self.state: dict[int, bytes] = {}
        self.time = b""

    def prepare(self, entries: Entries) -> None:
        pass

    def apply(self, batch: Sequence[Entries], idle: frozenset[int] = frozenset()) -> Outcome:
        outcome, shadow = Outcome(), set()
        for stream in {entries.stream for entries in batch} if idle else ():  # once, in however many parts they come
            self.state[stream] = _digest(self.state.get(stream, self.time) + repr(sorted(idle)).encode())
        for entries in batch:
            stream = entries.stream
            state = self.state.get(stream, self.time)
            for row, fields in enumerate(entries.fields):
                self._look(fields[1])
                state = _digest(state + fields[1])
                outcome.events += 1
                if state[0] < 80:
                    if state[1] < 40:
                        shadow.add(len(outcome.alerts))
                    outcome.alerts.append(state.hex().encode())
                elif state[0] < 100:
                    outcome.bad.append(BadEvent(stream, entries.id(row), 0, "json", "", "", state))
                elif state[0] < 120:
                    outcome.late.append(LateEvent(stream, entries.id(row), 0, state))
            self.state[stream] = state
        outcome.shadow = frozenset(shadow)
        return outcome

    def advance(self, idle: frozenset[int], until_us: int | None) -> Outcome:
        self.time = _digest(self.time + repr((sorted(idle), until_us)).encode())
        self.state = {stream: _digest(state + self.time) for stream, state in self.state.items()}
        return Outcome(alerts=[self.time.hex().encode()])

    def time_after(self, silent_us: int) -> int | None:
        return silent_us if self.state else None

    def put_aside(self, batch: Sequence[Entries], reason: str) -> Outcome:
        return Outcome(bad=[BadEvent(e.stream, e.id(0), 0, reason, "", "", e.fields[0][1]) for e in batch])

    def freeze(self) -> Frozen:
        return nullcontext(repr((sorted(self.state.items()), self.time)).encode())

    def load(self, data: bytes | None) -> None:
        states, self.time = ast.literal_eval(data.decode()) if data else ((), b"")
        self.state = dict(states)

    def take_over(self, other: Digests) -> None:
        self.state, self.time = other.state, other.time


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


@functools.cache
def program() -> Program:
    """The real rules, compiled once."""
    checked = check_texts({"rules.cep": _RULES})
    assert checked.ruleset is not None
    return compile_rules(checked.ruleset)


def real() -> Detector:
    return detector_of(program())


def event_of(rng: random.Random, number: int, stream: int) -> list[bytes]:
    """An entry for either; now and then one that is late, that cannot be read, or that has fields of its own."""
    draw = rng.random()
    ts = 1000 + number * 3 - (30 if draw < 0.1 else 0)
    card, amount = rng.choice("abc"), rng.randrange(1, 80)
    if draw > 0.95:
        return [b"event", b'{"number":%d' % number]
    if draw > 0.9:
        fields = {"number": number, "ts": ts, "card": card, "amount": amount}
        return [str(word).encode() for pair in fields.items() for word in pair]
    money = b',"amount":%d' % amount if stream == 0 else b""
    return [b"event", b'{"number":%d,"ts":%d,"card":"%s"%s}' % (number, ts, card.encode(), money)]
