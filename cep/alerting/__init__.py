"""Matches → alerts: which ones `limit` lets through, and the document that each becomes.

Alerts are a pure function of the matches and of what `limit` remembers: no clock, no randomness.
"""

from __future__ import annotations

import numpy as np

from cep.alerting.document import BYTES_MAX, Alert, RuleAlerts
from cep.alerting.evidence import Events
from cep.alerting.inputs import captured, input_words
from cep.alerting.limited import let_through
from cep.engine.state import EngineState
from cep.engine.step import StepOutput
from cep.layout import Program


class Alerting:
    """Makes the alerts of a program."""

    def __init__(self, program: Program, source: str = "/cep") -> None:
        """`source`: what stands as the alerts' `source`, which with their `id` makes them unique."""
        self._program = program
        events = Events(program)
        self._rules = [RuleAlerts(program, rule, events, source) for rule in program.rules]

    def alerts(self, state: EngineState, output: StepOutput) -> list[Alert]:
        """The alerts of a step, in order; to be asked once, before the next step, for `limit` counts them."""
        made: list[Alert | None] = [None] * len(output.order)
        for place, matches in enumerate(output.matches):
            rule = self._program.rules[matches.rule]
            at = np.flatnonzero(output.order[:, 0] == place)
            order = output.order[at, 1]
            what = captured(state, rule, matches)
            inputs = input_words(rule, matches, what)
            passing = let_through(self._program, state, matches.rule, matches.row[order], inputs[order])
            rows = order[passing]
            if not len(rows):
                continue
            alerts = self._rules[matches.rule].alerts(state, matches.row[rows], what.take(rows), inputs[rows])
            for i, alert in zip(at[passing].tolist(), alerts, strict=True):
                made[i] = alert
        return [alert for alert in made if alert is not None]

    def render(self, state: EngineState, output: StepOutput) -> list[bytes]:
        """The alerts of a step as JSON, in order; as `alerts`, to be asked once."""
        return [alert.to_json() for alert in self.alerts(state, output)]


__all__ = ["BYTES_MAX", "Alert", "Alerting"]
