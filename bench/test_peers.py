"""The comparison with other engines, without them: a row for each workload, a remark for what a cell cannot say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.measure import Timing
from bench.peers.__main__ import compare
from bench.peers.contenders import Outcome, Peer, Refusal, Stream
from bench.reference import REFERENCES, rows
from bench.workloads import generate

ECHO = 'import sys\nfor _ in range(int(sys.argv[3])): print(\'{"matches": 7, "seconds": 0.5}\')'


class Known:
    """Finds what the reference finds, or some more."""

    def __init__(self, name: str, more: int = 0, differs: dict[str, str] | None = None) -> None:
        self.name, self._more, self.differs = name, more, differs or {}

    def version(self) -> str | None:
        return f"{self.name} 1.2" if self._more else None

    def measure(self, workload: str, stream: Stream, passes: int) -> Outcome | Refusal:
        if workload == "w6":
            return Refusal("not installed")
        matches = REFERENCES[workload](rows(stream.events)) + self._more * (workload == "w4")
        return Outcome(matches, Timing(len(stream.events), (0.5,) * passes))


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return Stream.create(generate(1000), tmp_path / "events.csv")


def test_other_matches_need_a_reason(stream: Stream) -> None:
    section = compare([Known("same"), Known("more", 2, {"w4": "it counts twice"})], stream, 2)
    w4, w6 = section.rows[3], section.rows[5]
    assert (w4["same"], w4["more"]) == (2000.0, f"2,000 ({w4['matches'] + 2} matches)")
    assert (w6["same"], w6["more"]) == (None, None)
    assert set(section.remarks) == {
        "more 1.2.",
        "w6, same: not installed.",
        "w4, more: it counts twice.",
        "w6, more: not installed.",
    }
    with pytest.raises(AssertionError, match="w4"):
        compare([Known("more", 2)], stream, 1)


def test_a_peer_is_a_program(stream: Stream) -> None:
    peer = Peer("echo", lambda: [sys.executable, "-c", ECHO], lambda: "1", {"w5": "no time"}, {}, 60)
    assert peer.measure("w1", stream, 2) == Outcome(7, Timing(1000, (0.5, 0.5)))
    assert peer.measure("w5", stream, 2) == Refusal("no time")
    slow = Peer("slow", lambda: [sys.executable, "-c", "import time; time.sleep(9)"], lambda: "1", {}, {}, 0.2)
    assert slow.measure("w1", stream, 1) == Refusal("2,000 events took longer than 0.2 s", below=10_000.0)
