"""Function libraries: the Lua that ships, run by Lua over the commands here.

Values cross as they do in a server: a status is a table with `ok`, nothing is false, and a number is cut to a whole one
on its way out.
"""

from __future__ import annotations

import functools
from typing import Any

from lupa.lua51 import LuaError, LuaRuntime, lua_type

from tests.simulation.commands import RefusalError, Status, Store, Words, command

_PRELUDE = b"""
local call, register = ...
redis = {
  call = call,
  error_reply = function(text) return { err = text } end,
  status_reply = function(text) return { ok = text } end,
  register_function = function(f) register(f.function_name, f.callback) end,
}
"""


class Library:
    """The functions of some code. Their code keeps nothing from one call to the next, so all servers may share them."""

    def __init__(self, code: bytes) -> None:
        self._lua = LuaRuntime(encoding=None, unpack_returned_tuples=False)
        self._table, self._store = self._lua.table_from, None
        self.functions: dict[bytes, Any] = {}
        first, _, body = code.partition(b"\n")
        if not first.startswith(b"#!lua name="):
            raise RefusalError("ERR Missing library metadata")
        self.name = first.removeprefix(b"#!lua name=").strip()
        self._lua.execute(_PRELUDE, self._call, self.functions.__setitem__)
        self._lua.execute(b"\n" + body)

    def run(self, store: Store, name: bytes, keys: Words, args: Words) -> Any:
        """The reply of a function."""
        self._store = store
        try:
            return self._out(self.functions[name](self._table(keys), self._table(args)))
        except LuaError as error:
            raise RefusalError(f"ERR {error}") from error

    def _call(self, *words: Any) -> Any:
        assert self._store is not None
        reply = self._store.run([word if isinstance(word, bytes) else b"%.17g" % word for word in words])
        return reply if type(reply) in (bytes, int) else self._in(reply)

    def _in(self, value: Any) -> Any:
        """A reply on its way to Lua."""
        if isinstance(value, list):
            return self._table([False if part is None else part for part in value], recursive=True)
        if isinstance(value, Status):
            return self._table({b"ok": bytes(value)})
        return False if value is None else value

    def _out(self, value: Any) -> Any:
        """A value of Lua's on its way to the client."""
        if lua_type(value) == "table":
            if (refusal := value[b"err"]) is not None:
                raise RefusalError(refusal.decode())
            if (status := value[b"ok"]) is not None:
                return Status(status)
            return [self._out(value[place]) for place in range(1, len(value) + 1)]
        if value is True or value is False:
            return 1 if value else None
        return int(value) if isinstance(value, float) else value


library = functools.lru_cache(maxsize=100)(Library)


@command("FUNCTION", 1)
def manage(store: Store, words: Words) -> Any:
    if words[0].upper() == b"LOAD":
        loaded = library(words[-1])
        if loaded.name in store.data.libraries and words[1].upper() != b"REPLACE":
            raise RefusalError(f"ERR Library '{loaded.name.decode()}' already exists")
        store.data.libraries[loaded.name] = words[-1]
        return loaded.name
    found = []
    for name, code in store.data.libraries.items():
        if name == words[2]:
            found.append([b"library_name", name, b"engine", b"LUA", b"functions", [], b"library_code", code])
    return found


@command("FCALL", 2)
def call_function(store: Store, words: Words) -> Any:
    name, count, *rest = words
    for code in store.data.libraries.values():
        if name in library(code).functions:
            if not count.isdigit() or int(count) > len(rest):
                raise RefusalError("ERR Number of keys can't be greater than number of args")
            return library(code).run(store, name, rest[: int(count)], rest[int(count) :])
    raise RefusalError("ERR Function not found")
