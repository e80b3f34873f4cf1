"""What people see: colours, progress bars, lists of figures. stdout is data, stderr is everything else.

Nothing is coloured or animated that is not read on a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

OK, FINDINGS, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130  # the exit codes

DEV_STDIN = "/dev/stdin"

_STYLES = {"red": "31", "yellow": "33", "green": "32", "bold": "1", "dim": "2", "magenta": "1;35"}


class CommandError(Exception):
    """Ends the command with an exit code. The message is one sentence with a remedy; empty when all has been said."""

    def __init__(self, message: str = "", code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code


def is_terminal(stream: TextIO) -> bool:
    """Whether a person reads it."""
    return stream.isatty()


def paint(text: str, style: str, stream: TextIO) -> str:
    """The text in a style, where the stream is a terminal that has not asked to be spared."""
    if not is_terminal(stream) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def say(message: str) -> None:
    """A line for the user, on stderr."""
    print(message, file=sys.stderr, flush=True)


def counted(number: int, noun: str) -> str:
    """`1 rule`, `2 rules`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def figures(rows: Mapping[str, tuple[int, str]]) -> str:
    """Names, figures and remarks in columns."""
    width = max(len(name) for name in rows)
    lines = [f"{name:<{width}}  {number:>13,}  {remark}".rstrip() for name, (number, remark) in rows.items()]
    return "\n".join(lines)


def tally(counts: Mapping[str, int]) -> str:
    """`json 2 · type 1`."""
    return " · ".join(f"{name} {number:,}" for name, number in counts.items())


def stderr_console() -> Console:
    """rich on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


@contextmanager
def progress(*columns: str) -> Iterator[Progress | None]:
    """A progress bar on stderr while the block runs, None where that is no terminal.

    Lines written to a terminal's stdout meanwhile stand above the bar. columns: what is shown behind the bar.
    """
    if not is_terminal(sys.stderr):
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    shown = (TextColumn("{task.description}"), BarColumn(), *map(TextColumn, columns), TimeElapsedColumn())
    with Progress(
        *shown, console=stderr_console(), transient=True, redirect_stdout=is_terminal(sys.stdout), redirect_stderr=True
    ) as bar:
        yield bar
