"""The formatter: a rule file in its one layout.

Rules it keeps: only white space changes (and a comma before a closing bracket goes), so the tree stays the same; every
comment stays above or behind the word that it was written at; formatting twice is formatting once. What the author
wrote on one line stays there while it fits: a rule, a test, a trigger. Otherwise each of their clauses has its own.
Lines that are still too long are broken, the outermost production first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cep.lang.parse import parse
from cep.lang.report import Report
from cep.lang.text import Text
from cep.lang.words import Node, Word, read

WIDTH = 120
_INDENT, _HANG = 2, 4
_GAP, _COLUMN_MAX = 2, 80  # before a comment behind a line; longer lines do not push their neighbours' comments

_TIGHT_BEFORE = {",", ".", "..", ":", ")", "]", "}"}
_TIGHT_AFTER = {".", "..", "(", "[", "{"}
_TIGHT_IN = {("at_least", "+"), ("call", "("), ("parameters", "("), ("use", "("), ("lookup", "[")}
_HEAD = {"by", "by_any", "within", "mode", "active", "max"}
_HEADERS = {*_HEAD, "forget", "owner", "tags", "about"}
_TRIGGERS = {"when", "while"}
_LINKS = {"then", "then_each", "next"}
_PARTS = {*_LINKS, "hold", "until", "keep", "resume"}  # of a trigger: each begins a line
_BREAKS = frozenset("where and or if until for keep resume then next with over since + - * / %".split())  # noqa: SIM905


def formatted(text: Text, report: Report) -> str | None:
    """The file in its one layout; None when it does not parse, and the report says why."""
    page = Report().on(text)
    parse(text, page)
    if page.report.failed:
        for diagnostic in page.report.sorted():
            report.add(diagnostic)
        return None
    words, node = read(text.content)
    return "".join(f"{line}\n" for line in _Layout(words).lines(node))


@dataclass(slots=True)
class _Place:
    """How a word stands: blanks before it; the indentation when it begins a line; whether a line is set apart."""

    space: int
    indent: int | None = None
    apart: bool = False


@dataclass(frozen=True, slots=True)
class _Line:
    """A printed line and the comment behind it."""

    text: str
    behind: str = ""


_EMPTY = _Line("")


class _Layout:
    """The layout of one file under construction."""

    def __init__(self, words: Sequence[Word]) -> None:
        self._words = words
        self._places = [_Place(_space(a, b)) for a, b in pairwise([Word("", "", 0, True), *words])]

    def lines(self, file: Node) -> Iterator[str]:
        """The lines of the file, comments among them."""
        tall = False
        for declaration in file.below:
            place = self._places[declaration.first]
            place.indent = 0
            was_tall, tall = tall, self._declaration(declaration)
            place.apart = was_tall or tall
        self._places[-1].indent = 0
        paragraph: list[_Line] = []
        for line in self._printed():
            if line is not _EMPTY:
                paragraph.append(line)
            elif paragraph:
                yield from _aligned(paragraph)
                yield ""
                paragraph = []
        yield from _aligned(paragraph)

    # --------------------------------------------------------------------- where lines begin

    def _declaration(self, node: Node) -> bool:
        """Whether the declaration has its clauses on lines of their own."""
        if not self._is_broken(node, 0):
            return False
        match node.production:
            case "rule":
                self._rule(node, 0)
            case "template":
                rule = node.below[-1]
                self._begin(rule, _INDENT)
                self._rule(rule, _INDENT)
            case "test":
                self._test(node)
            case _:
                return False
        return True

    def _rule(self, node: Node, indent: int) -> None:
        own = False
        for clause in node.below:
            own = own or clause.production not in _HEAD
            if own:
                self._begin(clause, indent + _INDENT)
            if clause.production in _TRIGGERS and self._is_broken(clause, indent + _INDENT):
                self._trigger(clause, indent + _INDENT)

    def _trigger(self, node: Node, indent: int) -> None:
        parts = [*node.below, *(link for part in node.below if part.production == "sequence" for link in part.below)]
        for part in parts:
            if part.production in _PARTS:
                self._begin(part, indent)
        for k in range(node.first + 1, node.end):
            word = self._words[k]
            if word.production == "when" and word.text == "until":
                self._places[k].indent = indent

    def _test(self, node: Node) -> None:
        """Each moment on its line, and what happens then under each other."""
        times = [moment.first + 1 for moment in node.below if self._words[moment.first].text == "at"]
        width = max(len(self._words[k].text) for k in times)
        for k in times:
            self._places[k - 1].indent = _INDENT
            self._places[k + 1].space += width - len(self._words[k].text)

    def _begin(self, node: Node, indent: int) -> None:
        self._places[node.first].indent = indent

    def _is_broken(self, node: Node, indent: int) -> bool:
        """Whether the author wrote it on several lines, or it does not fit on one."""
        inner = range(node.first + 1, node.end)
        return any(self._words[k].after_newline for k in inner) or self._width(node.first, node.end, indent) > WIDTH

    def _width(self, first: int, end: int, indent: int) -> int:
        spaces = sum(self._places[k].space for k in range(first + 1, end))
        return indent + spaces + sum(len(self._words[k].text) for k in range(first, end))

    # ----------------------------------------------------------------------------- printing

    def _printed(self) -> Iterator[_Line]:
        begins = [k for k, place in enumerate(self._places) if place.indent is not None]
        for first, end in pairwise([*begins, len(self._words)]):
            indent = self._places[first].indent or 0
            yield from self._before(first, indent)
            if not self._words[first].text:
                return
            for at, part, behind in self._wrapped(first, end, indent, indent + _HANG):
                if part != first:
                    yield from (_Line(" " * at + comment.text) for comment in self._words[part].above)
                yield _Line(" " * at + self._text(part, behind), self._words[behind - 1].behind)

    def _before(self, first: int, indent: int) -> Iterator[_Line]:
        """The comments and the empty lines above a line; comments written under a declaration stay with it."""
        word = self._words[first]
        apart = self._places[first].apart
        under = first > 0 and indent == 0
        for comment in word.above:
            under = under and comment.indented
            if comment.after_blank or (apart and not under):
                yield _EMPTY
            apart = apart and under
            yield _Line(" " * (_INDENT if under else indent) + comment.text)
        if (word.after_blank or apart) and word.text:
            yield _EMPTY

    def _wrapped(self, first: int, end: int, indent: int, hang: int) -> list[tuple[int, int, int]]:
        """The lines (indentation, first word, end) that these words take."""
        inner = range(first + 1, end)
        cuts = [k for k in inner if self._words[k].above or self._words[k - 1].behind]
        fill = False
        if not cuts:
            if self._width(first, end, indent) <= WIDTH:
                return [(indent, first, end)]
            depths = {k: depth for k in inner if (depth := self._break_depth(k)) is not None}
            cuts = [k for k, depth in depths.items() if depth == min(depths.values())]
            fill = all(self._shares(k) for k in cuts)
        lines: list[tuple[int, int, int]] = []
        for part, behind in pairwise([first, *cuts, end]):
            at = hang if lines else indent
            if fill and lines and self._width(lines[-1][1], behind, lines[-1][0]) <= WIDTH:
                lines[-1] = (lines[-1][0], lines[-1][1], behind)
            elif part == first and behind == end:
                lines.append((at, part, behind))
            else:
                lines += self._wrapped(part, behind, at, hang)
        return lines

    def _break_depth(self, k: int) -> int | None:
        """How deep the production lies that a break before this word would part; None where there can be none."""
        word = self._words[k]
        if self._words[k - 1].text == ",":
            return self._words[k - 1].depth
        if self._shares(k) or (word.text in _BREAKS and word.production not in ("minus", "at_least")):
            return word.depth
        return None

    def _shares(self, k: int) -> bool:
        """Whether what begins here shares its line with others: the items of a list, the headers of a rule."""
        word = self._words[k]
        return self._words[k - 1].text == "," or (word.leads and word.production in _HEADERS)

    def _text(self, first: int, end: int) -> str:
        spaced = (" " * self._places[k].space + self._words[k].text for k in range(first + 1, end))
        return "".join([self._words[first].text, *spaced])


def _space(before: Word, word: Word) -> int:
    """How far a word stands from the one before."""
    tight = before.text in _TIGHT_AFTER or word.text in _TIGHT_BEFORE or (word.production, word.text) in _TIGHT_IN
    return int(not tight and (before.production, before.text) != ("minus", "-"))


def _aligned(paragraph: Sequence[_Line]) -> Iterator[str]:
    """Lines with the comments behind them under each other."""
    widths = [len(line.text) for line in paragraph if line.behind]
    column = max((width for width in widths if width <= _COLUMN_MAX), default=0)
    for line in paragraph:
        yield f"{line.text:<{column}}{' ' * _GAP}{line.behind}" if line.behind else line.text
