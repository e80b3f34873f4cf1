"""A turn that never ends must not hold a partition for ever: after some time the process dies, and says where it was.

Whoever starts it again finds the entry that it died of, and puts it aside in the end, as after any other death. The
timer is the interpreter's own, which needs no lock of it, so that a kernel that loops is found out as well.
"""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Watchdog:
    """Of a process, for all its threads. seconds: that a turn may take; 0: for ever."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._lock = seconds, threading.Lock()
        self._began: dict[int, float] = {}  # by thread

    @contextmanager
    def watched(self) -> Iterator[None]:
        """What is done inside must end in time."""
        if not self._seconds:
            yield
            return
        thread = threading.get_ident()
        with self._lock:
            self._began[thread] = time.monotonic()
            if len(self._began) == 1:
                self._arm()
        try:
            yield
        finally:
            with self._lock:
                del self._began[thread]
                self._arm()

    def _arm(self) -> None:
        """There is one timer: it is that of the turn which began first."""
        if self._began:
            left = min(self._began.values()) + self._seconds - time.monotonic()
            faulthandler.dump_traceback_later(max(left, 0.001), exit=True)
        else:
            faulthandler.cancel_dump_traceback_later()
