"""A workload as the Python engine of EQL (package `eql`) runs it.

    python eql_engine.py WORKLOAD EVENTS.csv PASSES

prints a line of JSON for each pass. It stands alone, so that it runs where `eql` is installed and nothing else. The
events are its objects in memory beforehand; of kinds that the query does not name they cost it one look into a
dictionary.
"""

from __future__ import annotations

import csv
import json
import sys
import time

from eql.engine import PythonEngine
from eql.events import Event
from eql.parser import allow_runs, elasticsearch_syntax, parse_query

TICKS_PER_MS = 10_000  # its clock counts 100 ns

QUERIES = {
    "w1": "sequence by card with maxspan=60s [login_failed where true] with runs=5",
    "w2": """sequence by card with maxspan=10m
        [login_failed where true] [password_change where true] [payment where amount > 900]""",
    "w3": """sequence by card with maxspan=10m
        [payment where amount < 2] with runs=3 [payment where amount > 500]""",
}


def one_pass(name: str, events: list[Event]) -> dict[str, float]:
    """The matches, and the seconds that the engine ran."""
    found: list[object] = []
    engine = PythonEngine()
    with elasticsearch_syntax, allow_runs:
        engine.add_query(parse_query(QUERIES[name]))
    engine.add_output_hook(found.append)
    begin = time.perf_counter()
    engine.stream_events(events)
    return {"matches": len(found), "seconds": time.perf_counter() - begin}


def read(path: str) -> list[Event]:
    with open(path, newline="", encoding="utf-8") as file:
        return [
            Event(r["type"], int(r["ts"]) * TICKS_PER_MS, {"card": r["card"], "amount": float(r["amount"])})
            for r in csv.DictReader(file)
        ]


def main() -> None:
    name, path, passes = sys.argv[1:]
    events = read(path)
    for _ in range(int(passes)):
        print(json.dumps(one_pass(name, events)), flush=True)


if __name__ == "__main__":
    main()
