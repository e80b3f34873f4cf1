"""The trigger `when`: steps, groups, links, quantifiers and aliases. `cep.lang.bounds` judges the whole of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from cep.lang import ast
from cep.lang.bounds import check_bound, check_shape
from cep.lang.checked.expressions import Expr, Source
from cep.lang.checked.rules import Group, Item, Resume, Step, When
from cep.lang.contradiction import impossible
from cep.lang.infer import Bound, Inference, Scope
from cep.lang.names import View, asks_status
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
    reader = _Reader(infer, scope, tuple(_named(node.sequence)), Sequence(When(_policy(infer, node.policy), ())))
    tree = reader.items(node.sequence, looped=False)
    present = tuple(step for step in reader.steps if step is not None)
    result = reader.result
    until = reader.until(node.until)
    if len(present) < len(reader.steps) or (until is None and node.until is not None):
        return None
    trigger = replace(result.trigger, steps=present, until=until, resume=reader.resume(node))
    result.trigger = trigger if _is_plain(trigger, tree) else replace(trigger, tree=tree)
    check_shape(infer.page, node, result.trigger, reader.written)
    check_bound(infer.page, rule, result.trigger, reader.written, scope.window_us)
    return result


def _policy(infer: Inference, word: ast.Word | None) -> str:
    if word is None:
        return "first"
    if word.text not in POLICIES:
        hint = nearest(word.text, POLICIES) or f"write {listed(POLICIES)}"
        infer.page.error("CEP104", word.at, f'there is no policy "{word.text}"', hint)
    return word.text


def _named(node: ast.Sequence) -> Iterator[str]:
    """Every alias in a sequence."""
    for step in node.steps:
        if step.body.alias is not None:
            yield step.body.alias.text
        if isinstance(step.body, ast.Group):
            for inner in step.body.sequences:
                yield from _named(inner)


def _is_plain(trigger: When, tree: tuple[Item, ...]) -> bool:
    """Whether the sequence needs no tree; see `When`."""
    if trigger.until is not None or trigger.resume is not None or any(isinstance(item, Group) for item in tree):
        return False
    loops = trigger.policy == "all" and any(step.most != 1 for step in trigger.steps)
    return not loops and all(s.least > 0 and not s.in_row and s.link != "then each" for s in trigger.steps)


@dataclass(slots=True)
class _Reader:
    """Reads steps in the order of the text. views, written: their events, and they as written, in the same order."""

    infer: Inference
    scope: Scope
    names: tuple[str, ...]
    result: Sequence
    steps: list[Step | None] = field(default_factory=list)
    views: list[View | None] = field(default_factory=list)
    written: list[ast.Step] = field(default_factory=list)

    def items(self, node: ast.Sequence, *, looped: bool) -> tuple[Item, ...]:
        """The structure of a sequence. `looped`: it stands in a group that may happen several times."""
        links = (None, *node.links)
        return tuple(self._item(step, link, looped) for step, link in zip(node.steps, links, strict=True))

    def _item(self, node: ast.Step, link: str | None, looped: bool) -> Item:
        if node.within_us == 0:
            self.infer.page.error("CEP304", node.at, '"within" is longer than nothing')
        if isinstance(node.body, ast.Group):
            return self._group(node, node.body, link, looped)
        step = self._step(node, node.body, looped)
        self.steps.append(step and replace(step, link=link))
        self.written.append(node)
        return len(self.steps) - 1

    def _group(self, node: ast.Step, body: ast.Group, link: str | None, looped: bool) -> Group:
        least, most, in_row = _counts(self.infer, node.quantifier)
        first = len(self.steps)
        branches = tuple(self.items(inner, looped=looped or most != 1) for inner in body.sequences)
        if body.alias is not None:
            self._bind_group(body.alias, first)
        alias = body.alias.text if body.alias is not None else None
        span = self.infer.page.span(body.at)
        count = self._branches(body)
        return Group(link, least, most, in_row, node.within_us, count, branches, alias, span)

    def _branches(self, body: ast.Group) -> int:
        """How many branches have to happen."""
        written = len(body.sequences)
        count = {"all": written, "any": 1, None: 1}.get(body.count) if not isinstance(body.count, int) else body.count
        assert count is not None
        if not 1 <= count <= written:
            hint = f"write 1 to {written} of, any of, or all of"
            self.infer.page.error("CEP322", body.at, f"{count} of {written} sequences can never happen", hint)
        return count

    def _step(self, node: ast.Step, body: ast.Atom, looped: bool) -> Step | None:
        """One checked step; binds its alias. The caller knows its link."""
        infer, result = self.infer, self.result
        least, most, in_row = _counts(infer, node.quantifier)
        view = self._view(body)
        self.views.append(view)
        if view is None:
            if body.alias is not None:
                result.refused.add(body.alias.text)
            return None
        bound = Bound(len(self.steps), view, loop=looped or most != 1)
        where = infer.flag(body.where, _own_scope(self._here(body), body, bound, node.negated))
        source = self._source(body, view, where)
        alias = None
        if body.alias is not None:
            alias = self._bind(body.alias, None if node.negated else bound)
        if not node.negated:
            result.last = bound
        span = infer.page.span(node.at)
        return Step(None, node.negated, least, most, node.within_us, source, alias, body.event.text, span, in_row)

    def _view(self, body: ast.Atom) -> View | None:
        owners = [body.event.text, *([body.alias.text] if body.alias is not None else [])]
        asks = asks_status(owners, body.where)
        return self.infer.names.view(body.event, self.infer.page, self.scope.rule, asks_status=asks)

    def _source(self, body: ast.Atom, view: View, where: Expr | None) -> Source:
        filtered = conjunction((view.where, where))
        if where is not None and impossible(filtered):
            at = body.where.at if body.where else body.at
            self.infer.page.error("CEP303", at, "no event can pass this filter: it contradicts itself")
        return Source(view.event, filtered, self.scope.keys.of(view, self.infer.page))

    def _here(self, body: ast.Atom) -> Scope:
        """The scope of the next step's filter."""
        result = self.result
        own = body.alias.text if body.alias is not None else None
        unbound = {name for name in self.names if name not in result.aliases and name not in result.absent}
        return replace(
            self.scope,
            aliases=dict(result.aliases),
            later=frozenset(unbound - {own}),
            absent=frozenset(result.absent),
            refused=frozenset(result.refused),
        )

    def _bind(self, alias: ast.Word, bound: Bound | None) -> str | None:
        """Bind an alias; of what is negated it has no use, and is None."""
        result = self.result
        if alias.text in result.aliases or alias.text in result.absent:
            self.infer.page.error("CEP107", alias.at, f'the alias "{alias.text}" stands twice')
        elif bound is None:
            result.absent.add(alias.text)
            return None
        else:
            result.aliases[alias.text] = bound
        return alias.text

    def _bind_group(self, alias: ast.Word, first: int) -> None:
        """A group's alias speaks of the events of all its steps: of the fields that they have with one kind."""
        views: list[tuple[int, View]] = []
        for place in range(first, len(self.steps)):
            view = self.views[place]
            if view is None:
                self.result.refused.add(alias.text)
                return
            if not self.written[place].negated:
                views.append((place, view))
        if views:
            self._bind(alias, Bound(-1, _common(alias.text, [view for _, view in views]), True, tuple(views)))

    def until(self, node: ast.Atom | None) -> Source | None:
        """What ends the runs; None when there is nothing, or it was refused."""
        if node is None:
            return None
        view = self._view(node)
        if view is None:
            return None
        where = self.infer.flag(node.where, _own_scope(self._here(node), node, Bound(-1, view, False), True))
        if node.alias is not None:
            self._bind(node.alias, None)
        return self._source(node, view, where)

    def resume(self, node: ast.When) -> Resume | None:
        """Where matching resumes after a match."""
        if node.resume is None:
            return None
        page, alias = self.infer.page, node.resume.alias
        bound = self.result.aliases.get(alias.text)
        if self.result.trigger.policy in ("each", "all"):
            message = f'"match {self.result.trigger.policy}" drops nothing after a match that could be resumed'
            page.error("CEP324", node.resume.at, message, 'it belongs to "match first" and "match last"')
        elif bound is not None and bound.members:
            page.error("CEP324", alias.at, f'"{alias.text}" is a group: resume at one of its steps')
        elif bound is not None:
            return Resume(bound.step, node.resume.end or "last")
        elif alias.text in self.result.absent:
            page.error("CEP109", alias.at, f'"{alias.text}" belongs to a "no", which captures nothing')
        elif alias.text not in self.result.refused:
            hint = nearest(alias.text, self.result.aliases) or "name a step: a as x"
            page.error("CEP104", alias.at, f'no step is called "{alias.text}"', hint)
        return None


def _common(name: str, views: list[View]) -> View:
    """The fields that all views have with one kind, as the first of them has them."""
    first, *others = views
    fields = {
        field: expr
        for field, expr in first.fields.items()
        if all(field in view.fields and view.fields[field].kind is expr.kind for view in others)
    }
    return View(name, -1, fields, None)


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


def _counts(infer: Inference, node: ast.Quantifier | None) -> tuple[int, int | None, bool]:
    """`least` and `most` of a step or group, and whether `in a row`."""
    if node is None:
        return 1, 1, False
    if node.optional:
        return 0, 1, False
    page = infer.page
    if node.least == 0:
        page.error("CEP304", node.at, "a step takes at least one event", "one that may be left out is optional")
    elif node.least > _MOST_LEAST:
        page.error("CEP304", node.at, f"a step waits for at most {_MOST_LEAST:,} events")
    elif node.most is not None and node.least > node.most:
        page.error("CEP304", node.at, f"{node.least} is more than {node.most}")
    return max(1, node.least), node.most, node.in_row and node.most != 1
