"""Text → syntax tree. A mistake costs the declaration it stands in: parsing goes on at the next one.

Limits come first, so that no file, however broken, is slow: size, line length and the depth of brackets are looked at
before the grammar is.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cep.lang import ast
from cep.lang.report import Page
from cep.lang.syntax import DECLARATION_WORDS, Mistake, explained
from cep.lang.text import Text

if TYPE_CHECKING:
    from lark import Lark
    from lark.lexer import TerminalDef

LONGEST_FILE = 8_000_000
LONGEST_LINE = 10_000
LONGEST_DECLARATION = 20_000  # save for lists and tests, which are as long as they are
DEEPEST_BRACKETS = 64
MOST_ERRORS = 50

_BEGIN = re.compile(rf"^[ \t]*({'|'.join(DECLARATION_WORDS)})\b(?:[ \t]+([^\W\d]\w*|`[^`\n]+`))?", re.MULTILINE)
_BRACKETS = re.compile(
    r'"(?:[^"\\\n]|\\.)*"|#[^\n]*|(?P<open>[(\[{])|(?P<close>[)\]}])'
    rf"|(?P<begin>^[ \t]*(?:{'|'.join(DECLARATION_WORDS)})\b)",
    re.MULTILINE,
)
_UNSEEN = re.compile(r"\s+|#[^\n]*")
_LONG_LINE = re.compile(rf"[^\n]{{{LONGEST_LINE + 1}}}")


def grammar_text() -> str:
    """The grammar: beside this package when installed, at the project's root when run from there."""
    package = Path(__file__).parents[1]
    shipped = package / "grammar.lark"
    return (shipped if shipped.is_file() else package.parent / "grammar.lark").read_text("utf-8")


@lru_cache(maxsize=1)
def parser() -> Lark:
    """The parser with its tables, which are kept in the user's cache directory when there is one to write to."""
    from lark import Lark

    from cep.lang.build import builder

    grammar = grammar_text()
    return Lark(
        grammar,
        parser="lalr",
        start=["file", "expr"],
        maybe_placeholders=True,
        edit_terminals=whole_word,
        transformer=builder(),
        cache=cache_file(grammar) or False,
    )


def whole_word(terminal: TerminalDef) -> None:
    """Make a keyword match whole words only, and win over a name where the grammar asks for it."""
    from lark.lexer import PatternRE, PatternStr

    if isinstance(terminal.pattern, PatternStr) and terminal.pattern.value[0].isalpha():
        terminal.pattern = PatternRE(terminal.pattern.value + r"(?!\w)")
        terminal.priority = 3


def cache_file(grammar: str, what: str = "grammar") -> str | None:
    """Where the tables of a parser of this grammar are kept; None when nothing can be written there."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(home, "cep")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError:
        return None
    digest = hashlib.blake2b(grammar.encode(), digest_size=8).hexdigest()
    return os.path.join(folder, f"{what}-{digest}.tables") if os.access(folder, os.W_OK) else None


def parse(text: Text, page: Page) -> ast.File:
    """The declarations of a file that are well formed; every other one is reported once."""
    if not _within_limits(text, page):
        return ast.File(text, (), _names_in(text.content))
    content = text.content
    declarations: list[ast.Declaration] = []
    broken: set[str] = set()
    start = 0
    for _ in range(MOST_ERRORS):
        found, mistake = _attempt(content, start, len(content), "file")
        if mistake is None:
            return ast.File(text, (*declarations, *found), frozenset(broken))
        begin, resume = _around(content, start, mistake.at[0])
        found, incomplete = _attempt(content, start, begin, "file")
        if incomplete is not None:  # the declaration before wanted more, and took this one's first word for its own
            mistake, resume = incomplete.before(content, begin), begin
            begin, _ = _around(content, start, begin)
            found, _ = _attempt(content, start, begin, "file")
        page.error(mistake.code, mistake.at, mistake.message, mistake.hint)
        declarations += found
        broken |= _names_in(content[begin:resume])
        start = resume
    return ast.File(text, tuple(declarations), frozenset(broken | _names_in(content[start:])))


def parse_expression(content: str, page: Page, offset: int) -> ast.Expr | None:
    """An expression on its own, as in a message, that begins at `offset` of the page; None when it was reported."""
    from cep.lang.rewrite import moved

    found, mistake = _expression(content)
    if mistake is not None:
        at = (mistake.at[0] + offset, mistake.at[1] + offset)
        page.error(mistake.code, at, mistake.message, mistake.hint)
        return None
    expression: ast.Expr = found
    return moved(expression, offset)


@lru_cache(maxsize=4096)
def _expression(content: str) -> tuple[Any, Mistake | None]:
    """What an expression on its own is, or why it is none. Messages say the same things again and again."""
    return _attempt(content, 0, len(content), "expr")


def _attempt(content: str, start: int, end: int, symbol: str) -> tuple[Any, Mistake | None]:
    """What a part of the content is, or why it is not what `symbol` asks for."""
    from lark import TextSlice
    from lark.exceptions import UnexpectedInput

    from cep.lang.build import BuildError

    lark = parser()
    try:
        return lark.parse(TextSlice(content, start, end), start=symbol), None
    except BuildError as error:
        return (), Mistake(error.code, error.at, error.message)
    except UnexpectedInput as error:
        return (), explained(error, content, end, lark)


def _around(content: str, start: int, at: int) -> tuple[int, int]:
    """Where the declaration that holds the error begins, and where the next one does."""
    begin = start
    for match in _BEGIN.finditer(content, start):
        place = match.start(1)
        if place >= at and place > start:
            return begin, place
        begin = place
    return begin, len(content)


def _names_in(content: str) -> frozenset[str]:
    """The names that a text would have declared."""
    return frozenset(match[2].strip("`") for match in _BEGIN.finditer(content) if match[2])


def _within_limits(text: Text, page: Page) -> bool:
    content = text.content
    if len(content) > LONGEST_FILE:
        page.error("CEP102", (0, 1), f"the file is longer than {LONGEST_FILE:,} characters", "split it")
        return False
    if "\0" in content:
        page.error("CEP101", (content.index("\0"),) * 2, "this is not a text file", "rule files are UTF-8 text")
        return False
    if match := _LONG_LINE.search(content):
        at = (match.start(), match.start() + 1)
        page.error(
            "CEP102",
            at,
            f"the line is longer than {LONGEST_LINE:,} characters",
            'a long list fits in a file: list NAME from "file.txt"',
        )
        return False
    if (begin := _long_declaration(content)) is not None:
        page.error(
            "CEP102",
            (begin, begin + 1),
            f"the declaration is longer than {LONGEST_DECLARATION:,} characters",
            "give parts of it a name: let NAME = …",
        )
        return False
    depth = 0
    for match in _BRACKETS.finditer(content):
        if match.lastgroup == "open":
            depth += 1
            if depth > DEEPEST_BRACKETS:
                page.error("CEP102", match.span(), f"brackets may be nested at most {DEEPEST_BRACKETS} deep")
                return False
        elif match.lastgroup == "close":
            depth = max(0, depth - 1)
        elif match.lastgroup == "begin":
            depth = 0
    return True


def _long_declaration(content: str) -> int | None:
    """Where a declaration begins that is too long to be looked at, comments and blanks not counted."""
    if len(content) <= LONGEST_DECLARATION:
        return None
    begins = [(match.start(1), match[1]) for match in _BEGIN.finditer(content)]
    for (begin, word), (end, _) in pairwise([(0, ""), *begins, (len(content), "")]):
        if word in ("list", "test") or end - begin <= LONGEST_DECLARATION:
            continue
        if len(_UNSEEN.sub("", content[begin:end])) > LONGEST_DECLARATION:
            return begin
    return None
