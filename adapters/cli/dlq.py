"""`cep dlq`: what could not be read, and sending it again once the rules, or the world, can.

A letter says where its event stood. It is fetched from there, as it came, appended to the same stream once more, and
the letter is gone; if it cannot be read again, another comes. Every letter is a producer of its own, so one that is
replayed twice, as by two people, is appended once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from cep.adapters.cli.address import Address, unreached
from cep.adapters.cli.console import FAILED, OK, CommandError, counted, say, tally
from cep.adapters.redis.keys import Keys
from cep.adapters.redis.producer import RedisOutlet
from cep.adapters.redis.session import Session
from cep.decoding.arrow import ArrowError, is_arrow, table_of
from cep.decoding.documents import documents_in
from cep.decoding.entries import EXCERPT_BYTES
from cep.ports import LogError
from cep.producer import Batch

_COUNT = 1000
_WHOLE = "poison"  # the reason of letters that stand for an entry, whatever is in it


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters: those with some ids, of some reason, of some stream; by default all."""

    ids: Sequence[str] = ()
    reason: str | None = None
    stream: str | None = None
    limit: int | None = None

    def has(self, letter: Letter) -> bool:
        """Whether a letter is among them."""
        is_named = not self.ids or letter.id in self.ids
        return is_named and self.reason in (None, letter.reason) and self.stream in (None, letter.stream)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. box: the stream that it lies in. count: of the events that it stands for."""

    box: str
    id: str
    stream: str
    entry: str
    index: int
    reason: str
    path: str
    detail: str
    count: int
    excerpt: bytes

    @classmethod
    def of(cls, box: str, entry: bytes, words: Sequence[bytes]) -> Letter:
        """From an entry of the box."""
        fields = dict(zip(words[::2], words[1::2], strict=True))
        stream, at, index, reason, path, detail, count = (
            fields.get(name, b"").decode(errors="replace")
            for name in (b"stream", b"id", b"index", b"reason", b"path", b"detail", b"count")
        )
        excerpt = fields.get(b"excerpt", b"")
        return cls(box, entry.decode(), stream, at, int(index or 0), reason, path, detail, int(count or 1), excerpt)

    def as_json(self) -> str:
        """One line for people and programs."""
        names = ("id", "stream", "entry", "index", "reason", "path", "detail", "count")
        document = {name: getattr(self, name) for name in names}
        return json.dumps(document | {"excerpt": self.excerpt.decode(errors="replace")}, ensure_ascii=False)


class Box:
    """The dead letters of a group, of all its partitions."""

    def __init__(self, address: Address, alerts: str, partitions: int | None) -> None:
        places = range(partitions) if partitions else (None,)
        self._keys = [Keys("", alerts, partition).outputs()[1] for partition in places]
        self._connect = partial(Session, address.url())
        self._session = self._connect()

    def letters(self, choice: Choice) -> Iterator[Letter]:
        """Those of a choice, oldest first in each partition."""
        found = 0
        for key in self._keys:
            after = "-"
            while entries := self._session.call("XRANGE", key, after, "+", "COUNT", _COUNT):
                after = f"({entries[-1][0].decode()}"
                for letter in (Letter.of(key, entry, words) for entry, words in entries):
                    if choice.has(letter) and (choice.limit is None or found < choice.limit):
                        found += 1
                        yield letter

    def send_again(self, letter: Letter) -> str:
        """Append a letter's event once more; "sent", or why not."""
        entry = self._event(letter)
        if entry is None:
            return "gone from their stream"
        if letter.count > 1:
            return "several events in one letter"
        outlet = RedisOutlet(self._connect, [letter.stream], f"dlq:{letter.box}:{letter.id}")
        try:
            outlet.append([Batch(0, 1, 1, (tuple(entry),), 0)])
        finally:
            outlet.close()
        self._session.call("XDEL", letter.box, letter.id)
        return "sent"

    def _event(self, letter: Letter) -> Sequence[bytes] | None:
        """The fields of the entry that it would be if it had come alone; None where it is gone."""
        entries = self._session.call("XRANGE", letter.stream, letter.entry, letter.entry)
        if not entries:
            is_whole = 0 < len(letter.excerpt) < EXCERPT_BYTES
            return [b"event", letter.excerpt] if is_whole else None
        fields: Sequence[bytes] = entries[0][1]
        if len(fields) != 2 or letter.reason == _WHOLE:
            return fields
        if is_arrow(fields[1]):
            return _row(fields, letter.index)
        documents = documents_in(fields[1])
        return [fields[0], documents[letter.index]] if letter.index < len(documents) else fields


def _row(fields: Sequence[bytes], index: int) -> Sequence[bytes]:
    """One row of a table, as a table; one that is damaged as it is."""
    try:
        table = table_of(fields[1]).table
    except ArrowError:
        return fields
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table.slice(index, 1))
    return [fields[0], sink.getvalue().to_pybytes()]


def list_letters(address: Address, alerts: str, partitions: int | None) -> int:
    """How many there are, by stream and reason."""
    letters, events = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for letter in _all(address, alerts, partitions, Choice()):
        letters[letter.stream, letter.reason] += 1
        events[letter.stream, letter.reason] += letter.count
    width = max((len(stream) for stream, _ in letters), default=0)
    for stream, reason in sorted(letters):
        count = letters[stream, reason]
        print(f"{stream:<{width}}  {reason:<10}  {count:>9,} letters  {events[stream, reason]:>9,} events")
    if not letters:
        say("there are no dead letters")
    return OK


def show_letters(address: Address, alerts: str, partitions: int | None, choice: Choice) -> int:
    """The letters, one JSON object a line."""
    for letter in _all(address, alerts, partitions, choice):
        print(letter.as_json())
    return OK


def replay_letters(address: Address, alerts: str, partitions: int | None, choice: Choice) -> int:
    """Send the events of letters again; what became of them on stderr."""
    results = Counter[str]()
    try:
        box = Box(address, alerts, partitions)
        for letter in list(box.letters(choice)):
            results[box.send_again(letter)] += 1
    except LogError as error:
        so_far = tally(results) or "nothing yet"
        raise CommandError(f"{error}: {so_far}; what is left can be sent again", FAILED) from error
    say(f"{counted(results.total(), 'letter')}: {tally(results)}" if results else "there are no such letters")
    return OK


def _all(address: Address, alerts: str, partitions: int | None, choice: Choice) -> Iterator[Letter]:
    try:
        yield from Box(address, alerts, partitions).letters(choice)
    except LogError as error:
        raise unreached(error) from error
