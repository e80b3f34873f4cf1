"""Why our answer is another one: a law, what it does, and a test that it is this law that does it.

The strongest test is a *reading*: the same rules with the effect of the law taken out. When they give the expected
matches the difference is the law's. Where our language cannot take the effect out, the test looks at how the matches
differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.conformance.cases import Case
from tests.conformance.judge import agrees, canonical, expected_flat, same_matches
from tests.conformance.run import run
from tests.conformance.translation import BROKEN, PICK, QUOTIENT, TWICE, Match, Translation

Holds = Callable[[Case, Translation, Sequence[Match]], bool]


@dataclass(frozen=True)
class Reason:
    """A law by its number (None: the kinds of values), what it does here, and whether that is the difference."""

    law: int | None
    says: str
    holds: Holds

    @property
    def text(self) -> str:
        """As it stands in the table."""
        return f"{'kinds' if self.law is None else f'law {self.law}'}: {self.says}"


def explanation(case: Case, translation: Translation, matches: Sequence[Match]) -> str | None:
    """The first reason that holds."""
    return next((reason.text for reason in REASONS if reason.holds(case, translation, matches)), None)


def _no_empty_match(case: Case, _: Translation, matches: Sequence[Match]) -> bool:
    flat = expected_flat(case)
    some = [match for match in flat if match]
    return len(some) < len(flat) and same_matches(case, some, matches)


def _reading(effect: str) -> Holds:
    """Whether a reading of the translation without an effect agrees."""

    def holds(case: Case, translation: Translation, _: Sequence[Match]) -> bool:
        for reading in translation.without.get(effect, ()):
            made = run(reading)
            if made.refused is None and agrees(case, reading, made, reading.view(made.engine)):
                return True
        return False

    return holds


def _one_event_twice(case: Case, _: Translation, __: Sequence[Match]) -> bool:
    """Some expected match has one event under two tags."""
    bound = [list(b["bindings"].values()) for b in case.result.get("expected_bindings") or []]
    return any(len(set(places)) < len(places) for places in bound if all(isinstance(p, int) for p in places))


def _overtaken(case: Case, _: Translation, matches: Sequence[Match]) -> bool:
    """Flink holds a match back while an older one may still come; ours goes first, and uses the older one up.

    Each match that is missing began before one of ours and would have ended after it.
    """
    if case.semantics["skip"]["strategy"] == "no_skip":
        return False
    found = [canonical(case, match.flat) for match in matches]
    missing = [match for match in expected_flat(case) if match not in found]
    return bool(missing) and all(any(f[0] > m[0] and f[-1] < m[-1] for f in found) for m in missing)


def _other_length(case: Case, _: Translation, matches: Sequence[Match]) -> bool:
    """Every match begins and ends where it should; only loops took more or fewer events."""
    loops = [stage["quantifier"] for stage in case.pattern["stages"] if "quantifier" in stage]
    if all(loop["min"] == loop["max"] for loop in loops) or same_matches(case, expected_flat(case), matches):
        return False
    found = [canonical(case, match.flat) for match in matches]
    expected = expected_flat(case)
    return sorted((m[0], m[-1]) for m in found if m) == sorted((m[0], m[-1]) for m in expected if m)


def _of(family: str, holds: Holds) -> Holds:
    """The test, for one family only."""
    return lambda case, translation, matches: case.semantics["family"] == family and holds(case, translation, matches)


REASONS = (
    Reason(5, "a match begins with its first captured event, so none is empty", _no_empty_match),
    Reason(4, "once a loop has its least, the step after it has first pick of an event that fits both", _reading(PICK)),
    Reason(3, "one event fills one step of a match, not two", _reading(TWICE)),
    Reason(3, "one event fills one step of a match, not two", _one_event_twice),
    Reason(3, "the event that breaks an absence is free to begin the next match", _reading(BROKEN)),
    Reason(None, "the quotient of whole numbers is a number", _reading(QUOTIENT)),
    Reason(
        6,
        "the match that completes first wins; an older one that would take longer is used up",
        _of("flink-cep", _overtaken),
    ),
    Reason(4, "a loop takes every event that fits, whatever else passes meanwhile", _of("flink-cep", _other_length)),
)
