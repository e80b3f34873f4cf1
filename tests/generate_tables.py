"""The random author's tables, lists, rosters, calendar and schedules: what stands beside a rule file, and its words."""

from __future__ import annotations

import random
from collections.abc import Sequence

FILES = {
    "info.csv": "id,size,rate,price:money,label,good\n"
    "1,2,0.5,1,x,true\n2,,2.5,2.5,y,false\n3,1,1.0,,xy,\nx,3,,0.5,,true\nxy,0,2.0,2,x,false\np,1,1.5,1,y,true\n",
    "sizes.csv": "n,size,label\n0,1,x\n1,3,y\n2,0,\n4,2,xy\n",
    "some.txt": "x\n2\n1\np\n",
    "keys.txt": "1\n3\n5\n",
    "letters.csv": "letter,about\np,often\nz,never\n",
}
DECLARATIONS = (
    'table info from "info.csv" key id',
    'table sizes from "sizes.csv" key n',
    'list some from "some.txt"',
    'roster keys from "keys.txt"',
    'roster letters from "letters.csv"',
    'schedule clock = "0,2-3 * * * *" tz "Asia/Kolkata"',  # whose half hour makes minutes of it 30, 32 and 33
    'schedule dawn = "30-31 5 * * thu"',
)
COLUMNS = {  # table → the columns of each kind
    "info": {"integer": ("size",), "number": ("rate",), "money": ("price",), "text": ("label",), "flag": ("good",)},
    "sizes": {"integer": ("size",), "text": ("label",)},
}
TABLES = {"text": "info", "integer": "sizes"}
ROSTERS = {"k": "keys", "u": "keys", "m": "letters"}
CLOCKS = (
    'hour_of({t} + 29m30s, "Asia/Kolkata") - 4',
    'weekday_of({t} - 10s, "UTC") - 2',
    'day_of({t} - 5s, "UTC") % 4',
)


def lookup(rng: random.Random, reference: str, kind: str, wanted: Sequence[str]) -> tuple[str, str] | None:
    """What a reference of a kind is looked up for, of one of the wanted kinds, with its kind."""
    if kind not in TABLES:
        return None
    columns = [(name, its) for its, names in COLUMNS[TABLES[kind]].items() for name in names if its in wanted]
    name, its = rng.choice(columns)
    return f"{TABLES[kind]}[{reference}].{name}", its


def clock(rng: random.Random, time: str) -> str:
    """A small whole number that a time gives."""
    return f"({rng.choice(CLOCKS).format(t=time)})"
