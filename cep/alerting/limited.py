"""Which matches `limit` lets through: the laws of docs/semantics.md, "Alerts", over the state in `engine.limits`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from cep.alerting.inputs import output_words
from cep.alerting.values import rows_of, values_of
from cep.engine.episodes import EpisodeState
from cep.engine.limits import Key
from cep.engine.state import EngineState
from cep.kernels import episodes as ek
from cep.kernels.keys import TOP
from cep.kernels.matches import KEY, STATUS, TIME
from cep.layout import LimitSpec, Program, Status

Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]


def let_through(program: Program, state: EngineState, number: int, row: Ints, inputs: Ints) -> Places:
    """The places of the matches of rule `number` that pass; they are given in the order of alerts."""
    rule = program.rules[number]
    if rule.limit is None:
        return np.arange(len(row))
    passes = list(_passes(program, state, number, rule.limit, row, inputs))
    silent, plan = state.limits.of(rule.name), state.rules[number]
    if isinstance(plan, EpisodeState) and len(silent.suppressed) >= silent.compact_at:
        top = int(plan.keys.count[TOP])
        is_open = (plan.keys.hashes[:top] >= 0) & (plan.episodes.state[:top, ek.PHASE] == ek.OPEN)
        silent.keep(_episodes(program, state, number, plan.keys.words[:top][is_open]))
    return np.flatnonzero(passes)


def _passes(
    program: Program, state: EngineState, number: int, limit: LimitSpec, row: Ints, inputs: Ints
) -> Iterator[bool]:
    rule = program.rules[number]
    outputs = [rule.outputs[place] for place in limit.keys]
    groups = [values_of(output_words(state, o, inputs), o.kind, state.strings) for o in outputs]
    episodes = _episodes(program, state, number, row[:, KEY : KEY + len(rule.keys)])
    part = state.limits.of(rule.name)
    for group, episode, time_us, status in zip(
        rows_of(groups, len(row)), episodes, row[:, TIME].tolist(), row[:, STATUS].tolist(), strict=True
    ):
        if status == Status.RESOLVED:
            yield part.resolves(episode)
            continue
        passes = part.lets_through(group, time_us, limit.count, limit.per_us)
        if isinstance(state.rules[number], EpisodeState):
            part.opens(episode, passes=passes)
        yield passes


def _episodes(program: Program, state: EngineState, number: int, words: Ints) -> list[Key]:
    """The keys of a rule as values, from their words, shape (m, parts)."""
    kinds = [kind for _, kind in program.rules[number].keys]
    parts = [values_of(words[:, i], kind, state.strings) for i, kind in enumerate(kinds)]
    return rows_of(parts, len(words))
