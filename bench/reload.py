"""A thousand rules: how long a check of them takes, and how soon a changed one is live: `python -m bench.reload`.

Seconds on the clock, and of processor time, which is what they would be on an idle machine. `live` is from the moment
at which a file is replaced to the one at which the changed rules have taken the state over, which holds that of 5,000
payments by then.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from bench.measure import machine
from cep.adapters.cli.detector import Before, build
from cep.adapters.cli.journal import Journal
from cep.adapters.cli.reload import Watcher
from cep.adapters.redis.tables import RedisTables
from cep.lang import load
from cep.lang.check import Loaded
from cep.ports import Entries, EntryId

SCHEMA = """
stream payments time ts type kind late 5s
event payment from payments (card text, user text, amount money, country text, status text, shop text)
event decline = payment where status == "declined"
event approval = payment where status == "approved"
"""
RULES = (
    """
rule testing_{n} by card within {m}m
  about "Small declines, then an approval from elsewhere"
  when 3+ decline as d where amount < {a}
  then approval as hit where amount > {a} + 100 and country != d.last.country
  alert high "{{card}}: {{count(d)}} declines, then {{hit.amount}} in {{hit.country}}"
  limit 1 per 1h by card
test testing_{n} "it fires"
  at 0s  payment {{card: "c1", status: "declined", amount: 1, country: "NL"}} x 3 every 10s
  at 60s payment {{card: "c1", status: "approved", amount: 1000, country: "DE"}}
  at 60s expect testing_{n} {{card: "c1"}}
""",
    """
rule velocity_{n} by card within {m}m
  while count(approval where amount > {a}) > 5 or sum(approval.amount) > 1000
  keep 15m
  alert medium "{{card}}: {{count(approval)}} payments"
""",
    """
rule spender_{n} by user within 30d
  when approval as p where amount > {a} * avg(approval.amount) and count(approval) >= 3
  alert high "{{user}}: {{p.amount}}"
""",
    """
rule unanswered_{n} by card within {m}m
  when decline where country in ["NL", "DE"] and shop starts with "m{a}"
  then no approval within 1m
  alert low "{{card}}: declined"
""",
)
OF_A_FILE = 20
PAYMENTS = 5_000


def write(folder: Path, rules: int) -> None:
    """The rules in files of twenty, beside a schema that they import."""
    (folder / "schema.cep").write_text(SCHEMA, "utf-8")
    for first in range(0, rules, OF_A_FILE):
        made = (
            RULES[n % len(RULES)].format(n=n, m=2 + n % 59, a=1 + n % 499)
            for n in range(first, min(first + OF_A_FILE, rules))
        )
        (folder / f"rules_{first:04}.cep").write_text('import "schema.cep"\n' + "".join(made), "utf-8")


def check(folder: Path) -> tuple[float, float]:
    """The seconds of `cep check`, on the clock and of the processor."""
    before, began = _spent(), time.perf_counter()
    command = [sys.executable, "-c", "import sys; from cep.adapters.cli.main import main; sys.exit(main())"]
    subprocess.run([*command, "check", str(folder)], check=True, capture_output=True)
    return time.perf_counter() - began, _spent() - before


def _spent() -> float:
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def live(folder: Path, passes: int) -> list[tuple[float, float]]:
    """A rule is changed so many times; the seconds until it is live."""
    before = Before()
    loaded: Loaded = load([folder], memory=before.checked)
    assert loaded.ruleset is not None, loaded.diagnostics
    program, detector = build(loaded.ruleset, before.compiled)
    detector.apply([payments()])
    watcher = Watcher([str(folder)], loaded, before, RedisTables(str), program, Journal("json"))
    changed = watcher.subscribe()
    path = folder / "rules_0000.cep"
    taken = []
    for number in range(passes):
        time.sleep(0.3)
        text = path.read_text("utf-8")
        path.with_suffix(".new").write_text(text.replace("within 30d", f"within {40 + number}d"), "utf-8")
        spent, began = time.process_time(), time.perf_counter()
        path.with_suffix(".new").replace(path)
        while (change := changed()) is None:
            time.sleep(0.002)
        change.detector.take_over(detector)
        detector = change.detector  # type: ignore[assignment]  # of the one class that there is
        taken.append((time.perf_counter() - began, time.process_time() - spent))
        path.write_text(text, "utf-8")
        while (back := changed()) is None:
            time.sleep(0.002)
        back.detector.take_over(detector)
        detector = back.detector  # type: ignore[assignment]
    watcher.close()
    return taken


def payments() -> Entries:
    """What the rules have seen before."""
    events = (
        {"ts": n, "kind": "payment", "card": f"c{n % 997}", "user": f"u{n % 499}", "amount": n % 300, "country": "NL"}
        | {"status": "declined" if n % 3 else "approved", "shop": f"m{n % 50}"}
        for n in range(PAYMENTS)
    )
    return Entries.of(0, ((EntryId(1 + n, 0), [b"event", json.dumps(e).encode()]) for n, e in enumerate(events)))


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rules", type=int, default=1000)
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options.rules)
        check(folder)
        _tell("check", [check(folder) for _ in range(options.passes)])
        _tell("live", live(folder, options.passes))


def _tell(what: str, seconds: list[tuple[float, float]]) -> None:
    clock, spent = (statistics.median(column) for column in zip(*seconds, strict=True))
    print(f"{what:<6} {clock:6.2f} s  {spent:6.2f} s of the processor")


if __name__ == "__main__":
    main()
