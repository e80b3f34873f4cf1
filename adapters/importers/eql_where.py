"""Conditions of EQL → expressions. Both know a third truth value for what is missing, so negations stay as they are."""

from __future__ import annotations

from cep.adapters.importers.draft import Draft, DraftEvent, NotCarried
from cep.adapters.importers.eql_parse import Call, Expr, Field, Literal
from cep.adapters.importers.writing import (
    UNARY,
    Said,
    all_of,
    any_of,
    arithmetic,
    call,
    compare,
    like,
    literal,
    matches,
    missing,
    negated,
    one_of,
    string,
)

_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_ARITHMETIC = {"+": "+", "-": "-", "*": "*", "/": "/", "%": "%"} | {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "modulo": "%",
}
_AFFIXES = {"startsWith": "starts with", "endsWith": "ends with", "stringContains": "contains"}
_TEXTS = {*_AFFIXES, "wildcard", "like", ":", "regex", "match", "cidrMatch", "length"}


def learn(expr: Expr, event: DraftEvent, draft: Draft, kind: str | None = None) -> None:
    """Tell the event which fields the condition has, and of which kind they seem to be."""
    match expr:
        case Field(path):
            event.learn(path, kind)
        case Call(op, (left, right)) if op in _COMPARISONS:
            learn(left, event, draft, _kind(right))
            learn(right, event, draft, _kind(left))
            if isinstance(left, Field) and isinstance(right, Field):
                draft.alike(event, left.path, event, right.path)
        case Call("in" | ":", (operand, *values)):
            kinds = {_kind(value) for value in values}
            learn(operand, event, draft, kinds.pop() if len(kinds) == 1 else "text")
        case Call("and" | "or" | "not", args):
            for arg in args:
                learn(arg, event, draft, "flag")
        case Call(op, args):
            inner = "text" if op in _TEXTS else "number" if op in _ARITHMETIC or op == "neg" else None
            for arg in args:
                learn(arg, event, draft, inner)
        case _:
            pass


def _kind(expr: Expr) -> str | None:
    """The kind of what stands on the other side."""
    if isinstance(expr, Call):
        return "number" if expr.name in _ARITHMETIC or expr.name in ("neg", "length") else None
    value = expr.value if isinstance(expr, Literal) else None
    if isinstance(value, bool):
        return "flag"
    return {int: "integer", float: "number", str: "text"}.get(type(value))


def write(expr: Expr, event: DraftEvent) -> Said:  # noqa: PLR0911
    """The condition, or a value in it, over the event."""
    match expr:
        case Field(path):
            return event.field(path)
        case Literal(None):
            raise NotCarried("null outside of a comparison")
        case Literal(value):
            return literal(value, _kind(expr) or "text")
        case Call("and", args):
            return all_of([write(arg, event) for arg in args])
        case Call("or", args):
            return any_of([write(arg, event) for arg in args])
        case Call("not", (arg,)):
            return negated(write(arg, event))
        case Call("neg", (arg,)):
            return Said(f"-{write(arg, event).within(UNARY)}", UNARY)
        case Call("==" | "!=" as op, (operand, Literal(None))) | Call("==" | "!=" as op, (Literal(None), operand)):
            absent = missing(write(operand, event))
            return absent if op == "==" else negated(absent)
        case Call(op, (left, right)) if op in _COMPARISONS:
            return compare(_side(left, right, event), op, _side(right, left, event))
        case Call(op, (left, right)) if op in _ARITHMETIC:
            return arithmetic(write(left, event), _ARITHMETIC[op], write(right, event))
        case Call():
            return _test(expr, event)
    raise NotCarried("such an expression")


def _side(expr: Expr, other: Expr, event: DraftEvent) -> Said:
    """One side of a comparison; a constant is written as the kind of the field on the other side."""
    if isinstance(expr, Literal) and isinstance(other, Field):
        return literal(expr.value, event.kind(other.path))
    return write(expr, event)


def _test(test: Call, event: DraftEvent) -> Said:
    """A test of a value, or a function."""
    if test.name == "length" and len(test.args) == 1:
        return call("length", write(test.args[0], event))
    if not test.args:
        raise NotCarried(test.name)
    operand, *others = test.args
    constants = [other.value for other in others if isinstance(other, Literal)]
    if len(constants) < len(others) or not constants or None in constants:
        raise NotCarried(f"{test.name} of something that is no constant")
    said = write(operand, event)
    kind = event.kind(operand.path) if isinstance(operand, Field) else "text"
    if test.name == "in" or (test.name == ":" and kind != "text"):
        return _membership(said, constants, kind, test.fold)
    texts = [str(constant) for constant in constants]
    if test.name in (":", "like", "wildcard"):
        # `wildcard` has had no mark for it in the first dialect of EQL, where capitals never matter.
        return any_of([like(said, text, test.fold or test.name == "wildcard") for text in texts])
    if test.name in ("regex", "match"):
        return any_of([matches(said, f"^(?:{text})$", "is" if test.fold else "s") for text in texts])
    if test.name == "cidrMatch":
        return any_of([call("cidr", said, Said(string(text))) for text in texts])
    if test.name in _AFFIXES and len(texts) == 1:
        folded = call("lower", said) if test.fold else said
        return compare(folded, _AFFIXES[test.name], Said(string(texts[0].lower() if test.fold else texts[0])))
    raise NotCarried(f"{test.name}()")


def _membership(said: Said, constants: list[str | float | int | bool | None], kind: str, fold: bool) -> Said:
    if not fold or kind != "text":
        return one_of(said, [literal(constant, kind) for constant in constants])
    return one_of(call("lower", said), [literal(str(constant).lower(), kind) for constant in constants])
