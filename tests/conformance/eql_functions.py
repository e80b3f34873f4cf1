"""EQL's functions in our language, where it has them; those that cut text apart become regular expressions.

`indexOf(s, x) == n` and `substring(s, a, b) == x` say where in a text something stands, and `between(s, x, y) == z`
what stands between two marks: each of them, compared with a constant, is a pattern that the text matches.
"""

from __future__ import annotations

from tests.conformance.cases import Node, Outside
from tests.conformance.eql_lists import Lists, counted, dotted, list_call
from tests.conformance.expressions import COMPARISONS, Writer, Written, quoted, text_of
from tests.conformance.schema import Schema, literal

_ARITHMETIC = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "modulo": "%"}
_SEARCHING = ("indexOf", "substring", "between")


def bound(schema: Schema, any_case: bool, whole_quotients: bool = False) -> Writer:
    """A writer that knows EQL's functions. `whole_quotients`: what is divided is cut to a whole number."""
    lists = Lists(frozenset(schema.paths.values()))
    writers: list[Writer] = []

    def leaf(node: list[Node]) -> Written | None:
        if whole_quotients and node[0] == "/":
            return f"floor({writers[0].text(node[1])} / {writers[0].text(node[2])})"
        return _leaf(writers[0], lists, node)

    writers.append(Writer(leaf, schema.kinds("row"), any_case))
    return writers[0]


def _leaf(writer: Writer, lists: Lists, node: list[Node]) -> Written | None:
    operator, *args = node
    if operator == "field":
        return _field(writer, lists, args[0])
    if operator == "call":
        found = list_call(writer, lists, args[0], args[1:])
        return _call(writer, args[0], args[1:]) if found is None else found
    if operator in COMPARISONS:
        number = counted(writer, lists, node)
        if number is not None:
            return number
    if operator == "process_tree":
        raise Outside("ancestry of processes")
    if operator == "is_null" and _is_call(args[0], "indexOf"):
        return f"(not {_found(writer, args[0])})"
    if operator == "==":
        for one, other in (args, args[::-1]):
            if isinstance(one, list) and one[0] == "call" and one[1] in _SEARCHING and not isinstance(other, list):
                return _searched(writer, one[1], one[2:], other)
    return None


def _field(writer: Writer, lists: Lists, name: str) -> Written | None:
    """An object or a list by itself is whether it is there."""
    path = dotted(name)
    if lists.holds(path):
        return lists.is_there(path)
    return writer.write(["field", path]) if path != name else None


def _is_call(node: Node, name: str) -> bool:
    return isinstance(node, list) and node[:2] == ["call", name]


def _call(writer: Writer, name: str, args: list[Node]) -> Written:
    if name in _ARITHMETIC:
        return text_of(writer.write([_ARITHMETIC[name], *args]))
    if name == "cidrMatch":
        parts = [f"cidr({_plain(writer, args[0])}, {literal(network)})" for network in args[1:]]
        return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"
    if name in ("match", "matchLite"):
        parts = [_full(writer, args[0], pattern) for pattern in args[1:]]
        return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"
    if name == "stringContains":
        return writer.write(["contains", *args])
    if name in ("startsWith", "endsWith"):
        return writer.write([{"startsWith": "starts_with", "endsWith": "ends_with"}[name], *args])
    if name == "wildcard":
        return writer.write(["like", args[0], args[1:]])
    if name == "length" and not isinstance(args[0], str) and not _is_call(args[0], "between"):
        return writer.write(["length", args[0]])
    if name == "safe":
        return writer.write(args[0])
    raise Outside(f"no function `{name}`")


def _plain(writer: Writer, node: Node) -> str:
    """A field as it is, without regard to how text is compared."""
    return text_of(Writer(writer.leaf, writer.kinds).write(node))


def _full(writer: Writer, value: Node, pattern: str) -> str:
    """A whole text that matches a pattern as it was written."""
    flags = "(?i)" if writer.any_case else ""
    return f"({_plain(writer, value)} matches {literal(f'{flags}^(?:{pattern})')})"


def _found(writer: Writer, node: Node) -> str:
    """`indexOf(text, part, from)` finds something."""
    value, part, *rest = node[2:]
    return writer.matches(value, f"^.{{{_start(rest)},}}{quoted(part)}")


def _start(rest: list[Node]) -> int:
    return rest[0] if rest else 0


def _searched(writer: Writer, name: str, args: list[Node], wanted: Node) -> str:
    if any(isinstance(arg, list) for arg in args[1:]):
        raise Outside(f"`{name}` with a field in it")
    value = args[0]
    if name == "indexOf":
        begin, part = _start(args[2:]), quoted(args[1])
        earlier = f" and not {writer.matches(value, f'^.{{{begin},{wanted - 1}}}{part}')}" if wanted > begin else ""
        return f"({writer.matches(value, f'^.{{{wanted}}}{part}')}{earlier})"
    if name == "substring":
        return _substring(writer, value, args[1:], wanted)
    return _between(writer, value, args[1:], wanted)


def _substring(writer: Writer, value: Node, ends: list[Node], wanted: str) -> str:
    begin, end = ends[0], ends[1] if len(ends) > 1 else None
    if begin < 0 or (end is not None and end < 0):
        raise Outside("`substring` that counts from the end")
    if end is None:
        return writer.matches(value, f"^.{{{begin}}}{quoted(wanted)}$")
    rest = "" if len(wanted) == end - begin else "$"
    return writer.matches(value, f"^.{{{begin}}}{quoted(wanted)}{rest}")


def _between(writer: Writer, value: Node, args: list[Node], wanted: str) -> str:
    """What stands between the first `left` and the next `right` behind it (the last one, when greedy)."""
    left, right, *flags = args
    greedy, any_case = bool(flags and flags[0]), writer.any_case and not (len(flags) > 1 and flags[1])
    if (right.lower() if any_case else right) in (wanted.lower() if any_case else wanted) and not greedy:
        return "false"
    whole = quoted(left) + quoted(wanted) + quoted(right)
    # A `left` before the one that is followed by the rest would have been taken first.
    parts = [writer.matches(value, whole), f"not {writer.matches(value, f'{quoted(left)}.*{whole}')}"]
    if greedy:
        parts.append(f"not {writer.matches(value, f'{whole}.*{quoted(right)}')}")
    return f"({' and '.join(parts)})"
