"""The planted bugs: each check of the protocol removed, alone or with the one that stands behind it."""

from __future__ import annotations

from dataclasses import dataclass

LIBRARY = "library.lua"


@dataclass(frozen=True)
class Change:
    """where: `library.lua`, or `Owner.function`."""

    where: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """covered: why it is not expected to be found alone; what stands behind the check that it removes.

    needs: the trouble that seeds must have to be tried.
    """

    name: str
    changes: tuple[Change, ...]
    covered: str = ""
    needs: tuple[str, ...] = ()


ZOMBIE, FAILOVER = ("pause",), ("fail over",)


def lua(old: str, new: str) -> Change:
    return Change(LIBRARY, old, new)


FENCE = lua("if redis.call('HGET', keys[META], 'token') ~= token then", "if false then")
COMPARE = lua("if last ~= seq - 1 or chain ~= before then", "if false then")
COMPARE_SEQ = lua("if last ~= seq - 1 or chain ~= before then", "if last ~= seq - 1 then")
OUTPUT_IDS = lua("return not info or tonumber((parts_of(info['last-generated-id']))) < seq", "return true")
EXISTS = lua("if #redis.call('XRANGE', key, offset, offset) == 0 then", "if false then")
ANEW = lua("if tonumber(stream[2]) < count or is_another(stream, known[3]) then return gap('was begun anew') end", "")
TRIMMED = lua("if is_before(last, stream[3]) and trimmed ~= count - entries then", "if false then")
DELETED = lua("if is_before(last, stream[5]) and known[2] ~= gone_of(stream) then", "if false then")
LEASE = lua("if holder and holder ~= worker and left <= tonumber(given) then", "if false then")
LINEAGE = Change("RedisLog.turns", "(first, entries[0][1]) != (since.seq, since.chain)", "first != since.seq")
NO_LINEAGE = Change(
    "RedisLog.turns", "if not entries or (first, entries[0][1]) != (since.seq, since.chain):", "if not entries:"
)
DIGEST = Change("Recovery._replay", "self._at.get(stream, Position()).digest != at.digest", "False")
NEXT_DIGEST = Change(
    "Runtime._is_next",
    "return all(at[stream].digest == position.digest for stream, position in pending.after.offsets.items())",
    "return True",
)
NEXT_READ = Change("Runtime._is_next", "at = pending.before.offsets", "return True")
NEXT_CHAIN = Change("Runtime._is_next", "if pending.before.chain != point.chain:", "if False:")
RETRY = Change(
    "Session.call",
    "return self.pipeline([command])[0]",
    """for again in range(20):
        try:
            return self.pipeline([command])[0]
        except ReplyError:
            raise
        except LogError:
            old = self._connection
            old.process.sleep(0.3, "waits")
            try:
                type(self).__init__(self, old._server, old.process, old._faults)
            except LogError:
                pass
    raise LogError("given up")""",
)
NO_HOLD = Change("RedisLog.hold", 'self._call("renew", *self._lease)', "pass")
ANYWHERE = lua("if not turn or turn[2][2] ~= args[3] then return 'OK' end", "")
EARLIER = Change("Runtime._open", "self._keeper.wait()", "pass")
CHECKSUM = Change(
    "DirectorySnapshots.load",
    "not hmac.compare_digest(self._digest(head.raw, data), head.digest)",
    "False",
)

ALL = (
    # ------------------------------------------------------------------------------- the functions
    Mutant("no fence", (FENCE,), "the chain is compared", needs=ZOMBIE),
    Mutant("no compare", (COMPARE,), "the fence", needs=ZOMBIE),
    Mutant("compare by seq", (COMPARE_SEQ,), "the fence", needs=ZOMBIE),
    Mutant("no fence, no compare", (FENCE, COMPARE), needs=ZOMBIE),
    Mutant("no fence, compare by seq", (FENCE, COMPARE_SEQ), needs=ZOMBIE),
    Mutant("no fence, no compare, any output id", (FENCE, COMPARE, OUTPUT_IDS), needs=ZOMBIE),
    Mutant("a new owner gets no new token", (lua("'token', token, 'lease', ttl", "'lease', ttl"),), needs=ZOMBIE),
    Mutant("no lease", (LEASE,), "the fence; a lease only spares the others the trouble"),
    Mutant("the last entry may be gone", (EXISTS,), "the counts", needs=("delete entries",)),
    Mutant("a stream may be begun anew", (ANEW,), "the first entry's ordinal", needs=("delete stream",)),
    Mutant("entries may be trimmed unseen", (TRIMMED,), needs=("trim entries",)),
    Mutant("entries may be deleted unseen", (DELETED,), needs=("delete entries",)),
    Mutant("nothing that is gone is seen", (EXISTS, ANEW, TRIMMED, DELETED), needs=("delete entries",)),
    Mutant(
        "a log begins with its first commit",
        (lua("if redis.call('HEXISTS', keys[META], 'offset:' .. keys[i]) == 0 then", "if false then"),),
    ),
    Mutant(
        "what has left a stream is not looked at again",
        (lua("redis.call('HSET', keys[META], 'gone:' .. keys[i], gone_of(stream))", ""),),
    ),
    Mutant("the journal is trimmed one too far", (lua("'MINID', args[2] .. '-0'", "'MINID', (args[2] + 1) .. '-0'"),)),
    Mutant(
        "entries are trimmed beyond what was applied",
        (lua("applied and not is_before(applied, args[i]) then", "applied then"),),
        "the loop only names snapshots of what was committed",
    ),
    Mutant("a commit moves no offset", (lua("'idle', idle, unpack(fields))", "'idle', idle)"),)),
    Mutant(
        "a commit leaves no trace in the journal",
        (lua("redis.call('XADD', keys[JOURNAL], seq .. '-0', 'chain', after, 'turn', turn)", ""),),
    ),
    Mutant(
        "turns that are not plain leave no mark",
        (lua("if is_marked == '1' then", "if false then"),),
        "snapshots reach as far back as the journal",
    ),
    # ------------------------------------------------------------------------------------ sessions
    Mutant("commands are sent again, as redis-py does", (RETRY,), needs=FAILOVER),
    Mutant("a reader outlives its session", (Change("RedisLog.open", "self._leave()", "pass"),), needs=FAILOVER),
    Mutant(
        "an answer to another question is taken",
        (
            Change(
                "Reader._read_live",
                "if self._ahead is not None and self._ahead.behind != self._positions(after):",
                "if False:",
            ),
        ),
        "the loop applies all that it reads",
    ),
    Mutant(
        "the state goes on by seq, not by chain",
        (
            Change(
                "Runtime._open", "self._point.chain == standing.point.chain", "self._point.seq == standing.point.seq"
            ),
        ),
        "the chain is compared at each commit",
        needs=FAILOVER,
    ),
    Mutant(
        "the state goes on whatever the log says",
        (Change("Runtime._open", "self._recover(standing.point)", "self._point = self._point or standing.point"),),
    ),
    Mutant("a lost commit is sent again unread", (NEXT_READ,), needs=FAILOVER),
    Mutant("a lost commit is sent again if as many entries are there", (NEXT_DIGEST,), needs=FAILOVER),
    Mutant("a lost commit is sent again to another history", (NEXT_CHAIN,), needs=FAILOVER),
    Mutant(
        "an error means not applied",
        (
            Change(
                "Runtime._commit",
                """self._pending, self._point = pending, pending.after
    self._log.commit(pending.before, pending.commit, pending.after)
    self._pending = None""",
                """self._log.commit(pending.before, pending.commit, pending.after)
    self._point = pending.after""",
            ),
        ),
    ),
    Mutant(
        "what is lost is not counted",
        (Change("Runtime._open", "self._lose(standing)", "pass"),),
        needs=("delete entries",),
    ),
    Mutant(
        "what is lost is not looked for",
        (
            Change(
                "RedisLog.open",
                "if gap := find_gap(session, key, stream, point.offsets[number], self._is_in_doubt):",
                "if gap := None:",
            ),
        ),
        needs=("delete entries",),
    ),
    Mutant(
        "trimmed by what was kept in an earlier session",
        (EARLIER,),
        "the log is trimmed up to a point of its own history alone",
        needs=FAILOVER,
    ),
    Mutant("trimmed by what was kept in an earlier session, wherever it stands", (EARLIER, ANYWHERE), needs=FAILOVER),
    Mutant(
        "trimmed up to a point of another history",
        (ANYWHERE,),
        "a snapshot that is saved drives out none beyond it",
        needs=(*FAILOVER, *ZOMBIE),
    ),
    Mutant(
        "a zombie drops the snapshots of its successor",
        (Change("Recovery._starts", "self._log.hold()", "pass"),),
        needs=ZOMBIE,
    ),
    Mutant(
        "snapshots beyond the newest drive others out",
        (Change("DirectorySnapshots._superseded", "if point.seq <= newest.seq", ""),),
        "KEEP",
        needs=(*FAILOVER, *ZOMBIE),
    ),
    Mutant("a zombie says what is lost", (NO_HOLD,), needs=ZOMBIE),
    # ----------------------------------------------------------------------- recovery and snapshots
    Mutant("a snapshot belongs by its seq", (LINEAGE,), "the digest of what was applied", needs=FAILOVER),
    Mutant("a snapshot belongs by its seq, no digest", (LINEAGE, DIGEST), needs=FAILOVER),
    Mutant("any snapshot belongs", (NO_LINEAGE,), "the digest of what was applied", needs=FAILOVER),
    Mutant("any snapshot belongs, no digest", (NO_LINEAGE, DIGEST), needs=FAILOVER),
    Mutant("no digest of what was applied", (DIGEST,), "the lineage of snapshots", needs=FAILOVER),
    Mutant("a damaged snapshot is loaded", (CHECKSUM,), needs=("flip",)),
    Mutant(
        "trimmed up to the newest snapshot",
        (Change("DirectorySnapshots.oldest", "reversed(self.points())", "self.points()"),),
        "a trim is lost with the commits behind which it came",
        needs=FAILOVER,
    ),
    Mutant(
        "only the newest snapshots are kept",
        (
            Change(
                "DirectorySnapshots._superseded",
                "if old and not any(map(self._has_settled, points[:KEEP])):",
                "if False:",
            ),
        ),
        needs=FAILOVER,
    ),
    Mutant(
        "a snapshot of what is not committed",
        (
            Change(
                "Runtime._end", "if self._pending is None and self._point is not None:", "if self._point is not None:"
            ),
        ),
        "its point is on no journal",
    ),
    Mutant(
        "turns are repeated in any cuts",
        (Change("Recovery._replay", "if not turn.is_plain or was_idle:", "if False:"),),
    ),
    Mutant(
        "an entry put aside is applied when repeated",
        (Change("Recovery._repeat", "if batch and not turn.is_aside:", "if batch:"),),
    ),
    Mutant(
        "a gap is not repeated", (Change("Recovery._repeat", "if turn.gaps:", "if False:"),), needs=("delete entries",)
    ),
    Mutant(
        "the beginning will do though turns are not plain",
        (Change("RedisLog.turns", "return None if self._is_marked else []", "return []"),),
    ),
    Mutant(
        "an entry that kills is never put aside",
        (Change("Caution.is_suspect", "return self._tries >= TRIES and", "return False and"),),
    ),
)
