"""The diagnostics of one pass, collected; and the nearest known name for a hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from cep.errors import Diagnostic, Span
from cep.lang.text import Place, Text


@dataclass(slots=True)
class Report:
    """Everything that was found so far. The same finding is kept once, however often its place is looked at."""

    found: dict[Diagnostic, None] = field(default_factory=dict)

    def add(self, diagnostic: Diagnostic) -> None:
        """Take one finding."""
        self.found.setdefault(diagnostic)

    def on(self, text: Text) -> Page:
        """A reporter of findings in `text`."""
        return Page(self, text)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """All findings in order of place."""
        return tuple(sorted(self.found, key=lambda d: (d.span.file, d.span.line, d.span.column, d.code)))

    @property
    def failed(self) -> bool:
        """Whether any finding is an error."""
        return any(d.severity == "error" for d in self.found)


@dataclass(frozen=True, slots=True)
class Page:
    """Reports findings in one file."""

    report: Report
    text: Text

    def error(self, code: str, at: Place, message: str, hint: str | None = None) -> None:
        """Report an author's mistake at a place of this file."""
        self.report.add(Diagnostic(code, message, self.span(at), hint))

    def warning(self, code: str, at: Place, message: str, hint: str | None = None) -> None:
        """Report something that is allowed but most likely not meant."""
        self.report.add(Diagnostic(code, message, self.span(at), hint, "warning"))

    def span(self, at: Place) -> Span:
        """The place as lines and columns."""
        return self.text.span(at)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A hint with the known name most like `name`, or None when none is near."""
    known = sorted(set(known))
    folded = {other.casefold(): other for other in known}
    near = difflib.get_close_matches(name.casefold()[:80], folded, n=1, cutoff=0.6)
    return f'did you mean "{folded[near[0]]}"?' if near else None


def listed(words: Iterable[str], last: str = "or") -> str:
    """`a, b or c`."""
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""
