"""What stands after an aggregate: `over …`, `since`, `offset`, `by`.

Every window ends: one that has no length of its own (`over last N`, `since` in a rule without `within`) looks back as
far as the rule remembers, its `forget`. Windows that have no meaning together are refused with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cep.lang import ast
from cep.lang.checked.expressions import FieldRef, Source, Window

if TYPE_CHECKING:
    from cep.lang.infer import Inference, Scope
    from cep.lang.names import View

LAST_MAX = 4096  # events of a count window
_DAY_US = 86_400_000_000
_OVER = ("over", "over_last", "over_each", "over_session")
_SHOWN = {"over_last": "over last", "over_each": "over each", "over_session": "over session"}


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key of the aggregate's own: a field of the source and the judged event's field that is looked up."""

    name: str
    source: tuple[FieldRef, ...]
    judged: tuple[FieldRef, ...]


class _RefusedError(Exception):
    """A window that has been reported."""


def window(infer: Inference, node: ast.Call, own_key: OwnKey | None, scope: Scope) -> Window | None:
    """The window that the suffixes of an aggregate say, or None when something in them was reported."""
    parts = {part.form: part for part in node.windows}
    try:
        _check_together(infer, node.windows, parts)
        since = _since(infer, parts.get("since"), own_key, scope)
        form, length_us = _length(infer, node, parts, scope)
        return Window(
            form,
            length_us,
            step_us=parts["over"].step_us or 0 if "over" in parts else 0,
            count=_count(infer, parts.get("over_last")),
            zone=_zone(infer, parts.get("over_each")),
            since=since,
            offset_us=_offset(infer, parts.get("offset")),
        )
    except _RefusedError:
        return None


def _refuse(
    infer: Inference, code: str, part: ast.Window | ast.Call, message: str, hint: str | None = None
) -> _RefusedError:
    infer.page.error(code, part.at, message, hint)
    return _RefusedError()


def _check_together(infer: Inference, written: tuple[ast.Window, ...], parts: dict[str, ast.Window]) -> None:
    """Two lengths of time, and what cannot be said of a window that stands still between its steps."""
    if len(parts) < len(written):
        again = next(part for i, part in enumerate(written) if part.form in {p.form for p in written[:i]})
        raise _refuse(infer, "CEP340", again, f'"{_SHOWN.get(again.form, again.form)}" stands twice')
    overs = [part for part in written if part.form in _OVER]
    hops = "over" in parts and parts["over"].step_us is not None
    if len(overs) > 1 and not (set(parts) >= {"over", "over_last"} and len(overs) == 2 and not hops):
        shown = " and ".join(f'"{_SHOWN.get(part.form, part.form)}"' for part in overs)
        hint = "an aggregate has one window; over last N and over D go together: the newest N of the last D"
        raise _refuse(infer, "CEP340", overs[1], f"{shown} are two windows", hint)
    if "since" in parts and (hops or "offset" in parts):
        other = '"every"' if hops else '"offset"'
        hint = "what has happened since is counted up to now"
        raise _refuse(infer, "CEP340", parts["since"], f'"since" has no meaning together with {other}', hint)


def _length(infer: Inference, node: ast.Call, parts: dict[str, ast.Window], scope: Scope) -> tuple[str, int]:
    """The form, and the length in microseconds."""
    for form in ("over", "over_each", "over_session"):
        if form in parts:
            part = parts[form]
            if int(part.value) == 0 or part.step_us == 0:
                raise _refuse(infer, "CEP304", part, "a window, and its step, is longer than nothing")
            if form == "over":
                return "over" if part.step_us is None else "every", int(part.value)
            return form.removeprefix("over_"), int(part.value)
    if "over_last" in parts:
        return "over", scope.forget_us
    if scope.window_us is not None:
        return "over", scope.window_us
    if "since" in parts:
        return "over", scope.forget_us
    hint = f'give the rule a "within", or write {node.function.text}(…) over 1h'
    raise _refuse(infer, "CEP306", node, "the aggregate has no window", hint)


def _count(infer: Inference, part: ast.Window | None) -> int:
    if part is None:
        return 0
    if not 1 <= int(part.value) <= LAST_MAX:
        raise _refuse(infer, "CEP304", part, f'"over last" is of 1 to {LAST_MAX:,} events')
    return int(part.value)


def _zone(infer: Inference, part: ast.Window | None) -> str:
    """The zone of the calendar, in which the stretch must fit."""
    if part is None:
        return "UTC"
    if int(part.value) > _DAY_US and int(part.value) % _DAY_US:
        hint = "stretches of the calendar are at most a day, or whole days; 1w begins on Monday"
        raise _refuse(infer, "CEP341", part, "days cannot be cut so", hint)
    zone = part.zone or "UTC"
    if not known_zone(zone):
        raise _refuse(infer, "CEP342", part, f'there is no time zone "{zone}"', 'as in tz "Europe/Berlin"')
    return zone


def known_zone(name: str) -> bool:
    """Whether the zone is in the tz database."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # not found; a folder; not a name at all
        return False
    return True


def _offset(infer: Inference, part: ast.Window | None) -> int:
    if part is not None and int(part.value) == 0:
        raise _refuse(infer, "CEP304", part, '"offset" is longer than nothing')
    return 0 if part is None else int(part.value)


def _since(infer: Inference, part: ast.Window | None, own_key: OwnKey | None, scope: Scope) -> Source | None:
    if part is None:
        return None
    view = infer.names.view(ast.Word(str(part.value), part.at), infer.page, scope.rule)
    if view is None:
        raise _RefusedError
    key = scope.keys.of(view, infer.page)
    if own_key is not None:
        name = own_key.name
        ref = view.fields.get(name)
        if not isinstance(ref, FieldRef) or ref.kind is not own_key.source[0].kind:
            hint = f"the window is by {name}"
            raise _refuse(infer, "CEP346", part, f'"{view.name}" has no field "{name}" of that kind', hint)
        key = (ref,)
    return Source(view.event, view.where, key)


def own_key(infer: Inference, node: ast.Call, view: View, scope: Scope) -> OwnKey | None:
    """The key that `by` names; None when there is none or it was reported."""
    part = _by(node)
    judged = judged_view(scope)
    if part is None or judged is None:
        return None
    sides = [side.fields.get(str(part.value)) for side in (view, judged)]
    for side, ref in zip((view, judged), sides, strict=True):
        if not isinstance(ref, FieldRef) or ref.field == "time":
            infer.page.error("CEP346", part.at, f'"{part.value}" is not a plain field of "{side.name}"')
            return None
    source, mine = sides
    assert isinstance(source, FieldRef)
    assert isinstance(mine, FieldRef)
    if source.kind is not mine.kind:
        message = f'"{part.value}" is {source.kind.value} in "{view.name}" and {mine.kind.value} in "{judged.name}"'
        infer.page.error("CEP346", part.at, message)
        return None
    return OwnKey(str(part.value), (source,), (mine,))


def judged_view(scope: Scope) -> View | None:
    """The event that a filter judges; in the outputs of a `when`, the last one captured."""
    if scope.own is None and scope.captured is not None:
        return scope.captured.view
    return scope.own


def has_own_key(infer: Inference, node: ast.Call, scope: Scope) -> bool:
    """Whether `by` stands there; in a `while`, which is judged for one key of the rule, that is reported."""
    part = _by(node)
    if part is not None and scope.latest:
        hint = f"write a rule by {part.value}, or look it up in a step's where"
        infer.page.error("CEP345", part.at, 'a condition is judged for the key of its rule and has no other "by"', hint)
    return part is not None


def _by(node: ast.Call) -> ast.Window | None:
    return next((part for part in node.windows if part.form == "by"), None)
