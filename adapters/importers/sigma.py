"""Sigma → rules: correlations, and the detections that they refer to.

Source: the Sigma specification 2.1 (rules, correlations, modifiers). A detection becomes a refinement of the event of
its log source, a count becomes a `while`, a temporal correlation a `when`, and a correlation of correlations a rule
over alerts. A rule that is referred to and is not in the file becomes an event that says which rule has matched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cep.adapters.importers import detection
from cep.adapters.importers.detection import Node, Test
from cep.adapters.importers.documents import documents
from cep.adapters.importers.draft import Draft, DraftEvent, NotCarried, comment
from cep.adapters.importers.writing import (
    PRIMARY,
    Said,
    all_of,
    any_of,
    arithmetic,
    call,
    compare,
    duration,
    hole,
    literal,
    name,
    number,
    plain_message,
    snake,
    string,
)

_LEVELS = {"informational": "info", "low": "low", "medium": "medium", "high": "high", "critical": "critical"}
_OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "==", "neq": "!="}
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 30 * 86_400, "y": 365 * 86_400}
_AGGREGATES = {"value_sum": "sum", "value_avg": "avg", "value_median": "median", "value_min": "min", "value_max": "max"}
_TYPES = {"event_count", "value_count", "value_percentile", "temporal", "temporal_ordered", *_AGGREGATES}


@dataclass(slots=True)
class _Target:
    """What a correlation may speak of. event, node: what its refinement is made of; None where it is a correlation."""

    title: str
    document: Mapping[str, Any] | None
    word: str
    event: DraftEvent | None
    node: Node | None
    keys: tuple[str, ...] = ()
    referred: bool = False


def convert(sources: Mapping[str, str]) -> Draft:
    """All rules of some files, by name. Raises ConfigurationError where they cannot be read."""
    draft = Draft(sources, "logs time timestamp")
    rules = _Rules(draft, [document for document in documents(sources) if isinstance(document, Mapping)])
    rules.write()
    if len(draft.events) > 1:
        draft.stream += " type logsource"
    draft.remarks.append("The kinds of fields are guessed from their use, and so is where the time stands: check them.")
    return draft


class _Rules:
    """The rules of one file. Everything is read first, for the kind of a field depends on all of its uses."""

    def __init__(self, draft: Draft, documents: list[Mapping[str, Any]]) -> None:
        self._draft = draft
        self._targets: dict[str, _Target] = {}
        self._found: list[_Target] = []
        self._correlations: list[_Target] = []
        for document in documents:
            self._take(document)

    def _take(self, document: Mapping[str, Any]) -> None:
        title = str(document.get("title") or document.get("name") or "untitled")
        word = str(document.get("name") or title)
        if "correlation" in document:
            target = _Target(title, document, self._draft.unused(word.lower()), None, None)
            self._correlations.append(target)
        elif "detection" in document:
            target = self._detected(title, word, document)
        else:
            self._draft.lose(title, "the document is neither a correlation nor a detection")
            return
        for key in ("id", "name"):
            if key in document:
                self._targets[str(document[key])] = target

    def _detected(self, title: str, word: str, document: Mapping[str, Any]) -> _Target:
        """A detection, which is a refinement of its log source's event."""
        source = document.get("logsource") or {}
        wanted = "_".join(str(source[key]) for key in ("product", "category", "service") if source.get(key)) or "log"
        event = self._draft.event(wanted)
        try:
            node = detection.detection(document["detection"], event)
        except NotCarried as reason:
            # Without its filter it would be every event of the log source, so it is looked for elsewhere instead.
            self._draft.lose(title, f"{reason}; its matches are expected as events")
            return self._elsewhere(str(document.get("name") or document.get("id") or title))
        target = _Target(title, document, self._draft.unused(word.lower()), event, node)
        self._found.append(target)
        return target

    def _elsewhere(self, reference: str) -> _Target:
        """A rule that is not here: an event that says that it has matched."""
        event = self._draft.event("sigma_match")
        event.learn("sigma_rule", "text")
        test = Test("sigma_rule", lambda e: compare(e.field("sigma_rule"), "==", literal(reference, "text")))
        first = reference.split("-", maxsplit=1)[0]
        word = f"rule_{first}" if "-" in reference else reference
        target = _Target(reference, None, self._draft.unused(word.lower()), event, test)
        self._found.append(target)
        self._targets[reference] = target
        return target

    def _target(self, reference: str) -> _Target:
        target = self._targets.get(reference) or self._elsewhere(reference)
        target.referred = True
        return target

    def write(self) -> None:
        """Everything, once it has all been read."""
        rules = []
        for target in self._correlations:
            try:
                rules.append(_Correlation(self._draft, target, self._target))
            except NotCarried as reason:
                self._draft.lose(target.title, str(reason))
        self._refinements()
        for target in self._found:
            if target.document is not None and not target.referred:
                self._draft.rule(_header(self._draft, target, [], None) + _single(target))
        for rule in sorted(rules, key=lambda rule: rule.chained):
            try:
                self._draft.rule(rule.lines())
            except NotCarried as reason:
                self._draft.lose(rule.target.title, str(reason))

    def _refinements(self) -> None:
        for target in self._found:
            assert target.event is not None
            assert target.node is not None
            lines = []
            if target.document is None:
                what = "the rule is not in this file: its matches are expected as events that name it"
                lines.append(self._draft.note(target.title, what))
            elif target.title != target.word:
                lines += comment("Sigma", target.title)
            where = detection.write(target.node, target.event)
            lines.append(f"event {name(target.word)} = {name(target.event.name)} where {where.text}")
            self._draft.blocks.append(lines)


class _Correlation:
    """One correlation: what it needs is learnt when it is made, and `lines` writes it."""

    def __init__(self, draft: Draft, target: _Target, find: Any) -> None:
        assert target.document is not None
        self.target, self._draft = target, draft
        self._body: Mapping[str, Any] = target.document["correlation"]
        references = self._body.get("rules") or []
        self._references = [str(r) for r in (references if isinstance(references, list) else [references])]
        if not self._references:
            raise NotCarried("it refers to no rule")
        self._rules: list[_Target] = [find(reference) for reference in self._references]
        self.chained = any(rule.event is None for rule in self._rules)
        self._notes: list[str] = []
        self._type = self._text("type", "temporal", "the correlation has no type: temporal is taken")
        if self._type not in _TYPES:
            raise NotCarried(f'the correlation type "{self._type}"')
        self._span = _seconds(self._text("timespan", "1h", "the correlation has no timespan: an hour is taken"))
        groups = self._body.get("group-by") or []
        self._groups = [str(group) for group in (groups if isinstance(groups, list) else [groups])]
        self._aliases: Mapping[str, Any] = self._body.get("aliases") or {}
        target.keys = tuple(snake(group) for group in self._groups)
        self._condition = self._body.get("condition")
        self._learn()

    def _text(self, key: str, default: str, otherwise: str) -> str:
        if key not in self._body:
            self._notes.append(self._draft.note(self.target.title, otherwise))
        return str(self._body.get(key, default))

    def _learn(self) -> None:
        field = self._field()
        for reference, rule in zip(self._references, self._rules, strict=True):
            if rule.event is None:
                continue
            for group in self._groups:
                rule.event.learn(self._source(group, reference))
            if field is not None:
                rule.event.learn(field, None if self._type == "value_count" else "number")

    def _field(self) -> str | None:
        """The field whose values are counted or summed."""
        if not self._type.startswith("value_"):
            return None
        field = self._condition.get("field") if isinstance(self._condition, Mapping) else None
        if isinstance(field, list) and len(field) == 1:
            field = field[0]
        if not isinstance(field, str):
            raise NotCarried("it counts the values of no field, or of several together")
        return field

    def _source(self, group: str, reference: str) -> str:
        """What a key is called in the events of one rule."""
        alias = self._aliases.get(group)
        if not isinstance(alias, Mapping):
            return group
        rule = self._rules[self._references.index(reference)]
        known = (reference, *(str(rule.document[k]) for k in ("name", "id") if rule.document and k in rule.document))
        return next((str(alias[k]) for k in known if k in alias), group)

    def lines(self) -> list[str]:
        """The rule, and before it the events that it needs for itself."""
        for rule in self._rules:
            for key in self.target.keys if rule.event is None else ():
                if key not in rule.keys:
                    raise NotCarried(f'the rule "{rule.title}" has no key "{key}"')
        if self.chained and self._aliases:
            raise NotCarried("aliases for a correlation's own fields")
        before, words = self._keyed()
        trigger = self._trigger(words, before)
        if self.chained and not (self._body.get("generate") or (self.target.document or {}).get("generate")):
            others = ", ".join(rule.word for rule in self._rules if rule.event is None)
            self._notes.append(self._draft.note(self.target.title, f"in Sigma {others} would make no alert of its own"))
        span = duration(self._span)
        head = _header(self._draft, self.target, self._notes, f" within {span}", before)
        keys = "".join(f"{hole(Said(name(key)))}, " for key in self.target.keys)[:-2]
        message = f"{keys}: {plain_message(self.target.title)}" if keys else plain_message(self.target.title)
        return [*head, f"  {trigger}", f'  alert {_level(self.target)} "{message}"']

    def _keyed(self) -> tuple[list[str], list[str]]:
        """What the rule calls its events; one whose key has another name there gets a refinement that renames it."""
        lines, words = [], []
        for reference, rule in zip(self._references, self._rules, strict=True):
            word = name(rule.word)
            if rule.event is not None:
                own = {snake(g): rule.event.field(self._source(g, reference)).text for g in self._groups}
                renames = [f"{name(key)} = {field}" for key, field in own.items() if name(key) != field]
                if renames:
                    word = self._draft.unused(f"{rule.word}_for_{self.target.word}")
                    lines.append(f"event {word} = {name(rule.word)} with {', '.join(renames)}")
            words.append(word)
        return lines, words

    # ----------------------------------------------------------------------------------- triggers

    def _trigger(self, words: list[str], before: list[str]) -> str:
        if self._type == "temporal_ordered":
            if isinstance(self._condition, str) and not _is_plain_and(self._condition, self._references):
                raise NotCarried("a condition with an order of its own")
            return f"when {' then '.join(words)}"
        if self._type == "temporal":
            return self._temporal(words)
        measured = self._measured(words, before)
        return f"while {self._compared(measured).text}"

    def _temporal(self, words: list[str]) -> str:
        if isinstance(self._condition, str):
            by_reference = dict(zip(self._references, words, strict=True))

            def seen(reference: str) -> Node:
                counted = call("count", Said(by_reference[reference]))
                return Test("", lambda e: compare(counted, ">", number(0)), guarded=False)

            node = detection.condition(self._condition, self._references, seen)
            return f"while {detection.write(node, DraftEvent('')).text}"
        if len(words) == 1:
            return f"when {words[0]}"
        count = self._condition.get("gte") if isinstance(self._condition, Mapping) else None
        if isinstance(self._condition, Mapping) and set(self._condition) != {"gte"}:
            raise NotCarried("a number of rules other than a least one")
        several = "all" if count in (None, len(words)) else str(count)
        return f"when {several} of ({', '.join(words)})"

    def _compared(self, measured: Said) -> Said:
        condition = self._condition if isinstance(self._condition, Mapping) else {}
        limits = [(op, condition[op]) for op in _OPERATORS if op in condition]
        if not limits:
            limits = [("gte", 1)]
            self._notes.append(self._draft.note(self.target.title, "the correlation has no condition: one is enough"))
        if not all(isinstance(value, int | float) for _, value in limits):
            raise NotCarried("a limit that is no number")
        return all_of([compare(measured, _OPERATORS[op], number(value)) for op, value in limits])

    def _measured(self, words: list[str], before: list[str]) -> Said:
        """What is compared: a count, or an aggregate of a field."""
        if self._type == "event_count":
            counts = [call("count", Said(word)) for word in words]
            return _sum(counts)
        word, event = self._union(words, before)
        field = self._field()
        assert field is not None
        argument = Said(f"{word}.{event.field(field).text}", PRIMARY)
        if self._type == "value_count":
            return Said(f"count(distinct {argument.text})")
        if self._type == "value_percentile":
            return call(f"p{self._percentile()}", argument)
        return call(_AGGREGATES[self._type], argument)

    def _percentile(self) -> int:
        assert isinstance(self._condition, Mapping)
        given = self._condition.get("percentile")
        if given is None:
            self._notes.append(self._draft.note(self.target.title, "no percentile is named: the 50th is taken"))
            return 50
        if not isinstance(given, int) or not 1 <= given <= 99:
            raise NotCarried(f"the percentile {given}")
        return given

    def _union(self, words: list[str], before: list[str]) -> tuple[str, DraftEvent]:
        """One event for all rules: the rule's own, or a refinement of what they all are made of."""
        first = self._rules[0]
        if first.event is None:
            raise NotCarried("values of a correlation's alerts")
        if len(words) == 1:
            return words[0], first.event
        if any(rule.event is not first.event for rule in self._rules) or self._aliases:
            raise NotCarried("values of rules with different log sources")
        where = any_of([detection.write(rule.node, first.event) for rule in self._rules if rule.node is not None])
        word = self._draft.unused(f"{self.target.word}_event")
        before[:] = [f"event {word} = {name(first.event.name)} where {where.text}"]
        return word, first.event


def _is_plain_and(condition: str, references: list[str]) -> bool:
    """Whether the condition only says that all of the rules are met, in their order."""
    words = [word for word in condition.split() if word.lower() != "and"]
    return words == references


def _sum(parts: list[Said]) -> Said:
    total, *rest = parts
    for part in rest:
        total = arithmetic(total, "+", part)
    return total


def _seconds(timespan: str) -> int:
    number, unit = timespan[:-1], timespan[-1:]
    if not number.isdecimal() or unit not in _UNITS_S or int(number) == 0:
        raise NotCarried(f'the timespan "{timespan}"')
    return int(number) * _UNITS_S[unit]


def _level(target: _Target) -> str:
    return _LEVELS.get(str((target.document or {}).get("level")), "medium")


def _header(
    draft: Draft, target: _Target, notes: list[str], within: str | None, before: Sequence[str] = ()
) -> list[str]:
    """Comments, what stands before the rule, and the rule's head."""
    document = target.document or {}
    lines = list(_remarks(document))
    by = f" by {', '.join(map(name, target.keys))}" if target.keys else ""
    word = target.word if within is not None else draft.unused(f"{target.word}_seen")
    lines += [*notes, *before, f"rule {name(word)}{by}{within or ''}"]
    if document.get("description"):
        lines.append(f"  about {string(' '.join(str(document['description']).split()))}")
    tags = document.get("tags")
    if isinstance(tags, list) and tags:
        lines.append(f"  tags [{', '.join(string(str(tag)) for tag in tags)}]")
    if document.get("status") in ("deprecated", "unsupported"):
        lines.append("  mode off")
    return lines


def _single(target: _Target) -> list[str]:
    """A detection on its own: each event is an alert."""
    return [f"  when {name(target.word)}", f'  alert {_level(target)} "{plain_message(target.title)}"']


def _remarks(document: Mapping[str, Any]) -> Iterator[str]:
    """What a rule file has no place for."""
    for key, label in (
        ("id", "Sigma"),
        ("status", "status"),
        ("author", "author"),
        ("date", "date"),
        ("modified", "modified"),
        ("references", "references"),
        ("falsepositives", "false positives"),
        ("related", "related"),
        ("fields", "fields of interest"),
    ):
        yield from comment(label, document.get(key))
