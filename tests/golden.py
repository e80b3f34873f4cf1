"""Diagnostics as an author sees them, to the letter. `python -m tests.golden` writes them anew; git shows the change.

`tests/lang/golden/CEP104.txt` is what `cep check` prints for the bad example of CEP104, with source line and caret.
"""

from __future__ import annotations

from pathlib import Path

from cep.lang import check_texts
from cep.lang.codes import FILES, SCHEMA, Code, catalogue
from cep.lang.lints import beyond

FOLDER = Path(__file__).parent / "lang" / "golden"
RETENTION_US = 7 * 86_400_000_000  # as with `cep check --retention 7d`


def rendered(entry: Code) -> str:
    """Every diagnostic of the bad example; lines count from the beginning of the schema that examples stand on."""
    text = SCHEMA + entry.bad
    loaded = check_texts({"bad.cep": text} | FILES)
    found = [*loaded.diagnostics]
    if entry.code == "CEP390" and loaded.ruleset is not None:
        found += beyond(loaded.ruleset, RETENTION_US)
    lines = text.split("\n")
    return "".join(f"{diagnostic.render(lines[diagnostic.span.line - 1])}\n" for diagnostic in found)


def main() -> None:
    """Write every file, and remove those of codes that are gone."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.txt"):
        if path.stem not in catalogue():
            path.unlink()
    for entry in catalogue().values():
        (FOLDER / f"{entry.code}.txt").write_text(rendered(entry), "utf-8")


if __name__ == "__main__":
    main()
