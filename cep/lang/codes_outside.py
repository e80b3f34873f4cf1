"""Codes of what stands outside of rule files: tables, rosters, functions, models, schedules; and of templates."""

from __future__ import annotations

from cep.lang.codes import Code

_SHOPS = 'table shops from "shops.csv" key k\n'
_DEVICES = 'roster devices from "devices.csv"\n'
_NIGHT = 'schedule night = "* 22-23,0-5 * * *" tz "Europe/Berlin"\n'

OUTSIDE_CODES = (
    Code(
        "CEP120",
        "unknown time zone",
        'Zones have the names of the IANA database, such as "Europe/Berlin", "America/New_York" and "UTC".',
        'rule r by k when a where hour_of(time, "Berlin") < 6',
        'rule r by k when a where hour_of(time, "Europe/Berlin") < 6',
    ),
    Code(
        "CEP121",
        "a schedule that cannot be read",
        "A schedule is written as for cron: minute, hour, day of the month, month, day of the week. It names minutes: "
        'a rule that is "active in" it takes the events of those minutes.',
        'schedule night = "22:00"',
        'schedule night = "* 22-23 * * *"',
    ),
    Code(
        "CEP122",
        "a table that cannot be read",
        "A table's file is a CSV whose first line names the columns, and among them the key. A column may state its "
        "kind, as in risk:number; else it is told from all of its cells. A table in Redis has its columns declared.",
        'table shops from "shops.csv" key shop',
        _SHOPS,
    ),
    Code(
        "CEP123",
        "a key that stands twice",
        "A key of a table has one row, and a roster names each key once: else it would be chance which one counts.",
        'table shops from "twice.csv" key k',
        _SHOPS,
    ),
    Code(
        "CEP124",
        "a row of a table as a value",
        "What is looked up in a table is one of its columns.",
        _SHOPS + "rule r by k when a where shops[k] > 5",
        _SHOPS + "rule r by k when a where shops[k].risk > 5",
    ),
    Code(
        "CEP125",
        "what is worked out for one event speaks of others",
        "Looking things up, the calendar and functions from outside are worked out once for each event. In filters and "
        "conditions their arguments are fields of one event; in messages and shows they may speak of anything.",
        _SHOPS + "rule r by k within 1h while shops[last(a.t)].risk > 5",
        _SHOPS + "rule r by k within 1h while last(shops[a.t].risk) > 5",
    ),
    Code(
        "CEP126",
        "a function or model that is not declared rightly",
        "A function is named by its module and its name, and gives a number unless another kind stands before "
        '"from": number, integer, flag or text.',
        'function risk from "scoring.py"',
        'function risk number from "scoring:risk"',
    ),
    Code(
        "CEP127",
        "a schedule as an event",
        'A schedule names minutes. A rule is "active in" it, a time lies in it, but nothing happens at it.',
        _NIGHT + "rule r by k when night",
        _NIGHT + "rule r by k active in night when a",
    ),
    Code(
        "CEP128",
        "a template's argument that does not fit",
        "Where a parameter stands as an event or as a key, it stands for a name.",
        "template many(e) rule many by k within 1h when 3 e\nuse many(5) as many_a",
        "template many(e) rule many by k within 1h when 3 e\nuse many(a) as many_a",
    ),
    Code(
        "CEP360",
        "a key that no roster can hold",
        "A roster holds keys of one part, which are texts or whole numbers.",
        _DEVICES + "rule r by k, t in devices within 1h while count(a) == 0",
        _DEVICES + "rule r by k in devices within 1h while count(a) == 0",
    ),
    Code(
        "CEP361",
        "forgetting the keys of a roster",
        "A roster's keys are there whether they are heard from or not, so none is ever forgotten.",
        _DEVICES + "rule r by k in devices within 1h forget 2h while count(a) == 0",
        _DEVICES + "rule r by k in devices within 1h while count(a) == 0",
    ),
)
