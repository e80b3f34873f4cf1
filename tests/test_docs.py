"""What the documents show works: every block of rules is checked, and its tests pass on the engine."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from cep.adapters.cli.main import main
from cep.compile import compile_rules
from cep.lang import check_texts
from cep.lang.codes import catalogue
from cep.testing import run_tests

ROOT = Path(__file__).parents[1]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", (ROOT / name).read_text("utf-8"), re.MULTILINE | re.DOTALL)


SCHEMA, *EXAMPLES = blocks("docs/language.md", "cep")
FILES = dict(zip(("merchants.csv", "devices.csv"), blocks("docs/language.md", "csv"), strict=True))


@pytest.mark.parametrize("text", [*(SCHEMA + example for example in EXAMPLES), *blocks("README.md", "cep")])
def test_rules(text):
    loaded = check_texts({"example.cep": text} | FILES)
    assert loaded.diagnostics == ()
    assert loaded.ruleset is not None
    results = run_tests(loaded.ruleset, compile_rules(loaded.ruleset))
    assert [result.failures for result in results if not result.passed] == []
    assert {rule.name for rule in loaded.ruleset.rules} == {result.rule for result in results}


def test_the_five_steps_of_the_readme(tmp_path, capsys):
    (tmp_path / "rules.cep").write_text(blocks("README.md", "cep")[0], "utf-8")
    (tmp_path / "payments.ndjson").write_text(textwrap.dedent("".join(blocks("README.md", "json"))), "utf-8")
    assert main(["check", str(tmp_path)]) == 0
    assert main(["test", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["replay", str(tmp_path), "--from", str(tmp_path / "payments.ndjson"), "--format", "text"]) == 0
    assert capsys.readouterr().out.strip() in (ROOT / "README.md").read_text("utf-8")


def test_what_is_not_built_is_said():
    said = (ROOT / "docs" / "language.md").read_text("utf-8").partition("shows what to write until then:")[2]
    titles = [entry.title for entry in catalogue().values()]
    unbuilt = [title.removeprefix("not built yet: ") for title in titles if title.startswith("not built yet: ")]
    assert " ".join(said.split()).removesuffix(".").split(", ") == unbuilt
