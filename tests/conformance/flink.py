"""Flink CEP in our language.

Links: `strict` is `next`, `relaxed` is `then`, `any` is `then each`. Skip strategies: none is `match each` (one match
for every start), past the last event `match first`, to an event of a stage `resume at` it.

A loop that is not greedy is, in Flink, every length that it can have; an optional stage is with and without. Where
nothing is skipped that is the union of the patterns with one length each, so it becomes a rule for each; a loop without
a bound is written out up to the number of events there are. A greedy loop, and every loop under another skip strategy,
is a loop of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from tests.conformance.cases import Case, Node, Outside
from tests.conformance.expressions import Writer, Written, text_of
from tests.conformance.schema import (
    FOREVER,
    TYPE,
    Schema,
    duration,
    feed,
    fields_compared,
    literal,
    name_of,
    one_event,
)
from tests.conformance.translation import Translation, rule

SEVERAL = "several rules, one for each length of its loops"
_RULES_MAX = 600
_LINKS = {"strict": "next", "relaxed": "then", "any": "then each"}


@dataclass(frozen=True)
class Atom:
    """A stage once, or as a loop of ours. `guards` stand before it; `until` ends the loop that it is a turn of."""

    stage: Node
    link: str | None
    guards: tuple[Node, ...] = ()
    until: tuple[Node, ...] = ()
    loop: str = ""  # a quantifier of ours, with the word that binds it
    optional: bool = False
    within_ms: int | None = None


Sequence_ = tuple[Atom, ...]


def translate(case: Case) -> Translation:
    """The rules of a case."""
    if case.expected is None and "expected_late" not in case.result:
        raise Outside(_unseen(case))
    pattern, skip = case.pattern, case.semantics["skip"]
    if skip.get("error_on_miss"):
        raise Outside("a failure at run time when there is nothing to resume at")
    schema = one_event(case.events, fields_compared(pattern["stages"]))
    apart = skip["strategy"] == "no_skip"
    expand = _Expansion(len(case.events), apart)
    sequences = list(expand.sequence(pattern["stages"], True)) if apart else [expand.whole(pattern)]
    if len(sequences) > _RULES_MAX:
        raise Outside("more lengths of loops than rules that one would write")
    within = duration(pattern["within_ms"]) if "within_ms" in pattern else FOREVER
    stages: dict[tuple[str, str], str] = {}
    rules = []
    for number, atoms in enumerate(sequences, 1):
        writer = _Author(schema, atoms)
        when = writer.when()
        if when is None:
            continue
        stages |= {(f"r{number}", alias): stage for alias, stage in writer.stages.items()}
        rules.append(rule(f"r{number}", when + writer.resume(skip), within=within, policy="each" if apart else "first"))
    if not rules:
        rules = [rule("r0", "never as nothing_happens")]
    late_ms, singly = _lateness(case)
    notes = (SEVERAL,) if len(rules) > 1 else ()
    text = "\n\n".join([schema.text(late_ms), *rules])
    return Translation(text, feed(schema, case.events), stages, singly=singly, notes=notes)


def _unseen(case: Case) -> str:
    if "expected_error" in case.result:
        return "a failure at run time when there is nothing to resume at"
    return "it asserts how many partial matches are kept, which no alert shows"


def _lateness(case: Case) -> tuple[int, bool]:
    """How long the stream waits for stragglers, and whether events come one at a time."""
    watermark = case.semantics.get("watermark")
    if watermark is None:
        return 0, False
    if "max_out_of_order_ms" in watermark:
        return watermark["max_out_of_order_ms"], True
    behind = {max((e["ts"] for e in case.events[:k]), default=0) - w for k, w in watermark["explicit"]}
    if len(behind) != 1 or min(behind) < 0:
        raise Outside("a watermark that is announced by hand")
    return behind.pop(), True


@dataclass(frozen=True)
class _Expansion:
    """Stages → the sequences of atoms that they stand for, of `most` atoms at most. `apart`: one rule each."""

    most: int
    apart: bool

    def whole(self, pattern: Node) -> Sequence_:
        """The one sequence, its loops kept as loops."""
        atoms = next(self.sequence(pattern["stages"], True), ())
        if len(atoms) == 1:
            return (replace(atoms[0], optional=False),)
        if all(atom.optional for atom in atoms if atom.stage is not None):
            raise Outside("a pattern of which everything may be left out, under a skip strategy")
        return atoms

    def sequence(self, stages: Sequence[Node], last: bool) -> Iterator[Sequence_]:
        """Every sequence of some stages; `last`: nothing comes after them."""
        choices, guards = [], []
        for place, stage in enumerate(stages):
            if stage.get("negated"):
                guards.append(stage)
                continue
            rest = [s for s in stages[place + 1 :] if not s.get("negated")]
            behind = _leading_guards(stages[place + 1 :])
            choices.append([(tuple(guards), made) for made in self._choices(stage, last and not rest, behind)])
            guards = []
        for chosen in product(*choices):
            atoms: list[Atom] = []
            waiting: tuple[Node, ...] = ()
            for before, made in chosen:
                waiting = (*waiting, *before)
                if made:
                    atoms += [replace(made[0], guards=(*waiting, *made[0].guards)), *made[1:]]
                    waiting = ()
            left_out = bool(chosen) and not chosen[-1][1]
            if guards and not left_out:
                atoms.append(Atom(None, None, tuple(guards)))
            if 0 < len(atoms) <= self.most + 1:
                yield tuple(atoms)

    def _choices(self, stage: Node, last: bool, behind: tuple[Node, ...]) -> list[Sequence_]:
        """What one stage may be: each of its lengths, and nothing when it is optional."""
        quantifier = stage.get("quantifier")
        optional = bool(stage.get("optional"))
        without: list[Sequence_] = [()] if optional else []
        if quantifier is None:
            turns = self._turn(stage)
            if optional and not self.apart:
                return [_once(turns, optional=True)]
            return [*turns, *without]
        least, most = quantifier["min"], quantifier["max"]
        keep = (quantifier["greedy"] and not last) if self.apart else least != most
        if keep or (not self.apart and least == most):
            return self._loop(stage, optional)
        lengths = range(max(least, 1), (self.most if most is None else min(most, self.most)) + 1)
        made = [turns for n in lengths for turns in self._turns(stage, n, behind)]
        return [*made, *([()] if least == 0 and not optional else []), *without]

    def _turn(self, stage: Node) -> list[Sequence_]:
        """A stage once, or a group's steps once."""
        link = stage["link"]
        if "group" in stage:
            made = list(self.sequence(stage["group"], False))
            return [(replace(atoms[0], link=atoms[0].link or link), *atoms[1:]) for atoms in made]
        return [(Atom(stage, link, within_ms=stage.get("within_prev_ms")),)]

    def _turns(self, stage: Node, count: int, behind: tuple[Node, ...]) -> Iterator[Sequence_]:
        """A stage `count` times. What must not come behind a loop must not come into it either, once it is ready."""
        quantifier = stage["quantifier"]
        until = (stage["until"],) if "until" in stage else ()
        for turns in product(self._turn(stage), repeat=count):
            atoms: list[Atom] = []
            for turn, (first, *others) in enumerate(turns):
                guards = behind if turn >= max(quantifier["min"], 1) else ()
                changed = replace(first, until=until, guards=(*first.guards, *guards))
                if turn:
                    within = quantifier.get("within_ms")
                    changed = replace(changed, link=quantifier["loop_link"], within_ms=within)
                atoms += [changed, *others]
            if len(atoms) <= self.most:
                yield tuple(atoms)

    def _loop(self, stage: Node, optional: bool) -> list[Sequence_]:
        """A stage as a loop of ours."""
        quantifier = stage["quantifier"]
        if "group" in stage:
            raise Outside("a greedy loop of several steps")
        if "within_ms" in quantifier or "within_prev_ms" in stage:
            raise Outside("a limit of time between the turns of a greedy loop")
        if quantifier["loop_link"] == "any":
            raise Outside("a loop that tries every subset of its events, under a skip strategy or greedily")
        least, most = max(quantifier["min"], 1), quantifier["max"]
        count = f"{least}+" if most is None else f"{least}" if least == most else f"{least}..{most}"
        row = " in a row" if quantifier["loop_link"] == "strict" else ""
        (atom,) = self._turn(stage)[0]
        where = (stage["until"],) if "until" in stage else ()
        optional = optional or quantifier["min"] == 0
        return [_once([(replace(atom, loop=f"{count}{row}", until=where),)], optional=optional)]


def _once(turns: list[Sequence_], *, optional: bool) -> Sequence_:
    if len(turns) != 1 or len(turns[0]) != 1:
        raise Outside("an optional group under a skip strategy")
    return (replace(turns[0][0], optional=optional),)


def _leading_guards(stages: Sequence[Node]) -> tuple[Node, ...]:
    guards = []
    for stage in stages:
        if not stage.get("negated"):
            break
        guards.append({**stage, "link": "relaxed"})
    return tuple(guards)


class _Author:
    """Writes one sequence."""

    def __init__(self, schema: Schema, atoms: Sequence_) -> None:
        self._schema, self._atoms = schema, atoms
        self._taken: dict[str, list[tuple[str, bool]]] = {}  # stage → the aliases bound so far, and which are loops
        self.stages: dict[str, str] = {}

    def when(self) -> str | None:
        """The sequence, or None when it is known that it never matches."""
        lines: list[str] = []
        for atom in self._atoms:
            step = self._steps(atom, first=not lines)
            if step is None:
                return None
            lines += step
        return "\n  ".join(lines)

    def resume(self, skip: Node) -> str:
        """Where the search goes on after a match."""
        if "stage" not in skip:
            return ""
        taken = self._taken.get(skip["stage"])
        if not taken:
            return ""
        end = {"skip_to_first": "first", "skip_to_last": "last"}[skip["strategy"]]
        return f"\n  resume at {end} {taken[0][0]}"

    def _steps(self, atom: Atom, first: bool) -> list[str] | None:
        lines = []
        for guard in atom.guards:
            strict = guard["link"] == "strict"
            where = self._condition(guard["where"], None, None)
            if where is not False:
                lines.append(f"{'next' if strict else 'then'} no {self._atom(where)}")
        if atom.stage is None:
            return lines
        name = atom.stage.get("name") or "group"
        alias = f"x{len(self.stages) + 1}"
        loop = alias if atom.loop else None
        where = self._condition(atom.stage["where"], name, loop)
        for until in atom.until:
            ends = self._condition(until, name, loop)
            if ends is True:
                return None
            if ends is not False and not atom.loop and not first:
                lines.append(f"then no {self._atom(ends)}")
            elif ends is not False:
                where = f"not ({ends})" if where is True else f"{text_of(where)} and not ({ends})"
        if where is False:
            return None
        self.stages[alias] = name
        self._taken.setdefault(name, []).append((alias, bool(atom.loop)))
        return [*lines, self._written(atom, alias, where, first)]

    def _written(self, atom: Atom, alias: str, where: Written, first: bool) -> str:
        body = f"{atom.loop} {self._atom(where, alias)}".strip()
        if atom.optional:
            body = f"optional ({body})" if atom.loop else f"optional {body}"
        gap = f" within {duration(atom.within_ms)}" if atom.within_ms is not None else ""
        return f"{body}{gap}" if first else f"{_LINKS[atom.link or 'relaxed']} {body}{gap}"

    def _atom(self, where: Written, alias: str | None = None) -> str:
        named = f"row as {alias}" if alias else "row"
        return named if where is True else f"{named} where {text_of(where)}"

    def _condition(self, node: Node, stage: str | None, loop: str | None) -> Written:
        """A condition at this place; `stage` is the one it belongs to, `loop` its alias when it is a loop of ours."""

        def leaf(node: list[Node]) -> Written | None:
            operator, *args = node
            if operator == "is":
                return self._is(args[0])
            if operator in ("sum", "count", "first", "last"):
                taken = [*self._taken.get(args[0], ())]
                if loop is not None and args[0] == stage:
                    taken.append((loop, True))
                return _aggregate(operator, taken, args[1:])
            return None

        return Writer(leaf, self._schema.kinds("row")).condition(node)

    def _is(self, name: str) -> str:
        """An event is of its type, and of the type that it is a kind of: `SubEvent` is an `Event`."""
        return "true" if name == "Event" else f"{TYPE} == {literal(name)}"


def _aggregate(function: str, taken: list[tuple[str, bool]], args: list[Node]) -> Written:
    """An aggregate over what a stage has captured: a loop of ours, or steps written out one by one."""
    if function == "count":
        counted = sum(not loop for _, loop in taken)
        loops = [f"count({alias})" for alias, loop in taken if loop]
        return f"({' + '.join([*loops, str(counted)])})" if loops else counted
    field = name_of(args[0])
    if not taken:
        return 0 if function == "sum" else _nothing()
    if function == "sum":
        return "({})".format(" + ".join(f"sum({a}.{field})" if loop else f"{a}.{field}" for a, loop in taken))
    alias, loop = taken[0] if function == "first" else taken[-1]
    return f"{alias}.{function}.{field}" if loop else f"{alias}.{field}"


def _nothing() -> Written:
    raise Outside("a value of a stage that has captured nothing")
