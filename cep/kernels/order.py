"""One look at each arriving event: is it late, and does the batch stand in the order of law 2 already."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import kernel

Ints = npt.NDArray[np.int64]
Streams = npt.NDArray[np.int16]


@kernel
def mark_late(
    streams: Streams,
    times: Ints,
    max_us: Ints,
    late_us: Ints,
    released_us: int,
    released_stream: int,
    late: npt.NDArray[np.bool_],
) -> int:
    """Set `late` for the events behind their own stream's watermark or behind what has been released; how many.

    max_us, late_us: by stream; the former is moved on.
    """
    count = 0
    for i in range(len(times)):
        stream, time_us = streams[i], times[i]
        behind = time_us < released_us or (time_us == released_us and stream < released_stream)
        late[i] = behind or time_us < max_us[stream] - late_us[stream]
        count += late[i]
        if time_us > max_us[stream]:
            max_us[stream] = time_us
    return count


@kernel
def stands_in_order(streams: Streams, times: Ints) -> bool:
    """Whether all events stand in order of time and stream. No branch, so that several are compared at once."""
    behind = False
    for i in range(len(times) - 1):
        same = times[i + 1] == times[i]
        behind |= (times[i + 1] < times[i]) | (same & (streams[i + 1] < streams[i]))
    return not behind


@kernel
def move_on(streams: Streams, times: Ints, max_us: Ints) -> None:
    """Set each stream's latest time, where no event is before an earlier one."""
    if len(max_us) == 1:
        max_us[0] = times[len(times) - 1]
        return
    for i in range(len(times)):
        max_us[streams[i]] = times[i]
