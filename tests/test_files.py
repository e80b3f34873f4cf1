"""Files are read as one log with line numbers as ids; sinks append; snapshots are whole or refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cep.adapters.files.sink import FileSink, LineSink
from cep.adapters.files.snapshots import KEEP, LEFT_S, DirectorySnapshots
from cep.adapters.files.source import read_files, total_bytes
from cep.errors import ConfigurationError
from cep.ports import ENTRY_BYTES_MAX, EntryId, Point, Position


def read(*paths: Path | str, format: str | None = None) -> list[tuple[int, list[bytes]]]:
    blocks = list(read_files([str(path) for path in paths], format))
    assert all(not block.ms.any() and block.stream == 0 for block in blocks)
    return [(int(seq), list(fields)) for block in blocks for seq, fields in zip(block.seq, block.fields, strict=True)]


def test_lines_over_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(b'\xef\xbb\xbf{"a":1}\r\n\n  \n{"a":2}\n')
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress(b'{"a":3}\n{"a":4}'))
    (tmp_path / "c.ndjson").write_bytes(b"")
    (tmp_path / "d.ndjson").write_bytes(b'{"a":5}')
    rows = read(*(tmp_path / name for name in ("a.ndjson", "b.ndjson.gz", "c.ndjson", "d.ndjson")))
    assert [(line, json.loads(fields[1])["a"]) for line, fields in rows] == [(1, 1), (4, 2), (5, 3), (6, 4), (7, 5)]


def test_many_lines_come_in_blocks_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "many.ndjson"
    path.write_bytes(b"".join(b'{"n":%d,"pad":"%s"}\n' % (n, b"x" * 60) for n in range(30_000)))
    seen: list[int] = []
    blocks = list(read_files([str(path)], progress=seen.append))
    assert max(len(block) for block in blocks) <= 16_384
    rows = read(path)
    assert [line for line, _ in rows] == list(range(1, 30_001))
    assert [json.loads(fields[1])["n"] for _, fields in rows] == list(range(30_000))
    assert sum(seen) == total_bytes([str(path)])


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.ndjson"
    path.write_bytes(b"x" * (4 * ENTRY_BYTES_MAX) + b'\n{"a":1}\n')
    (one, long), (two, good) = read(path)
    assert (one, two, good) == (1, 2, [b"", b'{"a":1}'])
    assert ENTRY_BYTES_MAX < len(long[1]) < 3 * ENTRY_BYTES_MAX


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfcard,geo.lat\r\nc1,1.5\r\n"c,\n2",\r\n\r\nc3\r\n\xff,4\r\n')
    assert read(path) == [
        (2, [b"card", b"c1", b"geo.lat", b"1.5"]),
        (4, [b"card", b"c,\n2", b"geo.lat", b""]),
        (6, [b"", b"c3"]),
        (7, [b"card", b"\xff", b"geo.lat", b"4"]),
    ]


def test_csv_compressed_and_a_cell_beyond_measure(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n" + b"x" * 200_000 + b",3\n4,5\n"))
    rows = read(path, path)
    assert [line for line, _ in rows] == [2, 3, 4, 6, 7, 8]
    assert [fields[0] for _, fields in rows] == [b"a", b"", b"a"] * 2


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b'{"a":1}\n')

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert read("-") == [(1, [b"", b'{"a":1}'])]
    assert total_bytes(["-"]) is None


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(b"x" * 1000, mtime=0)[:-12]])
def test_what_cannot_be_read_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.ndjson.gz"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"cannot read .*x\.ndjson\.gz"):
        read(path)
    with pytest.raises(ConfigurationError, match="cannot read"):
        read(tmp_path / "absent")


def test_sinks(tmp_path: Path) -> None:
    out = io.BytesIO()
    LineSink(out).write([b"1", b"2"])
    LineSink(out).write([])
    assert out.getvalue() == b"1\n2\n"
    for alert in (b"a", b"b"):
        sink = FileSink(tmp_path / "alerts")
        sink.write([alert])
        sink.close()
        sink.close()
    assert (tmp_path / "alerts").read_bytes() == b"a\nb\n"


def point(seq: int, chain: str = "ab") -> Point:
    return Point(
        seq, chain, {0: Position(EntryId(seq, 0), seq, 7), 1: Position(EntryId(1, seq), 2 * seq, 8)}, frozenset({1})
    )


def test_the_newest_snapshots_are_kept_under_the_names_of_streams(tmp_path: Path) -> None:
    store = DirectorySnapshots(tmp_path / "s", "mine", ["a", "b"])
    for n in (1, 2, 4, 3, 5):
        store.save(point(n), b"state %d" % n)
        if n == 4:  # as if it had been there for a while
            os.utime(max((tmp_path / "s").iterdir()), (0, 0))
    assert list(store.points()) == [point(5), point(4), point(3)]
    assert len(list((tmp_path / "s").iterdir())) == KEEP
    assert [store.load(point(n)) for n in (5, 4, 1)] == [b"state 5", b"state 4", None]
    assert store.load(point(5, "cd")) is None
    store.discard(point(4))
    swapped = DirectorySnapshots(tmp_path / "s", "mine", ["b", "c"])
    assert list(swapped.points()) == [
        Point(n, "ab", {0: Position(EntryId(1, n), 2 * n, 8)}, frozenset({0})) for n in (5, 3)
    ]
    assert list(DirectorySnapshots(tmp_path / "s", "another's", ["a", "b"]).points()) == []


def test_damaged_snapshots_are_refused(tmp_path: Path) -> None:
    store = DirectorySnapshots(tmp_path, "mine", ["a", "b"])
    store.save(point(1), b"old")
    store.save(point(2), b"new")
    newest = max(tmp_path.iterdir())
    content = newest.read_bytes()

    def found() -> list[tuple[Point, bytes]]:
        return [(kept, data) for kept in store.points() if (data := store.load(kept)) is not None]

    for at in range(len(content)):
        for bit in range(8):
            newest.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            assert found() == [(point(1), b"old")]
        newest.write_bytes(content[:at])
        assert found() == [(point(1), b"old")]
    newest.write_bytes(content)
    assert found() == [(point(2), b"new"), (point(1), b"old")]
    newest.rename(newest.with_name(f"{7:012d}-ab.snapshot"))
    assert found() == [(point(1), b"old")]


@pytest.mark.parametrize("is_new_process", [False, True])
def test_only_a_whole_snapshot_counts_as_the_oldest(tmp_path: Path, is_new_process: bool) -> None:
    """What it covers is trimmed, so no bit of it may be another."""
    store = DirectorySnapshots(tmp_path, "mine", ["a", "b"])
    assert store.oldest() is None
    for n in (1, 2, 3):
        store.save(point(n), b"state")
    assert store.oldest() == point(1)
    path = min(tmp_path.iterdir())
    content = path.read_bytes()
    for at in range(len(content) if is_new_process else content.index(b"state")):
        for bit in range(8):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            if is_new_process:
                store = DirectorySnapshots(tmp_path, "mine", ["a", "b"])
            assert store.oldest() == point(2)
    path.write_bytes(content)
    assert store.oldest() == point(1)


def test_a_damaged_snapshot_is_not_the_one_that_stays(tmp_path: Path) -> None:
    DirectorySnapshots(tmp_path, "mine", ["a", "b"]).save(point(1), b"damaged")
    DirectorySnapshots(tmp_path, "mine", ["a", "b"]).save(point(2), b"whole")
    first, second = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes().replace(b"damaged", b"changed"))
    for path in (first, second):
        os.utime(path, (0, 0))
    store = DirectorySnapshots(tmp_path, "mine", ["a", "b"])
    for n in range(3, 9):
        store.save(point(n), b"")
    assert [kept.seq for kept in store.points()] == [8, 7, 6, 2]


def test_a_snapshot_that_was_whole_and_is_found_damaged_does_not_stay_either(tmp_path: Path) -> None:
    store = DirectorySnapshots(tmp_path, "mine", ["a", "b"])
    for n in (1, 2):
        store.save(point(n), b"state")
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    second = max(tmp_path.iterdir())
    second.write_bytes(second.read_bytes()[:-1] + b"!")
    os.utime(second, (0, 0))
    assert store.load(point(2)) is None
    for n in (3, 4):
        store.save(point(n), b"state")
    assert [kept.seq for kept in store.points()] == [4, 3, 2, 1]
    assert store.oldest() == point(1)


def test_snapshots_of_another_history_drive_none_of_this_one_out(tmp_path: Path) -> None:
    store = DirectorySnapshots(tmp_path, "mine", ["a", "b"])
    for n in (80, 90, 100):
        store.save(point(n), b"lost")
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    for n in range(1, 9):
        store.save(point(n), b"")
    assert {80, 90, 100, 6, 7, 8} <= {kept.seq for kept in store.points()}


def test_a_snapshot_stays_until_another_has_settled(tmp_path: Path) -> None:
    store = DirectorySnapshots(tmp_path, "mine", ["a", "b"])
    store.save(point(1), b"")
    os.utime(max(tmp_path.iterdir()), (0, 0))
    for n in range(2, 9):
        store.save(point(n), b"")
        assert point(1) in store.points()
    os.utime(max(tmp_path.iterdir()), (0, 0))
    store.save(point(9), b"")
    assert point(1) not in store.points()


def test_a_header_that_is_no_text_is_passed_over(tmp_path: Path) -> None:
    store = DirectorySnapshots(tmp_path, "mine", ["a", "b"])
    store.save(point(1), b"old")
    store.save(point(2), b"new")
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes().replace(b"mine", b"m\xe5ne"))
    assert list(store.points()) == [point(1)]


def test_a_start_clears_away_what_a_killed_process_left_and_nothing_that_is_written(tmp_path: Path) -> None:
    left, written = tmp_path / "000000000001-ab.77.tmp", tmp_path / "000000000002-ab.78.tmp"
    for path in left, written:
        path.write_bytes(b"a part")
    long_ago = time.time() - 2 * LEFT_S
    os.utime(left, (long_ago, long_ago))
    DirectorySnapshots(tmp_path, "mine", ["a", "b"]).check()
    assert list(tmp_path.iterdir()) == [written]


def test_workers_that_start_at_once_do_not_refuse_their_folder(tmp_path: Path) -> None:
    stores = [DirectorySnapshots(tmp_path, "mine", ["a", "b"]) for _ in range(8)]
    with ThreadPoolExecutor(len(stores)) as pool:
        for done in [pool.submit(store.check) for store in stores * 30]:
            done.result()
    assert list(tmp_path.iterdir()) == []


def test_half_a_snapshot_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectorySnapshots(tmp_path, "mine", ["a", "b"])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.save(point(1), b"state")
    assert list(tmp_path.iterdir()) == []
    store.save(point(2), b"state")
    assert list(store.points()) == [point(2)]
