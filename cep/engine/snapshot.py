"""Snapshots: the state of a program as bytes, and back. Raw arrays under a checksummed header; no pickle.

Layout: MAGIC, the header's length (8 bytes, little endian), the header (JSON), the digest of all that follows it, then
the arrays one after the other. A snapshot is a cache of the log, so `load` refuses whatever is not exactly right.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from cep.engine.arrays import named_arrays, restored
from cep.engine.batch import Batch
from cep.engine.captures import Captures
from cep.engine.episodes import EpisodeState
from cep.engine.features import FeatureState
from cep.engine.graph import GraphState
from cep.engine.order import Order
from cep.engine.sequences import ChainState, ProbeState
from cep.engine.state import Counters, EngineState
from cep.engine.strings import Strings
from cep.layout import Program

MAGIC = b"CEPSNAP1"
FORMAT = 1
DIGEST_BYTES = 32

Arrays = dict[str, npt.NDArray[Any]]
Plan = FeatureState | ChainState | ProbeState | GraphState | EpisodeState
BATCH_FIELDS = ("stream", "event", "entry_ms", "entry_seq", "entry_index", "words")


class SnapshotError(Exception):
    """Bytes that are not a snapshot of this program."""


class _Array(msgspec.Struct):
    name: str
    dtype: str
    shape: list[int]


class _Header(msgspec.Struct):
    format: int
    program: str
    texts: list[str | None]
    next_ordinal: int
    counters: dict[str, int]
    released: tuple[int, int]
    limits: Any
    arrays: list[_Array]


def identity(program: Program) -> str:
    """A digest of all that the layout of the state depends on: rules by plan and version, not by file and line."""
    parts = (
        FORMAT,
        program.streams,
        program.events,
        program.columns,
        program.texts,
        program.computed,
        program.predicates,
        program.features,
        program.stored,
        program.code,
        program.consts,
        program.const_texts,
        [(rule.name, rule.version, rule.plan, rule.limit) for rule in program.rules],
    )
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def dump(program: Program, state: EngineState) -> bytes:
    """The state, between two steps."""
    arrays = _arrays(state)
    body = [np.ascontiguousarray(array).tobytes() for array in arrays.values()]
    counters = state.counters
    header = msgspec.json.encode(
        _Header(
            format=FORMAT,
            program=identity(program),
            texts=state.strings.texts(),
            next_ordinal=state.next_ordinal,
            counters={name: getattr(counters, name) for name in counters.__slots__},
            released=(state.order.released_us, state.order.released_stream),
            limits=state.limits.dump(),
            arrays=[_Array(name, array.dtype.str, list(array.shape)) for name, array in arrays.items()],
        )
    )
    digest = hashlib.blake2b(header, digest_size=DIGEST_BYTES)
    for part in body:
        digest.update(part)
    return b"".join([MAGIC, len(header).to_bytes(8, "little"), header, digest.digest(), *body])


def load(program: Program, data: bytes) -> EngineState:
    """The state that `dump` wrote. Raises SnapshotError for anything else, and for another program's."""
    header, arrays = _read(data)
    if header.program != identity(program):
        raise SnapshotError("the snapshot is of another rule set")
    state = EngineState.create(program)
    state.strings = Strings(header.texts)
    for place, text in program.const_texts:
        state.consts[place] = state.strings.id(text)
    state.next_ordinal = header.next_ordinal
    state.counters = Counters(**header.counters)
    state.limits.load(header.limits)
    held = _batch("held", arrays)
    state.order = Order(arrays["max_us"], *header.released, held)
    state.captures = Captures(len(program.stored))
    state.captures.append(arrays["captured.ordinal"], _batch("captured", arrays))
    for i, plan in enumerate((*state.features, *state.rules)):
        _restore(plan, f"plan{i}", arrays)
    return state


def _arrays(state: EngineState) -> Arrays:
    arrays: Arrays = {"max_us": state.order.max_us, "captured.ordinal": state.captures.ordinal}
    for prefix, batch in (("held", state.order.held), ("captured", state.captures.events)):
        arrays |= {f"{prefix}.{name}": getattr(batch, name) for name in BATCH_FIELDS}
    for i, plan in enumerate((*state.features, *state.rules)):
        for part in _parts(plan):
            arrays |= named_arrays(f"plan{i}.{part}", getattr(plan, part))
    return arrays


def _parts(plan: Plan) -> tuple[str, ...]:
    """The attributes of a plan's state that hold arrays."""
    if isinstance(plan, FeatureState):
        return ("keys", "windows")
    if isinstance(plan, EpisodeState):
        return ("keys", "windows", "episodes")
    if isinstance(plan, GraphState):
        return ("keys", "paths")
    return ("keys", "chain") if isinstance(plan, ChainState) else ("keys", "probe")


def _restore(
    plan: FeatureState | ChainState | ProbeState | GraphState | EpisodeState, prefix: str, arrays: Arrays
) -> None:
    for part in _parts(plan):
        setattr(plan, part, restored(f"{prefix}.{part}", getattr(plan, part), arrays))


def _batch(prefix: str, arrays: Arrays) -> Batch:
    stream, event, entry_ms, entry_seq, entry_index, words = (arrays[f"{prefix}.{name}"] for name in BATCH_FIELDS)
    return Batch(stream, event, entry_ms, entry_seq, entry_index, words)


def _read(data: bytes) -> tuple[_Header, Arrays]:
    start = len(MAGIC) + 8
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    if data[: len(MAGIC)] != MAGIC or length > len(data) - start - DIGEST_BYTES:
        raise SnapshotError("these bytes are no snapshot")
    body = start + length + DIGEST_BYTES
    digest = hashlib.blake2b(data[start : start + length], digest_size=DIGEST_BYTES)
    digest.update(memoryview(data)[body:])
    if digest.digest() != data[start + length : body]:
        raise SnapshotError("the snapshot is damaged")
    header = msgspec.json.decode(data[start : start + length], type=_Header)
    if header.format != FORMAT:
        raise SnapshotError(f"the snapshot has format {header.format}, this version reads {FORMAT}")
    arrays: Arrays = {}
    for array in header.arrays:
        count = int(np.prod(array.shape, dtype=np.int64))
        values = np.frombuffer(data, np.dtype(array.dtype), count, body).reshape(array.shape)
        arrays[array.name] = values.copy()
        body += values.nbytes
    return header, arrays
