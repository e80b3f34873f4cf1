"""What is judged of a whole sequence: what the order of steps forbids, and the bound that every rule needs (law 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile

from cep.lang import ast
from cep.lang.checked.rules import Group, Item, Step, When, groups
from cep.lang.checked.schema import PARTS_MAX
from cep.lang.report import Page

_NO_PLACE = 'a "no" cannot stand here'


def check_shape(page: Page, node: ast.When, trigger: When, written: Sequence[ast.Step]) -> None:
    """Report what the order of steps forbids. `written` are the steps as written, in the order of `trigger.steps`."""
    if len(written) > PARTS_MAX:
        page.error("CEP102", written[PARTS_MAX].at, f"a sequence has at most {PARTS_MAX} steps")
    _check_links(page, node.sequence)
    _check_places(page, node.sequence)
    if all(skippable(trigger, item) for item in trigger.items):
        hint = "use: while count(x) == 0" if all(step.negated for step in trigger.steps) else None
        what = '"no" alone' if hint else 'what may be left out and "no"'
        page.error("CEP309", node.at, f"something must happen: a sequence cannot consist of {what}", hint)
        return
    absences = list(_at_the_end(trigger))
    if trigger.policy == "last" and any(negated(trigger, item) for item in absences) and node.policy is not None:
        hint = 'use "match first" or "match each"'
        page.error("CEP302", node.policy.at, '"match last" cannot wait for an absence', hint)
    if not any(negated(trigger, item) for item in absences):
        _warn_of_tails(page, node.sequence)


def _check_links(page: Page, node: ast.Sequence) -> None:
    """`next` and `then each` need something before and behind them."""
    for place, link in enumerate(node.links, start=1):
        step = node.steps[place]
        if link == "then each" and step.negated:
            hint = 'write "each" at the step behind the "no"'
            page.error("CEP325", step.at, '"then each" takes events, and a "no" takes none', hint)
        if link == "next" and all(before.negated for before in node.steps[:place]):
            hint = 'write "then" after a leading "no"'
            page.error("CEP310", step.at, 'nothing has been captured that this could be "next" to', hint)
    for step in node.steps:
        if isinstance(step.body, ast.Group):
            for inner in step.body.sequences:
                _check_links(page, inner)


def _check_places(page: Page, node: ast.Sequence) -> None:
    """A `no` stands between steps: not at the end of a group, nor before the first step of one of several branches."""
    for step in node.steps:
        if not isinstance(step.body, ast.Group):
            continue
        for inner in step.body.sequences:
            if all(_may_be_left_out(part) for part in inner.steps):
                hint = "optional ( … ) lets the whole group be left out"
                page.error("CEP321", inner.at, "in this group nothing has to happen", hint)
                continue
            if inner.steps[-1].negated:
                hint = 'write it behind the group: "( … ) then no …"'
                page.error("CEP320", inner.steps[-1].at, f"{_NO_PLACE}: the group is at its end", hint)
            if step.body.count is not None and (first := _first(inner)).negated:
                hint = 'write it before the group: "no … then all of ( … )"'
                page.error("CEP320", first.at, f"{_NO_PLACE}: nothing of the branch has happened", hint)
            _check_places(page, inner)


def _first(node: ast.Sequence) -> ast.Step:
    """The first step that is read, also inside of plain groups."""
    step = node.steps[0]
    while isinstance(step.body, ast.Group) and step.body.count is None:
        step = step.body.sequences[0].steps[0]
    return step


def _may_be_left_out(step: ast.Step) -> bool:
    return step.negated or (step.quantifier is not None and step.quantifier.optional)


def _warn_of_tails(page: Page, node: ast.Sequence) -> None:
    """A pattern is complete as soon as it can be, so what is optional at its end captures nothing."""
    for step in reversed(node.steps):
        if not _may_be_left_out(step):
            break
        hint = "to wait for it, end with: then no x within 5s"
        page.warning("CEP323", step.at, "at the end of a sequence this captures nothing", hint)
    else:
        return
    once = step.quantifier is None or step.quantifier.most == 1
    if isinstance(step.body, ast.Group) and step.body.count is None and once:
        _warn_of_tails(page, step.body.sequences[0])


def negated(trigger: When, item: Item) -> bool:
    """Whether the item is a `no`."""
    return isinstance(item, int) and trigger.steps[item].negated


def skippable(trigger: When, item: Item) -> bool:
    """Whether a run may pass the item without capturing anything for it."""
    part = trigger.steps[item] if isinstance(item, int) else item
    return part.least == 0 or negated(trigger, item)


def _at_the_end(trigger: When) -> Iterator[Item]:
    """The items behind the last one that has to happen."""
    for item in reversed(trigger.items):
        if not skippable(trigger, item):
            return
        yield item


def check_bound(page: Page, rule: ast.Rule, trigger: When, written: Sequence[ast.Step], horizon_us: int | None) -> None:
    """Law 5: a rule whose state has no bound is refused, and so is a wait that outlasts the horizon."""
    if all(step.negated for step in trigger.steps):
        return
    if horizon_us is not None:
        _check_gaps(page, trigger, written, horizon_us)
        return
    reasons = list(_unbounded(trigger))
    if reasons:
        hint = f"{reasons[0]}; give the rule a horizon: rule {rule.name.text} … within 1h"
        page.error("CEP301", rule.name.at, f'nothing bounds what "{rule.name.text}" has to remember', hint)


def _unbounded(trigger: When) -> Iterator[str]:
    """What, without a horizon, never ends."""
    firsts = set(_starts(trigger, trigger.items))
    outer = set(_outer(trigger))
    alone = min(firsts)
    if any(trigger.steps[place].most != 1 for place in firsts):
        yield "a loop at the beginning slides with the horizon"
    for group in groups(trigger.items):
        if group.most != 1:
            yield "a group that repeats needs it"
        elif len(group.branches) > 1 and firsts & set(_starts(trigger, (group,))):
            yield "at the beginning several branches wait for each other"
    for place, step in enumerate(trigger.steps):
        if step.within_us is None and (place in outer if step.negated else place != alone):
            yield f'step {place + 1} has no "within"'


def _starts(trigger: When, items: tuple[Item, ...]) -> Iterator[int]:
    """The steps that may be the first of these items to capture something."""
    for item in items:
        if isinstance(item, Group):
            for branch in item.branches:
                yield from _starts(trigger, branch)
        elif not trigger.steps[item].negated:
            yield item
        if not skippable(trigger, item):
            return


def _outer(trigger: When) -> Iterator[int]:
    """The `no`s that a start may pass, and those at the end."""
    yield from (item for item in _at_the_end(trigger) if isinstance(item, int))
    yield from _passed_by_starts(trigger, trigger.items)


def _passed_by_starts(trigger: When, items: tuple[Item, ...]) -> Iterator[int]:
    for item in items:
        if isinstance(item, Group):
            for branch in item.branches:
                yield from _passed_by_starts(trigger, branch)
        elif trigger.steps[item].negated:
            yield item
        if not skippable(trigger, item):
            return


def _check_gaps(page: Page, trigger: When, written: Sequence[ast.Step], horizon_us: int) -> None:
    """Report steps that are given more time than the whole rule has."""
    hint = "lengthen the rule's \"within\" or shorten the step's"
    ending = list(takewhile(partial(negated, trigger), reversed(trigger.items)))
    for place, (step, node) in enumerate(zip(trigger.steps, written, strict=True)):
        if step.within_us is None or step.within_us <= horizon_us:
            continue
        if place in ending:
            message = 'this "no" outlasts the rule\'s "within", so the rule can never match'
            page.error("CEP303", node.at, message, hint)
        elif not step.negated:
            page.warning("CEP312", node.at, "the rule's \"within\" ends before this step's does", hint)


def longest_gap(trigger: When) -> int:
    """The longest `within` of a step or group; 0 without any."""
    steps: tuple[Step | Group, ...] = (*trigger.steps, *groups(trigger.items))
    return max((part.within_us or 0 for part in steps), default=0)
