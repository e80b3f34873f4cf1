"""Alerts as documents: what `step` found, for those who read it.

An alert is a pure function of its match: no clock, no randomness. A step's alerts are to be made before the next step,
which may forget the events that they show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from cep.alerting.document import BYTES_MAX, SCHEMA, Alert, Matches, alerts, bodies
from cep.engine.inputs import captured, input_words
from cep.engine.matched import RuleMatches, StepOutput
from cep.engine.state import EngineState
from cep.layout.program import Program

Made = TypeVar("Made", Alert, bytes)


class Alerting:
    """Makes the alerts of a program."""

    def __init__(self, program: Program, source: str = "/cep") -> None:
        """`source`: what stands as the alerts' `source`, which with their `id` makes them unique."""
        self._program, self._source = program, source

    def alerts(self, state: EngineState, output: StepOutput) -> list[Alert]:
        """The alerts of a step, in order."""
        return self._in_order(state, output, alerts)

    def render(self, state: EngineState, output: StepOutput) -> list[bytes]:
        """The alerts of a step as JSON, in order."""
        return self._in_order(state, output, bodies)

    def _in_order(
        self, state: EngineState, output: StepOutput, make: Callable[[Matches, str], list[Made]]
    ) -> list[Made]:
        made: dict[int, Made] = {}
        for place, found in enumerate(output.matches):
            at = np.flatnonzero(output.order[:, 0] == place)
            # Matches of one clause at a time: what it says is worked out for all of them together.
            clause = found.clause[output.order[at, 1]]
            for number in np.unique(clause).tolist():
                chosen = at[clause == number]
                matches = self._matches(state, found, output.order[chosen, 1], number)
                made.update(zip(chosen.tolist(), make(matches, self._source), strict=True))
        return [made[place] for place in sorted(made)]

    def _matches(self, state: EngineState, found: RuleMatches, rows: np.ndarray, clause: int) -> Matches:
        rule = self._program.rules[found.rule]
        what = captured(state, rule, found)
        inputs = input_words(state, rule, found, what)
        return Matches(self._program, state, rule, rule.clauses[clause], found.row[rows], inputs[rows], what.take(rows))


__all__ = ["BYTES_MAX", "SCHEMA", "Alert", "Alerting"]
