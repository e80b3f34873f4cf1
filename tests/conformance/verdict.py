"""The verdict on a case: agrees, differs by a law, outside, or unexplained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.conformance import eql, esper, flink, siddhi, sql
from tests.conformance.cases import Case, Outside, read
from tests.conformance.judge import agrees
from tests.conformance.run import Run, run
from tests.conformance.translation import Match, Translation

TRANSLATORS: dict[str, Callable[[Case], Translation]] = {
    "flink-cep": flink.translate,
    "eql": eql.translate,
    "siddhi": siddhi.translate,
    "sql-match-recognize": sql.translate,
    "esper-pattern": esper.translate,
}


@dataclass(frozen=True)
class Verdict:
    """What became of a case. `why`: the law and the reason, the construct, or what went wrong."""

    case: Case
    number: int
    outcome: str  # "agrees", "differs", "outside", "unexplained"
    why: str = ""
    translation: Translation | None = None
    run: Run | None = None
    matches: tuple[Match, ...] = ()


def judge_all(folder: Path, family: str | None = None, only: str | None = None) -> list[Verdict]:
    """The verdicts on a folder's cases, of one family, or on one case."""
    numbers: dict[str, int] = {}
    verdicts = []
    for case in read(folder):
        number = numbers[case.family] = numbers.get(case.family, -1) + 1
        if (family is None or family == case.family) and only in (None, case.id, f"{case.family}:{number}"):
            verdicts.append(judge(case, number))
    return verdicts


def judge(case: Case, number: int = 0) -> Verdict:
    """The verdict on one case."""
    translate = TRANSLATORS[case.semantics["family"]]
    try:
        translation = translate(case)
    except Outside as reason:
        return Verdict(case, number, "outside", str(reason))
    made = run(translation)
    matches = tuple(translation.view(made.engine))
    told = (translation, made, matches)
    if made.refused is not None:
        return Verdict(case, number, "unexplained", f"refused: {made.refused}", *told)
    if not made.confirmed:
        return Verdict(case, number, "unexplained", "engine and oracle differ", *told)
    if agrees(case, translation, made, matches):
        return Verdict(case, number, "agrees", "", *told)
    return Verdict(case, number, "unexplained", "", *told)
