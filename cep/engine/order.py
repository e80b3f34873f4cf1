"""Event time: watermarks, lateness, and the release of events in the order of law 2.

A stream's watermark is max(time) − late. An event that arrives behind its own stream's watermark, or behind what has
been released, is late. The slowest live stream decides what may be released: events below the watermark of all, and
at that very instant those of a stream that no stream declared before it can still precede. With one stream that is in
order and has no lateness, nothing is ever held back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cep.engine.batch import Batch, concatenate, empty
from cep.kernels import order as ok
from cep.layout.program import Program

Ints = npt.NDArray[np.int64]

BEGINNING = -(2**62)


@dataclass(slots=True)
class Order:
    """max_us: latest time seen of each stream. (released_us, released_stream): the frontier. held: waiting events."""

    max_us: Ints
    released_us: int
    released_stream: int
    held: Batch


def new_order(program: Program) -> Order:
    """Nothing seen, nothing held."""
    streams = len(program.streams)
    return Order(np.full(streams, BEGINNING, np.int64), BEGINNING, -1, empty(len(program.columns)))


def take_in(program: Program, order: Order, batch: Batch, ended: frozenset[int]) -> tuple[Batch, npt.NDArray[np.intp]]:
    """Take in a batch: the events that are released by then, in order, and the rows that come too late.

    As a rule a batch stands in order and begins behind all that came before: then none is late, which one look tells.
    """
    if not len(batch):
        return release(program, order, batch, ended), np.empty(0, np.intp)
    if _follows(order, batch):
        ok.move_on(batch.stream, batch.time_us, order.max_us)
        return release(program, order, batch, ended, in_order=not len(order.held)), np.empty(0, np.intp)
    late = np.empty(len(batch), np.bool_)
    late_us = np.array([stream.late_us for stream in program.streams], np.int64)
    reached = order.released_us, order.released_stream
    count = ok.mark_late(batch.stream, batch.time_us, order.max_us, late_us, *reached, late)
    in_time = batch.take(np.flatnonzero(~late)) if count else batch
    return release(program, order, in_time, ended), np.flatnonzero(late)


def _follows(order: Order, batch: Batch) -> bool:
    """Whether a batch, of one event at least, stands in order and begins behind all that came before."""
    first = int(batch.time_us[0]), int(batch.stream[0])
    behind = first[0] >= int(order.max_us.max()) and first >= (order.released_us, order.released_stream)
    return behind and ok.stands_in_order(batch.stream, batch.time_us)


def frontier(program: Program, order: Order, ended: frozenset[int]) -> tuple[int, int]:
    """(W, s): events below W may be released, and events at W of streams up to s. `ended` streams hold nothing back."""
    watermarks = [
        (int(order.max_us[s]) - stream.late_us if order.max_us[s] != BEGINNING else BEGINNING, s)
        for s, stream in enumerate(program.streams)
        if s not in ended
    ]
    reached = min(watermarks, default=(int(order.max_us.max(initial=BEGINNING)), len(program.streams)))
    return max(reached, (order.released_us, order.released_stream))


def release(program: Program, order: Order, batch: Batch, ended: frozenset[int], *, in_order: bool = False) -> Batch:
    """Take in events that are not late, and give out in order those that nothing can precede any more.

    in_order: it is known that what is held, and then the batch, stand in order.
    """
    reached_us, reached_stream = frontier(program, order, ended)
    order.released_us, order.released_stream = reached_us, reached_stream
    waiting = concatenate(order.held, batch) if len(order.held) else batch
    times, streams = waiting.time_us, waiting.stream
    last = (int(times[-1]), int(streams[-1])) if len(waiting) else (BEGINNING, -1)
    if last <= (reached_us, reached_stream) and (in_order or ok.stands_in_order(streams, times)):
        if len(order.held):
            order.held = empty(len(program.columns))
        return waiting
    ready = (times < reached_us) | ((times == reached_us) & (streams <= reached_stream))
    rows = np.flatnonzero(ready)
    # A stream's rows arrive in the order of their entry ids, so a stable sort is the order of law 2.
    rows = rows[np.lexsort((streams[rows], times[rows]))]
    order.held = waiting.take(np.flatnonzero(~ready))
    return waiting.take(rows)
