"""Replies of XREAD and XRANGE as entries, read from the wire without a Python object for each.

Entries of one field each stay in the reply's bytes. Where there are others, the library's parser takes the reply apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hiredis
import numpy as np

from cep.kernels import resp as rp
from cep.ports import Entries, Lines


def of_streams(reply: bytes, names: Sequence[str]) -> list[Entries]:
    """What XREAD brought, of streams that are known by their places among `names`."""
    sign, count, at = _head(reply, 0)
    parts = []
    for _ in range(count if sign == b"*" else 0):
        _, _, at = _head(reply, at)
        _, length, at = _head(reply, at)
        name, at = reply[at : at + length].decode(), at + length + 2
        _, n, at = _head(reply, at)
        entries, at = _in_place(names.index(name), reply, at, n)
        if entries is None:
            return [_apart(names.index(key.decode()), found) for key, found in _parsed(reply)]
        parts.append(entries)
    return parts


def of_range(reply: bytes, stream: int) -> Entries:
    """What XRANGE brought of a stream."""
    _, n, at = _head(reply, 0)
    entries, _ = _in_place(stream, reply, at, n)
    return _apart(stream, _parsed(reply)) if entries is None else entries


def _head(reply: bytes, at: int) -> tuple[bytes, int, int]:
    """The sign and the number of the line that begins at `at`, and where the next begins."""
    end = reply.index(b"\r\n", at)
    return reply[at : at + 1], int(reply[at + 1 : end]), end + 2


def _in_place(stream: int, reply: bytes, at: int, n: int) -> tuple[Entries | None, int]:
    """n entries that begin at `at`, and where they end; None where one has not just one field."""
    found = np.empty((n, rp.VALUE_END + 1), np.int64)
    at = rp.stream(np.frombuffer(reply, np.uint8), at, n, found)
    if at < 0:
        return None, at
    ms, seq = np.ascontiguousarray(found[:, : rp.NAME].T)
    values = np.ascontiguousarray(found[:, rp.VALUE : rp.VALUE_END + 1])
    return Entries(stream, ms, seq, Lines(reply, values, found[:, rp.NAME : rp.NAME_END + 1])), at


def _parsed(reply: bytes) -> Any:
    reader = hiredis.Reader()
    reader.feed(reply)
    return reader.gets()


def _apart(stream: int, entries: list[Any]) -> Entries:
    """Entries that the library's parser made."""
    ids = np.fromstring(b"-".join([entry[0] for entry in entries]), np.int64, sep="-")
    return Entries(stream, ids[::2], ids[1::2], [entry[1] for entry in entries])
