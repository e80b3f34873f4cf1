"""What is installed is what is here: the packages, what goes with them, and who may import whom."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SHIPPED = ["cep", "adapters", "rules", "pyproject.toml", "grammar.lark", "README.md", "LICENSE"]
BUILD = "from setuptools import build_meta; build_meta.build_{}('out')"

# Who may import whom: each name stands for a module and what is in it. Imports run downwards only.
CORE = {"cep.cron", "cep.errors", "cep.layout", "cep.kernels", "cep.engine"}
LAYERS: dict[str, set[str]] = {
    "cep.errors": set(),
    "cep.cron": set(),
    "cep.layout": set(),
    "cep.ports": {"cep.errors"},
    "cep.lang": {"cep.errors", "cep.cron"},
    "cep.compile": {"cep.lang", "cep.layout", "cep.errors"},
    "cep.kernels": {"cep.layout"},
    "cep.engine": CORE,
    "cep.decoding": {*CORE, "cep.ports"},
    "cep.alerting": CORE,
    "cep.delivery": {"cep.ports", "cep.errors"},
    "cep.producer": {"cep.ports"},
    "cep.detector": {"cep.decoding", "cep.delivery", "cep.engine", "cep.layout", "cep.ports"},
    "cep.testing": {*CORE, "cep.alerting", "cep.compile", "cep.lang"},
    "cep.adapters.files": {"cep.ports", "cep.errors", "cep.decoding"},
    "cep.adapters.redis": {"cep.ports", "cep.errors", "cep.kernels", "cep.producer"},
    "cep.adapters.importers": {"cep.errors", "cep.lang"},
    "cep.adapters.cli": {"cep"},
}
OUTSIDE_KERNELS = {"numpy", "numba", "llvmlite"}
NOT_IN_LANG = {"numpy", "numba", "redis", "orjson", "msgspec"}


def modules() -> dict[str, Path]:
    """Every module by its import name; a package stands for its `__init__`."""
    found = {}
    for top, name in ((ROOT / "cep", "cep"), (ROOT / "adapters", "cep.adapters")):
        for folder, _, files in os.walk(top):  # which does not follow the link from cep to adapters
            package = ".".join([name, *Path(folder).relative_to(top).parts])
            paths = [Path(folder, file) for file in sorted(files) if file.endswith(".py")]
            found |= {package if path.stem == "__init__" else f"{package}.{path.stem}": path for path in paths}
    return found


def packages() -> set[str]:
    """Every folder of Python files, by its import name."""
    return {name if path.stem == "__init__" else name.rpartition(".")[0] for name, path in modules().items()}


MODULES = modules()


def imports(path: Path) -> set[str]:
    """The modules that a file names in its imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: say where it is imported from"
            found.add(node.module or "")
    return found


def is_in(module: str, layers: set[str]) -> bool:
    return any(module == layer or module.startswith(f"{layer}.") for layer in layers)


def test_every_package_is_listed():
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages()


@pytest.mark.parametrize(("module", "path"), MODULES.items(), ids=list(MODULES))
def test_imports_run_downwards(module, path):
    named = imports(path)
    ours = {name for name in named if name == "cep" or name.startswith("cep.")}
    if module in ("cep", "cep.adapters"):
        assert not ours
        return
    (layer,) = [name for name in LAYERS if is_in(module, {name})]
    refused = {name for name in ours if not is_in(name, {layer, *LAYERS[layer]})}
    assert not refused, f"{module} may not import them"
    others = {name.partition(".")[0] for name in named - ours}
    if layer == "cep.lang":
        assert not others & NOT_IN_LANG
    if layer == "cep.kernels":
        assert others - set(sys.stdlib_module_names) <= OUTSIDE_KERNELS


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project without what tools have left in it."""
    folder = tmp_path_factory.mktemp("project")
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    return folder


def expected() -> set[str]:
    """What must be in a wheel: every module, and what they read."""
    files = {path.relative_to(ROOT) for path in MODULES.values()}
    files |= {path.relative_to(ROOT) for path in (ROOT / "rules").rglob("*") if path.is_file()}
    files |= {path.relative_to(ROOT) for path in (ROOT / "cep" / "schema").glob("*.json")}
    files |= {path.relative_to(ROOT) for suffix in ("lua", "acl") for path in (ROOT / "adapters").rglob(f"*.{suffix}")}
    files |= {Path("grammar.lark"), Path("cep/py.typed")}
    return {f"cep/{path.as_posix().removeprefix('cep/')}" for path in files}


def python(script: str, *arguments: str, cwd: Path, env: dict[str, str] | None = None) -> None:
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def build(folder: Path, what: str) -> Path:
    python(BUILD.format(what), cwd=folder)
    (built,) = (folder / "out").glob("*.whl" if what == "wheel" else "*.tar.gz")
    return built


@pytest.mark.parametrize("path", sorted((ROOT / "bench").glob("*.py")), ids=lambda path: path.stem)
def test_benches_find_what_they_import(path):
    importlib.import_module(f"bench.{path.stem}")


def test_the_wheel_is_whole(copy):
    with zipfile.ZipFile(build(copy, "wheel")) as wheel:
        inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == expected()


def test_a_wheel_of_the_sdist_is_whole(copy, tmp_path):
    with tarfile.open(build(copy, "sdist")) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    with zipfile.ZipFile(build(unpacked, "wheel")) as wheel:
        assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected()


def test_an_installed_command_finds_what_it_reads(copy, tmp_path):
    with zipfile.ZipFile(build(copy, "wheel")) as wheel:
        wheel.extractall(tmp_path)
    script = """
from cep.adapters.cli.demo import shipped_rules
from cep.adapters.cli.main import main
import cep, sys
pack = shipped_rules() / "fraud"
assert str(pack).startswith(sys.argv[1]) and cep.__file__.startswith(sys.argv[1]), (pack, cep.__file__)
raise SystemExit(main(["check", str(pack)]))
"""
    python(script, str(tmp_path), cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
