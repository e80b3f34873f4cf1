"""Text → syntax tree. A mistake costs the declaration it stands in: parsing goes on at the next one.

Limits come first, so that no file, however broken, is slow: size, line length and the depth of brackets are looked at
before the grammar is.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cep.lang import ast
from cep.lang.report import Page, listed, nearest
from cep.lang.text import Place, Text

if TYPE_CHECKING:
    from lark import Lark, Token
    from lark.exceptions import UnexpectedInput
    from lark.lexer import TerminalDef

LONGEST_FILE = 8_000_000
LONGEST_LINE = 10_000
DEEPEST_BRACKETS = 100
MOST_ERRORS = 50

DECLARATION_WORDS = (
    "import stream event let list table roster function model schedule template use rule test".split()  # noqa: SIM905
)
_BEGIN = re.compile(rf"^[ \t]*({'|'.join(DECLARATION_WORDS)})\b(?:[ \t]+([^\W\d]\w*|`[^`\n]+`))?", re.MULTILINE)
_BRACKETS = re.compile(
    r'"(?:[^"\\\n]|\\.)*"|#[^\n]*|(?P<open>[(\[{])|(?P<close>[)\]}])'
    rf"|(?P<begin>^[ \t]*(?:{'|'.join(DECLARATION_WORDS)})\b)",
    re.MULTILINE,
)
_LONG_LINE = re.compile(rf"[^\n]{{{LONGEST_LINE + 1}}}")
_OPERATORS = frozenset(
    "PLUS MINUS STAR SLASH PERCENT COMPARE IN NOT BETWEEN MATCHES STARTS ENDS CONTAINS AND OR".split()  # noqa: SIM905
)
_PLAIN = {
    "NAME": "a name",
    "STRING": "a string in double quotes",
    "INT": "a whole number",
    "NUMBER": "a number",
    "DURATION": "a duration such as 10m",
    "$END": "the end of the file",
    "__DOT2": '".."',
}
_HABITS = {
    "=": 'two values are compared with "=="',
    "&": 'write "and"',
    "|": 'write "or"',
    "!": 'write "not", or "!=" to compare',
    "'": "strings stand in double quotes",
    ";": "clauses need no semicolon",
    "/": 'a comment begins with "#"',
}


def grammar_text() -> str:
    """The grammar: beside this package when installed, at the project's root when run from there."""
    shipped = resources.files("cep") / "grammar.lark"
    return (shipped if shipped.is_file() else Path(__file__).parents[2] / "grammar.lark").read_text("utf-8")


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
        cache=_cache_file(grammar) or False,
    )


def whole_word(terminal: TerminalDef) -> None:
    """Make a keyword match whole words only, and win over a name where the grammar asks for it."""
    from lark.lexer import PatternRE, PatternStr

    if isinstance(terminal.pattern, PatternStr) and terminal.pattern.value[0].isalpha():
        terminal.pattern = PatternRE(terminal.pattern.value + r"(?!\w)")
        terminal.priority = 3


def _cache_file(grammar: str) -> str | None:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(home, "cep")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError:
        return None
    digest = hashlib.blake2b(grammar.encode(), digest_size=8).hexdigest()
    return os.path.join(folder, f"grammar-{digest}.tables") if os.access(folder, os.W_OK) else None


def parse(text: Text, page: Page) -> ast.File:
    """The declarations of a file that are well formed; every other one is reported once."""
    if not _within_limits(text, page):
        return ast.File(text, (), _names_in(text.content))
    declarations: list[ast.Declaration] = []
    broken: set[str] = set()
    start, errors = 0, 0
    while start < len(text.content) and errors < MOST_ERRORS:
        found, error = _attempt(text.content, start, len(text.content), "file")
        if error is None:
            declarations += found
            break
        errors += 1
        at = _report(error, text, page)
        begin, resume = _around(text.content, start, at[0])
        if begin > start:
            declarations += _attempt(text.content, start, begin, "file")[0]
        broken |= _names_in(text.content[begin:resume])
        start = resume
    if errors == MOST_ERRORS:
        broken |= _names_in(text.content[start:])
    return ast.File(text, tuple(declarations), frozenset(broken))


def parse_expression(text: Text, place: Place, page: Page) -> ast.Expr | None:
    """The one expression that stands at `place`, as in a template; None when it was reported."""
    found, error = _attempt(text.content, place[0], place[1], "expr")
    if error is not None:
        _report(error, text, page, place[1])
        return None
    expression: ast.Expr = found
    return expression


def _attempt(content: str, start: int, end: int, symbol: str) -> tuple[Any, Exception | None]:
    from lark import TextSlice
    from lark.exceptions import UnexpectedInput

    from cep.lang.build import BuildError

    try:
        return parser().parse(TextSlice(content, start, end), start=symbol), None
    except (UnexpectedInput, BuildError) as error:
        return (), error


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


# ------------------------------------------------------------------------------------- messages


def _report(error: Exception, text: Text, page: Page, end: int | None = None) -> Place:
    """Say what is wrong in the author's words; gives the place."""
    from lark.exceptions import UnexpectedToken

    from cep.lang.build import BuildError

    if isinstance(error, BuildError):
        page.error(error.code, error.at, error.message)
        return error.at
    if isinstance(error, UnexpectedToken):
        return _unexpected_token(error.token, set(error.expected), text, page, end)
    return _unexpected_character(error, text, page)  # type: ignore[arg-type]


def _unexpected_token(token: Token, expected: set[str], text: Text, page: Page, end: int | None) -> Place:
    if token.type == "$END":
        stop = len(text.content) if end is None else end
        at = (_last_visible(text.content, stop), stop)
        page.error("CEP103", at, f"the {'file' if end is None else 'expression'} ends too early", _expected(expected))
        return at
    assert token.start_pos is not None
    at = (token.start_pos, token.start_pos + len(token))
    shown = token if len(token) <= 40 else token[:37] + "..."
    before = text.content[at[0] - 1 : at[0]]
    if before.isdigit() and token[0].isalpha():
        page.error("CEP106", at, f'"{shown}" is no unit of time', "units are us, ms, s, m, h, d and w, as in 10m")
    elif token in DECLARATION_WORDS and "NAME" not in expected:
        page.error("CEP103", at, f'what stands before "{shown}" is not complete', _expected(expected))
    elif "NAME" not in expected and (token[0].isalpha() or token[0] in "_`"):
        hint = nearest(token, (_shown_word(name) for name in expected)) or _expected(expected)
        page.error("CEP104", at, f'the word "{shown}" cannot stand here', hint)
    else:
        page.error("CEP103", at, f'"{shown}" cannot stand here', _habit(token, expected) or _expected(expected))
    return at


def _unexpected_character(error: UnexpectedInput, text: Text, page: Page) -> Place:
    start = error.pos_in_stream or 0
    at = (start, start + 1)
    character = text.content[start : start + 1]
    if character == '"':
        line_end = text.content.find("\n", start)
        at = (start, len(text.content) if line_end < 0 else line_end)
        page.error(
            "CEP105", at, "the string is not closed on its line", 'close it with a double quote; inside it write \\"'
        )
    elif character == "`":
        page.error("CEP105", at, "the name in back-ticks is not closed")
    elif character.isprintable():
        page.error("CEP103", at, f'"{character}" cannot stand here', _HABITS.get(character))
    else:
        page.error("CEP101", at, f"the character {character!r} has no place in a rule file")
    return at


def _habit(token: str, expected: set[str]) -> str | None:
    if token == "=" and "COMPARE" not in expected:
        return None
    return _HABITS.get(token)


def _shown_word(name: str) -> str:
    """A terminal's own text when it is a keyword, and nothing a name could be near to otherwise."""
    return "" if name in _PLAIN or name.startswith("__") else name.lower()


def _expected(expected: set[str]) -> str | None:
    """What could stand there, in plain words."""
    words: dict[str, None] = {}
    rest = set(expected)
    if rest >= {"PLUS", "COMPARE"}:
        words["an operator"] = None
        rest -= _OPERATORS
    declarations = {word.upper() for word in DECLARATION_WORDS}
    if len(rest & declarations) > 3:
        rest -= declarations | {"$END"}
        words["the next declaration"] = None
    if "NUMBER" in rest and "NAME" in rest and "STRING" in rest:
        rest -= {"NUMBER", "INT", "STRING", "DURATION", "TRUE", "FALSE", "MINUS", "LPAR", "NOT", "NAME", "DISTINCT"}
        words["an expression"] = None
    for name in sorted(rest):
        words.setdefault(_PLAIN.get(name) or _symbol(name))
    return f"expected {listed(sorted(words)[:12])}" if words else None


def _symbol(name: str) -> str:
    pattern: str = parser().get_terminal(name).pattern.value
    plain = pattern.replace(r"(?!\w)", "").replace("\\", "")
    return "a comparison" if name == "COMPARE" else f'"{plain}"'


def _last_visible(content: str, stop: int) -> int:
    """The place of the last character before `stop` that is not blank."""
    while stop > 0 and content[stop - 1].isspace():
        stop -= 1
    return max(0, stop - 1)
