"""What can be wrong, and where: spans, diagnostics and their rendering.

Three kinds of failure are never mixed (house rule 6). An author's mistake is a `Diagnostic`; a bad event is a
`BadEvent` that costs itself alone; our own bug is an assertion.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a rule file. Lines and columns count from 1; `end_column` is exclusive, on `end_line`."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """An author's mistake or a warning. `code` is stable and never reused; `severity` is "error" or "warning"."""

    code: str
    message: str
    span: Span
    hint: str | None = None
    severity: str = "error"

    def render(self, source_line: str) -> str:
        """The diagnostic as shown on a terminal: place, code, message, the source line with a caret, the hint."""
        head = f"{self.span} {self.severity}[{self.code}] {self.message}"
        number = str(self.span.line)
        gutter = " " * len(number)
        width = 1
        if self.span.end_line == self.span.line:
            width = max(1, self.span.end_column - self.span.column)
        shown, offset = _excerpt(source_line, self.span.column - 1)
        caret = " " * offset + "^" * min(width, max(1, len(shown) - offset))
        hint = f" help: {self.hint}" if self.hint else ""
        return f"{head}\n {number} | {shown}\n {gutter} | {caret}{hint}"


def _excerpt(line: str, column: int, width: int = 160) -> tuple[str, int]:
    """At most `width` characters of `line` around `column`, and the column's place in them; tabs become spaces."""
    line = line.replace("\t", " ").rstrip("\n")
    if len(line) <= width:
        return line, column
    start = max(0, min(column - width // 2, len(line) - width))
    return line[start : start + width], column - start


class ConfigurationError(Exception):
    """Something about the surroundings that the operator has to change; the message says what to do."""
