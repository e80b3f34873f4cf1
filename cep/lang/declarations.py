"""Streams, events, lists, lets and what is brought along: from what was written to what the names stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from cep.lang import ast, outside, templates
from cep.lang.checked.schema import Event, Field, Kind, Stream
from cep.lang.contradiction import impossible
from cep.lang.functions import AGGREGATES, FUNCTIONS
from cep.lang.infer import Inference, Scope
from cep.lang.names import NamedLet, Names, View, declare, event_fields, outgrown
from cep.lang.operators import conjunction
from cep.lang.report import Page, nearest
from cep.lang.tables import FIELD_KINDS, Reader, entries, listing
from cep.lang.text import Place, Text

_MOST_GENERATIONS = 16
_MOST_FIELD_NODES, _DEEPEST_FIELD = 200, 16
Declared = tuple[Text, ast.Declaration]


def collect(names: Names, declared: list[Declared], read: Reader) -> None:
    """Fill `names` with everything that rules may speak of, in an order that lets each build on the ones before."""
    taken: dict[str, Place] = {}
    streams: dict[str, Place] = {}
    fresh: list[Declared] = []
    for text, node in declared:
        word = _name_of(node)
        if word is None or declare(streams if isinstance(node, ast.Stream) else taken, word, names.report.on(text)):
            fresh.append((text, node))
    _streams(names, fresh)
    _events(names, fresh)
    for text, node in fresh:
        page = names.report.on(text)
        match node:
            case ast.List():
                _list(names, node, page, read)
            case ast.Let():
                _let(names, node, page)
            case ast.Rule():
                if node.name.text == "alert":
                    page.error("CEP111", node.name.at, '"alert" is the event of all alerts, not the name of a rule')
                names.rules[node.name.text] = node
            case ast.Table() | ast.External():
                outside.declare_outside(names, node, page, read)
            case ast.Template():
                templates.declare_template(names, node, text)
            case _:
                pass
    for text, node in fresh:
        if isinstance(node, ast.Use):
            templates.expand(names, node, names.report.on(text))
    _check_lets(names)
    _refinements(names, fresh)


def _name_of(node: ast.Declaration) -> ast.Word | None:
    return None if isinstance(node, ast.Import | ast.Test) else node.name


def _streams(names: Names, declared: Iterable[Declared]) -> None:
    events_of: dict[str, int] = {}
    for _, node in declared:
        if isinstance(node, ast.Event):
            events_of[node.stream.text] = events_of.get(node.stream.text, 0) + 1
    for text, node in declared:
        if isinstance(node, ast.Stream):
            names.streams[node.name.text] = _stream(node, len(names.streams), events_of, names.report.on(text))


def _stream(node: ast.Stream, index: int, events_of: dict[str, int], page: Page) -> Stream:
    only_event = events_of.get(node.name.text, 0) <= 1
    stream = Stream(node.name.text, index, ("ts",), () if only_event else ("type",), 0, None)
    seen: set[str] = set()
    for option in node.options:
        if option.word in seen:
            page.error("CEP110", option.at, f'"{option.word}" stands twice')
        seen.add(option.word)
        match option.word, option.value:
            case "time", tuple(path):
                stream = replace(stream, time_path=path)
            case "type", tuple(path):
                stream = replace(stream, type_path=path)
            case "late", int(late_us):
                stream = replace(stream, late_us=late_us)
            case "idle", int(idle_us):
                if idle_us == 0:
                    page.error("CEP304", option.at, "a stream is idle after a while, not at once")
                stream = replace(stream, idle_us=idle_us)
            case _:
                raise AssertionError(option)
    return stream


def _events(names: Names, declared: Iterable[Declared]) -> None:
    wire_types: dict[tuple[str, str], str] = {}
    for text, node in declared:
        if not isinstance(node, ast.Event):
            continue
        page = names.report.on(text)
        stream = names.streams.get(node.stream.text)
        if stream is None:
            names.broken.add(node.name.text)
            if node.stream.text not in names.broken:
                hint = nearest(node.stream.text, names.streams) or f"declare it: stream {node.stream.text}"
                page.error("CEP104", node.stream.at, f'there is no stream "{node.stream.text}"', hint)
            continue
        wire_type = node.wire_type.text if node.wire_type else node.name.text
        other = wire_types.setdefault((stream.name, wire_type), node.name.text)
        if other != node.name.text:
            at = (node.wire_type or node.name).at
            page.error("CEP107", at, f'"{other}" already is the event of type "{wire_type}" in this stream')
        name = node.name.text
        event = Event(name, len(names.events), stream.index, wire_type, tuple(_fields(node, page)))
        names.events[name] = event
        names.has_private |= any(field.privacy is not None for field in event.fields)
        names.views[name] = View(name, event.index, event_fields(event), None)


def _fields(node: ast.Event, page: Page) -> Iterable[Field]:
    seen: dict[str, Place] = {}
    for part in node.fields:
        name = part.name.text
        if name == "time":
            hint = f"every event has .time; call the field otherwise, as in: happened {part.kind.text} at time"
            page.error("CEP111", part.name.at, '"time" is every event\'s time, not a field', hint)
            continue
        if name in seen:
            page.error("CEP107", part.name.at, f'the field "{name}" stands twice')
            continue
        seen[name] = part.name.at
        if part.kind.text not in FIELD_KINDS:
            hint = nearest(part.kind.text, FIELD_KINDS) or f"kinds are {', '.join(FIELD_KINDS)}"
            page.error("CEP104", part.kind.at, f'there is no kind of field "{part.kind.text}"', hint)
            continue
        yield Field(name, Kind(part.kind.text), part.path or (name,), part.privacy.text if part.privacy else None)


def _refinements(names: Names, declared: Iterable[Declared]) -> None:
    """Refinements in an order in which each one's base is known; what is left over goes round in a circle."""
    waiting = {node.name.text: (text, node) for text, node in declared if isinstance(node, ast.Refinement)}
    while waiting:
        ready = [name for name, (_, node) in waiting.items() if node.base.text not in waiting]
        if not ready:
            for text, node in waiting.values():
                names.report.on(text).error("CEP112", node.base.at, f'"{node.name.text}" is defined by itself')
                names.broken.add(node.name.text)
            return
        for name in ready:
            text, node = waiting.pop(name)
            view = _refinement(names, node, names.report.on(text))
            if view is None:
                names.broken.add(name)
            else:
                names.views[name] = view


def _refinement(names: Names, node: ast.Refinement, page: Page) -> View | None:
    base = names.view(node.base, page)
    if base is None:
        return None
    if base.generation == _MOST_GENERATIONS:
        page.error("CEP102", node.base.at, f"an event may be refined at most {_MOST_GENERATIONS} times over")
        return None
    infer = Inference(names, page)
    scope = Scope(base, frozenset((node.base.text,)), aggregates="an event cannot depend on windows; a rule's step can")
    fields = dict(base.fields)
    seen: dict[str, Place] = {}
    for rename in node.renames:
        name = rename.name.text
        if name == "time":
            page.error("CEP111", rename.name.at, '"time" is every event\'s time, not a field')
        elif name in seen:
            page.error("CEP107", rename.name.at, f'the field "{name}" stands twice')
        seen[name] = rename.name.at
        value = infer.expr(rename.value, scope)
        if value is None:
            return None
        if outgrown(value, _MOST_FIELD_NODES, _DEEPEST_FIELD):
            page.error(
                "CEP102", rename.value.at, "with the fields that it is made of written out the field is too large"
            )
            return None
        fields[name] = value
    where = infer.flag(node.where, replace(scope, own=View(node.name.text, base.event, fields, base.where)))
    if where is None and node.where is not None:
        return None
    filtered = conjunction((base.where, where))
    if node.where is not None and impossible(filtered):
        page.error("CEP303", node.where.at, "no event can pass this filter: it contradicts itself")
    return View(node.name.text, base.event, fields, filtered, base.generation + 1)


def _list(names: Names, node: ast.List, page: Page, read: Reader) -> None:
    name = node.name.text
    if isinstance(node.source, ast.String):
        found = read(page.text.name, node.source.text)
        if found is None:
            names.broken.add(name)
            page.error(
                "CEP108",
                node.source.at,
                f'the file "{node.source.text}" is not there',
                "paths are relative to the rule file",
            )
            return
        names.files[name] = listing(entries(*found))
        return
    items = Inference(names, page).constants(node.source, Scope())
    if items is None:
        names.broken.add(name)
        return
    kinds = {item.kind for item in items} - {Kind.INTEGER}
    if len(kinds) > 1 or (kinds and kinds != {Kind.NUMBER} and any(item.kind is Kind.INTEGER for item in items)):
        page.error("CEP202", node.source.at, "the entries of a list are of one kind")
    names.lists[name] = tuple(items)


def _let(names: Names, node: ast.Let, page: Page) -> None:
    name = node.name.text
    if name in {*AGGREGATES, *FUNCTIONS} and node.parameters is not None:
        page.error("CEP111", node.name.at, f'"{name}" is a function of the language')
    seen: dict[str, Place] = {}
    for word in node.parameters or ():
        if word.text in seen:
            page.error("CEP107", word.at, f'the parameter "{word.text}" stands twice')
        seen[word.text] = word.at
    names.lets[name] = NamedLet(node, page.text)


def _check_lets(names: Names) -> None:
    """Refuse lets that go round in a circle, and check those that are constants where they stand."""
    words = {name: _mentioned(let) for name, let in names.lets.items()}
    reached = {name: _reached(name, words) for name in words}
    for name, let in list(names.lets.items()):
        if name in reached[name]:
            names.report.on(let.text).error("CEP112", let.node.name.at, f'"{name}" is defined by itself')
            _refuse(name, names)
    for name, let in list(names.lets.items()):
        if all(_is_constant(names.lets.get(other)) for other in {name, *reached[name]}):
            page = names.report.on(let.text)
            if Inference(names, page).expr(let.node.value, Scope(aggregates="a constant has no past")) is None:
                _refuse(name, names)


def _is_constant(let: NamedLet | None) -> bool:
    return let is not None and let.node.parameters is None


def _refuse(name: str, names: Names) -> None:
    names.broken.add(name)
    del names.lets[name]


def _mentioned(let: NamedLet) -> set[str]:
    """The names that a let's body speaks of, its parameters left out."""
    nodes = list(ast.walk(let.node.value))
    words = {node.text for node in nodes if isinstance(node, ast.Name)}
    words |= {node.function.text for node in nodes if isinstance(node, ast.Call)}
    return words - {parameter.text for parameter in let.node.parameters or ()}


def _reached(name: str, words: Mapping[str, set[str]]) -> set[str]:
    """Every name that a let speaks of, over any number of other lets."""
    reached: set[str] = set()
    waiting = set(words[name])
    while waiting:
        reached.add(other := waiting.pop())
        waiting |= words.get(other, set()) - reached
    return reached
