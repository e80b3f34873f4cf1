"""`python -m tests.conformance DIR [--family X] [--case ID] [--json FILE]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.conformance.report import show_case, table, write_json
from tests.conformance.verdict import judge_all


def main() -> None:
    """Judge the cases of a folder and print a table; `--case` shows one with its translation."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="the case files")
    parser.add_argument("--family", help="only this file of cases, by its name without .json")
    parser.add_argument(
        "--case", help="only the case of this id, or by FAMILY:NUMBER; with its translation and results"
    )
    parser.add_argument("--json", type=Path, help="write every verdict to this file")
    parser.add_argument("--list", action="store_true", help="list the cases that do not agree")
    options = parser.parse_args()
    verdicts = judge_all(options.folder, options.family, options.case)
    if options.case:
        for verdict in verdicts:
            show_case(verdict)
        return
    print(table(verdicts, options.list))
    if options.json:
        write_json(verdicts, options.json)


if __name__ == "__main__":
    main()
