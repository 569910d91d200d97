r"""Rewriting programs of other libraries to sagewire: what `sagewire migrate` does.

>>> print(migrate_source("from litellm import completion\n").text, end="")
from sagewire.integrations.litellm import completion
"""

from __future__ import annotations

from sagewire._extras import require

require("libcst", "migrate")

from sagewire.migrate.files import FileMigration, find_programs, migrate_file  # noqa: E402
from sagewire.migrate.notes import Note  # noqa: E402
from sagewire.migrate.rewrite import Migration, migrate_source  # noqa: E402

__all__ = ["FileMigration", "Migration", "Note", "find_programs", "migrate_file", "migrate_source"]
