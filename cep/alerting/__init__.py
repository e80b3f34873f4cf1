"""Matches → alerts: which ones `limit` lets through, and the document that each becomes.

Alerts are a pure function of the matches and of what `limit` remembers: no clock, no randomness. A step's matches are
to be turned into alerts once and before the next step, for `limit` counts them and the next step may forget events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cep.alerting.document import BYTES_MAX, SCHEMA, Alert, Matches, alerts, bodies
from cep.alerting.inputs import captured, input_words
from cep.alerting.limited import let_through
from cep.engine.state import EngineState
from cep.engine.step import RuleMatches, StepOutput
from cep.layout import Program

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
        for place, matches in enumerate(output.matches):
            at = np.flatnonzero(output.order[:, 0] == place)
            chosen, passing = self._let_through(state, matches, output.order[at, 1])
            made.update(zip(at[passing].tolist(), make(chosen, self._source), strict=True))
        return [made[place] for place in sorted(made)]

    def _let_through(
        self, state: EngineState, matches: RuleMatches, order: npt.NDArray[np.intp]
    ) -> tuple[Matches, npt.NDArray[np.intp]]:
        """The matches of one rule that pass, in order, and their places in `order`."""
        rule = self._program.rules[matches.rule]
        what = captured(state, rule, matches)
        inputs = input_words(state, rule, matches, what)
        passing = let_through(self._program, state, matches.rule, matches.row[order], inputs[order])
        rows = order[passing]
        chosen = Matches(self._program, state, rule, matches.row[rows], inputs[rows], what.take(rows))
        return chosen, passing


__all__ = ["BYTES_MAX", "SCHEMA", "Alert", "Alerting"]
