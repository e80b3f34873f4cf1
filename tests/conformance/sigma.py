"""Sigma correlations: whether `cep import sigma` carries each over whole, into rules that the checker takes."""

from __future__ import annotations

import json

from cep.adapters.importers.sigma import convert
from cep.errors import ConfigurationError
from cep.lang import check_texts
from tests.conformance.cases import Case
from tests.conformance.expressions import said

FAMILY = "sigma"


def imported(case: Case) -> tuple[str | None, str]:
    """What stood in the way, None if nothing did; and the rules."""
    try:
        draft = convert({"example.yml": "\n---\n".join(map(json.dumps, case.pattern["documents"]))})
    except ConfigurationError as error:
        return str(error), ""
    text = draft.text()
    if draft.lost or not draft.rules:
        return "a rule that is not carried over", text
    loaded = check_texts({"imported.cep": text})
    return (None if loaded.ruleset is not None else f"refused: {said(loaded.diagnostics)}"), text
