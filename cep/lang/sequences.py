"""The trigger `when`: steps, links, quantifiers, aliases, and the bound that every sequence needs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cep.lang import ast
from cep.lang.checked import PARTS_MAX, Source, Step, When
from cep.lang.contradiction import impossible
from cep.lang.infer import Bound, Inference, Scope
from cep.lang.names import asks_status
from cep.lang.operators import conjunction
from cep.lang.report import listed, nearest

POLICIES = ("first", "last", "each", "all")
_MOST_LEAST = 1_000_000


@dataclass(slots=True)
class Sequence:
    """A checked sequence: its trigger, and what later expressions may speak of."""

    trigger: When
    aliases: dict[str, Bound] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    last: Bound | None = None


def sequence(infer: Inference, node: ast.When, rule: ast.Rule, scope: Scope) -> Sequence | None:
    """The checked trigger, or None when its steps could not be read. `scope` holds key, look-back and rule."""
    _refuse_unbuilt(infer, node)
    policy = _policy(infer, node.policy)
    names = [_alias(step) for step in node.sequence.steps]
    result = Sequence(When(policy, ()))
    steps: list[Step | None] = []
    for index, step in enumerate(node.sequence.steps):
        later = frozenset(name for name in names[index + 1 :] if name is not None)
        here = replace(scope, aliases=dict(result.aliases), later=later)
        here = replace(here, absent=frozenset(result.absent), refused=frozenset(result.refused))
        checked = _step(infer, step, index, here, result)
        steps.append(checked and replace(checked, link=node.sequence.links[index - 1].split()[0] if index else None))
    present = tuple(step for step in steps if step is not None)
    if len(present) < len(steps):
        return None
    result.trigger = When(policy, present)
    _check_shape(infer, node, result.trigger)
    _check_bound(infer, rule, result.trigger, scope.window_us)
    return result


def _policy(infer: Inference, word: ast.Word | None) -> str:
    if word is None:
        return "first"
    if word.text not in POLICIES:
        hint = nearest(word.text, POLICIES) or f"write {listed(POLICIES)}"
        infer.page.error("CEP104", word.at, f'there is no policy "{word.text}"', hint)
    return word.text


def _refuse_unbuilt(infer: Inference, node: ast.When) -> None:
    page = infer.page
    if node.until is not None:
        page.error("CEP913", node.until.at, 'the "until" of a sequence is not built yet')
    if node.resume is not None:
        page.error("CEP909", node.resume.at, '"resume at" is not built yet')
    for step, link in zip(node.sequence.steps[1:], node.sequence.links, strict=True):
        if link == "then each":
            page.error("CEP907", step.at, '"then each" is not built yet')


def _alias(step: ast.Step) -> str | None:
    return step.body.alias.text if step.body.alias is not None else None


def _step(infer: Inference, node: ast.Step, index: int, scope: Scope, result: Sequence) -> Step | None:
    """One checked step; binds its alias in `result`. The caller knows its link."""
    page = infer.page
    least, most = _counts(infer, node.quantifier)
    body = node.body
    if isinstance(body, ast.Group):
        what = "groups of steps are" if body.count is None else '"all of", "any of" and "N of" are'
        page.error("CEP912", body.at, f"{what} not built yet")
        return None
    if node.within_us == 0:
        page.error("CEP304", node.at, '"within" is longer than nothing')
    owners = [body.event.text, *([body.alias.text] if body.alias is not None else [])]
    view = infer.names.view(body.event, page, scope.rule, asks_status=asks_status(owners, body.where))
    if view is None:
        if body.alias is not None:
            result.refused.add(body.alias.text)
        return None
    bound = Bound(index, view, most != 1)
    where = infer.flag(body.where, _own_scope(scope, body, bound, node.negated))
    filtered = conjunction((view.where, where))
    if where is not None and impossible(filtered):
        page.error(
            "CEP303", body.where.at if body.where else body.at, "no event can pass this filter: it contradicts itself"
        )
    source = Source(view.event, filtered, scope.keys.of(view, page))
    alias = None
    if body.alias is not None:
        alias = _bind(infer, body.alias, bound, node.negated, result)
    if not node.negated:
        result.last = bound
    return Step(
        None,
        node.negated,
        least,
        most,
        node.within_us,
        source,
        alias,
        body.event.text,
        page.span(node.at),
    )


def _own_scope(scope: Scope, body: ast.Atom, bound: Bound, negated: bool) -> Scope:
    """The scope of a step's filter: the event being judged, and in a loop what it has captured so far."""
    own_names = {body.event.text}
    aliases = dict(scope.aliases)
    if body.alias is not None:
        own_names.add(body.alias.text)
        if bound.loop and not negated:
            aliases[body.alias.text] = bound
    earlier = frozenset(name for name in own_names if name not in scope.aliases)
    return replace(scope, own=bound.view, own_names=earlier, aliases=aliases)


def _bind(infer: Inference, alias: ast.Word, bound: Bound, negated: bool, result: Sequence) -> str | None:
    if alias.text in result.aliases or alias.text in result.absent:
        infer.page.error("CEP107", alias.at, f'the alias "{alias.text}" stands twice')
    elif negated:
        result.absent.add(alias.text)
        return None
    else:
        result.aliases[alias.text] = bound
    return alias.text


def _counts(infer: Inference, node: ast.Quantifier | None) -> tuple[int, int | None]:
    """`least` and `most` of a step."""
    if node is None:
        return 1, 1
    page = infer.page
    if node.optional:
        page.error("CEP911", node.at, '"optional" is not built yet')
        return 1, 1
    if node.in_row:
        page.error("CEP910", node.at, '"in a row" is not built yet')
    if node.least == 0:
        page.error("CEP304", node.at, "a step takes at least one event")
    elif node.least > _MOST_LEAST:
        page.error("CEP304", node.at, f"a step waits for at most {_MOST_LEAST:,} events")
    elif node.most is not None and node.least > node.most:
        page.error("CEP304", node.at, f"{node.least} is more than {node.most}")
    return max(1, node.least), node.most


def _check_shape(infer: Inference, node: ast.When, trigger: When) -> None:
    """What the order of steps forbids."""
    page = infer.page
    steps = trigger.steps
    if len(steps) > PARTS_MAX:
        page.error("CEP102", node.sequence.steps[PARTS_MAX].at, f"a sequence has at most {PARTS_MAX} steps")
    if all(step.negated for step in steps):
        page.error(
            "CEP309",
            node.at,
            'something must happen: a sequence cannot consist of "no" alone',
            "use: while count(x) == 0",
        )
        return
    if trigger.policy == "last" and steps[-1].negated and node.policy is not None:
        page.error(
            "CEP302", node.policy.at, '"match last" cannot wait for an absence', 'use "match first" or "match each"'
        )
    leading = True
    for index, step in enumerate(steps):
        if trigger.policy == "all" and not step.negated and step.most != 1:
            page.error(
                "CEP908",
                node.sequence.steps[index].at,
                '"match all" with a loop is not built yet',
                '"match each" gives one match for every start',
            )
        if leading and index and step.link == "next":
            at = node.sequence.steps[index].at
            page.error(
                "CEP310",
                at,
                'nothing has been captured that this could be "next" to',
                'write "then" after a leading "no"',
            )
        leading = leading and step.negated


def _check_bound(infer: Inference, rule: ast.Rule, trigger: When, horizon_us: int | None) -> None:
    """Law 5: a rule whose state has no bound is refused, and so is a wait that outlasts the horizon."""
    page = infer.page
    steps = trigger.steps
    positive = [index for index, step in enumerate(steps) if not step.negated]
    if not positive:
        return
    if horizon_us is not None:
        _check_gaps(infer, rule, trigger, horizon_us)
        return
    reasons = [
        f'step {index + 1} has no "within"'
        for index, step in enumerate(steps)
        if step.within_us is None and (index > positive[0] if not step.negated else _outer(index, positive))
    ]
    first = steps[positive[0]]
    if first.most != 1:
        reasons.insert(0, "a loop at the beginning slides with the horizon")
    if reasons:
        hint = f"{reasons[0]}; give the rule a horizon: rule {rule.name.text} … within 1h"
        page.error("CEP301", rule.name.at, f'nothing bounds what "{rule.name.text}" has to remember', hint)


def _check_gaps(infer: Inference, rule: ast.Rule, trigger: When, horizon_us: int) -> None:
    """Report steps that are given more time than the whole rule has."""
    trailing = True
    hint = "lengthen the rule's \"within\" or shorten the step's"
    for step, written in reversed(list(zip(trigger.steps, _written(rule), strict=True))):
        trailing = trailing and step.negated
        if step.within_us is None or step.within_us <= horizon_us:
            continue
        if trailing:
            message = 'this "no" outlasts the rule\'s "within", so the rule can never match'
            infer.page.error("CEP303", written.at, message, hint)
        elif not step.negated:
            message = "the rule's \"within\" ends before this step's does"
            infer.page.warning("CEP312", written.at, message, hint)


def _outer(index: int, positive: list[int]) -> bool:
    """Whether a guard leads or trails."""
    return index < positive[0] or index > positive[-1]


def _written(rule: ast.Rule) -> tuple[ast.Step, ...]:
    assert isinstance(rule.trigger, ast.When)
    return rule.trigger.sequence.steps
