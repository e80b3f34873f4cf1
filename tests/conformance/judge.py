"""What a case expects against what came: the same, or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tests.conformance.cases import Case, Node
from tests.conformance.run import Run
from tests.conformance.siddhi import rows
from tests.conformance.translation import Match, Translation


def agrees(case: Case, translation: Translation, run: Run, matches: Sequence[Match]) -> bool:
    """Whether the matches are the expected ones, by every result that the case states and an alert can show."""
    if "expected_late" in case.result:
        return run.late == case.result["expected_late"]
    if "expected_count" in case.result:
        return _same_rows(case, translation, matches)
    if case.expected is None:
        return False
    same = same_matches(case, expected_flat(case), _asserted(case, translation, matches))
    return same and _same_stages(case, translation, matches) and _same_labels(case, translation, matches)


def _same_rows(case: Case, translation: Translation, matches: Sequence[Match]) -> bool:
    """Whether there are as many rows as expected, and the same ones in the same order, where they are all known."""
    if len(matches) != case.result["expected_count"]:
        return False
    if not case.result["rows_complete"]:
        return True
    return rows(case, translation, matches) == case.result["expected_rows"]["rows"]


def same_matches(case: Case, expected: Sequence[Sequence[int]], matches: Sequence[Match]) -> bool:
    """Whether the matches are those, as often as they are there."""
    found = [canonical(case, match.flat) for match in matches]
    return Counter(map(tuple, expected)) == Counter(map(tuple, found))


def expected_flat(case: Case) -> list[list[int]]:
    """The expected matches as places of events in order."""
    return [canonical(case, [i for i in match if i is not None]) for match in case.expected or []]


def canonical(case: Case, places: Iterable[int]) -> list[int]:
    """Places in order; equal events are one and the same where the source compares them by value."""
    canon = case.result.get("canon")
    return sorted(places if canon is None else (canon[place] for place in places))


def _asserted(case: Case, translation: Translation, matches: Sequence[Match]) -> Sequence[Match]:
    """The matches without what is captured under tags of which the source says nothing."""
    bindings = case.result.get("expected_bindings")
    if bindings is None:
        return matches
    tags = {tag.partition("[")[0] for binding in bindings for tag in binding["bindings"]}
    if not bindings:
        return matches
    return [
        replace(m, captured={a: p for a, p in m.captured.items() if translation.stages[m.rule, a] in tags})
        for m in matches
    ]


def _same_stages(case: Case, translation: Translation, matches: Sequence[Match]) -> bool:
    """Whether each stage captured what it should have, where the case says so and events are not equal by value."""
    expected = case.result.get("expected_stages")
    if expected is None or "canon" in case.result:
        return True
    return Counter(map(_of_stages, expected)) == Counter(_of_stages(by_stage(translation, m)) for m in matches)


def _same_labels(case: Case, translation: Translation, matches: Sequence[Match]) -> bool:
    """Whether each event stands under the variable that it should, where the case says so."""
    labels = case.result.get("expected_labels")
    if labels is None:
        return True
    expected = Counter(
        (tuple(match), tuple(name.upper() for name in names))
        for match, names in zip(case.expected or [], labels, strict=True)
    )
    return expected == Counter(_labelled(translation, match) for match in matches)


def _labelled(translation: Translation, match: Match) -> tuple[tuple[int, ...], tuple[str, ...]]:
    pairs = sorted(
        (place, translation.stages[match.rule, alias].upper())
        for alias, found in match.captured.items()
        for place in found
    )
    return tuple(place for place, _ in pairs), tuple(name for _, name in pairs)


def by_stage(translation: Translation, match: Match) -> dict[str, list[int]]:
    """Stage → the places of what it captured."""
    found: dict[str, list[int]] = {}
    for alias, places in match.captured.items():
        if places:
            found.setdefault(translation.stages[match.rule, alias], []).extend(places)
    return found


def _of_stages(stages: dict[str, Node]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple(sorted((name, tuple(sorted(places))) for name, places in stages.items() if places))
