"""YAML files as documents. PyYAML is an extra, so that nobody installs it who imports nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cep.errors import ConfigurationError


def documents(sources: Mapping[str, str]) -> list[Any]:
    """All documents of the files, which are given by name. Raises ConfigurationError."""
    try:
        import yaml
    except ImportError:
        raise ConfigurationError("YAML is read with PyYAML: install it with  pip install 'cep[import]'") from None
    found: list[Any] = []
    for name, text in sources.items():
        try:
            found += yaml.safe_load_all(text)
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{name} is no YAML: {' '.join(str(error).split())}") from None
    return found
