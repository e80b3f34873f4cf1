"""A rule: its headers, its trigger and its outputs, checked in that order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from cep.lang import ast
from cep.lang.bounds import longest_gap
from cep.lang.checked.expressions import Aggregate, Const, Expr
from cep.lang.checked.rules import AlertClause, Limit, Rule, Template, When, While
from cep.lang.checked.rules import Key as CheckedKey
from cep.lang.checked.schema import KEYS_MAX, PARTS_MAX, Kind
from cep.lang.contradiction import impossible
from cep.lang.digest import version
from cep.lang.infer import Inference, Scope
from cep.lang.messages import template
from cep.lang.names import Keys, Names, View, sources
from cep.lang.operators import KindError, article, to_number
from cep.lang.privacy import of_key, privacy
from cep.lang.report import Page, listed, nearest
from cep.lang.restrict import restricted
from cep.lang.sequences import sequence
from cep.lang.text import Place

LEVELS = ("info", "low", "medium", "high", "critical")
MODES = ("live", "shadow", "off")
_DAY_US = 86_400_000_000
_MAX_STARTS = 1000


@dataclass(slots=True)
class _Outputs:
    """The output clauses so far."""

    alerts: list[AlertClause]
    shows: list[tuple[str, Expr]]
    labels: list[tuple[str, Expr]]
    score: Expr | None = None
    limit: Limit | None = None
    to: list[str] = field(default_factory=list)


def check_rule(names: Names, node: ast.Rule, page: Page, given: Mapping[str, ast.Expr]) -> Rule | None:
    """The checked rule, or None when its trigger could not be read. Mistakes are in the page's report.

    given: what the parameters of its template stand for.
    """
    infer = Inference(names, page, given=given)
    keys, settings = _headers(node, page)
    horizon_us = settings.get("within")
    assert horizon_us is None or isinstance(horizon_us, int)
    remembered_us = _whole(settings, "forget", max(_DAY_US, 10 * (horizon_us or 0)))
    scope = Scope(keys=keys, window_us=horizon_us, forget_us=remembered_us, aggregates="built", rule=node.name.text)
    trigger: When | While
    if isinstance(node.trigger, ast.When):
        found = sequence(infer, node.trigger, node, scope)
        if found is None:
            return None
        trigger = found.trigger
        output_scope = replace(
            scope,
            aliases=found.aliases,
            absent=frozenset(found.absent),
            captured=found.last,
            key_names=True,
        )
    else:
        checked = _while(infer, node.trigger, replace(scope, latest=True))
        if checked is None:
            return None
        trigger = checked
        single = _single(names, trigger, node.trigger)
        output_scope = replace(scope, latest=True, key_names=True, single=single)
    outputs = _outputs(infer, node, output_scope)
    if isinstance(trigger, While):
        _check_sources(trigger, outputs, node, page)
    rule = Rule(
        name=node.name.text,
        version="",
        span=page.span(node.name.at),
        keys=tuple(CheckedKey(word.text, keys.kinds.get(word.text, Kind.TEXT)) for word in keys.words),
        within_us=horizon_us,
        trigger=trigger,
        alerts=tuple(outputs.alerts),
        shows=tuple(outputs.shows),
        labels=tuple(outputs.labels),
        score=outputs.score,
        limit=outputs.limit,
        mode=str(settings.get("mode", "live")),
        max_starts=_whole(settings, "max", _MAX_STARTS),
        forget_us=_whole(settings, "forget", max(_DAY_US, 10 * _longest(trigger, horizon_us, outputs, remembered_us))),
        about=_text(settings, "about"),
        owner=_text(settings, "owner"),
        tags=_tags(settings),
        to=tuple(outputs.to),
    )
    rule = restricted(names, node, rule, page)
    if names.has_private:
        rule = _private(rule, names, node, page)
    return replace(rule, version=version(rule, tuple(names.events.values())))


def _private(rule: Rule, names: Names, node: ast.Rule, page: Page) -> Rule:
    """The rule with what its key carries. A score is a number wherever it goes, so it cannot be hidden."""
    events = tuple(names.events.values())
    keys = tuple(replace(key, privacy=of_key(rule, events, i)) for i, key in enumerate(rule.keys))
    if rule.score is not None and (hidden := privacy(rule.score, events, keys)) is not None:
        at = next(output.at for output in node.outputs if isinstance(output, ast.Score))
        page.error("CEP373", at, f'the score would tell a field declared "{hidden}"', "score what was counted instead")
    return replace(rule, keys=keys)


# ------------------------------------------------------------------------------------- headers

Settings = dict[str, str | int | tuple[str, ...]]


def _headers(node: ast.Rule, page: Page) -> tuple[Keys, Settings]:
    keys = Keys()
    settings: Settings = {}
    for header in node.headers:
        word = "by" if isinstance(header, ast.By) else header.word
        if word in settings:
            page.error("CEP110", header.at, f'"{word}" stands twice in the rule')
        elif isinstance(header, ast.By):
            settings["by"] = ()
            keys = Keys(_key_words(header, page))
        else:
            settings[word] = header.value
            _setting(header, page)
    return keys, settings


def _key_words(header: ast.By, page: Page) -> tuple[ast.Word, ...]:
    if header.any_of:
        page.error("CEP927", header.at, '"by any of" is not built yet')
    unique = {word.text: word for word in reversed(header.keys)}
    if len(unique) < len(header.keys):
        page.error("CEP107", header.at, "a key stands twice")
    if len(unique) > KEYS_MAX:
        page.error("CEP102", header.at, f"a key has at most {KEYS_MAX} parts")
    return tuple(reversed(unique.values()))


def _setting(header: ast.Setting, page: Page) -> None:
    """What a header of one value may hold."""
    match header.word, header.value:
        case "mode", str(mode) if mode not in MODES:
            hint = nearest(mode, MODES) or f"write {listed(MODES)}"
            page.error("CEP104", header.at, f'there is no mode "{mode}"', hint)
        case "max", int(most) if not 1 <= most <= 1_000_000:
            page.error("CEP304", header.at, '"max" is from 1 to 1,000,000')
        case (("within" | "forget"), 0):
            page.error("CEP304", header.at, f'"{header.word}" is longer than nothing')
        case _:
            pass


def _whole(settings: Settings, word: str, default: int) -> int:
    value = settings.get(word, default)
    assert isinstance(value, int)
    return value


def _text(settings: Settings, word: str) -> str | None:
    value = settings.get(word)
    return value if isinstance(value, str) else None


def _tags(settings: Settings) -> tuple[str, ...]:
    tags = settings.get("tags", ())
    assert isinstance(tags, tuple)
    return tags


# ------------------------------------------------------------------------------------- while


def _while(infer: Inference, node: ast.While, scope: Scope) -> While | None:
    page = infer.page
    condition = infer.flag(node.condition, scope)
    until = infer.flag(node.until, scope)
    for word, length in (("for", node.for_us), ("keep", node.keep_us)):
        if length == 0:
            page.error("CEP304", node.at, f'"{word}" is longer than nothing')
    if condition is None or (until is None and node.until is not None):
        return None
    if not sources(condition):
        hint = "compare an aggregate, count(x) > 5, or the latest value, x.field > 5"
        page.error("CEP311", node.condition.at, "the condition speaks of no event", hint)
    elif impossible(condition):
        page.error("CEP303", node.condition.at, "the condition can never hold: it contradicts itself")
    return While(condition, node.for_us or 0, until, node.keep_us or 0)


def _single(names: Names, trigger: While, node: ast.While) -> View | None:
    """The event whose fields need no name in the outputs: that of all sources, when it is one."""
    roots = {part.source.event for part in sources(trigger.condition, trigger.until)}
    if len(roots) != 1:
        return None
    (root,) = roots
    words = {part.text for part in ast.walk(node.condition, node.until) if isinstance(part, ast.Name)}
    views = [(name, view) for name, view in names.all_views() if view.event == root]
    mentioned = [view for name, view in views if name in words]
    return mentioned[0] if len(mentioned) == 1 else views[0][1]


def _check_sources(trigger: While, outputs: _Outputs, node: ast.Rule, page: Page) -> None:
    read = {source for part in sources(trigger.condition, trigger.until, *_said(outputs)) for source in part.sources}
    if len(read) > PARTS_MAX:
        page.error("CEP102", node.name.at, f"a condition and its outputs read at most {PARTS_MAX} different sources")


def _said(outputs: _Outputs) -> list[Expr | None]:
    """The expressions of the outputs."""
    exprs: list[Expr | None] = [value for _, value in (*outputs.shows, *outputs.labels)]
    messages = [alert.message for alert in outputs.alerts if alert.message is not None]
    exprs += [part for message in messages for part in message.parts if not isinstance(part, str)]
    exprs += [alert.condition for alert in outputs.alerts]
    return [*exprs, outputs.score, *(outputs.limit.keys if outputs.limit else ())]


def _longest(trigger: When | While, horizon_us: int | None, outputs: _Outputs, remembered_us: int) -> int:
    """The longest time that the rule looks back or waits; windows that end with what it remembers do not count."""
    lengths = [horizon_us or 0]
    exprs = _said(outputs)
    if isinstance(trigger, While):
        lengths += [trigger.for_us, trigger.keep_us]
        exprs += [trigger.condition, trigger.until]
    else:
        lengths.append(longest_gap(trigger))
        exprs += [step.source.where for step in trigger.steps]
        exprs += [] if trigger.until is None else [trigger.until.where]
    windows = [part.window for part in sources(*exprs) if isinstance(part, Aggregate)]
    lengths += [w.life_us for w in windows if not ((w.count or w.since) and w.length_us == remembered_us)]
    return max(lengths)


# ------------------------------------------------------------------------------------- outputs


def _outputs(infer: Inference, node: ast.Rule, scope: Scope) -> _Outputs:
    result = _Outputs([], [], [])
    page = infer.page
    for clause in node.outputs:
        match clause:
            case ast.Alert():
                if result.alerts and result.alerts[-1].condition is None:
                    hint = 'of several clauses the first whose "if" holds makes the alert; only the last is without'
                    page.error("CEP376", clause.at, "this alert is never made: the one before has no condition", hint)
                result.alerts.append(_alert(infer, clause, scope))
            case ast.Show():
                _named(infer, clause.shows, result.shows, scope)
            case ast.Label():
                _named(infer, (clause.label,), result.labels, scope)
            case ast.Score():
                _once(page, "score", clause.at, result.score)
                result.score = _score(infer, clause, scope)
            case ast.Limit():
                _once(page, "limit", clause.at, result.limit)
                result.limit = _limit(infer, clause, scope)
            case ast.To():
                if clause.sink.text in result.to:
                    page.error("CEP107", clause.at, f'"{clause.sink.text}" stands twice')
                result.to.append(clause.sink.text)
    if not result.alerts:
        result.alerts.append(AlertClause("info", None, None))
    return result


def _once(page: Page, word: str, at: Place, before: object) -> None:
    if before is not None:
        page.error("CEP110", at, f'"{word}" stands twice in the rule')


def _alert(infer: Inference, node: ast.Alert, scope: Scope) -> AlertClause:
    level = node.level.text
    if level not in LEVELS:
        hint = nearest(level, LEVELS) or f"write {listed(LEVELS)}"
        infer.page.error("CEP104", node.level.at, f'there is no level "{level}"', hint)
    message: Template | None = None if node.message is None else template(infer, node.message, scope)
    condition = infer.flag(node.condition, scope)
    if node.condition is not None and condition is None:
        condition = Const(True, Kind.FLAG)  # it was reported: what follows from it is not
    return AlertClause(level, message, condition)


def _named(infer: Inference, assignments: Iterable[ast.Assignment], into: list[tuple[str, Expr]], scope: Scope) -> None:
    for assignment in assignments:
        name = assignment.name.text
        if any(name == other for other, _ in into):
            infer.page.error("CEP107", assignment.name.at, f'"{name}" stands twice')
        value = infer.expr(assignment.value, scope)
        if value is not None:
            into.append((name, value))


def _score(infer: Inference, node: ast.Score, scope: Scope) -> Expr | None:
    value = infer.expr(node.value, scope)
    try:
        return None if value is None else to_number(value)
    except KindError:
        assert value is not None
        infer.page.error("CEP201", node.at, f"a score is a number, and this is {article(value.kind)}")
        return None


def _limit(infer: Inference, node: ast.Limit, scope: Scope) -> Limit:
    if node.count == 0:
        infer.page.error("CEP304", node.at, '"limit" lets at least one alert through', "mode off silences a rule")
    if node.per_us == 0:
        infer.page.error("CEP304", node.at, '"per" is longer than nothing')
    keys = [infer.expr(key, scope) for key in node.keys]
    return Limit(node.count, node.per_us, tuple(key for key in keys if key is not None))
