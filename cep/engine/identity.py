"""The ids of alerts: pure functions of what they are, so that an alert made again has the id it had.

`id` is a digest of the rule, its version, the status, the key, the time and the captured entries; `dedupeKey` of the
rule and the key alone. Where the key is private the digests are keyed with the secret: values could be guessed from
them otherwise. An alert that is captured itself stands among the entries with its own id as the entry's.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import orjson

from cep.engine.inputs import Captured, key_values
from cep.engine.state import EngineState
from cep.engine.values import in_json, objects
from cep.kernels.matches import KEY, STATUS, TIME
from cep.layout.alerts import RuleSpec

Ints = npt.NDArray[np.int64]

STATUSES = ("fired", "resolved")  # by `Status`
ID_BYTES = 16
_HALF = np.dtype(">i8")  # an id as an entry's: its halves are the two numbers of the entry id


def ids(state: EngineState, rule: RuleSpec, row: Ints, what: Captured) -> list[bytes]:
    """The id of each match's alert."""
    of_status = [_digest(state, rule, [rule.name, rule.version, word]) for word in STATUSES]
    made = []
    keys = _keys(state, rule, row)
    columns = zip(row[:, STATUS].tolist(), row[:, TIME].tolist(), keys, _entries(what), strict=True)
    for status, time_us, key, entries in columns:
        identity = of_status[status].copy()
        identity.update(f"{key} {time_us} ".encode() + entries)
        made.append(identity.digest())
    return made


def dedupe_keys(state: EngineState, rule: RuleSpec, row: Ints) -> list[bytes]:
    """The same for all alerts of one rule and key."""
    of_rule = _digest(state, rule, rule.name)
    made = []
    for key in _keys(state, rule, row):
        dedupe = of_rule.copy()
        dedupe.update(key.encode())
        made.append(dedupe.digest())
    return made


def as_entries(digests: list[bytes]) -> Ints:
    """Ids as entry ids, shape (m, 2)."""
    return np.frombuffer(b"".join(digests), _HALF).reshape(-1, 2).astype(np.int64)


def of_entry(ms: int, seq: int) -> str:
    """The id of an alert that is captured, from its entry id."""
    return np.array([ms, seq], _HALF).tobytes().hex()


def _digest(state: EngineState, rule: RuleSpec, of: object) -> blake2b:
    secret = state.secret if any(rule.private) else b""
    return blake2b(orjson.dumps(of), digest_size=ID_BYTES, key=secret)


def _keys(state: EngineState, rule: RuleSpec, row: Ints) -> list[str]:
    """The keys of matches as JSON, in clear."""
    if not rule.keys:
        return ["{}"] * len(row)
    values = key_values(state, rule, row[:, KEY:])
    return list(objects({name: in_json(values[name], kind) for name, kind in rule.keys}))


def _entries(what: Captured) -> Iterator[bytes]:
    """Which entries each match captured: stream, entry id and place in the entry, as words of a fixed byte order."""
    events, rows = what.events, what.rows
    columns = (events.stream[rows], events.entry_ms[rows], events.entry_seq[rows], events.entry_index[rows])
    table = np.stack(columns, axis=1).astype("<i8")
    words, size = table.tobytes(), table.strides[0]
    begin, end = what.first[:, 0], what.first[:, -1] + what.held[:, -1]
    return (words[size * a : size * b] for a, b in zip(begin.tolist(), end.tolist(), strict=True))
