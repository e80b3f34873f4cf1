"""Importers: rules of other systems as rule files. Each module reads one language and fills a `Draft`."""
