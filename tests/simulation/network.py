"""The server with its lives, and connections to it that break at every place where they can.

A command may be lost on its way, with the connection; be run while its answer is lost; or come late, when whoever sent
it has long given up. What a server has sent before its life ended may still arrive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ConnectionError as Broken
from redis.exceptions import ResponseError

import tests.simulation.functions
import tests.simulation.streams  # noqa: F401  # further commands
from cep.adapters.redis.session import Session
from cep.ports import LogError
from tests.simulation.commands import RefusalError, Status, Store
from tests.simulation.data import Data
from tests.simulation.hub import Hub, Process

BEGIN_MS = 1_700_000_000_000
BUFFER_BYTES = 512  # so that some replies come in pieces
LATE_S = 5.0  # a command comes up to so late
_INFO = b"redis_version:7.0.15\r\nrole:master\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nloading:0\r\n"
Words = Sequence[bytes | str | int]


class Server:
    """One server as clients see it.

    grain_ms: how often its clock moves on; where it is coarse many entries share a time, as in a stream that is full,
    and ids that were lost come again. offset_s: how far it is ahead. saved: what a disk or replica has of the data.
    """

    def __init__(self, hub: Hub, journal: bytes, grain_ms: int) -> None:
        self.hub, self.data, self.grain_ms, self.offset_s = hub, Data(journal), grain_ms, 0.0
        self.life, self.is_up = 0, True
        self.saved: Data | None = None
        self.past: list[Data] = []  # what it had before it lost the end of it
        self.connections: list[Connection] = []
        self.commands = 0

    def now_ms(self) -> int:
        return BEGIN_MS + int((self.hub.now + self.offset_s) * 1000) // self.grain_ms * self.grain_ms

    def execute(self, words: Words) -> Any:
        """The reply to a command; a RefusalError is returned."""
        self.commands += 1
        if words[0] == "INFO":
            return _INFO
        try:
            reply = Store(self.data, self.now_ms).execute(words)
        except RefusalError as refusal:
            return refusal
        if words[0] == "XADD":
            for connection in self.connections:
                connection.look()
        return reply

    def end_life(self, keeps_answers: float) -> None:
        """All connections end; answers that were sent may still arrive, with that probability."""
        self.life += 1
        for connection in self.connections:
            if self.hub.rng.random() >= keeps_answers:
                connection.replies.clear()
            connection.break_()
        self.connections = []

    def hang_up(self, process: Process) -> None:
        """A process is no more, and its connections neither."""
        for connection in [connection for connection in self.connections if connection.process is process]:
            connection.disconnect()

    def is_waited_for(self, process: Process) -> bool:
        """Whether a process has nothing to do until there are more entries."""
        return any(connection.asked is not None for connection in self.connections if connection.process is process)


class Connection:
    """What redis-py's connection is to a `Session`: it sends commands and has replies, parsed or as they are."""

    def __init__(self, server: Server, process: Process, faults: list[str]) -> None:
        self._server, self.process, self._faults, self._life = server, process, faults, server.life
        self.replies: deque[Any] = deque()
        self._rest = b""
        self._is_broken, self.asked, self._deadline = False, None, 0.0
        server.connections.append(self)
        self._sock = self

    def pack_commands(self, commands: Sequence[Words]) -> Sequence[Words]:
        return commands

    def send_packed_command(self, commands: Sequence[Words]) -> None:
        if commands[0][0] not in ("INFO", "TYPE"):  # which change nothing, and come in numbers
            self.process.doing = str(commands[0][1])
            self.process.step("sends" if self._server.hub.trace is None else f"sends {_shown(commands[0])}")
            self.process.doing = ""
        if self._is_broken:
            raise Broken("broken")
        fault = self._faults.pop() if self._faults else ""
        if fault == "late":
            life = self._life
            self._server.hub.after(self._server.hub.rng.random() * LATE_S, lambda: self._arrive_late(life, commands))
        elif fault != "lost":
            for words in commands:
                self._run(words)
        if fault:
            self._server.hub.note(f"{self.process.name} {fault}")
            self.replies.clear()
            self.break_()

    def _arrive_late(self, life: int, commands: Sequence[Words]) -> None:
        if self._server.is_up and self._server.life == life:
            self._server.hub.note(f"late: {_shown(commands[0])}")
            for words in commands:
                self._server.execute(words)

    def _run(self, words: Words) -> None:
        reply = self._server.execute(words)
        if reply is None and "BLOCK" in words:
            self.asked = words
            self._deadline = self._server.hub.now + int(words[words.index("BLOCK") + 1]) / 1000
        else:
            self.replies.append(reply)

    def look(self) -> None:
        """Something may have been added for which this one waits."""
        if self.asked is not None:
            reply = self._server_reply()
            if reply is not None:
                self.asked = None
                self.replies.append(reply)
                self.process.wake = min(self.process.wake, self._server.hub.now)

    def _server_reply(self) -> Any:
        try:
            return Store(self._server.data, self._server.now_ms).execute(self.asked or ())
        except RefusalError as refusal:
            return refusal

    def read_response(self) -> Any:
        """Whether others come first between a command and its answer, or between that and what follows, is the same."""
        if not self.replies:
            raise Broken("broken")
        reply = self.replies.popleft()
        if isinstance(reply, RefusalError):
            raise ResponseError(str(reply))
        return reply

    def recv_into(self, view: memoryview) -> int:
        if not self._rest:
            self._rest = encoded(self._awaited())
        size = min(len(view), len(self._rest), self._server.hub.rng.choice((20, 10**6)))
        view[:size], self._rest = self._rest[:size], self._rest[size:]
        if self._rest and self._faults:
            self._faults.pop()
            self.break_()
            raise Broken("cut in the middle of a reply")
        return size

    def _awaited(self) -> Any:
        while not self.replies:
            left = self._deadline - self._server.hub.now
            if self._is_broken:
                raise Broken("broken")
            if self.asked is None or left <= 0:
                self.asked = None
                return None
            self.process.sleep(left, "waits for entries")
        return self.replies.popleft()

    def break_(self) -> None:
        """From without."""
        self._is_broken, self.asked = True, None
        self.process.wake = min(self.process.wake, self._server.hub.now)

    def disconnect(self) -> None:
        self._is_broken, self.asked = True, None
        self.replies.clear()
        if self in self._server.connections:
            self._server.connections.remove(self)


class SimulatedSession(Session):
    """The session that ships, over a connection that does not."""

    def __init__(self, server: Server, process: Process, faults: list[str]) -> None:
        self.name, self._buffer, self._is_over = "redis://simulated", bytearray(BUFFER_BYTES), False
        process.step("connects")
        if not server.is_up or "lost" in faults[-1:]:
            del faults[-1:]
            raise LogError("no connection")
        self._connection = Connection(server, process, faults)


def encoded(reply: Any) -> bytes:
    """A reply as it stands on the wire."""
    if isinstance(reply, list):
        return b"*%d\r\n%s" % (len(reply), b"".join(map(encoded, reply)))
    if isinstance(reply, RefusalError):
        return b"-%s\r\n" % str(reply).encode()
    if isinstance(reply, Status):
        return b"+%s\r\n" % reply
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    return b"*-1\r\n" if reply is None else b"$%d\r\n%s\r\n" % (len(reply), reply)


def _shown(words: Words) -> str:
    if words[0] == "FCALL":
        return " ".join(map(str, (words[1], *words[3 + int(words[2]) :])))[:160]
    return " ".join(map(str, words))[:120]
