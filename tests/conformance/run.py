"""A translation on the engine and on the oracle: the alerts of both, as matches.

The engine's are read from the alert documents, so that what is compared is what a reader of alerts is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from cep.alerting import Alert, Alerting
from cep.compile import compile_rules
from cep.engine.state import EngineState
from cep.engine.step import END_OF_TIME, drain, step
from cep.lang import check_texts
from cep.lang.checked.rules import When
from cep.lang.checked.ruleset import RuleSet
from cep.testing import batch_of
from tests import oracle
from tests.conformance.expressions import said
from tests.conformance.schema import Fed
from tests.conformance.translation import Match, Translation


@dataclass(frozen=True)
class Run:
    """What came of a translation. `refused`: what the checker said, when it took no part of it."""

    engine: list[Match]
    oracle: list[Match]
    late: list[int]
    refused: str | None = None

    @property
    def confirmed(self) -> bool:
        """Whether the oracle gives exactly what the engine gave."""
        return self.engine == self.oracle


def run(translation: Translation) -> Run:
    """The matches of engine and oracle."""
    loaded = check_texts({"case.cep": translation.text})
    if loaded.ruleset is None:
        return Run([], [], [], said(loaded.diagnostics))
    made, late = _engine(loaded.ruleset, translation)
    in_time = sorted(
        (fed for place, fed in enumerate(translation.feed) if place not in late), key=lambda fed: fed.event.time_us
    )
    expected = _oracle(loaded.ruleset, in_time, translation.until_us)
    return Run(made, expected, [i for place in late if (i := translation.feed[place].index) is not None])


def _engine(ruleset: RuleSet, translation: Translation) -> tuple[list[Match], list[int]]:
    program = compile_rules(ruleset)
    state, alerting = EngineState.create(program), Alerting(program)
    events = [fed.event for fed in translation.feed]
    size = 1 if translation.singly else max(len(events), 1)
    alerts: list[Alert] = []
    late: list[int] = []
    for first in range(0, len(events), size):
        output = step(program, state, batch_of(program, state.strings, events[first : first + size], first))
        late += (first + output.late).tolist()
        alerts += alerting.alerts(state, output)
    alerts += alerting.alerts(state, drain(program, state, translation.until_us))
    return [_match(alert, translation.feed) for alert in alerts], late


def _match(alert: Alert, feed: Sequence[Fed]) -> Match:
    data = orjson.loads(alert.body)["data"]
    assert data["truncated"] == {"events": 0, "texts": 0}
    captured = {
        found["alias"]: tuple(
            index for event in found["events"] if (index := feed[int(event["id"].split("-")[1]) - 1].index) is not None
        )
        for found in data["evidence"]["steps"]
        if "absent" not in found
    }
    return Match(alert.rule, alert.time_us, captured)


def _oracle(ruleset: RuleSet, feed: Sequence[Fed], until_us: int | None) -> list[Match]:
    events = [oracle.OracleEvent(fed.event.event, fed.event.time_us, dict(fed.event.values)) for fed in feed]
    found = oracle.run(ruleset, events, END_OF_TIME if until_us is None else until_us)
    aliases = {
        rule.name: [step.alias or step.name for step in rule.trigger.steps if not step.negated]
        for rule in ruleset.rules
        if isinstance(rule.trigger, When)
    }
    return [
        Match(
            outcome.rule,
            outcome.time_us,
            {
                alias: tuple(i for place in places if (i := feed[place].index) is not None)
                for alias, places in zip(aliases[outcome.rule], outcome.captured, strict=True)
            },
        )
        for outcome in found
    ]
