"""The command line as scripts see it: exit codes, what is on stdout, what is on stderr."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli import ROOT, RULE, SCHEMA, TESTS, cli, rules

__all__ = ["cli", "rules"]  # fixtures


# ------------------------------------------------------------------------------------------- check


def test_check_accepts(cli, rules):
    assert cli("check", rules) == 0
    assert cli.out == ""
    assert cli.err == "1 file · 2 rules · 2 tests · 0 errors · 0 warnings\n"


def test_check_shows_every_mistake(cli):
    path = cli.file("bad.cep", SCHEMA + RULE.replace("amount > 10", "amuont > 10").replace("alert low", "alert lwo"))
    assert cli("check", path) == 1
    assert f'{path}:5:23 error[CEP104] unknown name "amuont"' in cli.out
    assert '^^^^^^ help: did you mean "amount"?' in cli.out
    assert cli.out.count("error[") == 2
    assert cli.err == "1 file · 2 errors · 0 warnings\n"
    assert "\x1b" not in cli.out + cli.err


def test_check_for_programs(cli):
    path = cli.file("bad.cep", SCHEMA + "rule r when nobody")
    assert cli("check", path, "--format", "json") == 1
    (found,) = json.loads(cli.out)["diagnostics"]
    assert (found["code"], found["line"], found["column"], found["severity"]) == ("CEP104", 3, 13, "error")
    assert cli("check", path, "--format", "github") == 1
    assert cli.out.startswith(
        f"::error file={path},line=3,col=13,endLine=3,endColumn=19,title=CEP104::there is no event"
    )


def test_usage(cli, tmp_path):
    for arguments in (["check"], ["check", "--no-such-option", "x"], ["nonsense"], ["check", "x", "--format", "yaml"]):
        assert cli(*arguments) == 2, arguments
        assert cli.out == ""
    assert cli("check", str(tmp_path / "absent.cep")) == 2
    assert cli.err.startswith("error: there is no file or folder ")
    assert cli("check", str(tmp_path)) == 2
    assert "there is no .cep file under" in cli.err


def test_explain_error(cli):
    assert cli("explain-error", "cep104") == 0
    assert cli.out.startswith("CEP104  ")
    assert cli("explain-error", "CEP000") == 2
    assert "CEP104" in cli.err


def test_version(cli):
    assert cli("--version") == 0
    assert cli.out.startswith("cep")


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"], ["run", "--help"], ["check", "rules/fraud"]])
def test_what_is_asked_for_often_imports_little(arguments):
    script = f"from cep.adapters.cli.main import main; import sys; main({arguments!r}); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(eval(done.stdout.splitlines()[-1]))
    assert not modules & {"numba", "numpy", "redis", "orjson", "msgspec"}


# -------------------------------------------------------------------------------------------- test


def test_test(cli, rules):
    assert cli("test", rules) == 0
    passed, _, wanted = cli.out.partition("\n\n")
    assert [line.split("  ")[0] for line in passed.splitlines()] == ["PASS twice › more", "PASS twice › less"]
    assert wanted == "Not shown by any test\n  quiet  no tests\n"
    assert cli.err.endswith("2 tests · 2 passed · 0 failed\n")


def test_test_fails(cli):
    path = cli.file("rules.cep", SCHEMA + RULE + TESTS.replace("amount: 12", "amount: 9"))
    assert cli("test", path) == 1
    assert "FAIL twice › more" in cli.out
    assert cli("test", path, "--format", "json") == 1
    assert [result["passed"] for result in json.loads(cli.out)["tests"]] == [False, True]
    assert [entry["rule"] for entry in json.loads(cli.out)["coverage"]] == ["twice", "quiet"]
    assert cli("test", path, "--format", "junit") == 1
    suite = ElementTree.fromstring(cli.out)
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failed = suite.find("testcase[@name='more']")
    assert failed is not None
    assert failed.find("failure") is not None


def test_test_of_one_rule_in_every_way(cli, rules):
    assert cli("test", rules, "--rule", "twice", "--shuffle", "--cut", "--restart", "--seed", "5") == 0
    assert "Not shown" not in cli.out
    assert cli("test", rules, "--rule", "twise") == 2
    assert 'did you mean "twice"?' in cli.err
    assert cli("test", rules, "--rule", "quiet") == 1
    assert "quiet has no test blocks" in cli.err


def test_without_tests_nothing_is_proved(cli):
    assert cli("test", cli.file("rules.cep", SCHEMA + RULE)) == 1
    assert "no test blocks" in cli.err


# --------------------------------------------------------------------------------------------- fmt


def test_fmt_writes_in_place_and_is_done(cli):
    path = cli.file("r.cep", SCHEMA + "rule   r by card when  txn # odd\n")
    assert cli("fmt", "--check", path) == 1
    assert cli.out == f"{path} is not formatted\n"
    assert cli("fmt", "--diff", path) == 1
    assert "+rule r by card when txn  # odd\n" in cli.out
    assert cli("fmt", path) == 0
    assert Path(path).read_text("utf-8") == SCHEMA + "rule r by card when txn  # odd\n"
    assert cli("fmt", "--check", str(cli.folder)) == 0
    assert (cli.out, cli.err) == ("", "1 file · 0 would change\n")


def test_fmt_leaves_alone_what_does_not_parse(cli):
    path = cli.file("r.cep", "rule   r wen a")
    assert cli("fmt", path) == 1
    assert "CEP104" in cli.err
    assert "1 left alone" in cli.err
    assert Path(path).read_text("utf-8") == "rule   r wen a"


def test_fmt_of_stdin(cli, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("let   a=1"))
    assert cli("fmt", "-") == 0
    assert (cli.out, cli.err) == ("let a = 1\n", "")
