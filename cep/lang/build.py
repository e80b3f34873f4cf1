"""From Lark's reductions to the syntax tree, bottom-up and without recursion.

`PRODUCTIONS` maps each production (or its alias) of `grammar.lark` to a function of what the production kept: tokens,
nodes made before, and None for an optional part that is absent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from lark import Token

from cep.lang import ast
from cep.lang.text import Place

DEEPEST = 64
LONGEST_US = 100 * 365 * 86_400_000_000
_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_DURATION_PART = re.compile(r"([\d_]+)(ms|us|[smhdw])")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


class BuildError(Exception):
    """Something grammatical that is too large: a number, a duration, an expression."""

    def __init__(self, code: str, message: str, at: Place) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.at = at


def unescape(raw: str) -> str:
    r"""A string's text: \n \t \" \\ are escapes, and any other backslash stands for itself, as patterns like it."""
    return _ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[0]), raw) if "\\" in raw else raw


def _place(token: Token) -> Place:
    start, end = token.start_pos, token.end_pos
    assert start is not None
    assert end is not None
    return start, end


def _int(token: Token) -> int:
    if len(token) > 24 or int(token) >= 2**63:
        raise BuildError("CEP106", f"{token[:24]} is too large for a whole number", _place(token))
    return int(token)


def _float(token: Token) -> float:
    value = float(token)
    if math.isinf(value):
        raise BuildError("CEP106", "the number is too large", _place(token))
    return value


def _us(token: Token | None) -> int | None:
    return None if token is None else _duration(token)


def _duration(token: Token) -> int:
    parts = _DURATION_PART.findall(token)
    if len(token) > 60 or sum(int(number) * _UNITS_US[unit] for number, unit in parts) > LONGEST_US:
        raise BuildError("CEP106", "a duration is at most 100 years", _place(token))
    return sum(int(number) * _UNITS_US[unit] for number, unit in parts)


def _plain(token: Token) -> str:
    return token.strip("`") if token.startswith("`") else str(token)


def _word(token: Token) -> ast.Word:
    return ast.Word(_plain(token), _place(token))


def _maybe_word(token: Token | None) -> ast.Word | None:
    return None if token is None else _word(token)


def _words(tokens: Sequence[Token]) -> tuple[ast.Word, ...]:
    return tuple(_word(token) for token in tokens)


def _string(token: Token) -> ast.String:
    raw = str(token[1:-1])
    return ast.String(unescape(raw), raw, _place(token))


def _maybe_string(token: Token | None) -> ast.String | None:
    return None if token is None else _string(token)


def _text(token: Token | None) -> str | None:
    return None if token is None else unescape(token[1:-1])


def _present(children: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(child for child in children if child is not None)


def _start(child: Any) -> Place:
    if isinstance(child, Token):
        return _place(child)
    place: Place = child[0].at if isinstance(child, tuple) else child.at
    return place


def _end(child: Any) -> Place:
    if isinstance(child, Token):
        return _place(child)
    place: Place = child[-1].at if isinstance(child, tuple) else child.at
    return place


def _at(c: Sequence[Any]) -> Place:
    """From the first part's beginning to the last one's end; parts without a place are passed over."""
    placed = [x for x in c if isinstance(x, Token) or (isinstance(x, tuple) and x) or hasattr(x, "at")]
    return (_start(placed[0])[0], _end(placed[-1])[1]) if placed else (0, 0)


def _literal(value: str | float | int | bool, kind: str, token: Token) -> ast.Literal:
    return ast.Literal(value, kind, _place(token))


def _above(at: Place, *below: ast.Expr | ast.Choices | None) -> int:
    """The depth of a node above these."""
    depth = 1 + max((node.depth for node in below if node is not None), default=0)
    if depth > DEEPEST:
        raise BuildError("CEP102", f"an expression may be nested at most {DEEPEST} deep", (at[0], at[0] + 1))
    return depth


def _binary(c: list[Any]) -> ast.Binary:
    at = (c[0].at[0], c[2].at[1])
    return ast.Binary(str(c[1]), c[0], c[2], at, _above(at, c[0], c[2]))


def _text_operator(op: str) -> Callable[[list[Any]], ast.Binary]:
    return lambda c: ast.Binary(op, c[0], c[1], _at(c), _above(_at(c), *c))


def _call(c: list[Any]) -> ast.Call:
    name, distinct, args, where, closing, *windows = c
    at = (_place(name)[0], windows[-1].at[1] if windows else _place(closing)[1])
    depth = _above(at, where, *(args or ()))
    return ast.Call(_word(name), distinct is not None, args or (), where, tuple(windows), at, depth)


def _window(form: str) -> Callable[[list[Any]], ast.Window]:
    return lambda c: ast.Window(form, _duration(c[0]), _at(c))


def _roster(c: list[Any]) -> ast.External:
    return ast.External("roster", _word(c[0]), _string(c[1]), None, _at(c))


def _schedule(c: list[Any]) -> ast.External:
    return ast.External("schedule", _word(c[0]), _string(c[1]), _maybe_string(c[2]), _at(c))


def _brought(word: str) -> Callable[[list[Any]], ast.External]:
    return lambda c: ast.External(word, _word(c[0]), _string(c[2]), _maybe_word(c[1]), _at(c))


def _stream_option(word: str) -> Callable[[list[Any]], ast.StreamOption]:
    if word in ("time", "type"):
        return lambda c: ast.StreamOption(word, tuple(w.text for w in c[0]), _at(c))
    return lambda c: ast.StreamOption(word, _duration(c[0]), _at(c))


def _path(words: tuple[ast.Word, ...] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(word.text for word in words)


def _setting(word: str, read: Callable[[Token], Any]) -> Callable[[list[Any]], ast.Setting]:
    return lambda c: ast.Setting(word, read(c[0]), _at(c))


def _counts(least: int, most: int | None, in_row: object, at: Place) -> ast.Quantifier:
    return ast.Quantifier(least, most, in_row is not None, False, at)


def _group_of(c: list[Any]) -> ast.Group:
    count, *sequences, alias = c
    number = int(count) if count.type == "INT" else str(count)
    return ast.Group(tuple(sequences), number, _maybe_word(alias), _at(c))


def _step(c: list[Any]) -> ast.Step:
    return ast.Step(c[0], c[1], False, _us(c[2]), _at(c[:2]))


def _given(c: list[Any]) -> ast.Given:
    at, event, pairs, repeat = c
    times, every = repeat or (1, 0)
    return ast.Given(_duration(at), _word(event), pairs, times, every, _place(event))


def _expect(c: list[Any]) -> ast.Expect:
    what, rule, pairs, missing = c[1]
    at = _place(rule) if rule is not None else _place(c[0])
    return ast.Expect(_duration(c[0]), what, _maybe_word(rule), pairs or (), _maybe_word(missing), at)


def _test(c: list[Any]) -> ast.Test:
    return ast.Test(_word(c[0]), _maybe_string(c[1]), tuple(c[2:]), _place(c[0]))


def _rule(c: list[Any]) -> ast.Rule:
    name, *clauses = c
    headers = tuple(x for x in clauses if isinstance(x, ast.Header))
    outputs = tuple(x for x in clauses if isinstance(x, ast.Output))
    trigger = clauses[len(headers)]
    return ast.Rule(_word(name), headers, trigger, outputs, _place(name))


PRODUCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    # expressions
    "name": lambda c: ast.Name(_plain(c[0]), _place(c[0])),
    "integer": lambda c: _literal(_int(c[0]), "integer", c[0]),
    "number": lambda c: _literal(_float(c[0]), "number", c[0]),
    "text": lambda c: _literal(unescape(c[0][1:-1]), "text", c[0]),
    "duration": lambda c: _literal(_duration(c[0]), "duration", c[0]),
    "true": lambda c: _literal(True, "flag", c[0]),
    "false": lambda c: _literal(False, "flag", c[0]),
    "member": lambda c: ast.Member(c[0], _word(c[1]), _at(c), _above(_at(c), c[0])),
    "lookup": lambda c: ast.Lookup(_word(c[0]), c[1], _at(c), _above(_at(c), c[1])),
    "call": _call,
    "arguments": tuple,
    "minus": lambda c: ast.Unary("neg", c[1], _at(c), _above(_at(c), c[1])),
    "negate": lambda c: ast.Unary("not", c[0], _at(c), _above(_at(c), c[0])),
    "binary": _binary,
    "compare": _binary,
    "matches": _text_operator("matches"),
    "starts_with": _text_operator("starts_with"),
    "ends_with": _text_operator("ends_with"),
    "contains": _text_operator("contains"),
    "between": lambda c: ast.Between(c[0], c[1], c[2], _at(c), _above(_at(c), *c)),
    "member_of": lambda c: ast.MemberOf(c[0], c[2], c[1] is not None, _at(c), _above(_at(c), c[0], c[2])),
    "all_of": lambda c: ast.Logic("and", tuple(c), _at(c), _above(_at(c), *c)),
    "any_of": lambda c: ast.Logic("or", tuple(c), _at(c), _above(_at(c), *c)),
    "set": lambda c: ast.Choices(_present(c[1:-1]), _at(c), _above(_at(c), *c[1:-1])),
    "over": lambda c: ast.Window("over", _duration(c[0]), _at(c), _us(c[1])),
    "over_last": lambda c: ast.Window("over_last", _int(c[0]), _at(c)),
    "over_each": lambda c: ast.Window("over_each", _duration(c[0]), _at(c), None, _text(c[1])),
    "over_session": _window("over_session"),
    "window_by": lambda c: ast.Window("by", _plain(c[0]), _at(c)),
    "since": lambda c: ast.Window("since", _plain(c[0]), _at(c)),
    "offset": _window("offset"),
    # declarations
    "import": lambda c: ast.Import(_string(c[0]), _at(c)),
    "stream": lambda c: ast.Stream(_word(c[0]), tuple(c[1:]), _place(c[0])),
    "stream_time": _stream_option("time"),
    "stream_type": _stream_option("type"),
    "stream_late": _stream_option("late"),
    "stream_idle": _stream_option("idle"),
    "path": _words,
    "event": lambda c: ast.Event(_word(c[0]), _maybe_string(c[1]), _word(c[2]), c[3], _place(c[0])),
    "refinement": lambda c: ast.Refinement(_word(c[0]), _word(c[1]), c[2] or (), c[3], _place(c[0])),
    "fields": tuple,
    "field": lambda c: ast.Field(_word(c[0]), _word(c[1]), _path(c[2]), _maybe_word(c[3]), _at(c)),
    "renames": tuple,
    "assignment": lambda c: ast.Assignment(_word(c[0]), c[1], _at(c)),
    "let": lambda c: ast.Let(_word(c[0]), c[1], c[2], _place(c[0])),
    "parameters": _words,
    "list": lambda c: ast.List(_word(c[0]), c[1], _place(c[0])),
    "list_file": lambda c: ast.List(_word(c[0]), _string(c[1]), _place(c[0])),
    "table": lambda c: ast.Table(_word(c[0]), _string(c[1]), _word(c[2]), c[3] or (), _at(c)),
    "roster": _roster,
    "function": _brought("function"),
    "model": _brought("model"),
    "schedule": _schedule,
    "template": lambda c: ast.Template(_word(c[0]), c[1], c[2], _place(c[0])),
    "use": lambda c: ast.Use(_word(c[0]), tuple(c[1:-1]), _word(c[-1]), _at(c)),
    # rules
    "rule": _rule,
    "by": lambda c: ast.By(c[0], _maybe_word(c[1]), False, _at(c)),
    "by_any": lambda c: ast.By(c[0], None, True, _at(c)),
    "within": _setting("within", _duration),
    "mode": _setting("mode", _plain),
    "active": _setting("active", _plain),
    "forget": _setting("forget", _duration),
    "max": _setting("max", _int),
    "owner": _setting("owner", lambda token: unescape(token[1:-1])),
    "about": _setting("about", lambda token: unescape(token[1:-1])),
    "tags": lambda c: ast.Setting("tags", tuple(word.text for word in c[0]), _at(c)),
    "keys": _words,
    "words": lambda c: tuple(
        _word(t) if t.type == "NAME" else ast.Word(unescape(t[1:-1]), _place(t)) for t in _present(c)
    ),
    "when": lambda c: ast.When(c[0], c[1], c[2], c[3], c[1].at),
    "while": lambda c: ast.While(c[0], _us(c[1]), c[2], _us(c[3]), c[0].at),
    "policy": lambda c: _word(c[0]),
    "resume": lambda c: ast.Resume(None if c[0] is None else str(c[0]), _word(c[1]), _at(c)),
    "sequence": lambda c: ast.Sequence(tuple(c[::2]), tuple(c[1::2]), _at(c)),
    "then": lambda c: "then",
    "then_each": lambda c: "then each",
    "next": lambda c: "next",
    "step": _step,
    "no_step": lambda c: ast.Step(None, c[0], True, _us(c[1]), _at(c[:1])),
    "exactly": lambda c: _counts(_int(c[0]), _int(c[0]), c[1], _place(c[0])),
    "at_least": lambda c: _counts(_int(c[0]), None, c[2], _place(c[0])),
    "between_counts": lambda c: _counts(_int(c[0]), _int(c[1]), c[2], _at(c[:2])),
    "optional": lambda c: ast.Quantifier(0, 1, False, True, _place(c[0])),
    "in_row": lambda c: "in a row",
    "atom": lambda c: ast.Atom(_word(c[0]), _maybe_word(c[1]), c[2], _at(c)),
    "group": lambda c: ast.Group((c[0],), None, None, _at(c)),
    "group_of": _group_of,
    "alert": lambda c: ast.Alert(_word(c[0]), _maybe_string(c[1]), c[2], _at(c)),
    "show": lambda c: ast.Show(tuple(c), _at(c)),
    "label": lambda c: ast.Label(c[0], _at(c)),
    "score": lambda c: ast.Score(c[0], c[0].at),
    "to": lambda c: ast.To(_string(c[0]), _place(c[0])),
    "limit": lambda c: ast.Limit(_int(c[0]), _duration(c[1]), c[2] or (), _at(c)),
    "limit_by": tuple,
    # tests
    "test": _test,
    "given": _given,
    "repeat": lambda c: (_int(c[0]), _duration(c[1])),
    "expect": _expect,
    "fired": lambda c: ("fired", c[0], c[1], None),
    "none": lambda c: ("none", c[0], c[1], None),
    "resolved": lambda c: ("resolved", c[0], c[1], None),
    "near": lambda c: ("near", c[0], c[1], c[2]),
    "near_missing": lambda c: ("near", c[0], c[2], c[1]),
    "nothing": lambda c: ("nothing", None, None, None),
    "object": lambda c: _present(c[1:-1]),
    "pair": lambda c: ast.Pair(_word(c[0]), c[1], _at(c)),
    "file": tuple,
}


def builder() -> SimpleNamespace:
    """The productions as the object with one attribute each that Lark asks for."""
    return SimpleNamespace(**PRODUCTIONS)
