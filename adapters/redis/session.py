"""One connection, without retries: any error ends it.

redis-py repeats commands by default, also those that must not run twice; here nothing is ever sent again. Replies come
as the parser made them, bytes in lists, because shaping them costs as much as reading them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError
from redis.retry import Retry

from cep.errors import ConfigurationError
from cep.ports import FencedError, LogError

BLOCK_S = 0.5
TIMEOUT_S = BLOCK_S + 1.5
BUFFER_BYTES = 2**16  # at first, of replies that are read as they stand on the wire


class ReplyError(LogError):
    """The server refused a command; `code` is the first word of its answer."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message.partition(" ")[0]


class Session:
    """A connection to the server named by a URL. Every method raises `LogError` when it has ended."""

    def __init__(self, url: str) -> None:
        self.name = public_name(url)
        scheme, colon, rest = url.partition(":")
        try:
            pool = ConnectionPool.from_url(
                scheme.replace("valkey", "redis") + colon + rest,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                decode_responses=False,
                protocol=2,
                client_name="cep",
            )
        except ValueError as error:
            raise ConfigurationError(f"{self.name} is not a Redis URL: {error}") from error
        self._buffer, self._is_over = bytearray(BUFFER_BYTES), False
        self._connection = cast(Any, pool.make_connection())
        try:
            self._connection.connect()
        except (AuthenticationError, AuthorizationError) as error:
            raise ConfigurationError(f"{self.name} refuses the user or the password: {error}") from error
        except (RedisError, OSError) as error:
            raise LogError(f"{self.name}: {error}") from error

    def call(self, *command: bytes | str | int) -> Any:
        """The reply to one command."""
        return self.pipeline([command])[0]

    def pipeline(self, commands: Sequence[Sequence[bytes | str | int]]) -> list[Any]:
        """The replies to some commands, sent together. After an error the session is over."""
        self.send(commands)
        return [self.receive() for _ in commands]

    def send(self, commands: Sequence[Sequence[bytes | str | int]]) -> None:
        """Send some commands; each reply is to be received."""
        if self._is_over:  # redis-py would connect again, and wait for a server that may hang
            raise LogError(f"{self.name}: the session has ended")
        try:
            self._connection.send_packed_command(self._connection.pack_commands(commands))
        except (RedisError, OSError) as error:
            self.close()
            raise LogError(f"{self.name}: {error}") from error

    def receive(self) -> Any:
        """The next reply. After an error the session is over."""
        try:
            return self._connection.read_response()
        except ResponseError as error:
            self.close()
            if str(error).startswith("CEPFENCED"):
                raise FencedError(f"{self.name}: {error}") from error
            code = getattr(error, "status_code", None)  # which redis-py cuts off where it knows it
            raise ReplyError(f"{code} {error}" if code else str(error)) from error
        except (RedisError, OSError) as error:
            self.close()
            raise LogError(f"{self.name}: {error}") from error

    def receive_bytes(self) -> bytes:
        """The next reply as it stands on the wire; there is no other under way. After an error the session is over."""
        import numpy as np  # here, so that who only sends need not load numba

        from cep.kernels import resp as rp

        state, have = np.array([0, 1]), 0
        # redis-py has no other way to its socket, which it hands to parsers alike. It has none when it is closed.
        socket = self._connection._sock
        try:
            while socket is not None or _ended():
                have += socket.recv_into(memoryview(self._buffer)[have:]) or _ended()
                rp.follow(np.frombuffer(self._buffer, np.uint8), have, state)
                if not state[rp.PENDING] and state[rp.AT] <= have:
                    reply = bytes(memoryview(self._buffer)[:have])
                    break
                if have == len(self._buffer):
                    self._buffer += bytes(max(have, int(state[rp.AT]) - have))
        except (RedisError, OSError) as error:
            self.close()
            raise LogError(f"{self.name}: {error}") from error
        if reply.startswith(b"-"):
            self.close()
            raise ReplyError(reply[1:].decode(errors="replace").strip())
        return reply

    def info(self, section: str) -> dict[str, str]:
        """A section of INFO."""
        lines = self.call("INFO", section).decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def close(self) -> None:
        """Let go. May be called more than once."""
        self._is_over = True
        self._connection.disconnect()


def _ended() -> int:
    raise ConnectionError("the connection was closed by the server")


def public_name(url: str) -> str:
    """A URL without user and password, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
