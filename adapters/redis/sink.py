"""Alerts into a Redis stream that needs no transaction, such as that of a replay."""

from __future__ import annotations

from collections.abc import Sequence

from cep.adapters.redis.server import check_streams
from cep.adapters.redis.session import Session


class RedisStreamSink:
    """Appends each alert as an entry with one field, `alert`."""

    def __init__(self, url: str, key: str = "alerts") -> None:
        self._session, self._key = Session(url), key
        check_streams(self._session, [key])

    def write(self, alerts: Sequence[bytes]) -> None:
        """Append alerts. Raises LogError; then it is not known how many of them have been appended."""
        if alerts:
            self._session.pipeline([("XADD", self._key, "*", "alert", alert) for alert in alerts])

    def close(self) -> None:
        """Let go. May be called more than once."""
        self._session.close()
