"""What Python calls of the kernels is compiled for Python, and nothing else is; where what is compiled is kept."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CEP = ROOT / "cep"


def decorated(decorator: str) -> set[str]:
    """The functions of the kernels' modules with that decorator, as module.name."""
    return {
        f"{path.stem}.{node.name}"
        for path in (CEP / "kernels").glob("[!_]*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(d, ast.Name) and d.id == decorator for d in node.decorator_list)
    }


def used(path: Path) -> Iterator[str]:
    """What a module names of all that it imports from the kernels, as module.name."""
    tree = ast.parse(path.read_text("utf-8"))
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cep.kernels"):
            prefix = f"{node.module}.".removeprefix("cep.kernels.")
            names |= {alias.asname or alias.name: prefix + alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            head, _, rest = ast.unparse(node).partition(".")
            if head in names:
                yield f"{names[head]}.{rest}" if rest else names[head]


def test_what_python_calls_is_a_kernel():
    paths = [path for folder in (CEP, ROOT / "adapters") for path in folder.rglob("*.py")]
    paths = [path for path in paths if path.parent.name != "kernels"]
    uses = {name for path in paths for name in used(path)}
    assert uses & (decorated("jit") | decorated("inline")) == set()
    assert decorated("kernel") - uses == set()
