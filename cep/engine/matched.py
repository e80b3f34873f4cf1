"""What a step gives: the matches of each rule, and the order of alerts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cep.engine.plans import PlanState
from cep.engine.state import EngineState
from cep.kernels.matches import KEY, KIND, MEMBER, PLACE, REFERENCES, REFS, ROWS, START, TIME
from cep.layout.program import Program, RunPlan

Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class RuleMatches:
    """The matches of one rule, m of them.

    plan: the place of the plan that made them. row: (m, COLUMNS) of kernels.matches. reference: ordinals, match by
    match. clause: (m,), by which of the rule's clauses each alerts.
    """

    plan: int
    rule: int
    row: Ints
    count: Ints
    value: Ints
    reference: Ints
    clause: Ints


@dataclass(slots=True)
class StepOutput:
    """matches: by rule and stratum. order: (alerts, 2), place in `matches` and row in it, in the order of alerts.

    A match that is not in `order` makes no alert. late: rows of the given batch that came too late.
    """

    matches: list[RuleMatches]
    order: Ints
    late: npt.NDArray[np.intp]


def taken(place: int, run: RunPlan, state: PlanState) -> Iterator[RuleMatches]:
    """The matches in a plan's buffer, by rule; it is empty afterwards."""
    matches = state.matches
    n, references = int(matches.used[ROWS]), int(matches.used[REFERENCES])
    if n == 0:
        return
    matches.used[:] = 0
    row, count, value = matches.row[:n].copy(), matches.count[:n].copy(), matches.value[:n].copy()
    reference = matches.reference[:references].copy()
    if len(run.rules) == 1:
        yield RuleMatches(place, run.rules[0], row, count, value, reference, np.zeros(n, np.int64))
        return
    length = np.diff(row[:, REFS], append=references)
    by = np.argsort(row[:, MEMBER], kind="stable")
    at, starts = spread(row[by, REFS], length[by])
    row, count, value, reference = row[by], count[by], value[by], reference[at]
    first = np.flatnonzero(np.diff(row[:, MEMBER], prepend=-1))
    for begin, end in zip(first.tolist(), [*first[1:].tolist(), n], strict=True):
        own = row[begin:end]
        own[:, REFS] = starts[begin:end] - starts[begin]
        refers = reference[starts[begin] : starts[end] if end < n else references]
        rule = run.rules[int(own[0, MEMBER])]
        yield RuleMatches(place, rule, own, count[begin:end], value[begin:end], refers, np.zeros(end - begin, np.int64))


def by_rule(made: list[RuleMatches]) -> list[RuleMatches]:
    """Those of all shards in the order of rules, of each rule in one."""
    of_rule: dict[int, list[RuleMatches]] = {}
    for matches in made:
        of_rule.setdefault(matches.rule, []).append(matches)
    return [_joined(of_rule[rule]) for rule in sorted(of_rule)]


def _joined(parts: list[RuleMatches]) -> RuleMatches:
    if len(parts) == 1:
        return parts[0]
    before = 0
    for part in parts:
        part.row[:, REFS] += before
        before += len(part.reference)
    return RuleMatches(
        parts[0].plan,
        parts[0].rule,
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.count for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.reference for part in parts]),
        np.concatenate([part.clause for part in parts]),
    )


def spread(first: Ints, length: Ints) -> tuple[Ints, Ints]:
    """The numbers of the ranges [first, first + length) one after the other, and where each range begins."""
    starts = np.cumsum(length) - length
    return np.repeat(first - starts, length) + np.arange(int(length.sum())), starts


def in_order(program: Program, state: EngineState, matches: list[RuleMatches]) -> Ints:
    """All matches of a stratum, shape (total, 2): place in `matches` and row in it.

    The order is that of time, deadlines before events, place, rule, start, and last the key's value.
    """
    if not matches:
        return np.empty((0, 2), np.int64)
    rows = np.concatenate([m.row for m in matches])
    place = np.repeat(np.arange(len(matches)), [len(m.row) for m in matches])
    row = np.concatenate([np.arange(len(m.row)) for m in matches])
    by = np.argsort(rows[:, TIME], kind="stable")
    tied = _in_stretches(rows[by, TIME])  # few matches are of the same instant, and only they need more than their time
    if len(tied):
        some = by[tied]
        ranks = [rows[some, rank] for rank in (START, PLACE, KIND, TIME)]
        ranks.insert(1, place[some])
        order = np.lexsort((row[some], *ranks))
        by[tied] = some = some[order]
        for first, last in _stretches(_equal([rank[order] for rank in ranks])):
            # One event of two keys, or the deadlines of two keys that share their last event.
            kinds = [kind for _, kind in program.rules[matches[place[some[first]]].rule].keys]
            at = tied[first:last]
            by[at] = sorted(by[at], key=lambda i: _key_values(rows[i], kinds, state))
    return np.stack((place[by], row[by]), axis=1)


def _equal(ranks: Sequence[Ints]) -> npt.NDArray[np.bool_]:
    """Whether each place but the first is equal to the one before it in all ranks."""
    equal: npt.NDArray[np.bool_] = np.logical_and.reduce([rank[1:] == rank[:-1] for rank in ranks])
    return equal


def _in_stretches(sorted_values: Ints) -> npt.NDArray[np.intp]:
    """The places whose value is also a neighbour's."""
    same = sorted_values[1:] == sorted_values[:-1]
    return np.flatnonzero(np.concatenate((same, [False])) | np.concatenate(([False], same)))


def _stretches(same: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The stretches [first, last) of places that are equal to their neighbour."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], same.astype(np.int8), [0]))))
    return [(int(first), int(last) + 1) for first, last in edges.reshape(-1, 2)]


def _key_values(row: Ints, kinds: list[str], state: EngineState) -> list[str | int | float]:
    """A match's key as values that compare in the same way on every machine."""
    values: list[str | int | float] = []
    for i, kind in enumerate(kinds):
        word = int(row[KEY + i])
        text = state.strings.text(word) if kind == "text" else None
        values.append(text if text is not None else word)
    return values
