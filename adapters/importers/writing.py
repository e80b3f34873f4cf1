"""How words, strings, durations and expressions of the rule language are written.

An expression in the making is a `Said`: its text, and how tightly it binds, so that brackets stand only where they are
needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from cep.lang.parse import grammar_text

OR, AND, NOT, COMPARISON, SUM, PRODUCT, UNARY, PRIMARY = range(8)

_NAME = re.compile(r"[^\W\d]\w*")
_UNITS_US = (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_META = re.compile(r"([\\.+*?()|\[\]{}^$])")


class Wild(Enum):
    """A wildcard, as a regular expression spells it."""

    MANY = ".*"
    ONE = "."


class Said(NamedTuple):
    """An expression as it is written, and the loosest operator in it."""

    text: str
    binding: int = PRIMARY

    def within(self, binding: int) -> str:
        """The text as an operand of something that binds so tightly."""
        return f"({self.text})" if self.binding < binding else self.text


def name(word: str) -> str:
    """A name, in back-ticks where it would be taken for a keyword or is no word."""
    return word if _NAME.fullmatch(word) and word not in _keywords() else f"`{word}`"


@lru_cache(maxsize=1)
def _keywords() -> frozenset[str]:
    """Every word that the grammar has."""
    return frozenset(re.findall(r'"([a-z]+)"', re.sub(r"//[^\n]*", "", grammar_text())))


def path(parts: Iterable[str]) -> str:
    """A path into a document."""
    return ".".join(map(name, parts))


def snake(text: str) -> str:
    """A word made of any text; "" where nothing of it is left."""
    word = re.sub(r"\W+", "_", text.replace("'", "").strip()).strip("_")
    return f"_{word}" if word[:1].isdigit() else word


def string(text: str) -> str:
    """A string in double quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def plain_message(text: str) -> str:
    """Text in a message (without its quotes), in which a brace stands for itself."""
    return string(text)[1:-1].replace("{", "{{").replace("}", "}}")


def hole(value: Said) -> str:
    """An expression in a message."""
    return "{" + value.text.replace('"', '\\"') + "}"


def duration(seconds: float) -> str:
    """A duration in the largest units that give it exactly, to the millisecond."""
    whole, rest = divmod(round(seconds * 1000), 1000)
    parts = []
    for unit, size in _UNITS_US:
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
    if rest or not parts:
        parts.append(f"{rest}ms")
    return "".join(parts)


def number(value: float) -> Said:
    """A number; a negative one binds like a minus."""
    text = str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
    return Said(text, UNARY if value < 0 else PRIMARY)


def literal(value: object, kind: str) -> Said:
    """A value of another language as a constant of this kind of field."""
    if kind == "text":
        return Said(string(str(value).lower() if isinstance(value, bool) else str(value)))
    if kind == "flag":
        return Said("true" if value else "false")
    assert isinstance(value, int | float)
    return number(value)


def call(function: str, *args: Said) -> Said:
    """A function of some arguments."""
    return Said(f"{function}({', '.join(arg.text for arg in args)})")


def compare(left: Said, operator: str, right: Said) -> Said:
    """Two operands of a comparison or of an operator on text."""
    return Said(f"{left.within(SUM)} {operator} {right.within(SUM)}", COMPARISON)


def arithmetic(left: Said, operator: str, right: Said) -> Said:
    """A sum or a product."""
    binding = SUM if operator in "+-" else PRODUCT
    return Said(f"{left.within(binding)} {operator} {right.within(binding + 1)}", binding)


def all_of(parts: Sequence[Said]) -> Said:
    """Each of them holds."""
    return parts[0] if len(parts) == 1 else Said(" and ".join(part.within(AND) for part in parts), AND)


def any_of(parts: Sequence[Said]) -> Said:
    """One of them holds."""
    return parts[0] if len(parts) == 1 else Said(" or ".join(part.within(OR) for part in parts), OR)


def negated(part: Said) -> Said:
    """It does not hold."""
    return Said(f"not {part.within(NOT)}", NOT)


def missing(field: Said) -> Said:
    """The field is null."""
    return call("missing", field)


def one_of(operand: Said, values: Sequence[Said]) -> Said:
    """The operand is one of some constants."""
    if len(values) == 1:
        return compare(operand, "==", values[0])
    return Said(f"{operand.within(SUM)} in [{', '.join(value.text for value in values)}]", COMPARISON)


def like(field: Said, pattern: str, fold: bool) -> Said:
    r"""Text that a pattern with `*` and `?` describes; `\*`, `\?` and `\\` are the characters themselves.

    fold: capitals and small letters are the same.
    """
    pieces = wildcards(pattern)
    operand, text = (call("lower", field), str.lower) if fold else (field, str)
    match pieces:
        case [] | [str()]:
            return compare(operand, "==", Said(string(text("".join(map(str, pieces))))))
        case [Wild.MANY]:
            return negated(missing(field))
        case [str(start), Wild.MANY]:
            return compare(operand, "starts with", Said(string(text(start))))
        case [Wild.MANY, str(end)]:
            return compare(operand, "ends with", Said(string(text(end))))
        case [Wild.MANY, str(part), Wild.MANY]:
            return compare(operand, "contains", Said(string(text(part))))
    return matches(field, f"^{spelled(pieces)}$", "is" if fold else "s")


def matches(field: Said, pattern: str, flags: str = "") -> Said:
    """Text that a regular expression describes."""
    return compare(field, "matches", Said(string(f"(?{flags}){pattern}" if flags else pattern)))


def spelled(pieces: Sequence[str | Wild]) -> str:
    """Text and wildcards as a regular expression."""
    return "".join(piece.value if isinstance(piece, Wild) else escaped(piece) for piece in pieces)


def escaped(text: str) -> str:
    """Text that stands for itself in a pattern."""
    return _META.sub(r"\\\1", text)


def wildcards(pattern: str) -> list[str | Wild]:
    """The pattern as runs of text and wildcards."""
    pieces: list[str | Wild] = []
    for token in re.findall(r"\\[*?\\]|.", pattern, re.DOTALL):
        last = pieces[-1] if pieces else None
        if token == "?":
            pieces.append(Wild.ONE)
        elif token == "*":
            pieces += [] if last is Wild.MANY else [Wild.MANY]
        elif isinstance(last, str):
            pieces[-1] = last + token[-1]
        else:
            pieces.append(token[-1])
    return pieces
