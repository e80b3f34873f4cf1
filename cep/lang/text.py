"""The text of one rule file, and places in it.

A place is a pair of character offsets. Nodes of the syntax tree carry places, which are cheap; a `Span` with lines and
columns is made only where a person will read it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from cep.errors import Span

Place = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A file's name and content; `starts` holds the offset at which each line begins."""

    name: str
    content: str
    starts: tuple[int, ...]

    @staticmethod
    def of(name: str, content: str) -> Text:
        """The text of a file, with its lines found."""
        lengths = (len(line) + 1 for line in content.split("\n")[:-1])
        return Text(name, content, (0, *accumulate(lengths)))

    def span(self, place: Place) -> Span:
        """The place as lines and columns, both from 1."""
        start = min(place[0], len(self.content))
        end = max(start, min(place[1], len(self.content)))
        line, end_line = bisect_right(self.starts, start), bisect_right(self.starts, end)
        return Span(self.name, line, start - self.starts[line - 1] + 1, end_line, end - self.starts[end_line - 1] + 1)
