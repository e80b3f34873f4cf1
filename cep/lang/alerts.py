"""Rules over alerts: who listens to whom, in which order rules are checked, and the events that alerts are.

A rule's name is the event of its alerts, and `alert` the event of the alerts of every live rule that does not itself,
directly or over others, listen to `alert`. So a rule's stratum is one more than the highest that it listens to, and
rules that go round in a circle are the author's mistake. Who listens is told from the names in a rule's text, before
anything is checked, because the fields of an alert are known only once its rule has been.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cep.lang import ast
from cep.lang.checked.rules import Fed, Rule
from cep.lang.checked.schema import ALERTS, Event, Field, Kind
from cep.lang.names import Names, View, event_fields
from cep.lang.privacy import privacy, strictest

ALERT = "alert"
STRATA_MAX = 16
COMMON = {  # what every alert has; a key, show or label of a rule hides one of the same name
    "rule": Kind.TEXT,
    "severity": Kind.TEXT,
    "score": Kind.NUMBER,
    "status": Kind.TEXT,
    "id": Kind.TEXT,
}
OWN = "own"  # the first part of the path of a key, show or label, which may be called like a field in `COMMON`
_HOLE = re.compile(r"\{([^{}]*)\}")
_OWNER = re.compile(r"([^\W\d]\w*)\s*\.|(?:\bsince\b|\()\s*(?:distinct\s+)?([^\W\d]\w*)")

Graph = dict[str, set[str]]


@dataclass(frozen=True, slots=True)
class Strata:
    """The rules in the order in which to check them, and the stratum of each.

    heard: the names that some rule listens to, `alert` among them perhaps. of_all: the rules that listen to `alert`.
    members: the rules that it is of. circles: for each rule those that it listens to and that depend on its alerts.
    deep: the rules beyond `STRATA_MAX`.
    """

    stratum: Mapping[str, int]
    heard: frozenset[str]
    of_all: frozenset[str]
    members: tuple[str, ...]
    circles: Mapping[str, set[str]]
    deep: tuple[str, ...]

    @property
    def order(self) -> Sequence[str]:
        """Each rule after those that it listens to."""
        return sorted(self.stratum, key=self.stratum.__getitem__)


def strata(names: Names) -> Strata:
    """Who listens to whom, as far as the text says."""
    known = {*names.rules, ALERT} - set(names.views)
    lets = {name: _owners(let.node.value) | _words(let.node.value) for name, let in names.lets.items()}
    graph = {name: _mentioned(node, lets) & known for name, node in names.rules.items()}
    reached = {name: _reached(name, graph) for name in graph if graph[name]}
    members = tuple(name for name in graph if ALERT not in reached.get(name, ()) and _is_live(names.rules[name]))
    full = {name: (heard - {ALERT}) | (set(members) if ALERT in heard else set()) for name, heard in graph.items()}
    circles = {name: {other for other in graph[name] if name in reached.get(other, ())} for name in reached}
    stratum: dict[str, int] = {}
    waiting = {name: heard for name, heard in full.items() if not circles.get(name)}
    while ready := [name for name, heard in waiting.items() if not heard & waiting.keys()]:
        for name in ready:
            stratum[name] = 1 + max((stratum.get(other, 0) for other in waiting.pop(name)), default=-1)
    stratum |= dict.fromkeys([name for name in graph if name not in stratum], STRATA_MAX)
    heard = frozenset(other for found in graph.values() for other in found)
    deep = tuple(name for name, height in stratum.items() if height > STRATA_MAX)
    of_all = frozenset(name for name, found in graph.items() if ALERT in found)
    return Strata(stratum, heard, of_all, members, circles, deep)


def _is_live(rule: ast.Rule) -> bool:
    modes = [header.value for header in rule.headers if isinstance(header, ast.Setting) and header.word == "mode"]
    return modes in ([], ["live"])


def _reached(name: str, graph: Graph) -> set[str]:
    reached: set[str] = set()
    waiting = set(graph[name])
    while waiting:
        reached.add(other := waiting.pop())
        waiting |= graph.get(other, set()) - reached
    return reached


def _mentioned(rule: ast.Rule, lets: Mapping[str, set[str]]) -> set[str]:
    """The names that a rule uses as those of events."""
    trigger = rule.trigger
    exprs: list[ast.Expr | None] = []
    found: set[str] = set()
    if isinstance(trigger, ast.When):
        atoms = [*_atoms(trigger.sequence), *([trigger.until] if trigger.until else [])]
        found |= {atom.event.text for atom in atoms}
        aliases = {atom.alias.text for atom in atoms if atom.alias is not None}
        exprs += [atom.where for atom in atoms]
    else:
        aliases = set()
        exprs += [trigger.condition, trigger.until]
    for output in rule.outputs:
        match output:
            case ast.Alert(message=message, condition=condition):
                exprs.append(condition)
                found |= _in_message(message)
            case ast.Show(shows=assignments):
                exprs += [assignment.value for assignment in assignments]
            case ast.Label(label=assignment):
                exprs.append(assignment.value)
            case ast.Score(value=value):
                exprs.append(value)
            case ast.Limit(keys=keys):
                exprs += keys
            case ast.To():
                pass
    named = _owners(*exprs)
    waiting = _words(*exprs) & lets.keys()
    seen: set[str] = set()
    while waiting:
        seen.add(let := waiting.pop())
        named |= lets[let]
        waiting |= (lets[let] & lets.keys()) - seen
    return found | (named - aliases)


def _atoms(sequence: ast.Sequence) -> Iterable[ast.Atom]:
    waiting = [sequence]
    while waiting:
        for step in waiting.pop().steps:
            if isinstance(step.body, ast.Group):
                waiting += step.body.sequences
            else:
                yield step.body


def _owners(*exprs: ast.Expr | None) -> set[str]:
    """The names of which a field is meant, or that an aggregate counts or counts since."""
    found: set[str] = set()
    for node in ast.walk(*exprs):
        if isinstance(node, ast.Member) and isinstance(node.base, ast.Name):
            found.add(node.base.text)
        elif isinstance(node, ast.Call):
            found |= {arg.text for arg in node.args if isinstance(arg, ast.Name)}
            found |= {str(window.value) for window in node.windows if window.form == "since"}
    return found


def _words(*exprs: ast.Expr | None) -> set[str]:
    """The names that may be those of lets."""
    nodes = list(ast.walk(*exprs))
    calls = {node.function.text for node in nodes if isinstance(node, ast.Call)}
    return calls | {node.text for node in nodes if isinstance(node, ast.Name)}


def _in_message(message: ast.String | None) -> set[str]:
    holes = _HOLE.findall(message.raw) if message is not None else ()
    return {word for hole in holes for pair in _OWNER.findall(hole) for word in pair if word}


# -------------------------------------------------------------------------------------- events


@dataclass(slots=True)
class Alerts:
    """Gives alerts their events, as rules are checked."""

    names: Names
    fed: dict[str, Fed] = field(default_factory=dict)

    def declare(self, rule: Rule) -> None:
        """A rule's name becomes the event of its alerts."""
        if rule.name in self.fed:
            return
        own = _own_fields(rule, tuple(self.names.events.values()))
        fields = (*own, *(common for common in _COMMON_FIELDS if common.name not in {f.name for f in own}))
        fired, resolved = self._pair(rule.name, fields, (), ())
        self.fed[rule.name] = Fed(rule.name, fired, resolved)

    def declare_all(self, members: Sequence[Rule]) -> None:
        """`alert` becomes the event of these rules' alerts. Its own fields go before the rules', of one kind each."""
        for rule in members:
            self.declare(rule)
        events = tuple(self.names.events.values())
        owned: dict[str, list[Field]] = {}
        for rule in members:
            for own in _own_fields(rule, events):
                owned.setdefault(own.name, []).append(own)
        fields = [*_COMMON_FIELDS]
        for name, several in owned.items():
            if name not in COMMON and len({own.kind for own in several}) == 1:
                hidden = strictest(own.privacy for own in several)
                fields.append(Field(name, several[0].kind, several[0].path, hidden))
        fed = [self.fed[rule.name] for rule in members]
        self._pair(ALERT, tuple(fields), tuple(f.fired for f in fed), tuple(f.resolved for f in fed))

    def _pair(
        self, name: str, fields: tuple[Field, ...], fired: tuple[int, ...], resolved: tuple[int, ...]
    ) -> tuple[int, int]:
        """The event of what has fired, and that of what has resolved as well."""
        names, first = self.names, len(self.names.events)
        of_all = (*fired, *resolved, first)
        pair = (
            Event(name, first, ALERTS, "", fields, fired),
            Event(f"{name} resolved", first + 1, ALERTS, "", fields, of_all),
        )
        names.events |= {event.name: event for event in pair}
        names.alerts[name] = tuple(View(name, event.index, event_fields(event), None, is_alert=True) for event in pair)
        if any(part.name == "status" and part.path[0] == OWN for part in fields):
            names.alerts[name] = (names.alerts[name][0],) * 2  # the author's own `status` asks for nothing
        return first, first + 1


_COMMON_FIELDS = tuple(Field(name, kind, (name,)) for name, kind in COMMON.items())


def _own_fields(rule: Rule, events: tuple[Event, ...]) -> list[Field]:
    """What an alert of the rule has of its own: its key, then its shows, then its labels; the first of a name."""
    fields = {key.name: Field(key.name, key.kind, (OWN, key.name), key.privacy) for key in rule.keys}
    for name, value in (*rule.shows, *rule.labels):
        fields.setdefault(name, Field(name, value.kind, (OWN, name), privacy(value, events, rule.keys)))
    return list(fields.values())
