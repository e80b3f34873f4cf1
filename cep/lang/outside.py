"""Declarations of what stands outside of rule files: tables, rosters, functions, models and schedules.

A function's module is never imported here: what it gives is declared, and whether it is there shows when rules run.
"""

from __future__ import annotations

import os
import re

from cep.cron import parse
from cep.lang import ast
from cep.lang.checked.schema import Kind, Outside
from cep.lang.functions import FUNCTIONS, known_zone
from cep.lang.names import Names, Schedule
from cep.lang.report import Page, listed, nearest
from cep.lang.tables import Reader, entries, listing, table

_GIVEN_KINDS = ("number", "integer", "flag", "text")
_SOURCE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")


def declare_outside(names: Names, node: ast.Table | ast.External, page: Page, read: Reader) -> None:
    """Enter what was declared; the name of what was refused is broken."""
    if isinstance(node, ast.Table):
        found = table(node, page, read)
        if found is not None:
            names.tables[node.name.text] = found
    elif node.word == "roster":
        _roster(names, node, page, read)
    elif node.word == "schedule":
        _schedule(names, node, page)
    else:
        _brought(names, node, page)
    if names.what(node.name.text) is None and node.name.text not in names.outside:
        names.broken.add(node.name.text)


def _roster(names: Names, node: ast.External, page: Page, read: Reader) -> None:
    found = read(page.text.name, node.source.text)
    if found is None:
        message = f'the file "{node.source.text}" is not there'
        page.error("CEP108", node.source.at, message, "paths are relative to the rule file")
        return
    keys = list(entries(*found))
    twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
    if twice is not None:
        page.error("CEP123", node.source.at, f'the key "{twice}" stands twice', "a roster names each key once")
        return
    names.rosters[node.name.text] = listing(keys)


def _schedule(names: Names, node: ast.External, page: Page) -> None:
    try:
        parse(node.source.text)
    except ValueError as error:
        page.error("CEP121", node.source.at, str(error), 'as in "* 22-23,0-5 * * *", or "0 9-17 * * mon-fri"')
        return
    zone = "UTC"
    if isinstance(node.detail, ast.String):
        zone = node.detail.text
        if not known_zone(zone):
            page.error("CEP120", node.detail.at, f'there is no time zone "{zone}"', 'as in "Europe/Berlin"')
            return
    names.schedules[node.name.text] = Schedule(node.source.text, zone)


def _brought(names: Names, node: ast.External, page: Page) -> None:
    name, kind = node.name.text, "number"
    if name in FUNCTIONS:
        page.error("CEP111", node.name.at, f'"{name}" is a function of the language')
        return
    if isinstance(node.detail, ast.Word):
        kind = node.detail.text
        if kind not in _GIVEN_KINDS:
            hint = nearest(kind, _GIVEN_KINDS) or f"it gives a {listed(_GIVEN_KINDS)}"
            page.error("CEP126", node.detail.at, f'a {node.word} cannot give "{kind}"', hint)
            return
    if node.word == "function" and not _SOURCE.fullmatch(node.source.text):
        page.error("CEP126", node.source.at, "this names no function of a module", 'as in "scoring:risk"')
        return
    folder = os.path.dirname(page.text.name)
    names.outside[name] = Outside(name, node.word, node.source.text, folder, Kind(kind))
