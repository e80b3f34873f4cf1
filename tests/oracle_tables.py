"""Tables, the calendar and schedules, naively: a row is found by looking at all of them, a date by asking Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cep.lang.checked.expressions import Const, Op
from cep.lang.checked.ruleset import RuleSet
from cep.lang.checked.schema import Table

NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "weekday": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}


def with_tables(ruleset: RuleSet) -> RuleSet:
    """The rules with tables in the places of their names."""
    tables = {(table.name, table.key): table for table in ruleset.tables}
    return replace(ruleset, rules=tuple(_written(rule, tables) for rule in ruleset.rules))


def _written(node: Any, tables: dict) -> Any:
    if isinstance(node, tuple):
        return tuple(_written(part, tables) for part in node)
    if not is_dataclass(node) or isinstance(node, Table | type):
        return node
    node = replace(node, **{part.name: _written(getattr(node, part.name), tables) for part in fields(node)})
    if isinstance(node, Op) and node.name in ("lookup", "listed", "rostered") and isinstance(node.args[1].value, str):
        key, name, *column = node.args
        return replace(node, args=(key, Const(tables[name.value, key.kind], key.kind), *column))
    return node


def _lookup(key: object, table: Table, column: str) -> object:
    place = [name for name, _ in table.columns].index(column)
    return next((values[place] for other, values in table.rows if other == key), None)


def _listed(key: object, table: Table) -> bool:
    return any(other == key for other, _ in table.rows)


def _local(time_us: int, zone: str) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)).astimezone(ZoneInfo(zone))


def _scheduled(time_us: int, cron: str, zone: str) -> bool:
    now = _local(time_us, zone)
    minute, hour, day, month, weekday = cron.split()
    dates = [_names(day, now.day, 1, 31, ()), any(_names(weekday, d, 0, 7, "weekday") for d in _sundays(now))]
    both = day.startswith("*") or weekday.startswith("*")
    return (
        _names(minute, now.minute, 0, 59, ())
        and _names(hour, now.hour, 0, 23, ())
        and _names(month, now.month, 1, 12, "month")
        and (all(dates) if both else any(dates))
    )


def _sundays(now: datetime) -> tuple[int, ...]:
    return (0, 7) if now.isoweekday() == 7 else (now.isoweekday(),)


def _names(field: str, value: int, lowest: int, highest: int, names: object) -> bool:
    """Whether one field of a cron line names the value."""
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        if span == "*":
            low, high = str(lowest), str(highest)
        elif not high:
            high = str(highest) if step else low
        known = NAMES.get(str(names), [])
        first, last = (known.index(w.lower()) + lowest if w.lower() in known else int(w) for w in (low, high))
        if value in range(first, last + 1, int(step or 1)):
            return True
    return False


OPERATIONS: dict[str, Callable] = {
    "lookup": _lookup,
    "listed": _listed,
    "rostered": _listed,
    "hour_of": lambda time_us, zone: _local(time_us, zone).hour,
    "weekday_of": lambda time_us, zone: _local(time_us, zone).isoweekday(),
    "day_of": lambda time_us, zone: _local(time_us, zone).day,
    "scheduled": _scheduled,
}
