"""Redis Streams as a `Log`: XREAD from our own offsets, and a commit that is one function call.

How keys are called: `keys.py`. Alerts, dead letters, late events and the alerts of shadow rules go to streams that
belong to one group alone; their ids are `<seq>-<i>`, output i of commit seq. The journal has an entry `<seq>-0` for
each commit.

Safety does not rest on the lease, which only says when another may try: every function checks the token of who took the
log over last, and a commit that its predecessor is the one it was made for.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from cep.adapters.redis.gaps import Stream, find_gap
from cep.adapters.redis.keys import Keys
from cep.adapters.redis.reader import Reader
from cep.adapters.redis.server import LIBRARY, check_server, check_streams, load_library
from cep.adapters.redis.session import ReplyError, Session
from cep.adapters.redis.words import Wording, entry_id
from cep.errors import ConfigurationError
from cep.ports import Commit, Entries, EntryId, LogError, Offsets, OwnedError, Point, Prepare, Standing, Turn

LEASE_S = 10.0
REPLICAS_MS = 1000  # that a commit may take to reach them
_JOURNAL_COUNT = 1000


class RedisLog:
    """A `Log` of the streams named, by their index.

    connect: a new connection to the server. keys: whose it is. worker: who we are; the lease of a worker of the same
    name is ours as well, so that a process that has died is replaced at once. trims: whether streams are trimmed up to
    the oldest snapshot. replicas: that have to have a commit before there is another. in_background: see `Reader`.
    """

    def __init__(
        self,
        connect: Callable[[], Session],
        streams: Sequence[str],
        keys: Keys,
        *,
        worker: str = "",
        lease_s: float = LEASE_S,
        trims: bool = False,
        replicas: int = 0,
        allow_volatile: bool = False,
        in_background: bool = False,
        clock: Callable[[], float] = time.monotonic,
        token: Callable[[], str] = lambda: os.urandom(16).hex(),
    ) -> None:
        self._connect, self._clock, self._new_token = connect, clock, token
        self._keys, self._trims, self._replicas, self._allow_volatile = keys, trims, replicas, allow_volatile
        self._streams = keys.of_streams(streams)
        self._all = [*keys.all_own(), *self._streams]
        self._wording = Wording(self._streams)
        self._session: Session | None = None
        self._reader = Reader(connect, self._streams, in_background=in_background)
        self._lease: tuple[str, int] = (worker or "one", int(lease_s * 1000))
        self._token, self._begins, self._is_marked = "", True, False
        self._is_in_doubt = False  # whether a commit was refused because a stream is not what it was
        self._renewed = 0.0

    def open(self) -> Standing:
        """Take the log over and fence who had it. Raises ConfigurationError where the promise could not hold."""
        self._leave()
        session = self._session = self._connect()
        check_server(session, self._allow_volatile)
        check_streams(session, [*self._streams, *self._keys.outputs(), self._keys.own("journal")])
        load_library(session)
        self._token = self._new_token()
        flat, described = self._call("acquire", *self._lease, "1" if self._begins else "0")
        self._begins, self._renewed = False, self._clock()
        meta = {key.decode(): value.decode() for key, value in zip(flat[::2], flat[1::2], strict=True)}
        self._is_marked = "marked" in meta
        point, gaps = self._wording.point(meta), {}
        for number, words in enumerate(described):
            key, stream = self._streams[number], Stream.of(words)
            if number not in point.offsets:
                point.offsets[number] = stream.beginning()
                continue
            self._check_end(session, key, stream.last, point.offsets[number].entry)
            if gap := find_gap(session, key, stream, point.offsets[number], self._is_in_doubt):
                gaps[number] = gap
        self._is_in_doubt = False
        suspect, tries = self._suspect_of(meta.get("suspect", ""))
        return Standing(point, int(meta.get("failures", 0)), suspect, tries, gaps)

    def read(
        self,
        after: Offsets,
        upto: Offsets | None,
        limit: int | None = None,
        prepare: Prepare | None = None,
    ) -> Sequence[Entries]:
        """The next entries of each stream: after waiting half a second at most, or up to `upto` without waiting."""
        batch = self._reader.read(self._opened(), after, upto, limit, prepare)
        if self._clock() - self._renewed > self._lease[1] / 3000:
            self.hold()
        return batch

    def commit(self, before: Point, commit: Commit, after: Point) -> None:
        """Move the offsets and append the outputs. A commit that is repeated is applied once."""
        self._call("commit", *self._lease, *self._wording.commit(before, commit, after))
        self._is_marked |= not Turn(after, commit.until_us, commit.is_aside, commit.gaps).is_plain
        self._renewed = self._clock()
        if self._replicas:
            have = self._opened().call("WAIT", self._replicas, REPLICAS_MS)
            if have < self._replicas:  # it is applied, as the next session will find, but might be lost with the server
                raise LogError(f"commit {after.seq} is on {have} of {self._replicas} replicas")

    def turns(self, since: Point, upto: Point) -> Sequence[Turn] | None:
        """The commits behind `since`; None where it is no point of this history, or the journal begins later.

        From the very beginning the entries alone will do, unless a turn was not a plain one.
        """
        if since.seq > upto.seq:
            return None
        entries = self._journal(since.seq, upto.seq)
        first = entries[0][0] if entries else upto.seq + 1
        if since.seq:
            if not entries or (first, entries[0][1]) != (since.seq, since.chain):
                return None
            entries = entries[1:]
        elif first != 1:
            return None if self._is_marked else []
        turns, offsets = [], since.offsets
        for seq, chain, text in entries:
            turns.append(self._wording.turn(seq, chain, text, offsets))
            offsets = turns[-1].point.offsets
        return turns

    def suspect(self, stream: int, entry: EntryId, tries: int) -> None:
        """Remember the entry that is about to be applied alone, for the how-manieth time in a row."""
        self._call("note", "suspect", f"{entry} {tries} {self._streams[stream]}")

    def hold(self) -> None:
        """Keep the lease. Raises FencedError where another has taken over."""
        self._call("renew", *self._lease)
        self._renewed = self._clock()

    def settle(self) -> None:
        """All is well: forget failures."""
        self._call("note", "failures", "0")

    def trim(self, oldest: Point) -> None:
        """Forget the journal before the oldest snapshot and, if that was asked for, the entries that it covers."""
        offsets = [str(oldest.offsets[n].entry) if n in oldest.offsets else "" for n in range(len(self._streams))]
        self._call("trim", oldest.seq, oldest.chain, *(offsets if self._trims else ()))

    def close(self) -> None:
        """Let go of the log and of the connections. May be called more than once."""
        if self._session is not None:
            with contextlib.suppress(LogError, ConfigurationError):  # the lease runs out by itself
                self._call("release")
        self._leave()

    def _leave(self) -> None:
        self._reader.close()
        if self._session is not None:
            self._session.close()
        self._session = None

    def _opened(self) -> Session:
        if self._session is None:
            raise LogError("the log is not open")
        return self._session

    def _call(self, function: str, *words: bytes | str | int) -> Any:
        """The answer of one of our functions."""
        try:
            return self._opened().call(
                "FCALL", f"{LIBRARY}_{function}", len(self._all), *self._all, self._token, *words
            )
        except ReplyError as error:
            raise self._refusal(error) from error

    def _journal(self, first: int, last: int) -> list[tuple[int, str, bytes]]:
        """The entries of the journal from one commit to another: number, chain, what is remembered."""
        found, key = list[tuple[int, str, bytes]](), self._keys.own("journal")
        while part := self._opened().call("XRANGE", key, f"{first}-0", f"{last}-0", "COUNT", _JOURNAL_COUNT):
            for entry, (_, chain, _, turn) in part:
                found.append((entry_id(entry.decode()).ms, chain.decode(), turn))
            first = found[-1][0] + 1
        return found

    def _suspect_of(self, text: str) -> tuple[tuple[int, EntryId] | None, int]:
        entry, tries, key = [*text.split(" ", 2), "", ""][:3]
        return ((self._streams.index(key), entry_id(entry)), int(tries)) if key in self._streams else (None, 0)

    def _check_end(self, session: Session, key: str, last: EntryId, offset: EntryId) -> None:
        """The stream must not have gone back behind what was applied: new entries would be skipped silently."""
        if last < offset:
            meta, alerts = self._keys.meta, self._keys.outputs()[0]
            raise ConfigurationError(
                f"{session.name}: stream {key!r} ends at {last}, but entries up to {offset} were applied: it was "
                f"deleted, or a failover lost its end; to begin anew, delete {meta} and {alerts}"
            )

    def _refusal(self, error: ReplyError) -> Exception:
        """What the operator has to hear of an answer of our functions, or the error itself."""
        key = str(error).partition(" ")[2]
        if error.code == "CEPFOREIGN":
            return ConfigurationError(
                f"stream {key!r} has entries that this group did not write (or {self._keys.meta!r} was deleted): "
                "name another alert stream, or delete it"
            )
        if error.code == "CEPGAP":
            self._is_in_doubt = True
        if error.code == "CEPOWNED":
            return OwnedError(f"worker {key}")
        return ConfigurationError(f"{key}: rename one of the two") if error.code == "CEPTYPE" else error
