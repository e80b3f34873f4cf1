"""The history of a log as its detector writes it: each commit leads from one point to the next.

A point is bound to all that came before it by a chain of digests, so two histories that have parted, as after a
failover that lost the end of one, cannot be taken for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from cep.ports import Commit, Offsets, Point, Position

_CHAIN_BYTES = 16


def following(before: Point, commit: Commit) -> Point:
    """The point to which a commit leads."""
    digest = blake2b(before.chain.encode(), digest_size=_CHAIN_BYTES)
    for part in _parts(before, commit):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return Point(before.seq + 1, digest.hexdigest(), before.offsets | commit.offsets, commit.idle)


def is_behind(offsets: Offsets, others: Offsets) -> bool:
    """Whether no stream stands further than in `others`."""
    return all(at.entry <= others.get(stream, Position()).entry for stream, at in offsets.items())


def missing(offsets: Offsets, upto: Offsets) -> Offsets:
    """Of the streams that have not come as far as in `upto`, how far that is."""
    return {stream: at for stream, at in upto.items() if offsets.get(stream, Position()).entry < at.entry}


def _parts(before: Point, commit: Commit) -> Iterator[bytes]:
    """What a commit is, in pieces whose lengths count."""
    moved = sorted(commit.offsets.items())
    yield repr((before.seq, moved, sorted(commit.idle), commit.until_us, commit.is_aside)).encode()
    yield from _listed(commit.alerts)
    yield from _listed(commit.shadow)
    yield from _listed(repr(bad).encode() for bad in commit.dead)
    yield from _listed(repr(late).encode() for late in commit.late)


def _listed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held = list(pieces)
    yield b"%d" % len(held)
    yield from held
