"""The one place for array layouts: columns, codes, tables, limits."""
