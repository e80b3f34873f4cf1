"""Conditions of a case as conditions of our language.

A condition may be known before it runs (`true`, a count of steps written out one by one): then it is a Python bool, and
the translation leaves it out or leaves out what it guards. A comparison with null is unknown on both sides (law 9).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cep.errors import Diagnostic
from tests.conformance.cases import Node, Outside
from tests.conformance.schema import literal, name_of

Written = str | bool | int | float  # text of the language, or a value that is known
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_ARITHMETIC = ("+", "-", "*", "/", "%")
_FOLDED: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}
_META = re.compile(r"([.+*?()|\[\]{}^$\\])")

Leaf = Callable[[list[Node]], Written | None]


@dataclass(frozen=True)
class Writer:
    """Writes conditions. leaf: what an operator of the family means at this place, None for one that it does not know.

    any_case: texts are compared without regard to case. kinds: the kind of each field, by its name in the language.
    """

    leaf: Leaf
    kinds: dict[str, str]
    any_case: bool = False

    def condition(self, node: Node) -> Written:
        """A condition, or True or False."""
        written = self.write(node)
        return written

    def write(self, node: Node) -> Written:
        """An expression as text, or a value when it is known."""
        if isinstance(node, bool | int | float):
            return node
        if not isinstance(node, list):
            return literal(self._cased(node))
        known = self.leaf(node)
        if known is not None:
            return known
        operator, *args = node
        method = getattr(self, f"_{_NAMES.get(operator, operator)}", None)
        if method is None:
            raise Outside(f"no function `{operator}`")
        return method(operator, args)

    def text(self, node: Node) -> str:
        """An expression as text, also when it is known."""
        return text_of(self.write(node))

    def _cased(self, value: Node) -> Node:
        return value.lower() if self.any_case and isinstance(value, str) else value

    def _field(self, _: str, args: list[Node]) -> Written:
        name = name_of(args[0])
        if name not in self.kinds:
            raise Outside("a list or an object as a value")
        return self.of_kind(name, self.kinds[name])

    def of_kind(self, written: str, kind: str) -> str:
        """A field as it is compared."""
        return f"lower({written})" if self.any_case and kind == "text" else written

    def _binary(self, operator: str, args: list[Node]) -> Written:
        written = [self.write(arg) for arg in args]
        if len(written) > 2:
            raise Outside(f"`{operator}` of more than two operands")
        a, b = written
        if operator in _ARITHMETIC and "text" in (self._kind(args[0]), self._kind(args[1])):
            raise Outside("arithmetic on text")
        numbers = [isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b)]
        if all(numbers) and operator in _FOLDED:
            return _FOLDED[operator](a, b)
        return f"({text_of(a)} {operator} {text_of(b)})"

    def _kind(self, node: Node) -> str | None:
        """The kind of a constant or of a field of the event, None for everything else."""
        if isinstance(node, str):
            return "text"
        named = isinstance(node, list) and node[:1] == ["field"]
        return self.kinds.get(name_of(node[1])) if named else None

    def _logic(self, operator: str, args: list[Node]) -> Written:
        deciding = operator == "or"
        parts = [self.condition(arg) for arg in args]
        if any(part is deciding for part in parts):
            return deciding
        rest = [text_of(part) for part in parts if not isinstance(part, bool)]
        if not rest:
            return not deciding
        return rest[0] if len(rest) == 1 else f"({f' {operator} '.join(rest)})"

    def _not(self, _: str, args: list[Node]) -> Written:
        part = self.condition(args[0])
        return not part if isinstance(part, bool) else f"(not {part})"

    def _is_null(self, _: str, args: list[Node]) -> Written:
        part = self.write(args[0])
        return False if isinstance(part, bool | int | float) else f"missing({part})"

    def _in(self, _: str, args: list[Node]) -> Written:
        value, members = args
        constants = [literal(self._cased(m)) for m in members if not isinstance(m, list)]
        parts = [f"{self.text(value)} in [{', '.join(constants)}]"] if constants else []
        parts += [text_of(self._binary("==", [value, m])) for m in members if isinstance(m, list)]
        return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"

    def _like(self, _: str, args: list[Node]) -> Written:
        value, patterns = args
        parts = [self.matches(value, f"^{wild(p)}$") for p in patterns]
        return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"

    def _starts_with(self, _: str, args: list[Node]) -> Written:
        return self._text("starts with", args)

    def _ends_with(self, _: str, args: list[Node]) -> Written:
        return self._text("ends with", args)

    def _contains(self, _: str, args: list[Node]) -> Written:
        return self._text("contains", args)

    def _text(self, words: str, args: list[Node]) -> str:
        value, part = args
        if not isinstance(part, str):
            raise Outside(f"`{words}` with a field on the right")
        return f"({self.text(value)} {words} {literal(self._cased(part))})"

    def _length(self, _: str, args: list[Node]) -> Written:
        return f"length({self.text(args[0])})"

    def matches(self, value: Node, pattern: str) -> str:
        """`value matches pattern`, where `.` is any character and case counts as it does elsewhere."""
        flags = "(?si)" if self.any_case else "(?s)"
        return f"({self.text(value)} matches {literal(flags + pattern)})"


_NAMES = dict.fromkeys((*COMPARISONS, *_ARITHMETIC), "binary") | {"and": "logic", "or": "logic"}


def text_of(written: Written) -> str:
    """What is written, as text."""
    return written if isinstance(written, str) else literal(written)


def wild(pattern: str) -> str:
    """A pattern with `*` and `?` as a regular expression."""
    return "".join({"*": ".*", "?": "."}.get(c) or quoted(c) for c in pattern)


def quoted(text: str) -> str:
    """Text that stands for itself in a regular expression."""
    return _META.sub(r"\\\1", text)


def said(diagnostics: list[Diagnostic]) -> str:
    """What the checker said, in one line."""
    return "; ".join(dict.fromkeys(f"{d.code} {d.message}" for d in diagnostics if d.severity == "error"))
