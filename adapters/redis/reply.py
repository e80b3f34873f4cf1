"""Replies of XREAD and XRANGE as entries, read from the wire without a Python object for each.

Entries of one field each stay in the reply's bytes. Where there are others, the library's parser takes them apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import hiredis
import numpy as np

from cep.kernels import resp as rp
from cep.ports import Entries, Lines


def of_streams(reply: bytes, names: Sequence[str], digests: Sequence[int]) -> list[Entries]:
    """What XREAD brought, of streams that are known by their places among `names`; `digests` of what was before."""
    sign, count, at = _head(reply, 0)
    parts = []
    for _ in range(count if sign == b"*" else 0):
        _, _, at = _head(reply, at)
        _, length, at = _head(reply, at)
        stream, at = names.index(reply[at : at + length].decode()), at + length + 2
        entries, at = _entries(stream, reply, at, digests[stream])
        parts.append(entries)
    return parts


def of_range(reply: bytes, stream: int, digest: int) -> Entries:
    """What XRANGE brought of a stream; `digest` of what was before."""
    entries, _ = _entries(stream, reply, 0, digest)
    return entries


def _head(reply: bytes, at: int) -> tuple[bytes, int, int]:
    """The sign and the number of the line that begins at `at`, and where the next begins."""
    end = reply.index(b"\r\n", at)
    return reply[at : at + 1], int(reply[at + 1 : end]), end + 2


def _entries(stream: int, reply: bytes, at: int, digest: int) -> tuple[Entries, int]:
    """The list of entries that begins at `at`, and where it ends.

    The digest is that of the entries' own bytes: the same however they are divided among lists.
    """
    _, n, at = _head(reply, at)
    data = np.frombuffer(reply, np.uint8)
    found = np.empty((n, rp.VALUE_END + 1), np.int64)
    end = rp.stream(data, at, n, found)
    if end < 0:
        state = np.array([at, n])
        rp.follow(data, len(reply), state)
        end = int(state[rp.AT])
        entries = _apart(stream, _parsed(b"*%d\r\n" % n + reply[at:end]))
    else:
        ms, seq = np.ascontiguousarray(found[:, : rp.NAME].T)
        values = np.ascontiguousarray(found[:, rp.VALUE : rp.VALUE_END + 1])
        entries = Entries(stream, ms, seq, Lines(reply, values, found[:, rp.NAME : rp.NAME_END + 1]))
    entries.digest = zlib.crc32(memoryview(reply)[at:end], digest)
    return entries, end


def _parsed(reply: bytes) -> Any:
    reader = hiredis.Reader()
    reader.feed(reply)
    return reader.gets()


def _apart(stream: int, entries: list[Any]) -> Entries:
    """Entries that the library's parser made."""
    ids = np.fromstring(b"-".join([entry[0] for entry in entries]), np.int64, sep="-")
    return Entries(stream, ids[::2], ids[1::2], [entry[1] for entry in entries])
