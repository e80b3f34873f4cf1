"""Alerts for people: one readable line each, and how many there were."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

import msgspec

from cep.adapters.cli.console import paint
from cep.adapters.files.sink import LineSink

_COLOURS = {"info": "dim", "low": "green", "medium": "yellow", "high": "red", "critical": "magenta"}


class _Rule(msgspec.Struct):
    id: str


class _Annotations(msgspec.Struct):
    summary: str


class _Data(msgspec.Struct):
    status: str
    disposition: str
    severity: str
    rule: _Rule
    key: dict[str, str | int | float | bool | None]
    annotations: _Annotations
    estimated: list[str] = []


class Shown(msgspec.Struct):
    """What a line shows of an alert; the alert itself has more."""

    time: str
    data: _Data


parse = msgspec.json.Decoder(Shown).decode


class AlertLines:
    """A sink on stdout that counts alerts by rule and status, and writes them as JSON or for people."""

    def __init__(self, is_readable: bool) -> None:
        self._lines = None if is_readable else LineSink.stdout()
        self.counts: Counter[tuple[str, str]] = Counter()

    def write(self, alerts: Sequence[bytes]) -> None:
        """Append alerts; they are on their way when it returns."""
        shown = [parse(alert) for alert in alerts]
        self.counts.update((alert.data.rule.id, _fate(alert.data)) for alert in shown)
        if self._lines is not None:
            self._lines.write(alerts)
        elif shown:
            # sys.stdout is asked for each time: a progress bar puts something before it.
            print("\n".join(line(alert, sys.stdout) for alert in shown), file=sys.stdout, flush=True)

    def close(self) -> None:
        """Nothing is left to be done."""


def line(alert: Shown, stream: TextIO) -> str:
    """`12:00:41  HIGH      fired     card_testing  card=c1  5 small declines, then 500 in DE`."""
    data = alert.data
    level = paint(f"{data.severity.upper():<8}", _COLOURS.get(data.severity, "bold"), stream)
    key = " ".join(f"{name}={value}" for name, value in data.key.items())
    rule = paint(data.rule.id, "bold", stream)
    guess = f"(estimated: {', '.join(data.estimated)})" if data.estimated else ""
    parts = (_clock(alert.time), level, f"{_fate(data):<8}", rule, key, data.annotations.summary, guess)
    return "  ".join(part for part in parts if part)


def _fate(data: _Data) -> str:
    """`fired`, `resolved`, or what would have been if the rule were not in mode shadow."""
    return f"shadow {data.status}" if data.disposition == "shadow" else data.status


def by_rule(counts: Counter[tuple[str, str]]) -> dict[str, int]:
    """The counts with names such as `velocity resolved`, most frequent first."""
    return {f"{rule} {status}": number for (rule, status), number in counts.most_common()}


def _clock(time: str) -> str:
    """2026-01-05T12:00:41.000Z → 2026-01-05 12:00:41."""
    return time.replace("T", " ")[:19]
