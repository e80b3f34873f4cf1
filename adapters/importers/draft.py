"""A rule file in the making, which importers fill.

The rule it keeps: what cannot be carried over is never dropped silently; it becomes a note in the file, where it
belongs, and for the user.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import PurePath

from cep.adapters.importers.writing import Said, name, path, snake, string
from cep.lang.format import formatted
from cep.lang.report import Report
from cep.lang.text import Text

_TEXT = "text"


class NotCarried(Exception):  # noqa: N818  # no error: a reason
    """Something has no counterpart in the rule language; the message says what, in a few words."""


@dataclass(slots=True)
class DraftEvent:
    """A root event. `wire` is its type where that is no name; fields are known by what they were called."""

    name: str
    wire: str | None = None
    kinds: dict[str, str | None] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    def learn(self, source: str, kind: str | None = None) -> None:
        """The event has this field, which is used as if it were of this kind."""
        before = self.kinds.setdefault(source, None)
        self.kinds[source] = _joined(before, kind)
        if source not in self.words:
            word = snake(source) or "field"
            taken = set(self.words.values()) | {"time"}
            self.words[source] = word if word not in taken else _unused(f"{word}_field", taken)

    def kind(self, source: str) -> str:
        """The kind that suits every use of a field; text where nothing is known."""
        return self.kinds[source] or _TEXT

    def field(self, source: str) -> Said:
        """How rules call the field."""
        return Said(name(self.words[source]))

    def declaration(self, stream: str) -> str:
        """`event NAME from STREAM (…)`."""
        shown = []
        if not self.kinds:
            self.learn("id")  # an event has at least one field
        for source in self.kinds:
            word = self.words[source]
            at = f" at {path(source.split('.'))}" if word != source else ""
            shown.append(f"{name(word)} {self.kind(source)}{at}")
        wire = f" {string(self.wire)}" if self.wire is not None else ""
        return f"event {name(self.name)}{wire} from {name(stream)} ({', '.join(shown)})"


@dataclass(slots=True)
class Draft:
    """What is written in the end: the stream, its events, then blocks of refinements and rules, each with its notes.

    origins: the files that were read. lost: how many rules could not be carried over at all.
    """

    origins: Iterable[str]
    stream: str
    events: dict[str, DraftEvent] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    blocks: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rules: int = 0
    lost: int = 0
    _names: set[str] = field(default_factory=set)
    _alike: list[tuple[DraftEvent, str, DraftEvent, str]] = field(default_factory=list)

    def unused(self, wanted: str) -> str:
        """A name that nothing in the file has; it is taken now."""
        word = _unused(snake(wanted) or "imported", self._names)
        self._names.add(word)
        return word

    def event(self, source: str) -> DraftEvent:
        """The root event of what the source calls so; it is made at its first use."""
        if source not in self.events:
            word = self.unused(source)
            self.events[source] = DraftEvent(word, source if source != word else None)
        return self.events[source]

    def alike(self, one: DraftEvent, field: str, other: DraftEvent, its: str) -> None:
        """Two fields that are compared, or are the same part of a key, are of one kind."""
        self._alike.append((one, field, other, its))

    def settle(self) -> None:
        """Let every field learn what is known of the ones that it is like; kinds only widen, so this ends."""
        before = None
        while before != (before := [event.kinds.copy() for event in self.events.values()]):
            for one, source, other, its in self._alike:
                one.learn(source, other.kinds[its])
                other.learn(its, one.kinds[source])

    def note(self, about: str, what: str) -> str:
        """Tell the user; the comment that says the same in the file."""
        self.notes.append(f"{about}: {what}")
        return f"# note: {what}"

    def rule(self, lines: Sequence[str]) -> None:
        """A rule, with the comments above it."""
        self.rules += 1
        self.blocks.append(list(lines))

    @contextmanager
    def attempt(self, about: str) -> Iterator[None]:
        """Write a rule, or take back all that was done for it once it turns out that it cannot be carried over."""
        before = deepcopy((self.events, self.notes, self._names, self._alike))
        try:
            yield
        except NotCarried as reason:
            self.events, self.notes, self._names, self._alike = before
            self.lose(about, str(reason))

    def lose(self, about: str, reason: str) -> None:
        """A rule that cannot be carried over."""
        self.lost += 1
        self.blocks.append([f"# {_line(about)}", self.note(about, f"not carried over: {reason}")])

    def text(self) -> str:
        """The file, in the formatter's layout."""
        head = [f"# Imported from {_line(', '.join(PurePath(origin).name for origin in self.origins))}."]
        head += [f"# {line}" for line in self.remarks]
        declarations = [event.declaration(self.stream.split()[0].strip("`")) for event in self.events.values()]
        blocks = [head, [f"stream {self.stream}", *declarations]] if declarations else [head]
        text = "\n\n".join("\n".join(block) for block in (*blocks, *self.blocks)) + "\n"
        return formatted(Text.of("", text), Report()) or text


def comment(label: str, value: object) -> list[str]:
    """A remark of the source as a comment; nothing where there is none."""
    if value in (None, "", [], {}):
        return []
    values = [str(item) for item in value] if isinstance(value, list) else [str(value)]
    return [f"# {label}: {_line(', '.join(values))}"]


def _line(text: str) -> str:
    return " ".join(text.split())


def _unused(word: str, taken: set[str]) -> str:
    if word not in taken:
        return word
    return next(other for n in range(2, len(taken) + 3) if (other := f"{word}_{n}") not in taken)


def _joined(a: str | None, b: str | None) -> str | None:
    """The kind that is good for both uses: whole numbers are numbers, and anything can be read as text."""
    if a is None or b is None or a == b:
        return a or b
    return "number" if {a, b} == {"integer", "number"} else _TEXT
