"""The names of a rule set: streams, events, lists, lets and rules, and what each stands for.

A `View` is an event as an author sees it: a root event, or a refinement with its filter and its renamed fields already
written out over the root's fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from cep.lang import ast
from cep.lang.checked.expressions import Aggregate, Const, Expr, FieldRef, LatestRef, Op
from cep.lang.checked.schema import Event, Kind, Outside, Stream, Table
from cep.lang.report import Page, Report, nearest
from cep.lang.tables import Keyed
from cep.lang.text import Place, Text


@dataclass(frozen=True, slots=True)
class View:
    """An event under the name that rules use. `fields` gives each author's name as an expression over root fields."""

    name: str
    event: int
    fields: Mapping[str, Expr]
    where: Expr | None
    generation: int = 0  # how many refinements lie between it and its root
    is_alert: bool = False

    def remedy(self, name: str) -> str:
        """How to give it a field that it lacks."""
        if self.is_alert:
            return f"let the rule show it: show {name} = …"
        return f"give it one: event NAME = {self.name} with {name} = FIELD"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes that a cron line names on the clocks of a zone."""

    cron: str
    zone: str

    def covers(self, time: Expr) -> Expr:
        """Whether a time lies in one of them."""
        return Op("scheduled", (time, Const(self.cron, Kind.TEXT), Const(self.zone, Kind.TEXT)), Kind.FLAG)


@dataclass(frozen=True, slots=True)
class NamedTemplate:
    """A template as it was written, and the file that it was written in."""

    node: ast.Template
    text: Text


@dataclass(frozen=True, slots=True)
class NamedLet:
    """A let as it was written, and the file that it was written in."""

    node: ast.Let
    text: Text


@dataclass(frozen=True, slots=True)
class Expansion:
    """A rule that a `use` has written out, where its mistakes are reported, and what its parameters stand for."""

    rule: ast.Rule
    page: Page
    given: Mapping[str, ast.Expr]


Asked = tuple[str, Kind]  # a table, list or roster, and the kind of key that it is looked up by


@dataclass(slots=True)
class Names:
    """Everything that has a name. `broken` are names whose declaration was refused: their use is not reported again."""

    report: Report
    streams: dict[str, Stream] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    lets: dict[str, NamedLet] = field(default_factory=dict)
    lists: dict[str, tuple[Const, ...]] = field(default_factory=dict)
    files: dict[str, Keyed] = field(default_factory=dict)  # lists from files: entries to be read in any kind
    tables: dict[str, Keyed] = field(default_factory=dict)
    rosters: dict[str, Keyed] = field(default_factory=dict)
    outside: dict[str, Outside] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    templates: dict[str, NamedTemplate] = field(default_factory=dict)
    expansions: dict[str, Expansion] = field(default_factory=dict)
    rules: dict[str, ast.Rule] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    alerts: dict[str, tuple[View, ...]] = field(default_factory=dict)
    """Of a rule, and of `alert`, the event of the alerts that have fired, and that of those that have resolved too."""
    circles: Mapping[str, set[str]] = field(default_factory=dict)
    """For each rule those whose alerts it uses although they depend on its own."""
    has_private: bool = False
    """Whether any field is declared `mask` or `hash`."""
    silent: dict[str, str] = field(default_factory=dict)
    """The rules whose alerts nobody can listen to, with their modes."""
    used: dict[Asked, Table] = field(default_factory=dict)
    """Tables, lists and rosters in the kinds of key that rules look them up by."""
    asked: set[Asked] = field(default_factory=set)
    """Those that the rule under check asks."""

    def keyed(self, name: str, kind: Kind) -> Table:
        """A table, list or roster with its keys in a kind. Raises KindError."""
        self.asked.add((name, kind))
        if (name, kind) not in self.used:
            found = self.tables.get(name) or self.files.get(name) or self.rosters[name]
            self.used[name, kind] = found.in_kind(name, kind)
        return self.used[name, kind]

    def given(self, rule: str) -> Mapping[str, ast.Expr]:
        """What the parameters of the rule's template stand for, if it has one."""
        return self.expansions[rule].given if rule in self.expansions else {}

    def view(
        self, word: ast.Word | ast.Name, page: Page, rule: str | None = None, *, asks_status: bool = False
    ) -> View | None:
        """The event of this name; None when there is none, which has then been reported.

        An event that alerts are is known to `rule`s alone; who asks for `status` is given the resolved ones too.
        """
        name = word.text
        if name in self.views:
            return self.views[name]
        if rule is None and (name == "alert" or name in self.rules):
            hint = "a rule may use it, with a where of its own"
            page.error("CEP370", word.at, f'"{name}" is the event of alerts, of which only rules may speak', hint)
        elif rule is not None and name in self.circles.get(rule, ()):
            page.error("CEP307", word.at, f'"{rule}" depends on its own alerts')
        elif name in self.alerts:
            if name in self.silent:
                page.warning("CEP374", word.at, f'nothing will come of this: "{name}" is in mode {self.silent[name]}')
            return self.alerts[name][asks_status]
        elif name in self.schedules:
            hint = f"a rule takes events only within it: rule NAME … active in {name}"
            page.error("CEP127", word.at, f'"{name}" is a schedule, which is no event', hint)
        elif name not in self.broken and name not in self.rules and name != "alert":
            page.error("CEP104", word.at, f'there is no event "{name}"', nearest(name, self.views) or self._other(name))
        return None

    def is_event(self, name: str) -> bool:
        """Whether a rule may speak of an event of this name."""
        return name in self.views or name in self.alerts

    def all_views(self) -> Iterable[tuple[str, View]]:
        """Every event by each of its names."""
        yield from self.views.items()
        yield from ((name, view) for name, views in self.alerts.items() for view in views)

    def what(self, name: str) -> str | None:
        """What kind of thing, other than an event, has this name."""
        kinds: tuple[tuple[str, Mapping[str, object]], ...] = (
            ("stream", self.streams),
            ("list", self.lists),
            ("list", self.files),
            ("let", self.lets),
            ("table", self.tables),
            ("roster", self.rosters),
            ("schedule", self.schedules),
            ("template", self.templates),
        )
        return next((what for what, names in kinds if name in names), None)

    def _other(self, name: str) -> str | None:
        what = self.what(name)
        if what is not None:
            return f'"{name}" is a {what}'
        return None if self.views else "an event is declared with: event NAME from STREAM (FIELD KIND, ...)"


@dataclass(slots=True)
class Keys:
    """A rule's key: the words of its `by`, and the kinds that its events give them."""

    words: tuple[ast.Word, ...] = ()
    kinds: dict[str, Kind] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)

    def of(self, view: View, page: Page) -> tuple[FieldRef, ...]:
        """The key's fields in this event; what does not fit is reported once for an event."""
        return tuple(ref for word in self.words if (ref := self._part(word, view, page)) is not None)

    def _part(self, word: ast.Word, view: View, page: Page) -> FieldRef | None:
        ref = view.fields.get(word.text)
        if isinstance(ref, FieldRef) and ref.field != "time":
            kind = self.kinds.setdefault(word.text, ref.kind)
            if kind is not ref.kind:
                message = (
                    f'"{word.text}" is {ref.kind.value} in "{view.name}" and {kind.value} in another event of the rule'
                )
                self._tell(word, view, page, ("CEP209", message, None))
            return ref
        if ref is None:
            hint = nearest(word.text, view.fields) or view.remedy(word.text)
            self._tell(word, view, page, ("CEP305", f'the key "{word.text}" is not a field of "{view.name}"', hint))
        else:
            self._tell(word, view, page, ("CEP305", f'the key "{word.text}" of "{view.name}" is no plain field', None))
        return None

    def _tell(self, word: ast.Word, view: View, page: Page, mistake: tuple[str, str, str | None]) -> None:
        if (word.text, view.name) not in self.told:
            self.told.add((word.text, view.name))
            code, message, hint = mistake
            page.error(code, word.at, message, hint)


def event_fields(event: Event) -> dict[str, Expr]:
    """A root event's fields, and `time`, as expressions."""
    fields: dict[str, Expr] = {f.name: FieldRef(event.index, f.name, f.kind) for f in event.fields}
    fields["time"] = FieldRef(event.index, "time", Kind.TIME)
    return fields


def rebase(expr: Expr, seat: Callable[[FieldRef], Expr]) -> Expr:
    """The expression with every field of an event replaced: it speaks of a captured or the latest event then."""
    if isinstance(expr, FieldRef):
        return seat(expr)
    if isinstance(expr, Op):
        return replace(expr, args=tuple(rebase(arg, seat) for arg in expr.args))
    return expr


def parts(expr: Expr | None) -> Iterable[Expr]:
    """The expression and everything below it, sources' filters left out."""
    if expr is None:
        return
    yield expr
    if isinstance(expr, Op):
        for arg in expr.args:
            yield from parts(arg)


def outgrown(expr: Expr, nodes_max: int, depth_max: int) -> bool:
    """Whether an expression has more nodes or is deeper than it may be."""
    waiting = [(expr, 1)]
    nodes = 0
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if nodes > nodes_max or depth > depth_max:
            return True
        if isinstance(node, Op):
            waiting += [(arg, depth + 1) for arg in node.args]
    return False


def sources(*exprs: Expr | None) -> list[Aggregate | LatestRef]:
    """The aggregates and latest values in some expressions."""
    return [part for expr in exprs for part in parts(expr) if isinstance(part, Aggregate | LatestRef)]


def asks_status(owners: Iterable[str], *exprs: ast.Expr | ast.Choices | None) -> bool:
    """Whether expressions speak of the `status` of the event judged, which may be called by any of `owners`."""
    known = set(owners)
    for node in ast.walk(*exprs):
        if isinstance(node, ast.Member) and isinstance(node.base, ast.Name):
            if node.name.text == "status" and node.base.text in known:
                return True
        elif isinstance(node, ast.Name) and node.text == "status":
            return True
    return False


def declare(taken: dict[str, Place], word: ast.Word, page: Page) -> bool:
    """Take a name; False when something else has it already, which is reported."""
    if word.text in taken:
        page.error("CEP107", word.at, f'the name "{word.text}" is taken already', "names are unique in a rule set")
        return False
    taken[word.text] = word.at
    return True
