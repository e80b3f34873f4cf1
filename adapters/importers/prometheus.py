"""Prometheus alerting rules → `while` rules over samples.

A metric is an event with a label a field and its `value`. A gauge's value is the latest one of the last five minutes,
as it is for Prometheus. A counter, which is what `rate` and `increase` are asked of, must come as increases (what
OpenTelemetry calls delta temporality), for only increases can be added up over series: `rate(m[5m])` is the sum of five
minutes divided by their seconds, summed by whatever the rule's key is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cep.adapters.importers.documents import documents
from cep.adapters.importers.draft import Draft, NotCarried, comment
from cep.adapters.importers.prometheus_values import Samples
from cep.adapters.importers.promql import Binary, Call, Node, Selector, parse, seconds
from cep.adapters.importers.writing import (
    Said,
    arithmetic,
    call,
    duration,
    hole,
    name,
    number,
    plain_message,
    snake,
    string,
)

_LEVELS = {
    "critical": "critical",
    "page": "critical",
    "error": "high",
    "high": "high",
    "major": "high",
    "warning": "medium",
    "warn": "medium",
    "medium": "medium",
    "minor": "low",
    "low": "low",
    "info": "info",
    "none": "info",
}
_TEMPLATE = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_LABEL = re.compile(r"(?:\$labels|\.Labels)\.(\w+)")


def convert(sources: Mapping[str, str]) -> Draft:
    """All alerting rules of some files, by name. Raises ConfigurationError where they cannot be read."""
    draft = Draft(sources, "samples time timestamp type metric")
    draft.remarks += [
        "A sample is an event: its metric, its labels, its value. Counters come as increases since the sample before.",
        "A rule is judged at each sample. Series are told apart by the labels after `by`: check them.",
    ]
    groups = [group for document in documents(sources) for group in _groups(document)]
    rules = [(group, rule) for group in groups for rule in group.get("rules") or () if isinstance(rule, Mapping)]
    recorded: dict[str, Node] = {}
    for _, rule in rules:
        if "record" in rule:
            _record(draft, rule, recorded)
    for group, rule in rules:
        if "alert" not in rule:
            continue
        about = str(rule["alert"])
        with draft.attempt(about):
            lines = _Alert(draft, about, rule, recorded).lines()
            draft.rule([*comment("group", group.get("name")), *lines])
    return draft


def _groups(document: Any) -> list[Mapping[str, Any]]:
    """The groups of a rule file, or of the Kubernetes resource that holds one."""
    if isinstance(document, Mapping):
        spec = document.get("spec")
        found = (spec if isinstance(spec, Mapping) else document).get("groups")
        if isinstance(found, list):
            return [group for group in found if isinstance(group, Mapping)]
    return []


def _record(draft: Draft, rule: Mapping[str, Any], recorded: dict[str, Node]) -> None:
    """A recording rule has no events of its own: it is written out where it is used."""
    about = str(rule["record"])
    with draft.attempt(about):
        if rule.get("labels"):
            raise NotCarried("a recording rule that sets labels")
        recorded[about] = parse(str(rule.get("expr")))
        draft.note(about, "a recording rule: it is written out in the rules that use it")


class _Alert:
    """One alerting rule."""

    def __init__(self, draft: Draft, about: str, rule: Mapping[str, Any], recorded: Mapping[str, Node]) -> None:
        self._draft, self._about, self._rule, self._recorded = draft, about, rule, recorded
        self._notes: list[str] = []
        tree = self._written_out(parse(str(rule.get("expr"))))
        self._samples = Samples(draft, tree, [x for text in self._texts() for x in _LABEL.findall(text)], self._note)
        self._keys = self._samples.keys

    def _note(self, what: str) -> None:
        remark = f"# note: {what}"
        if remark not in self._notes:
            self._notes.append(self._draft.note(self._about, what))

    def _texts(self) -> list[str]:
        parts = [self._rule.get("annotations") or {}, self._rule.get("labels") or {}]
        return [str(text) for part in parts for text in part.values()]

    def _written_out(self, node: Node) -> Node:
        match node:
            case Selector(metric, (), None, 0.0) if metric in self._recorded:
                return self._written_out(self._recorded[metric])
            case Call(word, args, grouping):
                return Call(word, tuple(map(self._written_out, args)), grouping)
            case Binary(op, left, right, matching):
                return Binary(op, self._written_out(left), self._written_out(right), matching)
        return node

    def lines(self) -> list[str]:
        """The rule with its comments."""
        condition = self._samples.condition()
        head = f"rule {name(self._draft.unused(self._about))}"
        by = f" by {', '.join(name(snake(key)) for key in self._keys)}" if self._keys else ""
        lines = [f"{head}{by} within {duration(self._samples.within_s)}"]
        annotations = dict(self._rule.get("annotations") or {})
        title = next((k for k in ("summary", "message", "description", "title") if k in annotations), None)
        message = self._message(str(annotations.pop(title))) if title else plain_message(self._about)
        lines += self._described(annotations)
        waits = self._waits("for", "for") + self._waits("keep_firing_for", "keep")
        lines.append(f"  while {condition.text}{waits}")
        labels = dict(self._rule.get("labels") or {})
        lines.append(f'  alert {self._level(labels.pop("severity", None))} "{message}"')
        lines += self._labelled(labels)
        return [*comment("expr", self._rule.get("expr")), *self._notes, *lines]

    def _waits(self, key: str, word: str) -> str:
        length = seconds(str(self._rule.get(key, "0s")))
        return f" {word} {duration(length)}" if length else ""

    # ----------------------------------------------------------------------------------- outputs

    def _level(self, severity: object) -> str:
        known = _LEVELS.get(str(severity).lower()) if severity is not None else "medium"
        if known is None:
            self._note(f'the severity "{severity}" is taken as medium')
        return known or "medium"

    def _described(self, annotations: Mapping[str, Any]) -> list[str]:
        """Annotations beside the summary: a plain description says what the rule is about, the others are remarks."""
        lines = []
        for key, value in annotations.items():
            text = " ".join(str(value).split())
            if key == "description" and not _TEMPLATE.search(text):
                lines.append(f"  about {string(text)}")
            else:
                self._notes += comment(str(key), text)
        return lines

    def _labelled(self, labels: Mapping[str, Any]) -> list[str]:
        lines = []
        for key, value in labels.items():
            text = str(value)
            whole = _TEMPLATE.fullmatch(text.strip())
            asked = _LABEL.fullmatch(whole[1]) if whole else None
            if asked and asked[1] in self._keys:
                lines.append(f"  label {name(snake(str(key)))} = {name(snake(asked[1]))}")
            elif _TEMPLATE.search(text):
                self._note(f'the label "{key}" is made of a template: {text}')
            else:
                lines.append(f"  label {name(snake(str(key)))} = {string(text)}")
        return lines

    def _message(self, text: str) -> str:
        """An annotation as a message."""
        pieces, end = [], 0
        text = " ".join(text.split())
        for found in _TEMPLATE.finditer(text):
            pieces += [plain_message(text[end : found.start()]), self._hole(found[1])]
            end = found.end()
        return "".join([*pieces, plain_message(text[end:])])

    def _hole(self, inner: str) -> str:
        """What a template's braces stand for."""
        source = inner.split("|", maxsplit=1)[0].strip()
        if label := _LABEL.fullmatch(source):
            if label[1] in self._keys:
                return hole(Said(name(snake(label[1]))))
            if (constant := self._samples.constant(label[1])) is not None:
                return plain_message(constant)
            self._note(f'the message speaks of the label "{label[1]}", which the alert does not have')
            return "?"
        if re.fullmatch(r'(?:printf\s+"[^"]*"\s+)?(?:\$value|\.Value)', source) and (value := self._samples.measured()):
            if "humanizePercentage" in inner:
                return hole(call("round", arithmetic(value, "*", number(100)))) + "%"
            return hole(value)
        self._note("a part of the message is a template that has no counterpart: {{ " + inner + " }}")
        return "?"
