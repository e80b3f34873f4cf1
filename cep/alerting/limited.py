"""Which matches `limit` lets through: the laws of docs/semantics.md, "Alerts", over the state in `engine.limits`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from cep.alerting.outputs import key_values, output_values
from cep.alerting.values import rows_of
from cep.engine.episodes import EpisodeState
from cep.engine.limits import Key, RuleLimit
from cep.engine.state import EngineState
from cep.kernels.matches import KEY, STATUS, TIME
from cep.layout import LimitSpec, Program, RuleSpec, Status

Ints = npt.NDArray[np.int64]
Moment = tuple[int, Key]  # a time, and the value of the limit's keys


def let_through(program: Program, state: EngineState, number: int, row: Ints, inputs: Ints) -> npt.NDArray[np.intp]:
    """The places of the matches that pass. row, inputs: of the matches of rule `number`, in the order of alerts."""
    rule, machine = program.rules[number], state.rules[number]
    if rule.limit is None:
        return np.arange(len(row))
    part = state.limits.of(rule.name)
    groups = rows_of([output_values(state, rule.outputs[place], inputs) for place in rule.limit.keys])
    moments: Iterator[Moment] = zip(row[:, TIME].tolist(), groups, strict=False)
    if not isinstance(machine, EpisodeState):
        return np.flatnonzero([part.lets_through(group, time_us, rule.limit) for time_us, group in moments])
    episodes = zip(row[:, STATUS].tolist(), _keys(state, rule, row[:, KEY:]), moments, strict=False)
    passes = list(_of_episodes(part, rule.limit, episodes))
    if len(part.suppressed) >= part.compact_at:
        open_keys = machine.open_keys()
        part.keep(key for _, key in zip(range(len(open_keys)), _keys(state, rule, open_keys), strict=False))
    return np.flatnonzero(passes)


def _of_episodes(part: RuleLimit, limit: LimitSpec, episodes: Iterable[tuple[int, Key, Moment]]) -> Iterator[bool]:
    """Which openings and resolutions pass: of a status, the key of the episode, and when in which group."""
    for status, key, (time_us, group) in episodes:
        if status == Status.RESOLVED:
            yield part.resolves(key)
        else:
            passes = part.lets_through(group, time_us, limit)
            part.opens(key, passes=passes)
            yield passes


def _keys(state: EngineState, rule: RuleSpec, words: Ints) -> Iterator[Key]:
    """Keys as values, from their words; without end if the rule has none."""
    return rows_of(list(key_values(state, rule, words).values()))
