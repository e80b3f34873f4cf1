"""Entries to alerts: decode, step, render, as the state machine that `cep.delivery.runtime` runs.

What turns matches into alerts and the state into bytes is given to it, so that it depends on nothing that it does not
run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import accumulate

from cep.decoding.documents import as_json
from cep.decoding.entries import EXCERPT_BYTES, Decoded, Decoder
from cep.delivery.outcome import Outcome
from cep.engine.batch import concatenate, empty
from cep.engine.order import BEGINNING
from cep.engine.picture import restore, take, unknown_to
from cep.engine.state import EngineState
from cep.engine.step import StepOutput, advance, drain, step
from cep.layout.program import Program
from cep.ports import BadEvent, Entries, EntryId, Frozen, LateEvent

Render = Callable[[EngineState, StepOutput], Sequence[bytes]]


class RuleDetector:
    """The detector of a program.

    render: the alerts of a step, as JSON, in order. freeze, load: the state to bytes and back. secret: what digests of
    private values are keyed with. shards: in how many the keys of an empty state stand. seed: of where they stand in
    tables. anew: rules for which the detector that this one took over from had no state.
    """

    def __init__(
        self,
        program: Program,
        render: Render,
        freeze: Callable[[Program, EngineState], Frozen],
        load: Callable[[Program, bytes], EngineState],
        secret: bytes = b"",
        shards: int = 1,
        *,
        seed: int = 0,
    ) -> None:
        self._program, self._render, self._freeze, self._load = program, render, freeze, load
        self._private, self._secret = [stream.private for stream in program.streams], secret
        self._shards, self._seed = shards, seed
        self.load(None)
        self.anew: list[str] = []

    def prepare(self, entries: Entries) -> None:
        """Do what can be done with entries that are to be applied, without the state, in any thread."""
        self._decoder.prepare(entries)

    def apply(self, batch: Sequence[Entries], idle: frozenset[int] = frozenset()) -> Outcome:
        """Move the state over some entries. `idle`: streams that hold nothing back, be it that they have ended."""
        parts = [self._decoder.decode(entries) for entries in batch]
        outcome = Outcome(bad=[bad for part in parts for bad in part.bad])
        for part in parts:
            outcome.unknown |= {name: outcome.unknown.get(name, 0) + n for name, n in part.unknown.items()}
        parts = [part for part in parts if len(part.batch)]
        if parts:
            events = reduce(concatenate, (part.batch for part in parts))
            outcome.events = len(events)
            output = step(self._program, self.state, events, idle)
            self._say(outcome, output)
            outcome.late = _late(parts, output.late.tolist(), self._private)
        return outcome

    def advance(self, idle: frozenset[int], until_us: int | None) -> Outcome:
        """Move the state on without entries: for streams that have become idle, and to a time if one is given.

        Events that come later from before that time are late.
        """
        outcome = Outcome()
        self._say(outcome, step(self._program, self.state, empty(len(self._program.columns)), idle))
        if until_us is not None:
            self._say(outcome, advance(self._program, self.state, until_us))
        return outcome

    def time_after(self, silent_us: int) -> int | None:
        """What time it is when nothing has come for so long; None where nothing ever has.

        It is the latest time seen, and what has passed since, less what the streams are to wait for stragglers.
        """
        latest_us = int(self.state.order.max_us.max(initial=BEGINNING))
        late_us = max((stream.late_us for stream in self._program.streams), default=0)
        return latest_us + silent_us - late_us if latest_us != BEGINNING else None

    def put_aside(self, batch: Sequence[Entries], reason: str) -> Outcome:
        """What to say of entries that cannot be applied: a dead letter for each."""
        outcome = Outcome()
        for entries in batch:
            for row, fields in enumerate(entries.fields):
                is_private = self._private[entries.stream]
                excerpt = b"" if is_private else as_json(fields[1] if len(fields) == 2 else fields, EXCERPT_BYTES)
                detail = "the detector has died of it more than once"
                outcome.bad.append(BadEvent(entries.stream, entries.id(row), 0, reason, "", detail, excerpt))
        return outcome

    def drain(self, until_us: int | None = None) -> Outcome:
        """Move time on without events, to `until_us` or until nothing is pending: the end of a replay."""
        outcome = Outcome()
        self._say(outcome, drain(self._program, self.state, until_us))
        return outcome

    def _say(self, outcome: Outcome, output: StepOutput) -> None:
        first = len(outcome.alerts)
        outcome.alerts += self._render(self.state, output)
        of = [output.matches[place].rule for place in output.order[:, 0].tolist()]
        outcome.shadow |= {at for at, rule in enumerate(of, first) if self._program.rules[rule].is_shadow}

    def freeze(self) -> Frozen:
        """The state as it is now."""
        return self._freeze(self._program, self.state)

    def load(self, data: bytes | None) -> None:
        """Go back to a state whose bytes `freeze` made, or to the beginning."""
        if data is None:
            self.state = EngineState.create(self._program, self._shards)
        else:
            self.state = self._load(self._program, data)
        self.state.secret = self._secret
        self.state.scatter(self._seed)
        self._decoder = Decoder(self._program, self.state.strings)

    def take_over(self, other: RuleDetector) -> None:
        """Go on where another detector stands, which is of no use afterwards. Changed rules begin anew.

        This one has applied nothing yet.
        """
        picture = take(other._program, other.state)
        self.anew = unknown_to(self._program, picture)
        self.state = restore(self._program, picture, self.state)
        self.state.scatter(self._seed)
        self._decoder = Decoder(self._program, self.state.strings)


def _late(parts: Sequence[Decoded], rows: Sequence[int], private: Sequence[bool]) -> list[LateEvent]:
    """The events at some rows of the parts' batches put one after the other; `private`: which streams' stay here."""
    late = []
    ends = list(accumulate(len(part.batch) for part in parts))
    for row in rows:
        number = next(n for n, end in enumerate(ends) if row < end)
        part, at = parts[number], row - (ends[number - 1] if number else 0)
        entry = EntryId(int(part.batch.entry_ms[at]), int(part.batch.entry_seq[at]))
        stream = int(part.batch.stream[at])
        raw = b"" if private[stream] else part.raw(at)
        late.append(LateEvent(stream, entry, int(part.batch.entry_index[at]), raw))
    return late
