"""The random author: schemas, expressions and rules over every part of the language that is built."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.generate_tables import DECLARATIONS, ROSTERS, clock, lookup

LITERALS: dict[str, Sequence[str]] = {
    "integer": ("0", "1", "1", "2", "3"),
    "money": ("0.5", "0.5", "1", "2.5"),
    "number": ("0.5", "0.5", "1.0", "2.5"),
}
NUMERIC = ("integer", "money", "number")
TEXT_FORMS = (
    '== "x"',
    '!= "y"',
    'in ["x", "y"]',
    "not in odd",
    "in some",
    'matches "^x.?$"',
    'starts with "x"',
    'ends with "y"',
    'contains "y"',
    '< "xy"',
    '>= "y"',
)
FUNCTIONS = (
    *("count", "count", "count", "sum", "sum", "sum", "avg", "min", "max", "first", "last", "count distinct"),
    *("prev", "median", "p25", "p90", "stddev", "changes", "slope", "rate", "ewma", "top", "zscore"),
)
OF_ANY_KIND = ("count distinct", "changes", "count")
NUMBERS = ("avg", "stddev", "slope", "rate", "ewma", "zscore")
WINDOWS = ("over {d}s",) * 6 + (
    "over {d}s every {e}s",
    "over {d}s every {e}s",
    "over last {e}",
    "over {d}s over last {e}",
    "over each {e}s",
    'over each {d}s tz "Asia/Kolkata"',
    "over session {e}s",
    "over session {e}s offset {d}s",
    "over {d}s offset {e}s",
    "over {d}s every 2s offset 3s",
    "over last {e} offset {d}s",
    "over each {d}s offset {e}s",
)
COMPARISONS = (">", ">=", "<", "<=", "==", "!=")


@dataclass(frozen=True)
class Seen:
    """An event by a name that a rule may use, and its fields' kinds."""

    name: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Scope:
    """What an expression may speak of: the judged event's own fields, aliases bound so far, events to aggregate."""

    own: Seen | None
    events: list[Seen]
    horizon: bool  # whether an aggregate may do without `over`
    aliases: dict[str, tuple[Seen, bool]] = field(default_factory=dict)  # alias -> event, is a loop
    aggregates: bool = True


class Schema:
    """Two to four root events, refinements of them, and now and then one event in two roles."""

    def __init__(self, rng: random.Random, features: set[str]) -> None:
        self.roots = [Seen(name, self._fields(rng)) for name in ("e", "g", "h")[: rng.randint(2, 3)]]
        self.usable = list(self.roots)
        self.lines = ["stream s time ts"]
        if rng.random() < 0.25:
            features.add("schema: one event in two roles")
            self.roots.append(Seen("move", {"src": "text", "dst": "text", "u": "integer", "v": "money", "w": "number"}))
        self.lines += [_declaration(root) for root in self.roots]
        if self.roots[-1].name == "move":
            fields = {"k": "text", "m": "text", "u": "integer", "v": "money", "w": "number"}
            self.usable += [Seen("put", fields), Seen("take", fields)]
            self.lines += ["event put = move with k = dst, m = src", "event take = move with k = src, m = dst"]
        if rng.random() < 0.5:
            features.add("schema: refinement")
            base = rng.choice(self.usable)
            self.usable.append(Seen("fine", base.fields))
            words = Words(rng, features)
            self.lines.append(f"event fine = {base.name} where {words.condition(Scope(base, [], False), 1)}")
            if rng.random() < 0.4:
                features.add("schema: refinement of a refinement")
                self.usable.append(Seen("finest", {**base.fields, "n": base.fields["u"]}))
                self.lines.append("event finest = fine with n = u where n >= 1")
        self.lines += [*DECLARATIONS, "let small = 2", 'list odd = ["x", "xy"]', "let beyond(a, b) = a > b"]

    @staticmethod
    def _fields(rng: random.Random) -> dict[str, str]:
        optional = {"v": "money", "w": "number", "t": "text", "f": "flag"}
        chosen = {name: kind for name, kind in optional.items() if rng.random() < 0.75}
        return {"k": "text", "m": "text", "u": "integer", **chosen}

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def _declaration(event: Seen) -> str:
    return f"event {event.name} from s ({', '.join(f'{name} {kind}' for name, kind in event.fields.items())})"


class Words:
    """Random expressions; every form drawn is noted in `features`."""

    def __init__(self, rng: random.Random, features: set[str]) -> None:
        self.rng, self.features = rng, features

    def note(self, feature: str, text: str) -> str:
        self.features.add(feature)
        return text

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def condition(self, scope: Scope, depth: int = 2) -> str:
        """A condition; the deeper, the more it may be joined."""
        drawn = self.rng.random() if depth > 0 else 1.0
        if drawn < 0.12:
            return self.note("expr: and", f"{self.condition(scope, depth - 1)} and {self.condition(scope, 0)}")
        if drawn < 0.40:
            return self.note("expr: or", f"({self.condition(scope, depth - 1)} or {self.condition(scope, 0)})")
        if drawn < 0.46:
            return self.note("expr: not", f"not ({self.condition(scope, depth - 1)})")
        return self.comparison(scope)

    def comparison(self, scope: Scope) -> str:
        """One comparison, of the judged event when there is one, more often than not of numbers."""
        drawn = self.rng.random()
        if drawn < 0.2 and (text := self.own_comparison(scope)):
            return text
        if drawn > 0.95 and scope.aggregates and scope.events:
            return self.value_comparison(scope)
        left, kind = self.term(scope)
        operator = self.rng.choice(COMPARISONS[:2] if self.chance(0.7) else COMPARISONS)
        if drawn < 0.3:
            return self.note("expr: between", f"{left} between {self.rng.randint(0, 1)} and {self.rng.randint(4, 9)}")
        if drawn < 0.40 and scope.aggregates:
            return self.note("expr: let function", f"beyond({left}, {self.literal(kind)})")
        if drawn < 0.45 and kind == "integer":
            return self.note("expr: let", f"{left} {operator} small")
        if drawn < 0.55:
            right, other = self.term(scope)
            if other == kind:
                return f"{left} {operator} {right}"
            return self.note("expr: numbers of two kinds", f"{left} {operator} {right}")
        return f"{left} {operator} {self.literal(kind)}"

    def value_comparison(self, scope: Scope) -> str:
        """A comparison of a value that a window holds: the most frequent text, or whether the own value is new."""
        own = scope.own if scope.own in scope.events else None
        event = own or self.rng.choice(scope.events)
        name = self.rng.choice(list(event.fields))
        where = "when" if scope.own else "while"
        if (own is not None or scope.own is None) and self.chance(0.6):
            text = self.note(f"{where}: new", f"new({event.name}.{name})")
            return self.windowed(text, scope, where)
        name = self.rng.choice([name for name, kind in event.fields.items() if kind == "text"])
        function = self.rng.choice(("top", "prev", "last"))
        text = self.windowed(f"{function}({event.name}.{name})", scope, where)
        return self.note(f"{where}: text of a window", f'{text} {self.rng.choice(("==", "!="))} "x"')

    def windowed(self, call: str, scope: Scope, where: str) -> str:
        """The aggregate with a window: its own, the rule's, since something, or by another key."""
        fixed, plain = call.startswith("rate"), call.startswith("ewma")
        form = ""
        if not scope.horizon or self.chance(0.5):
            form = self.rng.choice(WINDOWS[:1] if plain else WINDOWS[:8] if fixed else WINDOWS)
            self.features.add(f"{where}: {form.format(d='D', e='N')}")
            form = " " + form.format(d=self.rng.choice((2, 3, 5, 8)), e=self.rng.choice((1, 2, 3, 4)))
        if not (fixed or plain or "offset" in form or "every" in form) and self.chance(0.15):
            form += self.note(f"{where}: since", f" since {self.rng.choice(scope.events).name}")
        elif not plain and not form and self.chance(0.15):
            form = self.note(f"{where}: offset", f" offset {self.rng.choice((1, 2, 4))}s")
        if scope.own is not None and self.chance(0.15):
            form += self.note("when: by another key", f" by {self.rng.choice(('k', 'm', 'u'))}")
        return call + form

    def literal(self, kind: str) -> str:
        return self.rng.choice(LITERALS[kind])

    def own_comparison(self, scope: Scope) -> str | None:
        """A comparison of a text or a flag, or `missing`; of an own field, a captured or a latest one."""
        if self.chance(0.06):
            time = self.rng.choice(self.times(scope))
            return self.note("expr: in a schedule", f"{time} in {self.rng.choice(('clock', 'dawn'))}")
        name, kind = self.rng.choice(self.references(scope))
        if self.chance(0.15) and (found := lookup(self.rng, name, kind, ("text", "flag", "integer"))):
            name, kind = found
            self.features.add("expr: looked up")
        if self.chance(0.15):
            return self.note("expr: missing", self.rng.choice((f"missing({name})", f"not missing({name})")))
        if kind == "flag":
            return self.note("expr: flag", self.rng.choice((name, f"not {name}", f"{name} == true")))
        if kind != "text":
            return None
        peers = [other for other, its in self.references(scope) if its == "text" and other != name]
        if peers and self.chance(0.3):
            return self.note("expr: two texts", f"{name} {self.rng.choice(('==', '!='))} {self.rng.choice(peers)}")
        form = self.rng.choice(TEXT_FORMS)
        if self.chance(0.15):
            return self.note(
                "expr: length lower upper", self.rng.choice((f"length({name}) > 1", f'upper({name}) == "X"'))
            )
        return self.note(f"expr: text {form.split()[0]}", f"{name} {form}")

    def references(self, scope: Scope) -> list[tuple[str, str]]:
        """Every field that can be named, with its kind: own, captured, or latest in a `while`."""
        found = [] if scope.own is None else list(scope.own.fields.items())
        for alias, (event, loop) in scope.aliases.items():
            for end in (".last", ".first", "") if loop else ("",):
                found += [(f"{alias}{end}.{name}", kind) for name, kind in event.fields.items()]
        if scope.own is None:
            found += [(f"{event.name}.{name}", kind) for event in scope.events for name, kind in event.fields.items()]
        return found

    def times(self, scope: Scope) -> list[str]:
        """Every time that can be named."""
        found = ["time"] if scope.own is not None else [f"{event.name}.time" for event in scope.events]
        for alias, (_, loop) in scope.aliases.items():
            found += [f"{alias}{end}.time" for end in ((".last", ".first", "") if loop else ("",))]
        return found

    def term(self, scope: Scope, depth: int = 1) -> tuple[str, str]:
        """A number of some kind: a field, an aggregate, a capture, or arithmetic over them."""
        drawn = self.rng.random()
        if scope.aggregates and scope.events and drawn < (0.25 if scope.own else 0.7):
            return self.aggregate(scope)
        if scope.aliases and drawn < 0.6:
            return self.captured(scope)
        if depth and drawn > 0.85:
            return self.arithmetic(scope, depth)
        if self.chance(0.08):
            return self.note("expr: calendar", clock(self.rng, self.rng.choice(self.times(scope)))), "integer"
        if self.chance(0.15) and (found := lookup(self.rng, *self.rng.choice(self.references(scope)), NUMERIC)):
            self.features.add("expr: looked up, a number")
            return found
        name, kind = self.rng.choice([r for r in self.references(scope) if r[1] in NUMERIC])
        if scope.own is None:
            self.features.add("while: latest value")
        return name, kind

    def arithmetic(self, scope: Scope, depth: int) -> tuple[str, str]:
        (left, kind), operator = self.term(scope, depth - 1), self.rng.choice("+-*/%")
        self.features.add(f"expr: {operator}")
        if operator == "/":
            return f"({left} / {self.rng.choice(('2', 'small', left))})", "number"
        if operator in "*%":
            return f"{left} {operator} 2", kind
        if self.chance(0.2):
            function = self.rng.choice(("abs", "floor", "ceil", "min2", "max2"))
            self.features.add(f"expr: {function}")
            return (f"{function}({left}, 2)" if function[-1] == "2" else f"{function}({left})"), kind
        right = self.rng.choice([name for name, its in self.references(scope) if its == kind] or [self.literal(kind)])
        return f"({left} {operator} {right})", kind

    def captured(self, scope: Scope) -> tuple[str, str]:
        """Something about an event captured earlier."""
        alias, (event, loop) = self.rng.choice(list(scope.aliases.items()))
        name = self.rng.choice([name for name, kind in event.fields.items() if kind in NUMERIC])
        kind = event.fields[name]
        if loop and self.chance(0.5):
            function = self.rng.choice(("count", "sum", "avg", "min", "max", "first", "last", "count distinct"))
            self.features.add(f"look-back: {function} of a loop")
            return self.call(function, alias if function == "count" else f"{alias}.{name}", kind)
        if scope.own is not None and self.chance(0.15):
            return self.note("look-back: time between", f"seconds(time - {alias}.time)"), "number"
        end = self.rng.choice((".last", ".first", "")) if loop else ""
        self.features.add(f"look-back: {end[1:] or ('loop' if loop else 'single')}")
        return f"{alias}{end}.{name}", kind

    def aggregate(self, scope: Scope) -> tuple[str, str]:
        """An aggregate over a window of one of the events in scope."""
        event = self.rng.choice(scope.events)
        function = self.rng.choice(FUNCTIONS)
        if function == "zscore" and scope.own is not None and scope.own is not event:
            function = "stddev"
        where = "when" if scope.own else "while"
        self.features.add(f"{where}: {function}")
        fields = [name for name, kind in event.fields.items() if kind in NUMERIC or function in OF_ANY_KIND]
        name = self.rng.choice(fields)
        of_events = function in ("count", "rate") and self.chance(0.7)
        argument, kind = f"{event.name}.{name}", event.fields[name]
        if of_events:
            argument = event.name
        elif self.chance(0.12) and (found := lookup(self.rng, argument, kind, NUMERIC)):
            argument, kind = found
            self.features.add(f"{where}: aggregate of what is looked up")
        if self.chance(0.2):
            inner = self.condition(Scope(event, [], False, aggregates=False), 0)
            argument = self.note(f"{where}: aggregate with a filter", f"{argument} where {inner}")
        text, kind = self.call(function, argument, kind)
        return self.windowed(text, scope, where), kind

    @staticmethod
    def call(function: str, argument: str, kind: str) -> tuple[str, str]:
        if function.startswith("count"):
            return f"count({'distinct ' if ' ' in function else ''}{argument})", "integer"
        kind = "integer" if function == "changes" else "number" if function in NUMBERS else kind
        return f"{function}({argument})", kind


@dataclass(frozen=True)
class Shape:
    """What has been settled of a sequence, and the aliases bound so far."""

    events: list[Seen]
    length: int
    trailing: bool
    horizon: int | None
    aliases: dict[str, tuple[Seen, bool]] = field(default_factory=dict)

    def scope(self, event: Seen) -> Scope:
        return Scope(event, self.events, self.horizon is not None, dict(self.aliases))


class Author:
    """Random rules over a schema."""

    def __init__(self, rng: random.Random, schema: Schema, features: set[str]) -> None:
        self.rng, self.schema, self.features = rng, schema, features
        self.words = Words(rng, features)
        self.note, self.chance = self.words.note, self.words.chance
        self.pool = schema.usable  # the events that a rule may speak of
        self.alerts: list[Seen] = []  # the events that alerts of rules written so far are
        self.of: Callable[[str], str] = str  # how an output names a field that every event has

    def rule(self, name: str) -> str:
        keys = self.rng.choice(([], ["k"], ["k"], ["k"], ["m"], ["m"], ["k", "m"], ["u"]))
        self.features.add(f"key: {len(keys)} fields")
        head = f"rule {name}" + (f" by {', '.join(keys)}" if keys else "")
        self.rostered = len(keys) == 1 and self.chance(0.2)
        if self.rostered:
            head += self.note("rule: roster", f" in {ROSTERS[keys[0]]}")
        if self.chance(0.08):
            head += self.note("rule: active in", f" active in {self.rng.choice(('clock', 'dawn'))}")
        self.pool = self.schema.usable
        if self.alerts and self.chance(0.4):
            self.pool = [*self.rng.sample(self.alerts, k=1), *self.rng.sample(self.pool, k=self.rng.choice((0, 0, 1)))]
            self.features.add("chain: " + ("all alerts" if self.pool[0].name == "alert" else "a rule's alerts"))
        if self.alerts and self.chance(0.1):
            head += self.note("rule: shadow", " mode shadow")
        body = self.while_(keys) if self.chance(0.35) else self.when()
        return f"{head}{body}\n{self.outputs(name)}"

    def outputs(self, name: str) -> str:
        """What the alerts say; always what every event has, so that a later rule may listen."""
        k, m, u = (self.of(field) for field in "kmu")
        lines = [f"  show k = {k}", f"  show m = {m}", f"  show u = {u}"]
        score = self.chance(0.5)
        if score:
            lines.append(self.note("alert: score", f"  score {self.rng.choice(('2', u, f'{u} + 1'))}"))
        if self.chance(0.2):
            by = self.rng.choice(("", f" by {k}", f" by {m}, {u}"))
            lines.append(
                self.note("alert: limit", f"  limit {self.rng.choice('12')} per {self.rng.choice('259')}s{by}")
            )
        conditions = [f"{u} >= {self.rng.choice('123')}", f"missing({m})", f'{k} == "1"']
        if self.chance(0.2):
            lines.append(self.note("alert: several", f"  alert high if {self.rng.choice(conditions)}"))
        if self.chance(0.08):
            lines.append(self.note("alert: if", f"  alert low if {self.rng.choice(conditions)}"))
        else:
            lines.append("  alert low")
        fields = {"k": "text", "m": "text", "u": "integer", "score": "number"}
        self.alerts = [a for a in self.alerts if a.name != "alert"] + [Seen(name, fields), Seen("alert", fields)]
        return "\n".join(lines) + "\n"

    def events(self) -> list[Seen]:
        """The few events that one rule speaks of."""
        if self.pool is not self.schema.usable:
            return self.pool
        return self.rng.sample(self.pool, k=min(len(self.pool), self.rng.choice((1, 2, 2, 3))))

    # when

    def when(self) -> str:
        from tests.generate_trees import Forester

        self.of = str
        if self.chance(0.35):
            return Forester(self.rng, self.words).when(self.events())
        shape = self.shape()
        steps: list[str] = self.guards(shape) if self.chance(0.15) else []
        self.features.update({"when: leading no"} if steps else ())
        for index in range(shape.length):
            if index > 0 and self.chance(0.25):
                self.features.add("when: no between")
                steps += self.guards(shape)
            steps.append(self.step(shape, "pqrz"[index]))
        if shape.trailing:
            self.features.add("when: trailing no")
            steps += self.guards(shape)
        loops = any(loop for _, loop in shape.aliases.values())
        policies = ("first", "first", "each", "each") + (() if shape.trailing else ("last",))
        policy = self.rng.choice(policies + (() if loops else ("all", "all")))
        self.features.add(f"when: {policy}")
        head = "" if shape.horizon is None else f" within {shape.horizon}s"
        if self.chance(0.3) and policy != "last":
            head += self.note("when: max", f" max {self.rng.choice((1, 1, 2, 3))}")
        lines = [
            head,
            "  " + ("" if policy == "first" and self.chance(0.7) else f"match {policy} ") + f"when {steps[0]}",
        ]
        for before, step in itertools.pairwise(steps):
            lines.append(f"  {self.link(before, steps)} {step}")
        return "\n".join(lines)

    def shape(self) -> Shape:
        """Nearly always with a horizon; without one every step but the first has its own gap."""
        length = self.rng.choice((1, 1, 2, 2, 2, 2, 3, 3, 4))
        trailing = self.chance(0.3)
        horizon = self.rng.choice((4, 8, 12, 20, 30)) if self.chance(0.9 if length > 1 else 0.7) else None
        if horizon is None:
            self.features.add("when: no horizon")
        return Shape(self.events(), length, trailing, horizon)

    def link(self, before: str, steps: list[str]) -> str:
        """`next` cannot stand after a leading `no`."""
        leading = before.startswith("no ") and all(s.startswith("no ") for s in steps[: steps.index(before) + 1])
        return "then" if leading or self.chance(0.85) else self.note("when: next", "next")

    def guards(self, shape: Shape) -> list[str]:
        """One or two `no`s; none waits for longer than the horizon."""
        found = []
        for _ in range(self.rng.choice((1, 1, 1, 2))):
            event = self.rng.choice(shape.events)
            text = f"no {event.name}"
            if self.chance(0.9):
                text += f" where {self.words.condition(shape.scope(event), 1)}"
            if shape.horizon is None or self.chance(0.75):
                text = self.note("when: no within", f"{text} within {self.rng.choice((1, 1, 2, 4))}s")
            found.append(text)
        return found

    def step(self, shape: Shape, alias: str) -> str:
        event = self.rng.choice(shape.events)
        may_loop = shape.horizon is not None or bool(shape.aliases)
        quantifier = self.rng.choice(("",) * 9 + ("2 ", "1+ ", "2+ ", "1..2 ", "2..3 ")) if may_loop else ""
        self.features.add(f"when: quantifier {quantifier or 'none'}")
        scope, first = shape.scope(event), not shape.aliases
        if quantifier and self.chance(0.3):
            self.features.add("look-back: a loop at itself")
            scope.aliases[alias] = (event, True)
        text = f"{quantifier}{event.name} as {alias}"
        if self.chance(0.45 if shape.length < 3 else 0.25):
            text += f" where {self.words.condition(scope, 1)}"
        if not first and (shape.horizon is None or self.chance(0.2)):
            text = self.note("when: step within", f"{text} within {self.rng.choice((1, 2, 4, 8))}s")
        shape.aliases[alias] = (event, bool(quantifier))
        return text

    # while

    def while_(self, keys: list[str]) -> str:
        scope = Scope(None, self.events(), horizon=self.chance(0.6))
        head = f" within {self.rng.choice((2, 4, 6, 10))}s" if scope.horizon else ""
        if self.chance(0.15) and not self.rostered:
            head += self.note("while: forget", f" forget {self.rng.choice((10, 12, 15))}s")
        line = f"  while {self.words.condition(scope)}"
        if self.chance(0.5):  # what only outputs look at is no part of the laws
            latest = self.rng.choice(scope.events).name
            self.of = lambda name: f"{latest}.{name}"
            line += self.note("while: outputs of the latest event", f" or {latest}.u > 4")
        else:
            self.of = lambda name: name if name in keys else {"k": '"1"', "m": '"p"', "u": "2"}[name]
        if self.chance(0.3):
            line += self.note("while: for", f" for {self.rng.choice((1, 2, 4))}s")
        if self.chance(0.3):
            line += self.note("while: until", f" until {self.words.condition(scope, 1)}")
        if self.chance(0.3):
            line += self.note("while: keep", f" keep {self.rng.choice((1, 2, 4))}s")
        return f"{head}\n{line}"
