"""Which matches become alerts, and by which of the rule's clauses: docs/semantics.md, "Alerts".

A match makes no alert when no clause holds ("conditional") or `limit` has let enough through ("limited"). An episode is
judged when it opens: its resolution speaks by the same clause, or is silent as the opening was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from cep.engine.episodes import EpisodeState
from cep.engine.inputs import captured, input_words, key_values, output_values, output_words
from cep.engine.limits import CONDITIONAL, LIMITED, Key, RuleLimit
from cep.engine.matched import RuleMatches
from cep.engine.state import EngineState
from cep.engine.values import rows_of
from cep.kernels.matches import KEY, STATUS, TIME
from cep.layout.alerts import RuleSpec, Status
from cep.layout.program import Program

Ints = npt.NDArray[np.int64]
Moment = tuple[int, int, Key]  # the clause that holds, the time, and the value of the limit's keys


def alerting(program: Program, state: EngineState, matches: list[RuleMatches], order: Ints) -> Ints:
    """The part of `order` that becomes alerts; each match is told its clause."""
    passes = np.ones(len(order), np.bool_)
    for place, found in enumerate(matches):
        rule = program.rules[found.rule]
        if rule.is_selective:
            at = np.flatnonzero(order[:, 0] == place)
            rows = order[at, 1]
            found.clause[rows] = _clauses(state, rule, found, rows)
            passes[at] = found.clause[rows] >= 0
            state.counters.limited += int((found.clause[rows] == LIMITED).sum())
            state.counters.conditional += int((found.clause[rows] == CONDITIONAL).sum())
        if rule.is_shadow:
            state.counters.shadow += int((found.clause >= 0).sum())
    return order[passes]


def _clauses(state: EngineState, rule: RuleSpec, matches: RuleMatches, rows: npt.NDArray[np.intp]) -> Ints:
    """The clause of each of these matches, which stand in the order of alerts; below 0 those that make no alert."""
    plans, row = [shard.plans[matches.plan] for shard in state.shards], matches.row[rows]
    inputs = input_words(state, rule, matches, captured(state, rule, matches))[rows]
    part = state.limits.of(rule.name)
    keys = [output_values(state, rule.outputs[place], inputs) for place in (rule.limit.keys if rule.limit else ())]
    moments = zip(_holding(state, rule, inputs).tolist(), row[:, TIME].tolist(), rows_of(keys), strict=False)
    open_keys = [plan.open_keys for plan in plans if isinstance(plan, EpisodeState)]
    if not open_keys:
        return np.array([_judged(part, rule, moment) for moment in moments], np.int64)
    episodes = zip(row[:, STATUS].tolist(), _keys(state, rule, row[:, KEY:]), moments, strict=False)
    made = np.array(list(_of_episodes(part, rule, episodes)), np.int64)
    if len(part.opened) >= part.compact_at:
        words = np.concatenate([of_shard() for of_shard in open_keys])
        part.keep(key for _, key in zip(range(len(words)), _keys(state, rule, words), strict=False))
    return made


def _holding(state: EngineState, rule: RuleSpec, inputs: Ints) -> Ints:
    """The first clause of each match whose condition holds."""
    found = np.full(len(inputs), CONDITIONAL, np.int64)
    for number, clause in reversed(list(enumerate(rule.clauses))):
        if clause.condition < 0:
            found[:] = number
        else:
            found[output_words(state, rule.outputs[clause.condition], inputs) == 1] = number
    return found


def _judged(part: RuleLimit, rule: RuleSpec, moment: Moment) -> int:
    """The clause of an alert that fires."""
    clause, time_us, group = moment
    if clause < 0 or rule.limit is None or part.lets_through(group, time_us, rule.limit):
        return clause
    return LIMITED


def _of_episodes(part: RuleLimit, rule: RuleSpec, episodes: Iterable[tuple[int, Key, Moment]]) -> Iterator[int]:
    """The clauses of openings and resolutions: of a status, the key of the episode, and the moment."""
    for status, key, moment in episodes:
        if status == Status.RESOLVED:
            yield part.resolves(key)
        else:
            clause = _judged(part, rule, moment)
            part.opens(key, clause)
            yield clause


def _keys(state: EngineState, rule: RuleSpec, words: Ints) -> Iterator[Key]:
    """Keys as values, from their words; without end if the rule has none."""
    return rows_of(list(key_values(state, rule, words).values()))
