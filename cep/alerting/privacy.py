"""What leaves in place of a private value: `***` for `mask`, a digest for `hash`.

The digest is keyed with the installation's secret, so that nobody else can try values until one fits; equal values have
equal digests, which is what `hash` is for. Null is no value and stays null.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from cep.engine.values import in_json, in_text, quoted

MASK = "***"
DIGEST_BYTES = 8


def said(values: Sequence[Any], kind: str, private: str | None, secret: bytes) -> list[str]:
    """The values as messages have them."""
    texts = in_text(values, kind)
    if private is None:
        return texts
    pairs = zip(values, texts, strict=True)
    return [text if value is None else _hidden(text, private, secret) for value, text in pairs]


def said_in_json(values: Sequence[Any], kind: str, private: str | None, secret: bytes) -> list[str]:
    """The values as JSON has them; a private one is a text, whatever its kind."""
    if private is None:
        return in_json(values, kind)
    hidden = said(values, kind, private, secret)
    return ["null" if value is None else quoted(text) for value, text in zip(values, hidden, strict=True)]


def _hidden(text: str, private: str, secret: bytes) -> str:
    return MASK if private == "mask" else blake2b(text.encode(), digest_size=DIGEST_BYTES, key=secret).hexdigest()
