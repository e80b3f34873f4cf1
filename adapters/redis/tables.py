"""Tables that are kept in Redis: a hash, each field a key of the table and its value a JSON object of the columns."""

from __future__ import annotations

import json
from collections.abc import Callable

from cep.adapters.redis.session import ReplyError, Session
from cep.errors import ConfigurationError


def hash_text(url: str, key: str) -> str:
    """A hash as one JSON object of texts, empty when there is no such key.

    Raises ConfigurationError when it is something else, and LogError when the server does not answer.
    """
    session = Session(url)
    try:
        parts = [part.decode() for part in session.call("HGETALL", key)]
    except ReplyError as error:
        raise ConfigurationError(f"{session.name}: the table {key!r} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{session.name}: the table {key!r} is not UTF-8 text") from error
    finally:
        session.close()
    return json.dumps(dict(zip(parts[::2], parts[1::2], strict=True)))


class RedisTables:
    """The tables of a rule set that are kept in Redis, as they were read last."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._held: dict[str, str] = {}

    def read(self, key: str) -> str:
        """What a hash holds now; see `hash_text`."""
        self._held[key] = text = hash_text(self._url(), key)
        return text

    def have_changed(self) -> bool:
        """Whether any of them holds something else by now; raises as `hash_text` does."""
        return any(hash_text(self._url(), key) != text for key, text in self._held.items())
