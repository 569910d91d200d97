"""The rewriting of one program: imports, names, arguments and exceptions; everything else keeps its layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst
from libcst.metadata import MetadataWrapper

from sagewire.errors import UsageError
from sagewire.migrate.calls import rewrite_calls
from sagewire.migrate.handled import rewrite_handlers
from sagewire.migrate.imports import rewrite_imports
from sagewire.migrate.notes import Note
from sagewire.migrate.survey import survey

__all__ = ["Migration", "migrate_source"]


@dataclass(frozen=True, slots=True)
class Migration:
    """A rewritten program.

    Args:
        text: The program; unchanged if there was nothing to rewrite.
        notes: The places that a person must look at.
        extras: The extras of sagewire that it needs.
    """

    text: str
    notes: tuple[Note, ...]
    extras: tuple[str, ...] = ()


def migrate_source(text: str) -> Migration:
    """Rewrite a program to sagewire.

    Args:
        text: Python source.

    Raises:
        UsageError: It is not valid Python.
    """
    try:
        wrapper = MetadataWrapper(cst.parse_module(text))
    except cst.ParserSyntaxError as error:
        raise UsageError(f"not valid Python: line {error.raw_line}: {error.message}") from None
    found = survey(wrapper)
    if not found.modules:
        return Migration(text, tuple(sorted(found.notes)))
    # Calls and handlers first: they are told by where their names were imported from.
    module = rewrite_calls(wrapper, found)
    module = rewrite_handlers(module, found)
    module = rewrite_imports(module, found)
    return Migration(module.code, tuple(sorted(set(found.notes))), _extras(found.targets))


def _extras(targets: Sequence[str]) -> tuple[str, ...]:
    names = {"sagewire.integrations.langchain": "langchain", "sagewire.integrations.llama_index": "llama-index"}
    return tuple(sorted({extra for module, extra in names.items() if module in targets}))
