"""PromQL → conditions and values over samples. What it says of counters and gauges is in `prometheus`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from cep.adapters.importers.draft import Draft, DraftEvent, NotCarried
from cep.adapters.importers.promql import Binary, Call, Grouping, Matcher, Node, Number, Selector
from cep.adapters.importers.writing import (
    PRIMARY,
    Said,
    all_of,
    any_of,
    arithmetic,
    call,
    compare,
    duration,
    matches,
    missing,
    name,
    negated,
    number,
    one_of,
    string,
)

_LOOK_BACK_S = 300.0
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_SWAPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_OVER_TIME = {
    "avg_over_time": "avg",
    "max_over_time": "max",
    "min_over_time": "min",
    "sum_over_time": "sum",
    "count_over_time": "count",
    "stddev_over_time": "stddev",
    "last_over_time": "last",
    "changes": "changes",
    "deriv": "slope",
}
_EACH = ("abs", "ceil", "floor", "sqrt", "ln", "log10", "round")
_AGGREGATIONS = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk", "quantile")
_SAME = {("sum", "sum"), ("sum", "count"), ("max", "max"), ("min", "min")}  # over series and over time: one aggregate
_PLAIN_CHOICE = re.compile(r"\w[\w \-]*(?:\|\w[\w \-]*)*")


class Samples:
    """The expression of one rule, over the samples of its series, which the labels in `keys` tell apart.

    asked: labels that the rule speaks of elsewhere. note: told what is not quite the same here. Raises NotCarried, as
    every method does, where something has no counterpart.
    """

    def __init__(self, draft: Draft, tree: Node, asked: Sequence[str], note: Callable[[str], None]) -> None:
        self._draft, self._tree, self._note = draft, tree, note
        self._selectors = list(_selectors(tree))
        if not self._selectors:
            raise NotCarried("it speaks of no metric")
        self.within_s = max(_length(selector) for selector in self._selectors)
        self.keys = self._labels(asked)

    def _labels(self, asked: Sequence[str]) -> list[str]:
        """The labels that tell one alert from another."""
        groupings = list(_groupings(self._tree))
        plain = [grouping for grouping in groupings if grouping is not None]
        if groupings and all(grouping is None or grouping.word == "by" for grouping in groupings):
            labels = {grouping.labels for grouping in plain} or {()}
            if len({frozenset(group) for group in labels}) > 1 or (plain and len(plain) < len(groupings)):
                raise NotCarried("its parts are summed up by different labels")
            return list(dict.fromkeys(next(iter(labels))))
        if isinstance(self._tree, Call) and self._tree.name.startswith("absent"):
            return []
        dropped = {label for grouping in plain if grouping.word == "without" for label in grouping.labels}
        fixed = {m.label for s in self._selectors for m in s.matchers if m.operator == "="}
        on = [label for matching in _matchings(self._tree) for label in matching]
        told = [label for label in asked if label not in fixed]
        return [label for label in dict.fromkeys(["instance", *on, *told]) if label not in dropped]

    def _event(self, metric: str) -> DraftEvent:
        event = self._draft.event(metric)
        for key in self.keys:
            event.learn(key, "text")
        event.learn("value", "number")
        return event

    def _aggregate(self, function: str, selector: Selector, argument: str | None, where: Sequence[Said] = ()) -> Said:
        """An aggregate over the samples of a selector; argument: a field, or None to count samples."""
        event = self._event(selector.metric)
        filters = [self._matched(event, matcher) for matcher in selector.matchers] + list(where)
        if argument is not None:
            event.learn(argument)
        inner = name(event.name) + (f".{event.field(argument).text}" if argument is not None else "")
        where_text = f" where {all_of(filters).text}" if filters else ""
        length = _length(selector)
        over = f" over {duration(length)}" if length != self.within_s else ""
        offset = f" offset {duration(selector.offset_s)}" if selector.offset_s else ""
        return Said(f"{function.format(inner + where_text)}{over}{offset}", PRIMARY)

    def _matched(self, event: DraftEvent, matcher: Matcher) -> Said:
        event.learn(matcher.label, "text")
        label = event.field(matcher.label)
        absent = missing(label)  # a label that is missing is the empty text to Prometheus
        if matcher.operator in ("=", "!=") and not matcher.value:
            return absent if matcher.operator == "=" else negated(absent)
        if matcher.operator == "=":
            return compare(label, "==", Said(string(matcher.value)))
        if matcher.operator == "!=":
            return any_of([absent, compare(label, "!=", Said(string(matcher.value)))])
        if matcher.value == ".+":
            return negated(absent) if matcher.operator == "=~" else absent
        if _PLAIN_CHOICE.fullmatch(matcher.value):
            told = one_of(label, [Said(string(choice)) for choice in matcher.value.split("|")])
        else:
            told = matches(label, f"^(?:{matcher.value})$" if "|" in matcher.value else f"^{matcher.value}$")
        empty = re.fullmatch(matcher.value, "") is not None
        if matcher.operator == "=~":
            return any_of([absent, told]) if empty else told
        return negated(told) if empty else any_of([absent, negated(told)])

    # ----------------------------------------------------------------------------------- conditions

    def condition(self) -> Said:
        """What must hold."""
        return self._condition(self._tree)

    def _condition(self, node: Node) -> Said:
        match node:
            case Binary("and" | "or" | "unless" as word, left, right):
                a, b = self._condition(left), self._condition(right)
                if word == "or":
                    return any_of([a, b])
                return all_of([a, negated(b) if word == "unless" else b])
            case Binary(op, left, right, matching) if op in _COMPARISONS:
                if matching.bool:
                    raise NotCarried("a comparison that gives 0 or 1")
                a, b = self._value(left), self._value(right)
                said = compare(a, op, b)
                rises = (_SWAPPED.get(op, op) if isinstance(left, Number) else op) in (">", ">=")
                return said if rises else all_of([*self._heard(node), said])
            case Call("absent" | "absent_over_time", (Selector() as selector,)):
                self._note(
                    "an absence is noticed once something of this stream has been heard, as time moves with events"
                )
                return compare(self._aggregate("count({})", selector, None), "==", number(0))
            case Selector():
                return compare(self._aggregate("count({})", node, None), ">", number(0))
        raise NotCarried("it compares nothing")

    def _heard(self, node: Node) -> list[Said]:
        """Where nothing came in a sum is 0, and for Prometheus it is nothing: that something came is asked for."""
        summed = [call_.args[0] for call_ in _calls(node) if call_.name in ("rate", "irate", "increase")]
        found = [s for s in summed if isinstance(s, Selector)]
        return [compare(self._aggregate("count({})", selector, None), ">", number(0)) for selector in found[:1]]

    # ----------------------------------------------------------------------------------- values

    def _value(self, node: Node) -> Said:
        match node:
            case Number(value):
                if not abs(value) < float("inf"):
                    raise NotCarried("a comparison with infinity or no number")
                return number(value)
            case Selector(range_s=None):
                return self._aggregate("last({})", node, "value")
            case Binary("/", left, right) if _rate(left) == _rate(right) != 0.0:  # their seconds cancel
                return arithmetic(self._value(_increase(left)), "/", self._value(_increase(right)))
            case Binary(op, left, right) if op in "+-*/%":
                return arithmetic(self._value(left), op, self._value(right))
            case Call(word, args, grouping) if word in _AGGREGATIONS or grouping is not None:
                return self._over_series(word, args)
            case Call():
                return self._function(node)
        raise NotCarried("a comparison or a set within a value")

    def _function(self, node: Call) -> Said:  # noqa: PLR0911  # one return for each function
        """A function of the samples of one series, or of a value."""
        word, args = node.name, node.args
        match args:
            case (Selector(range_s=float(length)) as selector,) if word in ("rate", "irate", "increase"):
                if word == "irate":
                    self._note("irate is taken as rate, over its whole range")
                total = self._aggregate("sum({})", selector, "value")
                return total if word == "increase" else arithmetic(total, "/", number(length))
            case (Selector(range_s=float()) as selector,) if word in _OVER_TIME:
                function = _OVER_TIME[word]
                return self._aggregate(f"{function}({{}})", selector, None if function == "count" else "value")
            case (Selector(range_s=float()) as selector,) if word == "delta":
                last, first = (self._aggregate(f"{end}({{}})", selector, "value") for end in ("last", "first"))
                return arithmetic(last, "-", first)
            case (Number(quantile), Selector(range_s=float()) as selector) if word == "quantile_over_time":
                return self._aggregate(f"{_percentile(quantile)}({{}})", selector, "value")
            case (Selector(range_s=float()) as selector, ahead) if word == "predict_linear":
                slope = self._aggregate("slope({})", selector, "value")
                last = self._aggregate("last({})", selector, "value")
                self._note("what is foreseen begins at the latest sample, instead of at the line through all of them")
                return arithmetic(last, "+", arithmetic(slope, "*", self._value(ahead)))
            case (value,) if word in _EACH:
                return call(word, self._value(value))
            case (value,) if word in ("scalar", "sort", "sort_desc"):
                return self._value(value)
            case (value, limit) if word in ("clamp_max", "clamp_min"):
                return call("min2" if word == "clamp_max" else "max2", self._value(value), self._value(limit))
        if word == "histogram_quantile":
            raise NotCarried("histogram_quantile: let the durations come as events, and ask p99(e.seconds)")
        raise NotCarried(f"{word}()")

    def _over_series(self, word: str, args: Sequence[Node]) -> Said:  # noqa: PLR0911  # one for each aggregation
        """An aggregation over the series that have the key."""
        if len(args) != 1 or word not in ("sum", "avg", "min", "max", "count"):
            raise NotCarried(f"{word} over series")
        (inner,) = args
        match inner:
            case Call("rate" | "irate" | "increase", (Selector() as selector,)):
                if word == "sum":
                    return self._value(inner)
                if word == "avg":
                    return arithmetic(self._value(inner), "/", self._series(selector))
            case Call(function, (Selector(),)) if (word, _OVER_TIME.get(function)) in _SAME:
                return self._value(inner)
            case Selector(range_s=None) if word in ("avg", "min", "max"):
                self._note(f"{word} over series is that of all their samples of five minutes")
                return self._aggregate(f"{word}({{}})", inner, "value")
            case Selector(range_s=None) if word == "sum":
                self._note("a sum over series is the average of their samples of five minutes times their number")
                return arithmetic(self._aggregate("avg({})", inner, "value"), "*", self._series(inner))
            case Selector(range_s=None):
                return self._series(inner)
            case Binary(op, Selector(range_s=None) as selector, Number(limit)) if (
                word == "count" and op in _COMPARISONS
            ):
                value = self._event(selector.metric).field("value")
                return self._series(selector, [compare(value, op, number(limit))])
        raise NotCarried(f"{word} over series of such an expression")

    def _series(self, selector: Selector, where: Sequence[Said] = ()) -> Said:
        """How many series there are."""
        self._note("series are counted by their label instance, those of the last five minutes")
        return self._aggregate("count(distinct {})", selector, "instance", where)

    def measured(self) -> Said | None:
        """The value that the expression gives: that of the left side of its first comparison."""
        node = self._tree
        while isinstance(node, Binary):
            if node.op in _COMPARISONS:
                return self._value(node.right if isinstance(node.left, Number) else node.left)
            node = node.left
        return None

    def constant(self, label: str) -> str | None:
        """What every selector that speaks of a label asks it to be."""
        values = {m.value for s in self._selectors for m in s.matchers if m.label == label and m.operator == "="}
        return values.pop() if len(values) == 1 else None


def _percentile(quantile: float) -> str:
    percent = round(quantile * 100, 6)
    if not percent.is_integer() or not 1 <= percent <= 99:
        raise NotCarried(f"the quantile {quantile}")
    return f"p{int(percent)}"


def _rate(node: Node) -> float:
    """The range of a rate or of a sum of rates, 0 of anything else."""
    match node:
        case Call("rate", (Selector(range_s=float(length)),)) | Call(
            "sum", (Call("rate", (Selector(range_s=float(length)),)),)
        ):
            return length
    return 0.0


def _increase(node: Node) -> Node:
    """The same without being divided by its seconds."""
    assert isinstance(node, Call)
    if node.name == "rate":
        return Call("increase", node.args, node.grouping)
    return Call(node.name, (_increase(node.args[0]),), node.grouping)


def _length(selector: Selector) -> float:
    return _LOOK_BACK_S if selector.range_s is None else selector.range_s


def _below(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    for part in node.args if isinstance(node, Call) else (node.left, node.right) if isinstance(node, Binary) else ():
        yield from _below(part)


def _selectors(node: Node) -> Iterator[Selector]:
    return (part for part in _below(node) if isinstance(part, Selector))


def _calls(node: Node) -> Iterator[Call]:
    return (part for part in _below(node) if isinstance(part, Call))


def _groupings(node: Node) -> Iterator[Grouping | None]:
    """Of every aggregation over series, None where all series become one."""
    return (part.grouping for part in _calls(node) if part.name in _AGGREGATIONS or part.grouping is not None)


def _matchings(node: Node) -> Iterator[tuple[str, ...]]:
    return (part.matching.on for part in _below(node) if isinstance(part, Binary) and part.matching.on)
