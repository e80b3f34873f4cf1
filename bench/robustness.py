"""How long `cep check` takes to answer files that no author wrote: `python -m bench.robustness`.

Time is that of the process, with the grammar loaded: 200 ms is the most that any of them may take.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from cep.lang import load
from tests.mutations import extreme, mutated

LIMIT_S = 0.2


def measured() -> list[tuple[float, str, int]]:
    """(seconds, name, diagnostics) of each file, the slowest first."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.cep"
        path.write_text("stream s", "utf-8")
        load([path])
        for name, content in [*extreme(), *mutated(200)]:
            path.write_bytes(content)
            began = time.process_time()
            found = load([path]).diagnostics
            rows.append((time.process_time() - began, name, len(found)))
    return sorted(rows, reverse=True)


def main() -> None:
    """Print the slowest, and how many there were."""
    rows = measured()
    for seconds, name, found in rows[:15]:
        print(f"{1000 * seconds:7.0f} ms  {found:5} diagnostics  {name}")
    over = sum(seconds > LIMIT_S for seconds, _, _ in rows)
    print(f"{len(rows)} files, {over} over {1000 * LIMIT_S:.0f} ms, {sum(row[0] for row in rows):.1f} s in all")


if __name__ == "__main__":
    main()
