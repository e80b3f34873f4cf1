"""Siddhi's patterns and sequences in our language; `trees` says how.

A pattern (`->`) skips what does not fit; without `every` it happens once, so it begins with `begun`. A sequence (`,`)
is `next`, and begins anew at the event that ended the one before; without `every` it is `limit 1`. `not A for T` is `no
A within T`, and what follows comes no sooner than T. An absence that nothing stands before looks back from the next
event: none in the T before it, and T since the start. `within` includes its end, so it is a millisecond more.

Results are rows: the columns that are selected, from the events that were captured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.conformance.cases import Case, Node, Outside
from tests.conformance.esper import visible
from tests.conformance.schema import BEGUN, FOREVER, MS_US, duration, event_per_type, feed, fields_compared, name_of
from tests.conformance.translation import BROKEN, Match, Translation, View, rule
from tests.conformance.trees import (
    MARKED,
    Author,
    Forbid,
    Group,
    Line,
    Silence,
    Take,
    Wait,
    event_types,
    is_event,
    is_single,
    joined,
    linked,
)

_ONCE = f"limit 1 per {FOREVER}"


def translate(case: Case) -> Translation:
    """The rules of a case."""
    tree, strict = case.pattern["tree"], case.semantics["mode"] == "sequence"
    schema = event_per_type(case.events, event_types(tree), fields_compared(tree))
    repeated = tree["op"] == "every" and not is_event(tree["arg"])
    reader = _Reader(strict)
    lines = reader.lines(tree["arg"] if repeated else tree)
    anchored = not (strict or repeated or any(isinstance(part, Silence) for line in lines for part in line))
    once = not (anchored or repeated or reader.restarts or any(_each(line) for line in lines))
    if len(lines) > 1 and (once or repeated):
        raise Outside("alternatives of which only one may happen")
    limit_ms = None if "within_ms" not in case.pattern else case.pattern["within_ms"] + 1
    by = ", ".join(name_of(part["field"]) for part in case.semantics["partition_by"])

    def written(lines: Sequence[Line]) -> Translation:
        rules, stages = [], {}
        for number, line in enumerate(lines, 1):
            author = Author(schema, line, anchored, strict, within_ms=limit_ms if anchored else None)
            when = author.when()
            if by and BEGUN in when:
                raise Outside("what happens once for each partition")
            within = FOREVER if limit_ms is None or anchored else duration(limit_ms)
            resumes = author.ends_with_event() if strict else None
            when += f"\n  resume at last {resumes}" if resumes else ""
            policy = "first" if resumes or (repeated and not strict) else "each"
            rules.append(rule(f"r{number}", when, by=by, within=within, policy=policy, more=_ONCE if once else ""))
            stages |= {(f"r{number}", alias): tag for alias, tag in author.stages.items()}
        text = "\n\n".join([schema.text(), *rules])
        fed = feed(schema, case.events, begun_ms=case.semantics["start_time"])
        notes = (MARKED,) if BEGUN in "".join(rules) else ()
        return Translation(text, fed, stages, until_us=_until_ms(case) * MS_US, view=_seen(case), notes=notes)

    readings = tuple(written([line]) for line in map(_not_broken, lines) if line) if len(lines) == 1 else ()
    return replace(written(lines), without={BROKEN: readings})


def _not_broken(line: Line) -> Line | None:
    """The line as if an event that breaks an absence could not begin it; None when it has no such absence."""
    first = line[0]
    if not isinstance(first, Take):
        return None
    times = [p.for_ms for p in line if isinstance(p, Forbid) and p.node["type"] == first.node["type"] and p.for_ms]
    return (replace(first, alone_ms=max(times)), *line[1:]) if times else None


def rows(case: Case, translation: Translation, matches: Sequence[Match]) -> list[list[Node]]:
    """The selected columns of each match."""
    return [
        [_column(case, translation, match, column["expr"]) for column in case.pattern["select"]] for match in matches
    ]


def _column(case: Case, translation: Translation, match: Match, expression: Node) -> Node:
    if expression[0] != "tag_field":
        raise Outside(f"`{expression[0]}` in what is selected")
    tag, name, *index = expression[1:]
    tagged = [found for alias, found in match.captured.items() if translation.stages[match.rule, alias] == tag]
    places = tagged[0] if tagged else ()  # the first of two steps with one tag is what the tag speaks of
    place = index[0] if index else -1
    if not -len(places) <= place < len(places):
        return None
    return case.events[places[place]].get(name)


def _each(line: Line) -> bool:
    return any(getattr(part, "link", None) == "then each" for part in line)


def _end_ms(case: Case) -> int:
    """When the source looks first; where time is played back, it stands still after the last event."""
    last = max((event["ts"] for event in case.events), default=0)
    return last if case.semantics["time"] == "playback" else max(case.result["end_time"], last)


def _until_ms(case: Case) -> int:
    wait = case.result.get("final_wait")
    return _end_ms(case) + (wait["step_ms"] * wait["max_steps"] if wait else 0)


def _seen(case: Case) -> View:
    """What the source has seen when it stops looking: it waits step by step, until there are enough matches."""
    wait = case.result.get("final_wait")

    def view(matches: list[Match]) -> list[Match]:
        end_ms = _end_ms(case)
        found = [match for match in matches if match.time_us <= end_ms * MS_US]
        for _ in range(wait["max_steps"] if wait else 0):
            if len(found) >= wait["stop_when_matches"]:
                break
            end_ms += wait["step_ms"]
            found = [match for match in matches if match.time_us <= end_ms * MS_US]
        return visible(found)

    return view


class _Reader:
    """Trees → lines. `restarts`: a sequence has an `every`, so it begins anew at any event."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self.restarts = False

    def lines(self, node: Node, first: bool = True) -> list[Line]:
        """The alternatives of a tree; `first`: nothing stands before it."""
        return getattr(self, f"_{node['op']}")(node, first)

    def _event(self, node: Node, _: bool) -> list[Line]:
        return [(Take(node),)]

    def _followed_by(self, node: Node, first: bool, link: str = "then") -> list[Line]:
        choices = []
        args = node["args"]
        for place, arg in enumerate(args):
            at_first = first and place == 0
            if arg["op"] in ("and", "or") and _absences(arg):
                lines = self._with_absence(arg, at_first, place == len(args) - 1)
            elif at_first and arg["op"] == "every" and self._strict:
                self.restarts = True
                inner = {"op": node["op"], "args": [arg["arg"], *args[1:]]}
                return self._followed_by(inner, first, link)
            else:
                lines = self.lines(arg, at_first)
            choices.append([linked(line, link) if link != "then" else line for line in lines])
        return joined(choices)

    def _next(self, node: Node, first: bool) -> list[Line]:
        return self._followed_by(node, first, "next")

    def _every(self, node: Node, first: bool) -> list[Line]:
        if self._strict:
            raise Outside("`every` inside a sequence")
        if _absences(node["arg"]) or node["arg"]["op"] == "absent":
            raise Outside("an absence that happens again and again by itself")
        lines = self.lines(node["arg"], first)
        part = lines[0][0]
        if len(lines) > 1 or len(lines[0]) > 1 or not is_single(part):
            raise Outside("`every` around several steps inside a pattern")
        return [linked(lines[0], "then each")]

    def _repeat(self, node: Node, first: bool) -> list[Line]:
        (line,) = self.lines(node["arg"], first)
        part = line[0]
        if len(line) != 1 or not isinstance(part, Take):
            raise Outside("a repeat of several steps")
        least, most = node["min"], node["max"]
        few = max(least, 1)
        count = f"{few}+" if most is None else f"{few}" if few == most else f"{few}..{most}"
        row = " in a row" if self._strict and most != 1 else ""
        return [(Take(part.node, count=f"{count}{row}", optional=least == 0),)]

    def _absent(self, node: Node, first: bool) -> list[Line]:
        if node.get("for_ms") is None:
            raise Outside("an absence without a time, by itself")
        if not is_event(node["arg"]):
            raise Outside("the absence of something other than an event")
        if first:
            return [(Silence(((node["arg"], node["for_ms"]),)),)]
        return [(Forbid(node["arg"], node["for_ms"]), Wait(node["for_ms"]))]

    def _and(self, node: Node, first: bool) -> list[Line]:
        if _absences(node):
            return self._with_absence(node, first, True)
        return [(self._group("all", node),)]

    def _or(self, node: Node, first: bool) -> list[Line]:
        if _absences(node):
            return self._with_absence(node, first, True)
        return [(self._group("any", node),)]

    def _group(self, count: str, node: Node) -> Group:
        branches = [self.lines(arg, False) for arg in node["args"]]
        if any(len(lines) != 1 for lines in branches):
            raise Outside("alternatives in one of several branches")
        return Group(count, tuple(lines[0] for lines in branches))

    def _with_absence(self, node: Node, first: bool, last: bool) -> list[Line]:
        """`and`, `or` of which something is an absence. `last`: nothing comes behind it."""
        absent = [arg for arg in node["args"] if arg["op"] == "absent"]
        others = [arg for arg in node["args"] if arg["op"] != "absent"]
        if len(node["args"]) != 2 or not all(map(is_event, [*others, *(arg["arg"] for arg in absent)])):
            raise Outside("an absence beside several steps")
        if node["op"] == "and":
            return [self._both(absent, others, first, last)]
        if not others:
            return self._either_absence(absent, first, last)
        return self._absence_or_event(absent[0], others[0], first)

    def _both(self, absent: list[Node], others: list[Node], first: bool, last: bool) -> Line:
        times = [(arg["arg"], arg.get("for_ms")) for arg in absent]
        waits = [ms for _, ms in times if ms is not None]
        longest = max(waits, default=0)
        if not others:
            if len(waits) < 2:
                raise Outside("an absence without a time, by itself")
            if first:
                return (Silence(tuple(times)),)
            return (*(Forbid(arg, ms) for arg, ms in times), Wait(longest))
        take = Take(others[0])
        (arg, ms) = times[0]
        if ms is None:
            return (Forbid(arg), take)
        if first:
            return (Silence(((arg, ms),)), take) if last else (take, Silence(((arg, ms),)))
        if last:
            return (Forbid(arg, ms), Wait(ms), take)
        return (Forbid(arg, ms), take, Forbid(arg, ms, shared=1), Wait(ms, shared=1))

    def _either_absence(self, absent: list[Node], first: bool, last: bool) -> list[Line]:
        times = [(arg["arg"], arg.get("for_ms")) for arg in absent]
        if any(ms is None for _, ms in times) or (not first and times[0][1] != times[1][1]):
            raise Outside("two absences of different lengths, of which one is enough")
        if first:
            return [(Silence(tuple(times), either=True),)]
        (one, ms), (other, _) = times
        if last:
            raise Outside("two absences at the end, of which one is enough")
        # Either the one is silent, or it is not and then the other is.
        broken = (Forbid(other, ms), Take(one, before_ms=ms, hidden=True), Forbid(other, ms, 1), Wait(ms, 1))
        return [(Forbid(one, ms), Wait(ms)), broken]

    def _absence_or_event(self, absent: Node, event: Node, first: bool) -> list[Line]:
        arg, ms = absent["arg"], absent.get("for_ms")
        if ms is None:
            raise Outside("an absence without a time, by itself")
        if first:
            return [(Forbid(event, ms), Silence(((arg, ms),))), (Take(event),)]
        return [(Take(event, before_ms=ms),), (Forbid(arg, ms), Forbid(event, ms), Wait(ms))]


def _absences(node: Node) -> bool:
    """Whether one of the branches of an `and` or `or` is an absence."""
    return any(arg["op"] == "absent" for arg in node.get("args", []))
