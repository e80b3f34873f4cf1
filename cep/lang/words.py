"""The words of a rule file as they were written: every token, the production it belongs to, the comments around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from cep.lang.parse import cache_file, grammar_text, whole_word

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

_MAY_END_IN_COMMA = ("fields", "set", "object")


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on a line of its own; `indented`: not in the first column."""

    text: str
    indented: bool
    after_blank: bool


@dataclass(slots=True)
class Word:
    """A token, where it was written. The empty word at the end of a file holds the comments before it.

    depth: how many productions it lies in. leads: it is the first word of its production. above: the comments on lines
    before it; behind: the comment after it on its line. after_newline, after_blank: what stands right before it.
    """

    text: str
    production: str
    depth: int
    leads: bool
    above: list[Comment] = field(default_factory=list)
    behind: str = ""
    after_newline: bool = False
    after_blank: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A production as written: the words from `first` up to `end`, and the productions directly in it."""

    production: str
    first: int
    end: int
    below: tuple[Node, ...]


def read(content: str) -> tuple[list[Word], Node]:
    """The words of a file that parses, and its productions. A comma before a closing bracket is passed over."""
    reading = _Reading(content)
    node = reading.walk(_parser().parse(content), 1)
    reading.word(Word("", "file", 1, True), len(content) + 1, len(content) + 1)
    return reading.words, node


@lru_cache(maxsize=1)
def _parser() -> Lark:
    """The parser that keeps every token."""
    from lark import Lark

    grammar = grammar_text()
    return Lark(
        grammar,
        parser="lalr",
        start="file",
        keep_all_tokens=True,
        maybe_placeholders=False,
        edit_terminals=whole_word,
        cache=cache_file(grammar, "words") or False,
    )


class _Reading:
    """The words so far, and how far the file has been read."""

    def __init__(self, content: str) -> None:
        self._content = content + "\n"
        self._reached = 0
        self._gap = ""  # what stands before the next word
        self.words: list[Word] = []

    def walk(self, tree: Tree[Token], depth: int) -> Node:
        """Take a production's words. The builder has refused what is too deep to be walked."""
        from lark import Tree

        first, production = len(self.words), str(tree.data)
        below = []
        for child in tree.children:
            if isinstance(child, Tree):
                below.append(self.walk(child, depth + 1))
                continue
            assert child.start_pos is not None
            assert child.end_pos is not None
            if _is_idle(child, tree):
                self._pass(child.start_pos, child.end_pos)
            else:
                word = Word(str(child), production, depth, len(self.words) == first)
                self.word(word, child.start_pos, child.end_pos)
        return Node(production, first, len(self.words), tuple(below))

    def word(self, word: Word, start: int, end: int) -> None:
        """Take a word with what stands between it and the one before."""
        self._pass(start, end)
        lines, self._gap = self._gap.split("\n"), ""
        if self.words:
            self.words[-1].behind = lines.pop(0).strip()
        for line in lines[:-1]:
            text = line.strip()
            if text:
                word.above.append(Comment(text, line[0].isspace(), word.after_blank))
            word.after_blank = not text
        word.after_newline = bool(lines)
        self.words.append(word)

    def _pass(self, start: int, end: int) -> None:
        """Go on behind a token that is not kept for what it says."""
        self._gap += self._content[self._reached : start]
        self._reached = end


def _is_idle(token: Token, parent: Tree[Token]) -> bool:
    """Whether it is a comma that nothing follows."""
    parts = parent.children
    return token == "," and parent.data in _MAY_END_IN_COMMA and len(parts) > 2 and parts[-2] is token
