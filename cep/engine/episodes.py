"""The state of a `while` rule."""

from __future__ import annotations

import numpy as np

from cep.engine.arrays import (
    FIRST_SLOTS,
    copies,
    grow_matches,
    grow_windows,
    grown_copies,
    new_keys,
    new_matches,
    new_windows,
)
from cep.engine.plans import ALL_BITS, Ints, Keep, Keyed, Referring, Rows
from cep.engine.waits import of_episodes
from cep.kernels import episodes as ek
from cep.kernels.elements import CUT, WORD
from cep.kernels.keys import HASH, KEY, NEVER, TOP
from cep.kernels.runs import Machine
from cep.layout.patterns import EpisodePlan


class EpisodeState(Keyed):
    """Windows, latest values and episodes of a condition's keys."""

    def __init__(self, plan: EpisodePlan, nulls: Ints) -> None:
        """`nulls`: null as each latest value's column spells it."""
        longest = max((a.life_us for a in plan.aggregates), default=0)
        values = len(plan.aggregates) + len(plan.latest)
        quiet_us = 0 if plan.roster else plan.forget_us // 64
        self.keys = new_keys(max(longest, plan.for_us, plan.keep_us, quiet_us))
        self.windows = new_windows(plan.aggregates)
        self.matches = new_matches(1, values + 1)  # and which of them are estimates
        self._blank = np.zeros(ek.STATE_COLUMNS, np.int64)
        self._blank[[ek.OVER, ek.FIRST]], self._blank[ek.LAST_TIME] = NEVER, ek.UNSEEN
        self.episodes = ek.Episodes(
            plan=np.array(
                [
                    plan.condition,
                    plan.until,
                    plan.for_us,
                    plan.keep_us,
                    plan.forget_us,
                    plan.rises_in_time,
                    longest,
                    plan.judged,
                    plan.judged_bits,
                    plan.roster is not None,
                ],
                np.int64,
            ),
            bits=np.array(plan.aggregate_bits, np.int64),
            resets=np.array(plan.reset_bits, np.int64),
            latest=np.array(plan.latest, np.int64).reshape(-1, 2),
            nulls=nulls,
            state=copies(self._blank, FIRST_SLOTS),
            now=copies(nulls, FIRST_SLOTS),
            inputs=np.zeros(values, np.int64),
            count=np.zeros(1, np.int64),
        )

    def enrol(self, members: Ints, first_us: int) -> None:
        """See to it that the keys are those of the roster, whose words are given, ascending. `first_us`: see kernel."""
        live = np.flatnonzero(self.keys.slots[: int(self.keys.count[TOP]), HASH] >= 0)
        present = self.keys.slots[live, KEY]
        ek.dismiss(self.episodes, self.keys, self.windows, live[~np.isin(present, members)])
        new = np.setdiff1d(members, present)
        taken = self.resolve(Rows(new, np.full(len(new), ALL_BITS), new[None, :]), ALL_BITS, self._grow_slots)
        ek.enrol(self.episodes, self.keys, taken.slots, first_us)

    def feed(self, machine: Machine, rows: Rows, keep: Keep, base: int) -> None:
        """Apply the rows."""
        taken = self.resolve(rows, ALL_BITS, self._grow_slots)

        def offer(of: Ints, bits: Ints, slots: Ints, begin_at: int) -> int:
            state = self.episodes, machine, self.keys, self.windows, self.matches
            return ek.feed(*state, of, bits, slots, keep, base, begin_at)

        taken.offer(offer, self._grow)

    def sweep(self, machine: Machine, until_us: int) -> None:
        """Let time pass up to and including `until_us`."""
        self.visit_due(
            lambda: ek.sweep(self.episodes, machine, self.keys, self.windows, self.matches, until_us),
            self._grow,
            until_us,
        )

    def references(self) -> list[Referring]:
        """Where the ordinals of all captured events stand that the state still refers to."""
        top = int(self.keys.count[TOP])
        live = self.keys.slots[:top, HASH] >= 0
        state = self.episodes.state[:top][live]
        return [Referring(state, (ek.OPENED_EVENT,)), Referring(state, (ek.LAST_EVENT,))]

    def words(self) -> list[Ints]:
        """Every array in which the id of a text may stand."""
        return [self.keys.slots[:, KEY:], self.windows.element[:, WORD], self.episodes.now]

    def open_keys(self) -> Ints:
        """The words of the keys whose episode is open, shape (m, KEY_PARTS_MAX)."""
        is_open = (self.keys.slots[:, HASH] >= 0) & (self.episodes.state[:, ek.PHASE] == ek.OPEN)
        return self.keys.slots[is_open, KEY:]

    def waiting_at(self, slot: int, now_us: int) -> set[int]:
        """What the key in `slot` waits for; see PlanState."""
        return of_episodes(self.episodes, slot, now_us)

    def waiting(self) -> int:
        """How many episodes are open."""
        live = self.keys.slots[:, HASH] >= 0
        return int((self.episodes.state[live, ek.PHASE] == ek.OPEN).sum())

    def dropped(self) -> int:
        """How many open episodes were forgotten with their quiet key."""
        return int(self.episodes.count[ek.FORGOTTEN])

    def cut(self) -> int:
        """How often a window met its limit, so that what it says is an estimate or of its newest elements only."""
        return int(self.windows.count[CUT])

    def _grow_slots(self, slots: int) -> None:
        e = self.episodes
        self.windows = grow_windows(self.windows, slots)
        self.episodes = e._replace(
            state=grown_copies(e.state, self._blank, slots), now=grown_copies(e.now, e.nulls, slots)
        )

    def _grow(self) -> None:
        before = len(self.windows.element)
        self.windows = grow_windows(self.windows, len(self.keys.slots))
        if before == len(self.windows.element):
            self.matches = grow_matches(self.matches)
