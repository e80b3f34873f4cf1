"""What must hold when the trouble is over, said of what the server has, by an account of its own.

The journal tells which turns there were. Each is done again by a detector that has seen no trouble, over the entries
that were ever added and survived: what it puts out must be what the log has, and the chain of digests with it.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cep.adapters.redis.keys import Keys
from cep.delivery.history import following
from cep.delivery.outcome import Outcome
from cep.delivery.runtime import Detector
from cep.ports import Commit, Entries, EntryId, Point, Position
from tests.simulation.data import ZERO, Added, Data, Hash, Id, Stream
from tests.simulation.detectors import STREAMS, Digests, event_of, real
from tests.simulation.network import encoded

if TYPE_CHECKING:
    from tests.simulation.world import World

KEYS = Keys("g")
META, JOURNAL = KEYS.meta.encode(), KEYS.own("journal").encode()
ALERTS, DEAD, LATE, SHADOW = (key.encode() for key in KEYS.outputs())


class ViolationError(AssertionError):
    """The promise was broken."""


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise ViolationError(what)


def an_id(text: bytes | str) -> Id:
    ms, _, seq = (text if isinstance(text, str) else text.decode()).partition("-")
    return int(ms), int(seq)


def offset_of(data: Data, key: bytes) -> Id:
    meta = data.keys.get(META)
    return an_id(meta.get(b"offset:" + key, b"0-0")) if isinstance(meta, Hash) else ZERO


def waiting(data: Data, streams: Sequence[bytes]) -> bool:
    """Whether a stream has entries that are still to be applied."""
    found = [(data.keys.get(key), key) for key in streams]
    return any(isinstance(s, Stream) and bool(s.ids) and s.ids[-1] > offset_of(data, key) for s, key in found)


class Account:
    """Goes through the turns of a log; without a detector, through what was applied and lost, not what came out."""

    def __init__(self, data: Data, detector: Detector | None, streams: int) -> None:
        self.data, self.detector = data, detector
        self.keys = [key.encode() for key in STREAMS[:streams]]
        self.point, self.lost = Point(), dict.fromkeys(range(streams), 0)
        self.has_unknown = False
        self.outcomes: list[Outcome] = []

    def turn(self, journalled: Added) -> None:
        """Do a turn again; its chain must be that of the log."""
        number = journalled.id[0]
        demand(journalled.id == (self.point.seq + 1, 0), f"I3: {journalled.id} follows turn {self.point.seq}")
        words = msgspec.json.decode(journalled.fields[3])
        idle = frozenset(STREAMS.index(key) for key in words.get("idle", ()))
        moved = {STREAMS.index(key): self._position(at) for key, at in words.get("offsets", {}).items()}
        gaps = {STREAMS.index(key): lost for key, lost in words.get("gaps", {}).items()}
        batch = [] if gaps else [self._applied(stream, at, number) for stream, at in moved.items()]
        for stream, lost in gaps.items():
            self.lost[stream] += lost or 0
            self.has_unknown |= lost is None
        if self.detector is None:
            self.point = Point(number, offsets={**self.point.offsets, **moved})
            return
        commit = Commit(moved, [], idle=idle, until_us=words.get("until_us"), gaps=gaps)
        commit.is_aside = words.get("is_aside", False)
        outcome = self._outcome(self.detector, commit, batch)
        commit.alerts, commit.shadow = outcome.delivered(), outcome.shadowed()
        commit.dead, commit.late = outcome.bad, outcome.late
        self.point = following(self.point, commit)
        self.outcomes.append(outcome)
        demand(self.point.chain.encode() == journalled.fields[1], f"I1: turn {number} is not what it should have been")

    def _outcome(self, detector: Detector, commit: Commit, batch: list[Entries]) -> Outcome:
        if commit.gaps:
            return Outcome()
        if commit.is_aside:
            return detector.put_aside(batch, "poison")
        return detector.apply(batch, commit.idle) if batch else detector.advance(commit.idle, commit.until_us)

    def _position(self, at: list[Any]) -> Position:
        return Position(EntryId(*an_id(at[0])), at[1], at[2])

    def _applied(self, stream: int, upto: Position, turn: int) -> Entries:
        """The entries that a turn brought, which its position must be in keeping with."""
        at, key = self.point.offsets.get(stream, Position()), self.keys[stream]
        removed = self.data.removed.get(key, {})
        added = [
            entry
            for entry in self.data.added.get(key, ())
            if at.entry < entry.id <= upto.entry and entry.turns < turn and removed.get(entry.id, turn) >= turn
        ]
        demand(at.entry < upto.entry, f"I4: turn {turn} goes back from {at.entry} to {upto.entry}")
        demand(upto.ordinal == at.ordinal + len(added), f"I8: turn {turn} counts {upto.ordinal} for {len(added)} more")
        wire = b"".join(encoded([b"%d-%d" % entry.id, entry.fields]) for entry in added)
        demand(upto.digest == zlib.crc32(wire, at.digest), f"I1: turn {turn} had other entries than there were")
        return Entries.of(stream, [(EntryId(*entry.id), entry.fields) for entry in added])


def lost_of(data: Data, key: bytes) -> int:
    """How many entries of a stream went before they were applied."""
    turns = {}
    for journalled in data.added.get(JOURNAL, ()):
        words = msgspec.json.decode(journalled.fields[3])
        if key.decode() in words.get("offsets", {}) and not words.get("gaps"):
            turns[an_id(words["offsets"][key.decode()][0])] = journalled.id[0]
    ends, lost = sorted(turns), 0
    removed = data.removed.get(key, {})
    for entry in data.added.get(key, ()):
        when = next((turns[end] for end in ends if end >= entry.id), None)
        lost += entry.id in removed and (when is None or removed[entry.id] < when)
    return lost


def check_history(world: World, detector: Detector) -> None:
    """Compare the log with what it should be, and the last detector's state with that of one that saw no trouble."""
    data, plan = world.server.data, world.plan
    is_whole = not (world.is_torn or world.is_partial)
    oracle: Detector = real() if plan.is_real else Digests()
    account = Account(data, oracle if is_whole else None, plan.streams)
    turns = data.added.get(JOURNAL, [])
    for journalled in turns:
        account.turn(journalled)
    check_counts(world, account)
    if not is_whole:
        check_ids(data)
        return
    check_outputs(data, account.outcomes)
    demand(len(turns) == len({journalled.fields[1] for journalled in turns}), "I3: a point of the chain is there twice")
    check_in_one(world, account)
    demand(shown(detector) == shown(oracle), "I10: the state that was rebuilt is another")


def shown(detector: Detector) -> object:
    """What a state is: its bytes, where these do not depend on how it came there, otherwise what follows from it."""
    if isinstance(detector, Digests):
        with detector.freeze() as data:
            return data
    rng = random.Random(1)
    more = [(EntryId(2**50 + n, 0), event_of(rng, 80 + n, 0)) for n in range(20)]
    outcome = detector.apply([Entries.of(0, more)])
    return outcome.alerts, outcome.late, detector.advance(frozenset({0, 1}), 10**10).alerts


def check_ids(data: Data) -> None:
    """What holds of the outputs even where the state that they come of could not be rebuilt."""
    turns = data.added.get(JOURNAL, [])
    demand([turn.id for turn in turns] == [(n + 1, 0) for n in range(len(turns))], "I3: turns are missing")
    for key in (ALERTS, DEAD, LATE, SHADOW):
        ids = [entry.id for entry in data.added.get(key, ())]
        demand(ids == sorted(set(ids)), f"I2: {key!r} has an id twice")


def check_outputs(data: Data, outcomes: Sequence[Outcome]) -> None:
    """The streams of outputs, entry by entry."""
    for key, of in ((ALERTS, Outcome.delivered), (SHADOW, Outcome.shadowed)):
        want = [((turn, i), alert) for turn, o in enumerate(outcomes, 1) for i, alert in enumerate(of(o))]
        have = [(entry.id, entry.fields[1]) for entry in data.added.get(key, ())]
        demand(have == want, f"I1, I2: {key!r} is not what it should be")
    dead = [((turn, i), str(bad.entry)) for turn, o in enumerate(outcomes, 1) for i, bad in enumerate(o.bad)]
    late = [((turn, i), str(event.entry)) for turn, o in enumerate(outcomes, 1) for i, event in enumerate(o.late)]
    for key, want_ids in ((DEAD, dead), (LATE, late)):
        have_ids = [(entry.id, entry.fields[3].decode()) for entry in data.added.get(key, ())]
        demand(have_ids == want_ids, f"I1, I8: {key!r} is not what it should be")


def check_counts(world: World, account: Account) -> None:
    """Every entry was applied, or is gone and was counted."""
    for stream, key in enumerate(account.keys):
        lost = lost_of(world.server.data, key)
        if key in world.renewed:  # of what came and went between two looks nobody knows
            demand(account.lost[stream] <= lost, f"I8: {lost} entries are lost, {account.lost[stream]} were counted")
        elif not account.has_unknown:
            demand(account.lost[stream] == lost, f"I8: {lost} entries are lost, {account.lost[stream]} were counted")
            at, added = account.point.offsets.get(stream, Position()), len(world.server.data.added.get(key, ()))
            demand(at.ordinal == added, f"I8: {at.ordinal} of {added} entries are accounted for")


def check_in_one(world: World, account: Account) -> None:
    """Where the entries alone decide: all of them at once must give the same."""
    turns = [msgspec.json.decode(turn.fields[3]) for turn in world.server.data.added.get(JOURNAL, ())]
    if world.plan.streams != 1 or any(turn.keys() != {"offsets"} for turn in turns):
        return
    account.point = Point()
    detector = real() if world.plan.is_real else Digests()
    entries = world.server.data.added.get(account.keys[0], [])
    whole = detector.apply([Entries.of(0, [(EntryId(*entry.id), entry.fields) for entry in entries])])
    parts = [alert for outcome in account.outcomes for alert in outcome.alerts]
    demand(whole.alerts == parts, "I1: the alerts depend on how the entries were cut")
