"""What is printed: a table for each family, one case in full, or everything as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.verdict import Verdict

OUTCOMES = ("agrees", "differs", "outside", "unexplained")


def table(verdicts: Sequence[Verdict], listed: bool = False) -> str:
    """Family by family: how many cases, what became of them, and why."""
    lines = [f"{'family':24}{'cases':>7}{'agree':>7}{'':>7}{'differ':>8}{'outside':>9}{'unexplained':>13}"]
    for family in dict.fromkeys(v.case.family for v in verdicts):
        own = [v for v in verdicts if v.case.family == family]
        count = Counter(v.outcome for v in own)
        share = f"{100 * count['agrees'] / len(own):.0f} %"
        lines.append(
            f"{family:24}{len(own):>7}{count['agrees']:>7}{share:>7}"
            f"{count['differs']:>8}{count['outside']:>9}{count['unexplained']:>13}"
        )
        notes = Counter(note for v in own if v.outcome == "agrees" for note in v.notes)
        lines += [f"    {number:>4}  of those that agree: {note}" for note, number in notes.most_common()]
        for outcome in OUTCOMES[1:]:
            reasons = Counter(v.why for v in own if v.outcome == outcome)
            lines += [f"    {number:>4}  {outcome}: {why}" for why, number in reasons.most_common()]
        if listed:
            lines += [f"      {v.outcome} {family}:{v.number} {v.why}" for v in own if v.outcome != "agrees"]
    return "\n".join(lines)


def show_case(verdict: Verdict) -> None:
    """One case with its translation and its results."""
    print(f"{verdict.case.id} ({verdict.case.family}:{verdict.number}): {verdict.outcome} {verdict.why}")
    print(verdict.rules)
    if verdict.run is not None:
        print("expected", verdict.case.expected, {k: v for k, v in verdict.case.result.items() if "expected_" in k})
        print("found   ", [match.flat for match in verdict.matches], verdict.run.late)
        if not verdict.run.confirmed:
            print("engine", verdict.run.engine)
            print("oracle", verdict.run.oracle)


def write_json(verdicts: Sequence[Verdict], path: Path) -> None:
    """Every verdict, with its translation."""
    told = [
        {
            "id": v.case.id,
            "family": v.case.family,
            "outcome": v.outcome,
            "why": v.why,
            "rules": v.rules,
            "notes": v.notes,
            "expected": v.case.expected,
            "found": [match.flat for match in v.matches],
        }
        for v in verdicts
    ]
    path.write_text(json.dumps(told, indent=1))
