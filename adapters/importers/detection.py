"""Sigma detections: selections and their condition → the `where` of an event.

Sigma knows two truth values: a test of a field that is missing is false. So beneath a `not` every test is written
together with `missing(field)`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from cep.adapters.importers.draft import DraftEvent, NotCarried
from cep.adapters.importers.writing import (
    Said,
    all_of,
    any_of,
    call,
    compare,
    like,
    literal,
    matches,
    missing,
    negated,
    one_of,
    spelled,
    string,
    wildcards,
)

_TOKEN = re.compile(r"\s*(\(|\)|[^\s()]+)")
_ORDER = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_AFFIX = {"contains": "*{}*", "startswith": "{}*", "endswith": "*{}"}
_FLAGS = ("i", "m", "s")
_DASHES = "-/\u2013\u2014\u2015"


@dataclass(frozen=True, slots=True)
class Test:
    """One test of one field. `build` writes it, once the kind of the field is known; guarded: false where missing."""

    field: str
    build: Callable[[DraftEvent], Said]
    guarded: bool = True


@dataclass(frozen=True, slots=True)
class Branch:
    """ "and", "or" or "not" over some nodes."""

    word: str
    nodes: tuple[Test | Branch, ...]


Node = Test | Branch


def write(node: Node, event: DraftEvent, positive: bool = True) -> Said:
    """The node, or its opposite, as an expression over the event."""
    if isinstance(node, Test):
        said = node.build(event)
        if positive:
            return said
        said = negated(said)
        return any_of([missing(event.field(node.field)), said]) if node.guarded else said
    if node.word == "not":
        return write(node.nodes[0], event, not positive)
    parts = [write(part, event, positive) for part in node.nodes]
    return all_of(parts) if (node.word == "and") == positive else any_of(parts)


def joined(word: str, nodes: Sequence[Node]) -> Node:
    """Some nodes under one word; a single one is itself."""
    return nodes[0] if len(nodes) == 1 else Branch(word, tuple(nodes))


# ------------------------------------------------------------------------------------- conditions


def condition(text: str, names: Iterable[str], of: Callable[[str], Node]) -> Node:
    """A condition such as `a and not 1 of b_*` over these names; `of` gives what a name stands for."""
    if "|" in text:
        raise NotCarried("the condition counts with a pipe, which Sigma itself has given up")
    return _Condition(_TOKEN.findall(text), list(names), of).whole()


class _Condition:
    """A condition being read, word by word."""

    def __init__(self, words: list[str], names: list[str], of: Callable[[str], Node]) -> None:
        self._words, self._names, self._of = words, names, of
        self._at = 0

    def whole(self) -> Node:
        node = self._any()
        if self._at < len(self._words):
            raise NotCarried(f'the condition cannot be read from "{self._words[self._at]}" on')
        return node

    def _peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def _next(self) -> str:
        word = self._peek()
        self._at += 1
        return word

    def _any(self) -> Node:
        return self._chain("or", lambda: self._chain("and", self._not))

    def _chain(self, word: str, operand: Callable[[], Node]) -> Node:
        nodes = [operand()]
        while self._peek().lower() == word:
            self._next()
            nodes.append(operand())
        return joined(word, nodes)

    def _not(self) -> Node:
        if self._peek().lower() == "not":
            self._next()
            return Branch("not", (self._not(),))
        return self._primary()

    def _primary(self) -> Node:
        word = self._next()
        if word == "(":
            node = self._any()
            if self._next() != ")":
                raise NotCarried("a bracket in the condition is not closed")
            return node
        if self._peek().lower() == "of":
            self._next()
            return self._some(word.lower(), self._next())
        if word not in self._names:
            raise NotCarried(f'the condition speaks of "{word}", which is not there')
        return self._of(word)

    def _some(self, count: str, pattern: str) -> Node:
        chosen = [n for n in self._names if (pattern == "them" and n[:1] != "_") or fnmatchcase(n, pattern)]
        if not chosen:
            raise NotCarried(f'nothing is called "{pattern}"')
        if count not in ("1", "any", "all"):
            raise NotCarried(f'"{count} of" in a condition')
        return joined("and" if count == "all" else "or", [self._of(name) for name in chosen])


# ------------------------------------------------------------------------------------- selections


def detection(parts: Mapping[str, Any], event: DraftEvent) -> Node:
    """The detection of a rule; the event learns its fields."""
    selections = {str(name): body for name, body in parts.items() if name not in ("condition", "timeframe")}
    conditions = parts.get("condition")
    if "timeframe" in parts:
        raise NotCarried("a timeframe within a detection")
    texts = [str(text) for text in (conditions if isinstance(conditions, list) else [conditions])]
    if conditions is None:
        raise NotCarried("the detection has no condition")
    return joined("or", [condition(text, selections, lambda n: _selection(selections[n], event)) for text in texts])


def _selection(body: Any, event: DraftEvent) -> Node:
    if isinstance(body, Mapping):
        if not body:
            raise NotCarried("a selection is empty")
        return joined("and", [_item(str(key), value, event) for key, value in body.items()])
    if isinstance(body, list) and body:
        if all(isinstance(part, Mapping) for part in body):
            return joined("or", [_selection(part, event) for part in body])
        return _item("message|contains", body, event)  # key words, looked for anywhere in what was logged
    return _item("message|contains", [body], event)


def _item(key: str, value: Any, event: DraftEvent) -> Node:
    source, *modifiers = key.split("|")
    values = value if isinstance(value, list) else [value]
    if "neq" in modifiers:
        rest = "|".join([source, *(m for m in modifiers if m != "neq")])
        return Branch("not", (_item(rest, value, event),))
    word = "and" if "all" in modifiers else "or"
    kept = [modifier for modifier in modifiers if modifier != "all"]
    source = source or "message"
    if not kept and len(values) > 1 and word == "or" and all(_is_plain(v) for v in values):
        return _membership(source, values, event)
    return joined(word, [_value(source, kept, v, event) for v in values])


def _is_plain(value: Any) -> bool:
    """A constant that is compared as it is: no wildcard, no null."""
    return isinstance(value, int | float | str) and not (isinstance(value, str) and re.search(r"[*?]", value))


def _membership(source: str, values: Sequence[Any], event: DraftEvent) -> Node:
    event.learn(source, next((k for v in values if (k := _kind(v)) == "text"), _kind(values[0])))

    def build(e: DraftEvent) -> Said:
        kind = e.kind(source)
        if kind != "text":
            return one_of(e.field(source), [literal(v, kind) for v in values])
        plain = [literal(str(v).lower().replace("\\\\", "\\"), "text") for v in values]
        return one_of(call("lower", e.field(source)), plain)

    return Test(source, build)


def _value(source: str, modifiers: list[str], value: Any, event: DraftEvent) -> Node:  # noqa: PLR0911
    """One value of one field."""
    match modifiers:
        case ["exists"]:
            event.learn(source)
            absent = Test(source, lambda e: missing(e.field(source)), guarded=False)
            return Branch("not", (absent,)) if value else absent
        case [word] if word in _ORDER:
            event.learn(source, _kind(value))
            return Test(source, lambda e: compare(e.field(source), _ORDER[word], literal(value, e.kind(source))))
        case ["cidr"]:
            event.learn(source, "text")
            return Test(source, lambda e: call("cidr", e.field(source), Said(string(str(value)))))
        case ["re", *flags] if all(flag in _FLAGS for flag in flags):
            event.learn(source, "text")
            return Test(source, lambda e: matches(e.field(source), str(value), "".join(flags)))
        case ["fieldref"]:
            event.learn(source)
            event.learn(str(value))
            return Test(source, lambda e: compare(e.field(source), "==", e.field(str(value))))
    if value is None:
        event.learn(source)
        return Test(source, lambda e: missing(e.field(source)), guarded=False)
    if not modifiers and not isinstance(value, str):
        event.learn(source, _kind(value))
        return Test(source, lambda e: _equal(e, source, value))
    return _text(source, modifiers, str(value), event)


def _equal(event: DraftEvent, source: str, value: Any) -> Said:
    kind = event.kind(source)
    return compare(event.field(source), "==", literal(value, kind))


def _text(source: str, modifiers: list[str], value: str, event: DraftEvent) -> Node:
    """A text with wildcards, after the modifiers that change it."""
    event.learn(source, "text")
    affix, fold, dashes = "{}", True, False
    for modifier in modifiers:
        if modifier in _AFFIX:
            affix = _AFFIX[modifier]
        elif modifier == "cased":
            fold = False
        elif modifier == "windash":
            dashes = True
        elif modifier in ("wide", "utf16le", "base64", "base64offset"):
            return _encoded(source, modifiers, value)
        else:
            raise NotCarried(f'the modifier "{modifier}"')
    if dashes:
        spelling = re.sub(rf"(?:(?<=\s)|^)[{_DASHES}](?=\w)", f"[{_DASHES}]", spelled(wildcards(value)))
        pattern = {"*{}*": spelling, "{}*": f"^{spelling}", "*{}": f"{spelling}$"}.get(affix, f"^{spelling}$")
        return Test(source, lambda e: matches(e.field(source), pattern, "is" if fold else "s"))
    return Test(source, lambda e: like(e.field(source), affix.format(value), fold))


def _encoded(source: str, modifiers: list[str], value: str) -> Node:
    """A text as it looks in Base64, at any of the three places where it may begin."""
    data = value.encode()
    rest = list(modifiers)
    if rest[0] in ("wide", "utf16le"):
        data = value.encode("utf-16le")
        rest.pop(0)
    if rest[:1] == ["base64"]:
        variants = [base64.b64encode(data).decode()]
    elif rest[:1] == ["base64offset"]:
        # Bytes before and behind change the first and last characters; the ones in between are always the same.
        cut = [(0, 0), (2, 1), (3, 2)]
        variants = []
        for offset, (start, pad) in enumerate(cut):
            encoded = base64.b64encode(b"\0" * pad + data).decode()
            end = (None, -3, -2)[(len(data) + offset) % 3]
            variants.append(encoded[start:end])
    else:
        raise NotCarried(f'the modifiers "{"|".join(modifiers)}"')
    if rest[1:] not in ([], ["contains"]):
        raise NotCarried(f'the modifiers "{"|".join(modifiers)}"')
    affix = _AFFIX["contains"] if "contains" in rest or rest[0] == "base64offset" else "{}"

    def build(e: DraftEvent) -> Said:
        return any_of([like(e.field(source), affix.format(v), fold=False) for v in variants])

    return Test(source, build)


def _kind(value: Any) -> str:
    """The kind of field that such a value speaks of."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "text"
