"""Log lines of the service."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from cep.adapters.cli.console import is_terminal


class Journal:
    """Log lines on stderr: a JSON object each, or for people."""

    def __init__(self, form: str | None) -> None:
        self._as_json = form == "json" or (form is None and not is_terminal(sys.stderr))

    def write(self, message: str, fields: Mapping[str, object], level: str = "info") -> None:
        """One line."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._as_json:
            line = json.dumps({"time": now, "level": level, "message": message, **fields}, ensure_ascii=False)
        else:
            line = "  ".join([now, f"{level:<7}", message, *(f"{name}={value}" for name, value in fields.items())])
        print(line, file=sys.stderr, flush=True)
