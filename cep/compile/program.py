"""The whole rule set → Program: which columns are decoded, which rows pass, and a plan for each rule."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cep.compile.aggregates import inward
from cep.compile.episode import ConditionWords, compile_episode
from cep.compile.expressions import Coder, all_of, conjuncts, has_aggregate, walk
from cep.compile.features import FeatureSet
from cep.compile.filters import filter_index
from cep.compile.output import describe
from cep.compile.sequence import compile_sequence, looks_back
from cep.compile.shared import run_plans
from cep.compile.structure import Known, Spoken, of_column, of_rule, of_value
from cep.lang.checked.expressions import Aggregate, Expr, Source
from cep.lang.checked.rules import Rule, When
from cep.lang.checked.ruleset import RuleSet
from cep.lang.checked.schema import ALERTS, Event, Stream, Table
from cep.layout.aggregates import FeaturePlan
from cep.layout.alerts import RuleSpec
from cep.layout.columns import ColumnSpec, EventSpec, StreamSpec
from cep.layout.expressions import FilterIndex, Outside, Predicate, TableData
from cep.layout.program import Program, RunPlan, Stratum


@dataclass(slots=True)
class Context:
    """What the compilers of rules share: the coder, the predicates by their content, their indexes, the features."""

    rules: RuleSet
    coder: Coder
    features: FeatureSet
    predicates: list[Predicate] = field(default_factory=list)
    indexes: dict[FilterIndex, int] = field(default_factory=dict)
    _known: dict[Predicate, int] = field(default_factory=dict)

    def predicate(self, event: int, condition: Expr | None, base: int = -1, reads_features: bool = False) -> int:
        """The place of a predicate; equal ones are one. With features, aggregates are read from their columns."""
        if condition is None and base >= 0:
            return base
        code, index = -1, -1
        if reads_features and condition is not None:
            code = self.coder.expression(condition, self.features.load(self.coder))
        elif condition is not None:
            index = self.index(filter_index(self.coder, event, [conjuncts(condition)]))
        made = Predicate(event, base, code, reads_features, index)
        if made not in self._known:
            self._known[made] = len(self.predicates)
            self.predicates.append(made)
        return self._known[made]

    def index(self, made: FilterIndex) -> int:
        """The place of an index of filters; equal ones are one."""
        return self.indexes.setdefault(made, len(self.indexes))

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


def compile_rules(rules: RuleSet, known: Known | None = None) -> Program:
    """Compile a checked rule set. Rules that are off are left out. known: from the time before, and for the next."""
    known = Known() if known is None else known
    known.stand_on(rules)
    live = tuple(rule for rule in rules.rules if rule.mode != "off")
    spoken = [known.spoken(rule) for rule in live]
    columns, places = _columns(rules, frozenset().union(*spoken))
    context = Context(rules, Coder(columns, places), FeatureSet())
    compiled = [_rule(context, rule) for rule in live]
    plans = run_plans(context, live, [spec for spec, _ in compiled])
    coder = context.coder
    features = context.features.plans(context)
    predicates = tuple(context.predicates)
    meanings = _meanings(rules, coder, context.features)
    structures = [
        known.structure(rule) or _structure(rules, rule, words, meanings)
        for rule, (_, words) in zip(live, compiled, strict=True)
    ]
    known.keep(zip(live, spoken, structures, strict=True))
    specs = [replace(spec, structure=made) for (spec, _), made in zip(compiled, structures, strict=True)]
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
    found |= {slot: of_value(rules, aggregate) for aggregate, slot in features.columns.items()}
    return found | {slot: of_value(rules, ("guess", a)) for a, slot in features.guess_columns.items()}


def _columns(rules: RuleSet, spoken: Spoken) -> tuple[list[ColumnSpec], dict[tuple[int, str], int]]:
    """The columns to decode: the fields that some rule names, one column for one path and kind of a stream."""
    used = sorted(ref for ref in spoken if ref[1] != "time")
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
