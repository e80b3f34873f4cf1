"""EQL → rules: a sequence becomes a `when` of steps, a sample or a join `all of` them, one event a step alone.

A file holds queries that semicolons part, or is TOML as rule collections keep it: a table `rule`, or tables `queries`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from cep.adapters.importers import eql_where
from cep.adapters.importers.draft import Draft, DraftEvent, NotCarried, comment
from cep.adapters.importers.eql_parse import Expr, Field, Item, Literal, Query, parse
from cep.adapters.importers.writing import Said, duration, hole, name, plain_message, snake, string
from cep.errors import ConfigurationError

_CATEGORY = "event.category"
_ANY = "any"
_NO_SPAN_S = 86_400.0
_LEVELS = ("low", "medium", "high", "critical")


@dataclass(slots=True)
class _Written:
    """A query and what its file says of it; `keys` are, for each item (`until` last), the fields of its key."""

    title: str
    query: Query
    about: Mapping[str, Any]
    keys: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def convert(sources: Mapping[str, str]) -> Draft:
    """All queries of some files, by name. Raises ConfigurationError where they cannot be read."""
    draft = Draft(sources, "events")
    written = [query for origin, text in sources.items() for query in _queries(draft, text, origin)]
    mixed = any(item.category == _ANY for one in written for item in _items(one.query))
    draft.stream = "events time `@timestamp`" + ("" if mixed else f" type {_CATEGORY}")
    draft.remarks += [
        "A span of exactly maxspan is too long here. The kinds of fields are guessed from their use: check them.",
    ]
    rules = _Rules(draft, mixed)
    kept = []
    for one in written:
        with draft.attempt(one.title):
            rules.learn(one)
            kept.append(one)
    draft.settle()
    for one in kept:
        with draft.attempt(one.title):
            draft.rule(rules.lines(one))
    return draft


def _queries(draft: Draft, text: str, origin: str) -> Iterator[_Written]:
    """Every query of the file with its title."""
    stem = PurePath(origin).stem
    if origin.endswith(".toml"):
        try:
            tables = _tables(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{origin} is no TOML: {error}") from None
    else:
        tables = [{"query": text, "name": stem}]
    for table in tables:
        title = str(table.get("name") or table.get("note") or stem)
        try:
            for query in parse(str(table.get("query", ""))):
                yield _Written(title, query, table)
        except NotCarried as reason:
            draft.lose(title, str(reason))


def _tables(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rule = document.get("rule")
    if isinstance(rule, Mapping):
        return [rule]
    queries = document.get("queries")
    return [q for q in queries if isinstance(q, Mapping)] if isinstance(queries, list) else []


def _items(query: Query) -> tuple[Item, ...]:
    return query.items if query.until is None else (*query.items, query.until)


class _Rules:
    """The rules of one file. mixed: a query asks for events of any category, so all are of one root event."""

    def __init__(self, draft: Draft, mixed: bool) -> None:
        self._draft, self._mixed = draft, mixed
        self._views: dict[str, str] = {}

    def _event(self, item: Item) -> DraftEvent:
        return self._draft.event("record" if self._mixed else item.category)

    def learn(self, one: _Written) -> None:
        """Take in the fields of a query."""
        query = one.query
        for item in _items(query):
            event = self._event(item)
            if self._mixed:
                event.learn(_CATEGORY, "text")
            eql_where.learn(item.where, event, self._draft)
            key = [_key(part) for part in (*query.by, *item.by)]
            for source in key:
                event.learn(source)
            one.keys.append(key)
        if len({len(key) for key in one.keys}) > 1:
            raise NotCarried("its steps have keys of different lengths")
        first = self._event(query.items[0])
        for item, key in zip(_items(query), one.keys, strict=True):
            for source, other in zip(one.keys[0], key, strict=True):
                self._draft.alike(first, source, self._event(item), other)

    def lines(self, one: _Written) -> list[str]:
        """A rule, and before it the events that it needs for itself."""
        query = one.query
        before: list[str] = []
        word = self._draft.unused(one.title.lower())
        atoms = [self._atom(item, key, one, before, word) for item, key in zip(_items(query), one.keys, strict=True)]
        steps = atoms[: len(query.items)]
        until = f" until {atoms[-1]}" if query.until is not None else ""
        trigger = self._trigger(one, steps)
        keys = [snake(source) for source in one.keys[0]]
        by = f" by {', '.join(map(name, keys))}" if keys else ""
        within = "" if query.form == "single" else f" within {self._span(one)}"
        lines = [f"rule {name(word)}{by}{within}"]
        if one.about.get("description"):
            lines.append(f"  about {string(' '.join(str(one.about['description']).split()))}")
        tags = one.about.get("tags")
        if isinstance(tags, list) and tags:
            lines.append(f"  tags [{', '.join(string(str(tag)) for tag in tags)}]")
        told = ", ".join(hole(Said(name(key))) for key in keys)
        message = f"{told}: {plain_message(one.title)}" if told else plain_message(one.title)
        severity = str(one.about.get("severity"))
        lines += [f"  {trigger}{until}", f'  alert {severity if severity in _LEVELS else "medium"} "{message}"']
        if isinstance(score := one.about.get("risk_score"), int | float):
            lines.append(f"  score {score}")
        for pipe in query.pipes:
            self._note(one, f'the pipe "{pipe}" works on the results of a search, and is left out')
        remarks = [line for key in ("rule_id", "author", "references") for line in comment(key, one.about.get(key))]
        return [*remarks, *one.notes, *before, *lines]

    def _note(self, one: _Written, what: str) -> None:
        one.notes.append(self._draft.note(one.title, what))

    def _span(self, one: _Written) -> str:
        if one.query.maxspan_s is None:
            self._note(one, "the query has no maxspan: a day is taken")
        return duration(one.query.maxspan_s or _NO_SPAN_S)

    def _trigger(self, one: _Written, steps: list[str]) -> str:
        query = one.query
        if query.form == "sample" and len(steps) > 1:
            return f"when all of ({', '.join(steps)})"
        if query.form == "single" or len(steps) == 1:
            return f"when {steps[0]}"
        if any(item.fork for item in query.items):
            return f"match each when {' then '.join(steps)}"
        if query.items[-1].missing:
            self._note(one, "of several beginnings the first one makes the alert, and not the last one")
            return f"when {' then '.join(steps)}"
        return f"match last when {' then '.join(steps)}"

    def _atom(self, item: Item, key: list[str], one: _Written, before: list[str], rule: str) -> str:
        """A step: how often, which event, and its condition."""
        event = self._event(item)
        word = self._view(item, before)
        names = [name(snake(source)) for source in one.keys[0]]
        own = [event.field(source).text for source in key]
        renames = [f"{wanted} = {has}" for wanted, has in zip(names, own, strict=True) if wanted != has]
        if renames:
            renamed = self._draft.unused(f"{word.strip('`')}_for_{rule}")
            before.append(f"event {renamed} = {word} with {', '.join(renames)}")
            word = renamed
        if any(isinstance(part, Field) and part.optional for part in (*one.query.by, *item.by)):
            self._note(one, "events without a key are left out, also where it is optional")
        times = "no " if item.missing else f"{item.runs} " if item.runs > 1 else ""
        where = "" if item.where == Literal(True) else f" where {eql_where.write(item.where, event).text}"
        return f"{times}{word}{where}"

    def _view(self, item: Item, before: list[str]) -> str:
        """What the rule calls the events of a category."""
        event = self._event(item)
        if not self._mixed or item.category == _ANY:
            return name(event.name)
        if item.category not in self._views:
            word = self._views[item.category] = name(self._draft.unused(item.category))
            category = event.field(_CATEGORY).text
            before.append(f"event {word} = {name(event.name)} where {category} == {string(item.category)}")
        return self._views[item.category]


def _key(part: Expr) -> str:
    if not isinstance(part, Field):
        raise NotCarried("a key that is no plain field")
    return part.path
