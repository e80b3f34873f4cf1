"""The whole rule set → Program: which columns are decoded, which rows pass, and a plan for each rule."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cep.compile.aggregates import inward
from cep.compile.episode import ConditionWords, compile_episode
from cep.compile.expressions import Coder, conjuncts, walk
from cep.compile.features import FeatureSet
from cep.compile.output import describe
from cep.compile.sequence import compile_sequence, looks_back
from cep.compile.shared import run_plans
from cep.compile.structure import of_column, of_rule, of_value, spoken_of
from cep.lang.checked import ALERTS, Aggregate, Event, Expr, Kind, Op, Rule, RuleSet, Source, Stream, Table, When
from cep.layout import (
    ColumnSpec,
    EventSpec,
    FeaturePlan,
    FilterIndex,
    Outside,
    Predicate,
    Program,
    RuleSpec,
    RunPlan,
    Stratum,
    StreamSpec,
    TableData,
)


@dataclass(slots=True)
class Context:
    """What the compilers of rules share: the coder, the predicates by their content, their indexes, the features."""

    rules: RuleSet
    coder: Coder
    features: FeatureSet
    predicates: list[Predicate] = field(default_factory=list)
    indexes: list[FilterIndex] = field(default_factory=list)
    _known: dict[Predicate, int] = field(default_factory=dict)

    def predicate(self, event: int, condition: Expr | None, base: int = -1, reads_features: bool = False) -> int:
        """The place of a predicate; equal ones are one. With features, aggregates are read from their columns."""
        if condition is None and base >= 0:
            return base
        loads = self.features.load(self.coder) if reads_features else self.coder.event_load
        code = -1 if condition is None else self.coder.expression(condition, loads)
        made = Predicate(event, base, code, reads_features)
        if made not in self._known:
            self._known[made] = len(self.predicates)
            self.predicates.append(made)
        return self._known[made]

    def source(self, source: Source) -> int:
        """The predicate of an aggregate's source, which never reads features."""
        return self.predicate(source.event, source.where)

    def key(self, source: Source) -> tuple[int, ...]:
        """The columns that hold a source's key."""
        return tuple(self.coder.slot(part) for part in source.key)

    def atom(self, source: Source, plain: list[Expr], probing: list[Expr], group: tuple[object, ...]) -> int:
        """The predicate of a step's `where` without its look-back (`probing`); aggregates in both become features.

        The rows that read them must be known without them, so they are those that pass all other conditions.
        """
        judged = [c for c in plain if has_aggregate(c)]
        base = self.candidates(source, plain)
        self.read_features(source, [*judged, *probing], base, group)
        return self.predicate(source.event, all_of(judged), base, reads_features=True) if judged else base

    def candidates(self, source: Source, plain: list[Expr]) -> int:
        """The predicate of the events that pass what can be decided without windows and without look-back."""
        return self.predicate(source.event, all_of([c for c in plain if not has_aggregate(c)]))

    def shown_feature(self, aggregate: Aggregate, source: Source, group: tuple[object, ...]) -> int:
        """The column of an aggregate that an alert shows, as it stood before an event of `source`."""
        plain = [c for c in map(inward, conjuncts(source.where)) if not looks_back(c)]
        self.features.read(self, aggregate, self.candidates(source, plain), self.key(source), group)
        return self.features.places[aggregate]

    def read_features(self, source: Source, conditions: list[Expr], base: int, group: tuple[object, ...]) -> None:
        """The aggregates in `conditions` are read for the rows of predicate `base`."""
        for condition in conditions:
            for part in walk(condition):
                if isinstance(part, Aggregate):
                    self.features.read(self, part, base, self.key(source), group)


def has_aggregate(expr: Expr) -> bool:
    """Whether the expression reads a window."""
    return any(isinstance(part, Aggregate) for part in walk(expr))


def all_of(conditions: list[Expr]) -> Expr | None:
    """The conjunction; None of none."""
    if not conditions:
        return None
    return conditions[0] if len(conditions) == 1 else Op("and", tuple(conditions), Kind.FLAG)


def compile_rules(rules: RuleSet) -> Program:
    """Compile a checked rule set. Rules that are off are left out."""
    live = tuple(rule for rule in rules.rules if rule.mode != "off")
    columns, places = _columns(rules, live)
    context = Context(rules, Coder(columns, places), FeatureSet())
    compiled = [_rule(context, rule) for rule in live]
    plans = run_plans(context, live, [spec for spec, _ in compiled])
    coder = context.coder
    features = context.features.plans(context)
    predicates = tuple(context.predicates)
    meanings = _meanings(rules, coder, context.features)
    specs = [
        replace(spec, structure=_structure(rules, rule, words, meanings))
        for rule, (spec, words) in zip(live, compiled, strict=True)
    ]
    return Program(
        streams=tuple(_stream(rules, stream) for stream in rules.streams),
        events=tuple(_event(event, places) for event in rules.events),
        columns=tuple(columns),
        slots=coder.slots,
        derived=tuple(coder.derived),
        calendars=tuple(coder.calendars),
        predicates=predicates,
        features=features,
        rules=tuple(specs),
        plans=plans,
        indexes=tuple(context.indexes),
        shown=tuple(coder.shown),
        shown_as=tuple(meanings[slot] for slot in coder.shown),
        code=tuple(coder.code),
        consts=tuple(coder.consts),
        const_texts=tuple(coder.const_texts),
        tables=tuple(map(_table, rules.tables)),
        outside=tuple(Outside(o.name, o.what, o.source, o.folder, o.kind.value) for o in rules.outside),
        strata=_strata(rules, [rule.stratum for rule in live], plans, features, predicates),
    )


def _table(table: Table) -> TableData:
    columns = tuple((name, kind.value) for name, kind in table.columns)
    return TableData(table.name, table.key.value, columns, table.rows)


def _stream(rules: RuleSet, stream: Stream) -> StreamSpec:
    fields = [field for event in rules.events if event.stream == stream.index for field in event.fields]
    private = any(field.privacy is not None for field in fields)
    return StreamSpec(stream.name, stream.time_path, stream.type_path, stream.late_us, stream.idle_us, private)


def _event(event: Event, places: dict[tuple[int, str], int]) -> EventSpec:
    slots = tuple((f.name, places[event.index, f.name]) for f in event.fields if (event.index, f.name) in places)
    private = tuple((f.name, f.privacy) for f in event.fields if f.privacy is not None)
    return EventSpec(event.name, event.stream, event.wire_type, slots, private, event.of)


def _strata(
    rules: RuleSet,
    heights: list[int],
    plans: tuple[RunPlan, ...],
    features: tuple[FeaturePlan, ...],
    predicates: tuple[Predicate, ...],
) -> tuple[Stratum, ...]:
    """Which plans and features run together, stratum by stratum."""
    made = []
    for height in range(1 + max(heights, default=0)):
        chosen = tuple(i for i, run in enumerate(plans) if heights[run.rules[0]] == height)
        windows = tuple(i for i, plan in enumerate(features) if plan.stratum == height)
        feeds = [feed for i in chosen for feed in plans[i].plan.feeds]
        feeds += [feed for i in windows for feed in features[i].feeds]
        read = {predicates[feed.predicate].event for feed in feeds}
        read |= {inner for event in read for inner in rules.events[event].of}
        made.append(Stratum(chosen, windows, tuple(sorted(read))))
    return tuple(made)


def _rule(context: Context, rule: Rule) -> tuple[RuleSpec, ConditionWords | None]:
    if isinstance(rule.trigger, When):
        return describe(context, rule, compile_sequence(context, rule, rule.trigger)), None
    plan, words = compile_episode(context, rule, rule.trigger)
    return describe(context, rule, (plan, words)), words


def _structure(rules: RuleSet, rule: Rule, words: ConditionWords | None, meanings: dict[int, str]) -> str:
    if words is None:
        return of_rule(rules, rule, ())
    latest = tuple((source, meanings[slot]) for source, slot in words.latest)
    return of_rule(rules, rule, (tuple(words.aggregates), latest))


def _meanings(rules: RuleSet, coder: Coder, features: FeatureSet) -> dict[int, str]:
    """What columns hold, whatever their places are."""
    found = {slot: of_column(rules, column) for slot, column in enumerate(coder.columns)}
    found |= {slot: of_value(rules, expr) for expr, slot in coder.worked_out()}
    return found | {slot: of_value(rules, aggregate) for aggregate, slot in features.columns.items()}


def _columns(rules: RuleSet, live: tuple[Rule, ...]) -> tuple[list[ColumnSpec], dict[tuple[int, str], int]]:
    """The columns to decode: the fields that some rule names, one column for one path and kind of a stream."""
    used = sorted({ref for rule in live for ref in spoken_of(rule) if ref[1] != "time"})
    columns = [ColumnSpec(-1, (), "time", ())]
    places: dict[tuple[int, str], int] = {}
    known: dict[tuple[int, tuple[str, ...], str], int] = {}
    for event_index, name in used:
        event = rules.events[event_index]
        declared = next(f for f in event.fields if f.name == name)
        shape = (event.stream, declared.path, declared.kind.value)
        if shape not in known:
            known[shape] = len(columns)
            columns.append(ColumnSpec(*shape, ()))
        slot = known[shape]
        places[event_index, name] = slot
        events = tuple(sorted({*columns[slot].events, event_index}))
        columns[slot] = ColumnSpec(*shape, events)
    for event in rules.events:
        for declared in event.fields:
            shape = (event.stream, declared.path, declared.kind.value)
            if event.stream == ALERTS and shape in known:  # one rule's alerts may be named as those of all
                places[event.index, declared.name] = known[shape]
    return columns, places
