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
def is_released(streams: Streams, times: Ints, reached_us: int, reached_stream: int) -> bool:
    """Whether all events stand in order of time and stream, and before or at the frontier."""
    for i in range(1, len(times)):
        if times[i] < times[i - 1] or (times[i] == times[i - 1] and streams[i] < streams[i - 1]):
            return False
    last = len(times) - 1
    return last < 0 or times[last] < reached_us or (times[last] == reached_us and streams[last] <= reached_stream)
