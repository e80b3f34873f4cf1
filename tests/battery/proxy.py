"""A byte-level TCP proxy on loopback that breaks what goes through it: a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

PIECE = 2**16
STALL_S = 5.0
DELAY_S = 0.02
KINDS = {  # of faults, and how often each is drawn; those that cost seconds are rare
    "reset": 40,
    "cut": 30,
    "half-close": 15,
    "pieces": 12,
    "delay": 4,
    "drop": 2,
    "stall": 1,
}


@dataclass(slots=True)
class Fault:
    """What befalls a connection. is_reply: whether the bytes are counted that the server sends, or those it is sent."""

    kind: str
    is_reply: bool
    after_bytes: int


class Proxy:
    """Forwards to a port that may change. `rng`: draws a fault for each connection; None: there are none.

    rewrite: what becomes of each piece of the replies.
    """

    def __init__(
        self, target: int, rng: random.Random | None = None, rewrite: Callable[[bytes], bytes] | None = None
    ) -> None:
        self.target, self.rng, self._rewrite = target, rng, rewrite
        self.counted = Counter[str]()
        self._pairs: set[_Pair] = set()
        self.is_cut = False
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._accept, sock=self._listener))
        self._loop.run_forever()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        for pair in self._pairs:
            pair.abort()
        self._listener.close()

    def cut(self) -> None:
        """From now on nothing goes through, and nothing says so: no byte, no end of a connection."""
        self.is_cut = True

    def heal(self, *, dead: bool = True) -> None:
        """The end of a cut. dead: connections from before stay dead; otherwise what was under way arrives now."""
        if dead:
            self._loop.call_soon_threadsafe(self._kill_all)
        self.is_cut = False
        self.counted["network cut" + (" (connections dead)" if dead else " (connections alive)")] += 1

    def sever(self) -> None:
        """Reset all connections at once."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def _kill_all(self) -> None:
        for pair in self._pairs:
            pair.is_dead = True

    def _reset_all(self) -> None:
        for pair in list(self._pairs):
            pair.reset()

    def _draw(self) -> Fault | None:
        if self.rng is None:
            return None
        kind = self.rng.choices(list(KINDS), list(KINDS.values()))[0]
        return Fault(kind, self.rng.random() < 0.5, int(10 ** self.rng.uniform(1.5, 4.5)))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, server[1], self._draw())
        self._pairs.add(pair)
        with contextlib.suppress(OSError, RuntimeError):  # written to a side that has ended
            await asyncio.gather(
                self._pump(pair, reader, server[1], is_reply=False), self._pump(pair, server[0], writer, is_reply=True)
            )
        pair.close()
        self._pairs.discard(pair)

    async def _pump(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_reply: bool
    ) -> None:
        seen, fault = 0, pair.fault
        mine = fault if fault is not None and fault.is_reply == is_reply else None
        while data := await reader.read(PIECE):
            while self.is_cut or pair.is_dead:
                await asyncio.sleep(0.01)
            if is_reply and self._rewrite is not None:
                data = self._rewrite(data)
            seen += len(data)
            if mine is not None and seen >= mine.after_bytes:
                self.counted[f"{mine.kind}, {'replies' if is_reply else 'requests'}"] += 1
                keep = len(data) - (seen - mine.after_bytes)
                await self._break(pair, mine, data[:keep], data[keep:], writer)
                pair.fault = mine = self._draw()  # another one for a connection that has survived
                if mine is not None:
                    mine.is_reply, mine.after_bytes = is_reply, mine.after_bytes + seen
                continue
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def _break(self, pair: _Pair, fault: Fault, before: bytes, rest: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        with contextlib.suppress(OSError):
            await writer.drain()
        acts: dict[str, Callable[[], Awaitable[None]]] = {
            "reset": lambda: _now(pair.reset),
            "cut": lambda: _now(pair.close),
            "half-close": lambda: _now(writer.write_eof),
            "drop": lambda: _now(lambda: setattr(pair, "is_dead", True)),
            "stall": lambda: _after(STALL_S, writer, rest),
            "delay": lambda: _in_pieces(writer, rest, DELAY_S, 10),
            "pieces": lambda: _in_pieces(writer, rest, 0, 40),
        }
        await acts[fault.kind]()


async def _now(act: Callable[[], object]) -> None:
    act()


async def _after(seconds: float, writer: asyncio.StreamWriter, rest: bytes) -> None:
    await asyncio.sleep(seconds)
    writer.write(rest)


async def _in_pieces(writer: asyncio.StreamWriter, rest: bytes, seconds: float, pieces: int) -> None:
    size = max(1, len(rest) // pieces)
    for at in range(0, len(rest), size):
        writer.write(rest[at : at + size])
        await writer.drain()
        await asyncio.sleep(seconds)


class _Pair:
    """A connection from the client and the one to the server. is_dead: what is sent goes nowhere."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter, fault: Fault | None) -> None:
        self._writers, self.fault, self.is_dead = (client, server), fault, False

    def close(self) -> None:
        """End both sides, as a process that ends does."""
        for writer in self._writers:
            writer.close()

    def reset(self) -> None:
        """End both sides with RST."""
        for writer in self._writers:
            held = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
