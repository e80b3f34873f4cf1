"""Rule files as no author would leave them: mutated, truncated, nested without end, binary. All from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEED = 20_261_125
_DEEP, _LONG = 20_000, 1_000_000
_SCHEMA = "stream s\nevent a from s (k text, n integer, t text)\n"
_PIECES = (
    b"(",
    b")",
    b"{",
    b'"',
    b"`",
    b"#",
    b"\\",
    b"\x00",
    b"\xff",
    b"\r",
    b"when ",
    b"rule r ",
    b"then ",
    b"\n",
    b"9" * 40,
)


def mutated(count: int, seed: int = SEED) -> Iterator[tuple[str, bytes]]:
    """Shipped rule files, each with its imports written in, cut off or changed in a few places."""
    rng = random.Random(seed)
    files = sorted(path for path in (ROOT / "rules").rglob("*.cep") if path.name != "schema.cep")
    for number in range(count):
        path = rng.choice(files)
        content = (path.parent / "schema.cep").read_bytes() + path.read_bytes().replace(b'import "schema.cep"', b"")
        yield f"{number:03} {path.stem}", _mutation(content, rng)


def _mutation(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.25:
        return content[: rng.randrange(len(content))]
    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        at = rng.randrange(len(content))
        length = rng.choice((0, 1, 1, 5, 40))
        other = rng.randrange(len(content))
        put = rng.choice((b"", rng.choice(_PIECES), content[other : other + 20], rng.randbytes(3)))
        content = content[:at] + put + content[at + length :]
    return content


def extreme() -> Iterator[tuple[str, bytes]]:
    """Texts that are too much of one thing."""
    opened = {"parentheses": "(", "brackets": "[", "braces": "{", "calls": "abs(", "negations": "not ", "minus": "-"}
    for name, sign in opened.items():
        yield f"{name} without end", f"{_SCHEMA}let x = {sign * _DEEP}1".encode()
        yield f"{name} on lines", f"{_SCHEMA}let x = {(sign + chr(10)) * _DEEP}1".encode()
    chains = {"sum": "1 + ", "comparison": "1 == ", "conjunction": "a.n > 1 and ", "members": "a.", "power": "1 - -"}
    for name, part in chains.items():
        yield f"{name} without end", f"{_SCHEMA}let x = {part * _DEEP}1".encode()
        yield f"{name} on lines", f"{_SCHEMA}let x = {(part + chr(10)) * _DEEP}1".encode()
    groups = "(a then " * _DEEP
    yield "groups", f"{_SCHEMA}rule r by k when {groups}a".encode()
    yield "steps", f"{_SCHEMA}rule r by k within 1h when a{' then a' * 1_000}".encode()
    yield "steps on lines", f"{_SCHEMA}rule r by k within 1h when a{chr(10).join([' then a'] * _DEEP)}".encode()
    yield "a long line", f"{_SCHEMA}let x = {'y' * _LONG}".encode()
    yield "a long string", f'{_SCHEMA}let x = "{"y" * _LONG}"'.encode()
    yield "a long comment", f"{_SCHEMA}# {'y' * _LONG}".encode()
    yield "a long list", f"{_SCHEMA}list l = [{', '.join(['1'] * 100_000)}]".encode()
    yield "a list on lines", f"{_SCHEMA}list l = [{(',' + chr(10)).join(['1'] * 4_000)}]".encode()
    yield "many rules", (_SCHEMA + "".join(f"rule r{i} by k when a where n > {i}\n" for i in range(200))).encode()
    yield "many mistakes", (_SCHEMA + "".join(f"rule r{i} wen a\n" for i in range(2_000))).encode()
    yield "many unknown names", (_SCHEMA + "".join(f"rule r{i} by k when b where m > 1\n" for i in range(300))).encode()
    yield "lets that double", (_SCHEMA + _doubling(60)).encode()
    yield "a large number", f"{_SCHEMA}let x = {'9' * 9_000}".encode()
    yield "a large exponent", f"{_SCHEMA}let x = 1e{'9' * 9_000}".encode()
    yield "underscores", f"{_SCHEMA}let x = 1{'_1' * 4_000}_".encode()
    yield "a string left open", f'{_SCHEMA}let x = "{"y" * 9_000}'.encode()
    yield "backslashes", f'{_SCHEMA}let x = "{chr(92) * 9_000}'.encode()
    yield "messages in messages", f'{_SCHEMA}rule r by k when a alert low "{"{" * 9_000}"'.encode()
    yield "a deep message", f'{_SCHEMA}rule r by k when a alert low "{{{"(" * 4_000}n}}"'.encode()
    yield "a pattern", f'{_SCHEMA}rule r by k when a where t matches "{"(" * 4_000}"'.encode()
    yield (
        "an exploding pattern",
        (_SCHEMA + 'rule r by k when a where t matches "' + "(a{1000}){1000}" * 9 + '"').encode(),
    )
    yield "binary", random.Random(SEED).randbytes(_LONG)
    yield "text and binary", _SCHEMA.encode() + random.Random(SEED).randbytes(10_000)
    yield "nothing but zeros", bytes(_LONG)
    yield "nothing but new lines", b"\n" * 200_000
    yield "nothing but blanks", b" " * _LONG
    yield "UTF-16", _SCHEMA.encode("utf-16")
    yield "a zero", _SCHEMA.encode() + b"let x = 1\x00"
    yield "a byte order mark", b"\xef\xbb\xbf" + _SCHEMA.encode()
    yield "two byte order marks", b"\xef\xbb\xbf\xef\xbb\xbf" + _SCHEMA.encode()
    yield "CRLF", _SCHEMA.replace("\n", "\r\n").encode()
    yield "CR", _SCHEMA.replace("\n", "\r").encode()
    yield "surrogates", b"let x = \xed\xa0\x80"
    yield "other digits", "let x = ٣ + ².5".encode()
    yield "lines that are none", "let x = 1\x0b\x0c\x85\u2028let y = 2".encode()


def _doubling(times: int) -> str:
    lets = "let x0 = 1\n" + "".join(f"let x{i + 1} = x{i} + x{i}\n" for i in range(times))
    return lets + f"rule r by k when a where n > x{times}\n"


FINE = {
    "a byte order mark",
    "a list on lines",
    "CR",
    "CRLF",
    "lines that are none",
    "many rules",
    "messages in messages",
    "nothing but new lines",
}
