"""Checked rule set → Program. Nothing is generated per rule: a rule becomes rows of tables and a few instructions."""

from cep.compile.program import compile_rules

__all__ = ["compile_rules"]
