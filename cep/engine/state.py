"""All state of a program, in one value that the caller passes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cep.engine.calendars import Calendar
from cep.engine.captures import Captures
from cep.engine.derived import Derived, word_of
from cep.engine.episodes import EpisodeState
from cep.engine.filters import Indexes
from cep.engine.limits import Limits
from cep.engine.order import Order, new_order
from cep.engine.plans import Rows
from cep.engine.shards import Shard, own_rows
from cep.engine.strings import Strings
from cep.kernels.keys import SEED, TOP
from cep.layout.columns import NAN_WORD, NULL
from cep.layout.expressions import STACK_DEPTH
from cep.layout.patterns import EpisodePlan
from cep.layout.program import Program

Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class Counters:
    """What the engine has counted since it began; part of the state, so a restart goes on counting."""

    events: int = 0
    late: int = 0
    without_key: int = 0
    matches: int = 0
    outside_roster: int = 0
    failed_calls: int = 0
    limited: int = 0  # matches that `limit` let make no alert
    conditional: int = 0  # matches of which no clause held
    shadow: int = 0  # alerts of shadow rules


@dataclass(slots=True)
class EngineState:
    """The state of a program: what `step` reads and changes, and nothing else remembers anything.

    enrolled: whether the keys of rosters have been seen to since this state was made or restored.
    scratch: memory that steps use again, for a page of fresh memory costs more than what is written to it.
    next_ordinal: of the next event that a stratum reads. secret: what digests of private values are keyed with, no part
    of snapshots. consts: the program's, with this state's text ids filled in. indexes: those of filters, likewise.
    """

    strings: Strings
    derived: Derived
    order: Order
    captures: Captures
    shards: list[Shard]
    calendars: list[Calendar]
    code: Ints
    consts: Ints
    indexes: Indexes
    next_ordinal: int = 0
    counters: Counters = field(default_factory=Counters)
    limits: Limits = field(default_factory=Limits)
    secret: bytes = b""
    enrolled: bool = False
    scratch: dict[str, Ints] = field(default_factory=dict)
    stack: Ints = field(default_factory=lambda: np.zeros(STACK_DEPTH + 1, np.int64))

    def buffer(self, name: str, rows: int, columns: int) -> Ints:
        """Memory of shape (rows, columns) that is good until the next call with the same name."""
        flat = self.scratch.get(name)
        if flat is None or len(flat) < rows * columns:
            flat = self.scratch[name] = np.empty(rows * columns, np.int64)
        return flat[: rows * columns].reshape(rows, columns)

    def enrol(self, program: Program, now_us: int) -> None:
        """Give the conditions over rosters their keys, when a program meets its first event, at `now_us`.

        A state that was restored has them already, unless the rosters have changed.
        """
        if self.enrolled:
            return
        self.enrolled = True
        members = {(table.name, table.key): [key for key, _ in table.rows] for table in program.tables}
        for place, run in enumerate(program.plans):
            if isinstance(run.plan, EpisodePlan) and run.plan.roster:
                kind = program.rules[run.rules[0]].keys[0][1]
                words = [word_of(key, kind, self.strings) for key in members[run.plan.roster, kind]]
                self._enrol(place, np.unique(np.array(words, np.int64)), now_us + run.plan.roster_us)

    def _enrol(self, place: int, members: Ints, first_us: int) -> None:
        """Give each shard its keys of a plan over a roster."""
        rows = Rows(np.arange(len(members)), members, members[None, :])
        for number, shard in enumerate(self.shards):
            plan = shard.plans[place]
            assert isinstance(plan, EpisodeState)
            plan.enrol(own_rows([rows], len(self.shards), number).bits, first_us)

    def scatter(self, seed: int) -> None:
        """Let keys stand where nobody can foretell who does not know the seed; where there are keys already they stay.

        No result depends on it.
        """
        for shard in self.shards:
            for part in (*shard.features, *shard.plans):
                if not part.keys.count[TOP]:
                    part.keys.count[SEED] = seed

    @staticmethod
    def create(program: Program, shards: int = 1) -> EngineState:
        """An empty state with its keys in so many shards."""
        strings = Strings()
        consts = np.array(program.consts or (0,), np.int64)
        for place, text in program.const_texts:
            consts[place] = strings.id(text)
        indexes = Indexes(program, consts)
        nulls = null_words(program)
        return EngineState(
            strings=strings,
            derived=Derived(program),
            order=new_order(program),
            captures=Captures(len(program.stored)),
            shards=[Shard.create(program, indexes, nulls) for _ in range(shards)],
            calendars=[Calendar(column) for column in program.calendars],
            code=np.array(program.code or ((0, 0),), np.int64).reshape(-1, 2),
            consts=consts,
            indexes=indexes,
        )


def null_words(program: Program) -> Ints:
    """Null as each column spells it, shape (slots,)."""
    nulls = np.full(program.slots, NULL, np.int64)
    for slot, decoded in enumerate(program.columns):
        if decoded.kind == "number":
            nulls[slot] = NAN_WORD
    for column in program.derived:
        if column.real:
            nulls[column.slot] = NAN_WORD
    return nulls
