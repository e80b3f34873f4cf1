"""Commands in this process, and rules for them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cep.adapters.cli.main import main

ROOT = Path(__file__).parents[1]
SCHEMA = """\
stream payments time ts type kind late 10s
event txn from payments (card text, amount money)
"""
RULE = """
rule twice by card within 1m
  when txn as a where amount > 10
  then txn as b where amount > a.amount
  alert high "{card}: {a.amount}, then {b.amount}"
rule quiet by card within 1m
  when txn then no txn
  alert low "{card} is quiet"
"""
TESTS = """
test twice "more"
  at 0s txn {card: "c", amount: 11}
  at 1s txn {card: "c", amount: 12}
  at 1s expect twice {card: "c"}
test twice "less"
  at 0s txn {card: "c", amount: 12}
  at 1s txn {card: "c", amount: 11}
  at 1s expect no twice
"""
COMMAND = [sys.executable, "-c", "import sys; from cep.adapters.cli.main import main; sys.exit(main())"]


class Cli:
    """Runs a command in this process; `out` and `err` are what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys, self.folder = capsys, folder
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        code = main(arguments)
        self.out, self.err = self._capsys.readouterr()
        return code

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return str(path)


@pytest.fixture
def cli(capsys, tmp_path):
    return Cli(capsys, tmp_path)


@pytest.fixture
def rules(cli):
    return cli.file("rules.cep", SCHEMA + RULE + TESTS)


def lines(*events: tuple[int, str, float]) -> str:
    return "".join(f'{{"ts":{ts},"kind":"txn","card":"{card}","amount":{amount}}}\n' for ts, card, amount in events)
