"""Rules over alerts: the alerts of a stratum become events, and stand in the order in which the next one reads.

That order is the law (docs/semantics.md, "Rules over alerts"): the order of events, into which the alerts of stratum
after stratum are put; one made by an event right behind that event, one made at a deadline before the events of its
instant. As time has passed a deadline only in the step that releases the first event of that instant, if not earlier,
a step can do so alone, and how the stream was cut makes no difference.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.engine.batch import Batch, blank, concatenate, empty
from cep.engine.identity import STATUSES, as_entries, ids
from cep.engine.inputs import captured, input_words, output_words
from cep.engine.matched import RuleMatches
from cep.engine.state import EngineState, null_words
from cep.kernels.matches import EVENT, FIRED, KEY, KIND, PLACE, STATUS, TIME
from cep.layout.alerts import Feeding, RuleSpec, Said
from cep.layout.columns import ALERTS, NAN_WORD, TIME_SLOT
from cep.layout.program import Program, Stratum

Ints = npt.NDArray[np.int64]
UNHEARD = -1  # the event of an alert that no rule listens to


class Sequence:
    """The events of a step and, stratum by stratum, the alerts among them.

    element: rows of the step's batch, and below 0 alerts: −1 − element is the alert's number. event, time: of each.
    """

    def __init__(self, program: Program, batch: Batch) -> None:
        self._batch, self._alerts = batch, empty(len(program.columns))
        self._element: Ints = np.arange(len(batch))
        self._event, self._time = batch.event, batch.time_us
        self._place: Ints = self._element  # where in the sequence the rows stand that were read last

    def read(self, stratum: Stratum) -> Batch:
        """The events that a stratum reads, in order."""
        self._place = np.flatnonzero(np.isin(self._event, np.array(stratum.events, np.int64)))
        element = self._element[self._place]
        is_alert = element < 0
        base, alerts = self._batch.take(element[~is_alert]), self._alerts.take(-1 - element[is_alert])
        return concatenate(base, alerts).take(np.argsort(np.argsort(is_alert, kind="stable")))

    def put(self, alerts: Batch, row: Ints, base: int) -> None:
        """Put in the alerts of the stratum that was read last, which stand in their order.

        row: (m, COLUMNS) of `kernels.matches`. base: the ordinal of the first event that was read.
        """
        at_event = row[:, KIND] == EVENT
        at = np.searchsorted(self._time, row[:, TIME], side="left")
        at[at_event] = self._place[row[at_event, PLACE] - base] + 1
        number = len(self._alerts) + np.arange(len(row))
        self._element = np.insert(self._element, at, -1 - number)
        self._event = np.insert(self._event, at, alerts.event)
        self._time = np.insert(self._time, at, alerts.time_us)
        self._alerts = concatenate(self._alerts, alerts)

    def alerts(self) -> Ints:
        """The numbers of all alerts, in order; they are counted in the order in which they were put in."""
        return -1 - self._element[self._element < 0]


def as_events(program: Program, state: EngineState, matches: list[RuleMatches], order: Ints) -> Batch:
    """The alerts in `order` as events."""
    made = blank(len(program.columns), len(order))
    made.words[:] = null_words(program)[: len(program.columns), None]
    made.stream[:], made.event[:] = ALERTS, UNHEARD
    made.entry_ms[:], made.entry_seq[:], made.entry_index[:] = 0, 0, 0
    for place, found in enumerate(matches):
        rule = program.rules[found.rule]
        at = np.flatnonzero(order[:, 0] == place)
        rows = order[at, 1]
        made.words[TIME_SLOT, at] = found.row[rows, TIME]
        if rule.feeding is not None and len(at):
            _fill(made, at, _Heard(state, rule, found, rows), rule.feeding)
    return made


def _fill(made: Batch, at: npt.NDArray[np.intp], heard: _Heard, feeding: Feeding) -> None:
    made.event[at] = np.where(heard.row[:, STATUS] == FIRED, feeding.fired, feeding.resolved)
    entries = as_entries(heard.ids)
    made.entry_ms[at], made.entry_seq[at] = entries[:, 0], entries[:, 1]
    for slot, said, place in feeding.columns:
        made.words[slot, at] = heard.words(said, place)


class _Heard:
    """Alerts of one rule to which others listen."""

    def __init__(self, state: EngineState, rule: RuleSpec, found: RuleMatches, rows: npt.NDArray[np.intp]) -> None:
        what = captured(state, rule, found)
        self._state, self._rule = state, rule
        self._clause = found.clause[rows]
        self._inputs = input_words(state, rule, found, what)[rows]
        self.row = found.row[rows]
        self.ids = ids(state, rule, self.row, what.take(rows))

    def words(self, said: Said, place: int) -> Ints | int:
        """What a field says, in words."""
        strings, rule = self._state.strings, self._rule
        words: Ints | int
        match said:
            case Said.RULE:
                words = strings.id(rule.name)
            case Said.SEVERITY:
                words = strings.ids([clause.level for clause in rule.clauses])[self._clause]
            case Said.STATUS:
                words = strings.ids(STATUSES)[self.row[:, STATUS]]
            case Said.ID:
                words = strings.ids([made.hex() for made in self.ids])
            case Said.KEY:
                words = self.row[:, KEY + place]
            case Said.SCORE:
                words = NAN_WORD if rule.score is None else self._output(rule.score)
            case Said.OUTPUT:
                words = self._output(place)
        return words

    def _output(self, place: int) -> Ints:
        return output_words(self._state, self._rule.outputs[place], self._inputs)
