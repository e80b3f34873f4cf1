"""What an operator should hear at the start: nothing that breaks the promise, but what will be regretted.

What does break it is refused, in `server.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from cep.adapters.redis.session import ReplyError, Session
from cep.adapters.redis.words import entry_id

AHEAD_S = 60  # that an entry's id may be ahead of the server's clock
CLOCKS_S = 5  # that two clocks may be apart

# The first release of each line in which no script can break out (CVE-2025-49844); what is newer has it.
_PATCHED = {
    "redis": {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
    "valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
}


def findings(
    connect: Callable[[], Session], streams: Sequence[str], is_near: bool, now: Callable[[], float] = time.time
) -> list[str]:
    """One sentence each, with the remedy. is_near: whether only this machine reaches the server."""
    session = connect()
    try:
        seconds, micros = session.call("TIME")
        server_s = int(seconds) + int(micros) / 1e6
        found = [*_of_clocks(session, server_s, now()), *_of_streams(session, streams, server_s)]
        return found if is_near else [*found, *_of_release(session), *_of_account(session)]
    finally:
        session.close()


def _of_clocks(session: Session, server_s: float, now_s: float) -> list[str]:
    apart_s = server_s - now_s
    if abs(apart_s) <= CLOCKS_S:
        return []
    return [
        f"the clock of {session.name} is {abs(apart_s):.0f} s {'ahead of' if apart_s > 0 else 'behind'} this "
        "machine's: let both follow a time server (NTP)"
    ]


def _of_streams(session: Session, streams: Sequence[str], server_s: float) -> list[str]:
    """Streams whose last id lies in the future: their new entries get ids there, until the clock has caught up."""
    found = []
    for key in streams:
        if session.call("TYPE", key) != b"stream":
            continue
        info = session.call("XINFO", "STREAM", key)
        last = entry_id(dict(zip(info[::2], info[1::2], strict=True))[b"last-generated-id"].decode())
        if last.ms / 1000 > server_s + AHEAD_S:
            found.append(
                f"stream {key!r} ends at {last}, {last.ms / 1000 - server_s:,.0f} s after the server's clock: somebody "
                "chose an id, or the clock has gone back; ids do not say any more when entries came, and the last one "
                "there is would end the stream: allow producers no ids but '*', and begin a new stream when this "
                "one is empty"
            )
    return found


def _of_release(session: Session) -> list[str]:
    info = session.info("server")
    kind = "valkey" if "valkey_version" in info else "redis"
    version = info[f"{kind}_version"]
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    patched, line = _PATCHED[kind], (major, minor)
    if patch >= patched[line] if line in patched else line > max(patched):
        return []
    return [
        f"{session.name} runs {kind} {version}, in which a script can break out of its sandbox "
        "(CVE-2025-49844): upgrade it, unless your distribution has patched it, and let no account run EVAL"
    ]


def _of_account(session: Session) -> list[str]:
    """Whether the account is one that may do everything. One with the rights it needs may not even ask."""
    try:
        user = session.call("ACL", "WHOAMI").decode()
        told = session.call("ACL", "GETUSER", user)
    except ReplyError:
        return []
    if b"+@all" not in dict(zip(told[::2], told[1::2], strict=True))[b"commands"].split():
        return []
    return [f"the account {user!r} may run every command: give the detector one of its own, see docs/security.md"]
