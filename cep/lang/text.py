"""The text of one rule file, and places in it.

A place is a pair of character offsets. Nodes of the syntax tree carry places, which are cheap; a `Span` with lines and
columns is made only where a person will read it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from cep.errors import Span

Place = tuple[int, int]

_LINE_END = re.compile("\n")


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A file's name and content; `starts` holds the offset at which each line begins."""

    name: str
    content: str
    starts: tuple[int, ...]

    @staticmethod
    def of(name: str, content: str) -> Text:
        """The text of a file, with its lines found."""
        return Text(name, content, (0, *(m.end() for m in _LINE_END.finditer(content))))

    def span(self, place: Place) -> Span:
        """The place as lines and columns, both from 1."""
        start = min(place[0], len(self.content))
        end = max(start, min(place[1], len(self.content)))
        line, end_line = bisect_right(self.starts, start), bisect_right(self.starts, end)
        return Span(self.name, line, start - self.starts[line - 1] + 1, end_line, end - self.starts[end_line - 1] + 1)
