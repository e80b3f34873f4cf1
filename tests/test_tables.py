"""Tables, rosters and what they hold: what is refused, what Redis keeps, and rows that change while state goes on."""

from __future__ import annotations

import json

import pytest

from cep.adapters.redis.tables import hash_text
from cep.compile import compile_rules
from cep.engine.snapshot import dump, load
from cep.engine.state import EngineState
from cep.engine.step import drain, step
from cep.errors import ConfigurationError
from cep.kernels.matches import KEY, STATUS, TIME
from cep.lang import check_texts
from cep.lang import load as load_rules
from cep.layout.program import Program
from cep.testing import VirtualEvent, batch_of
from tests.servers import Server, own_server, server, shared_server

__all__ = ["own_server", "server", "shared_server"]

SECOND = 1_000_000
SCHEMA = "stream s\nevent a from s (k text, n integer)\n"
RISKY = SCHEMA + 'table t from "t.csv" key k\nrule r by k within 1m when 2 a where t[k].risk > 5\n'
SILENT = SCHEMA + 'roster d from "d.txt"\nrule r by k in d within 10s while count(a) == 0\n'


def codes(table: str, declaration: str = 'table t from "t.csv" key k', rule: str = "") -> list[str]:
    found = check_texts({"r.cep": f"{SCHEMA}{declaration}\n{rule}", "t.csv": table}).diagnostics
    return [diagnostic.code for diagnostic in found]


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("", "CEP122"),
        ("x,risk\n1,2\n", "CEP122"),
        ("k,risk,risk\n1,2,3\n", "CEP122"),
        ("k,risk\n1\n", "CEP122"),
        ("k,risk\n,1\n", "CEP122"),
        ("k,risk:colour\n1,1\n", "CEP122"),
        ("k,risk:integer\n1,1.5\n", "CEP122"),
        ("k,risk:money\n1,0.00001\n", "CEP122"),
        ("k,risk:number\n1,inf\n", "CEP122"),
        ("k,risk:flag\n1,yes\n", "CEP122"),
        ("k,risk:time\n1,today\n", "CEP122"),
        ("k,risk\n1,2\n1,2\n", "CEP123"),
    ],
)
def test_a_table_that_cannot_be_read(table: str, code: str) -> None:
    assert codes(table) == [code]


def test_kinds_of_columns_are_told_stated_or_declared() -> None:
    table = "k,i,x,f,t,code,m:money,d\na,1,1,true,1x,007,1.5,2\nb,-2,2.5,false,,08,,3\n"
    declared = 'table t from "t.csv" key k (d number)'
    right = "rule r by k when a where t[k].i == 1 and t[k].x == 1.5 and t[k].f and t[k].t == t[k].code and t[k].d > 0.5"
    assert codes(table, declared, right) == []
    assert codes(table, declared, 'rule r by k when a where t[k].m > 1 and t[k].code == "007"') == []
    assert codes(table, declared, "rule r by k when a where t[k].code == 7") == ["CEP202"]
    assert codes(table, 'table t from "t.csv" key k (z number)') == ["CEP122"]
    assert codes(table, rule="rule r by k when a where t[n].i == 1") == ["CEP202"]  # "a" is not a whole number
    assert codes("k,i\n1,1\n01,1\n", rule="rule r by k when a where t[n].i == 1") == ["CEP123"]


def test_mistakes_at_the_use() -> None:
    table = "k,risk\na,1\n"
    assert codes(table, rule="rule r by k when a where t[k].rusk == 1") == ["CEP104"]
    assert codes(table, rule="rule r by k when a where u[k].risk == 1") == ["CEP104"]
    assert codes(table, rule="rule r by k when a where t[k] == 1") == ["CEP124"]
    assert codes(table, rule="rule r by k when a where t == 1") == ["CEP104"]
    assert codes(table, rule="rule r by k when a where t[1.5].risk == 1") == ["CEP201"]
    assert codes(table, rule='rule r by k when a where t["a"].risk == 1') == ["CEP125"]
    mixed = "rule r by k within 1m when a as x then a where t[n + x.n].risk == 1"
    assert codes("k,risk\n1,1\n", rule=mixed) == ["CEP125"]
    assert codes(table, 'table t from "u.csv" key k') == ["CEP108"]
    assert codes(table, 'table t from "redis:t" key k') == ["CEP122"]


def program_of(text: str, **files: str) -> Program:
    named = {f"{name}.{'csv' if ',' in content else 'txt'}": content for name, content in files.items()}
    loaded = check_texts({"r.cep": text} | named)
    assert loaded.ruleset is not None, loaded.diagnostics
    return compile_rules(loaded.ruleset)


def feed(program: Program, state: EngineState, *events: tuple[int, str]) -> list[tuple[int, int, str | None]]:
    """The matches of events at seconds with keys: second, status, key."""
    given = [VirtualEvent(0, second * SECOND, {"k": key}) for second, key in events]
    outputs = [step(program, state, batch_of(program, state.strings, given))]
    outputs.append(drain(program, state, state.order.released_us))
    rows = [output.matches[place].row[at] for output in outputs for place, at in output.order.tolist()]
    return [(int(row[TIME]) // SECOND, int(row[STATUS]), state.strings.text(int(row[KEY]))) for row in rows]


def test_other_rows_are_another_program_that_goes_on_with_the_same_state() -> None:
    old, new = program_of(RISKY, t="k,risk\nx,9\ny,1\n"), program_of(RISKY, t="k,risk\nx,1\ny,9\n")
    assert old != new
    assert [rule.structure for rule in old.rules] == [rule.structure for rule in new.rules]
    assert [rule.version for rule in old.rules] == [rule.version for rule in new.rules]
    state = EngineState.create(old)
    assert feed(old, state, (1, "x"), (2, "y")) == []
    state = load(new, dump(old, state))
    assert feed(new, state, (3, "x"), (4, "y")) == []
    assert feed(new, state, (5, "y")) == [(5, 0, "y")]


def test_a_roster_that_changes() -> None:
    old, new = program_of(SILENT, d="x\ny\n"), program_of(SILENT, d="y\nz\n")
    state = EngineState.create(old)
    assert feed(old, state, (0, "other"), (10, "y")) == [(10, 0, "x"), (10, 0, "y"), (10, 1, "y")]
    assert state.counters.outside_roster == 1
    state = load(new, dump(old, state))
    # x has left with its open episode; z is expected from now on.
    assert feed(new, state, (15, "x"), (25, "y")) == [(20, 0, "y"), (25, 0, "z"), (25, 1, "y")]
    assert state.shards[0].plans[0].dropped() == 1
    again = load(new, dump(new, state))
    assert feed(new, again, (26, "z")) == [(26, 1, "z")]


def test_an_event_without_its_key_is_counted_as_such() -> None:
    program = program_of(SILENT, d="x\ny\n")
    state = EngineState.create(program)
    step(program, state, batch_of(program, state.strings, [VirtualEvent(0, 0, {})]))
    assert (state.counters.without_key, state.counters.outside_roster) == (1, 0)


def test_a_table_in_redis(server: Server, tmp_path) -> None:
    key = "merchants"
    rows = {"x": {"risk": 7.25, "name": "North", "open": True}, "y": {"risk": None, "name": "South, or so"}}
    client = server.client()
    client.hset(key, mapping={name: json.dumps(row) for name, row in rows.items()})
    table = f'table t from "redis:{key}" key k (risk number, name text, open flag)'
    (tmp_path / "r.cep").write_text(f"{SCHEMA}{table}\nrule r by k when a where t[k].risk > 7 and t[k].open\n")
    apart = load_rules([tmp_path])
    assert apart.diagnostics == ()
    assert apart.ruleset is not None
    assert apart.ruleset.tables[0].rows == ()
    loaded = load_rules([tmp_path], lambda name: hash_text(server.url, name))
    assert loaded.ruleset is not None, loaded.diagnostics
    assert dict(loaded.ruleset.tables[0].rows) == {"x": (7.25, "North", True), "y": (None, "South, or so", None)}
    client.hset(key, "z", "not JSON")
    assert [d.code for d in load_rules([tmp_path], lambda name: hash_text(server.url, name)).diagnostics] == ["CEP122"]
    client.delete(key)
    assert hash_text(server.url, key) == "{}"
    client.set(key, "no hash")
    with pytest.raises(ConfigurationError, match="WRONGTYPE"):
        hash_text(server.url, key)
    client.delete(key)
