"""What a syntax error says: the place, what is wrong there in the author's words, and what could stand there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cep.lang.report import listed, nearest
from cep.lang.text import Place

if TYPE_CHECKING:
    from lark import Lark, Token
    from lark.exceptions import UnexpectedInput

DECLARATION_WORDS = (
    "import stream event let list table roster function model schedule template use rule test".split()  # noqa: SIM905
)
_DECLARATIONS = frozenset(word.upper() for word in DECLARATION_WORDS)
_OPERATORS = frozenset(
    "PLUS MINUS STAR SLASH PERCENT COMPARE IN NOT BETWEEN MATCHES STARTS ENDS CONTAINS AND OR".split()  # noqa: SIM905
)
_OPERANDS = frozenset(
    "NUMBER INT STRING DURATION TRUE FALSE MINUS LPAR NOT NAME DISTINCT".split()  # noqa: SIM905
)
_PLAIN = {
    "COMPARE": "a comparison",
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
_MOST_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Mistake:
    """A syntax error, ready to be reported; `at` counts in the content that was parsed."""

    code: str
    at: Place
    message: str
    hint: str | None = None

    def before(self, content: str, begin: int) -> Mistake:
        """The same for what breaks off at the declaration that begins at `begin`."""
        word = content[begin:].split(None, 1)[0]
        return replace(self, at=(begin, begin + len(word)), message=f'what stands before "{word}" is not complete')


def explained(error: UnexpectedInput, content: str, end: int, lark: Lark) -> Mistake:
    """The error of parsing a part of `content` that stops at `end`."""
    from lark.exceptions import UnexpectedToken

    if isinstance(error, UnexpectedToken):
        expected = set(error.expected)
        if error.token.type == "$END":
            return Mistake("CEP103", _last_visible(content, end), "the text ends too early", _expected(expected, lark))
        return _unexpected_token(error.token, expected, content, lark)
    return _unexpected_character(error.pos_in_stream or 0, content)


def _last_visible(content: str, end: int) -> Place:
    """The place of the last character before `end` that is not blank."""
    while end > 1 and content[end - 1].isspace():
        end -= 1
    return max(0, end - 1), end


def _unexpected_token(token: Token, expected: set[str], content: str, lark: Lark) -> Mistake:
    start = token.start_pos or 0
    at = (start, start + len(token))
    shown = token if len(token) <= 40 else token[:37] + "..."
    if content[start - 1 : start].isdigit() and token[0].isalpha():
        return Mistake("CEP106", at, f'"{shown}" is no unit of time', "units are us, ms, s, m, h, d and w, as in 10m")
    if token in DECLARATION_WORDS and "NAME" not in expected:
        return Mistake("CEP103", at, f'what stands before "{shown}" is not complete', _expected(expected, lark))
    if "NAME" not in expected and (token[0].isalpha() or token[0] in "_`"):
        hint = nearest(token, (_keyword(name) for name in expected)) or _expected(expected, lark)
        return Mistake("CEP104", at, f'the word "{shown}" cannot stand here', hint)
    habit = _HABITS.get(token) if token != "=" or "COMPARE" in expected else None
    return Mistake("CEP103", at, f'"{shown}" cannot stand here', habit or _expected(expected, lark))


def _unexpected_character(start: int, content: str) -> Mistake:
    at = (start, start + 1)
    character = content[start : start + 1]
    if character == '"':
        line_end = content.find("\n", start)
        at = (start, len(content) if line_end < 0 else line_end)
        hint = 'close it with a double quote; inside it write \\"'
        return Mistake("CEP105", at, "the string is not closed on its line", hint)
    if character == "`":
        return Mistake("CEP105", at, "the name in back-ticks is not closed")
    if character.isprintable():
        return Mistake("CEP103", at, f'"{character}" cannot stand here', _HABITS.get(character))
    return Mistake("CEP101", at, f"the character {character!r} has no place in a rule file")


def _keyword(name: str) -> str:
    """A terminal's own text when it is a keyword, and nothing that a name could be near to otherwise."""
    return "" if name in _PLAIN or name.startswith("__") else name.lower()


def _expected(expected: set[str], lark: Lark) -> str | None:
    """What could stand there, in plain words."""
    rest = set(expected)
    words = set()
    if rest >= {"PLUS", "COMPARE"}:
        words.add("an operator")
        rest -= _OPERATORS
    if len(rest & _DECLARATIONS) > 3:
        words.add("the next declaration")
        rest -= _DECLARATIONS | {"$END"}
    if rest >= {"NUMBER", "NAME", "STRING"}:
        words.add("an expression")
        rest -= _OPERANDS
    words |= {_PLAIN.get(name) or _symbol(name, lark) for name in rest}
    return f"expected {listed(sorted(words)[:_MOST_SHOWN])}" if words else None


def _symbol(name: str, lark: Lark) -> str:
    pattern: str = lark.get_terminal(name).pattern.value
    plain = pattern.replace(r"(?!\w)", "").replace("\\", "")
    return f'"{plain}"'
