"""The verdict on a case: agrees, differs by a law, outside, or unexplained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.conformance import eql, esper, flink, siddhi, sigma, sql
from tests.conformance.cases import Case, Outside, read
from tests.conformance.judge import agrees
from tests.conformance.reasons import explanation
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
    rules: str = ""
    notes: tuple[str, ...] = ()
    run: Run | None = None
    matches: tuple[Match, ...] = ()


_UNBUILT = "CEP9"
# What the language refuses on purpose: values or keys that do not go together, and steps that can never match.
_REFUSALS = ("CEP201", "CEP202", "CEP203", "CEP204", "CEP207", "CEP208", "CEP209", "CEP303", "CEP305", "CEP309")
_MISTAKES = (KeyError, IndexError, TypeError, ValueError, AttributeError, AssertionError, RecursionError)


def judge_all(folder: Path, family: str | None = None, only: str | None = None) -> list[Verdict]:
    """The verdicts on a folder's cases, of one family, or on one case."""
    numbers: dict[str, int] = {}
    verdicts = []
    for case in read(folder):
        number = numbers[case.family] = numbers.get(case.family, -1) + 1
        if family in (None, case.family) and only in (None, case.id, f"{case.family}:{number}"):
            verdicts.append(judge(case, number))
    return verdicts


def judge(case: Case, number: int = 0) -> Verdict:
    """The verdict on one case."""
    if case.semantics["family"] == sigma.FAMILY:
        why, text = sigma.imported(case)
        return Verdict(case, number, "outside" if why else "agrees", why or "", rules=text)
    translate = TRANSLATORS[case.semantics["family"]]
    try:
        translation = translate(case)
    except Outside as reason:
        return Verdict(case, number, "outside", str(reason))
    except _MISTAKES as mistake:  # one bad translation must not keep the others from being judged
        return Verdict(case, number, "unexplained", f"the translation failed: {mistake!r}")
    return _judged(case, number, translation, run(translation))


def _judged(case: Case, number: int, translation: Translation, made: Run) -> Verdict:
    matches = tuple(translation.view(made.engine))
    outcome, why = "unexplained", "other matches"
    if made.refused is not None:
        codes = {part.split()[0] for part in made.refused.split("; ")}
        built = not all(code.startswith(_UNBUILT) for code in codes)
        outcome = "unexplained" if built and not codes <= set(_REFUSALS) else "outside"
        why = f"refused: {made.refused}"
    elif not made.confirmed:
        why = "engine and oracle differ"
    elif agrees(case, translation, made, matches):
        outcome, why = "agrees", ""
    elif (reason := explanation(case, translation, matches)) is not None:
        outcome, why = "differs", reason
    return Verdict(case, number, outcome, why, translation.text, translation.notes, made, matches)
