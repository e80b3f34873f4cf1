"""Tables that are kept in Redis: a hash, each field a key of the table and its value a JSON object of the columns."""

from __future__ import annotations

import json

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
