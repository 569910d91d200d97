"""Programs in files: finding them, and what a migration does to each."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sagewire.errors import UsageError, why_unreadable
from sagewire.migrate.notebooks import migrate_notebook
from sagewire.migrate.rewrite import Migration, migrate_source

__all__ = ["FileMigration", "find_programs", "migrate_file"]

_SUFFIXES = {".py": migrate_source, ".ipynb": migrate_notebook}
_SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__", "venv", "build", "dist"})


@dataclass(frozen=True, slots=True)
class FileMigration:
    """What a migration does to a file.

    Args:
        path: The file.
        before: Its text.
        migration: Its new text, and the notes.
    """

    path: Path
    before: str
    migration: Migration

    @property
    def changed(self) -> bool:
        """Whether the file is rewritten."""
        return self.migration.text != self.before

    def diff(self) -> str:
        """Return the change as a unified diff."""
        old, new = self.before.splitlines(keepends=True), self.migration.text.splitlines(keepends=True)
        name = self.path.as_posix().lstrip("/")
        return "".join(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"))

    def write(self) -> None:
        """Rewrite the file, all of it or nothing; its line ends and permissions stay.

        Raises:
            UsageError: The file is read-only, its folder too, or the disk is full.
        """
        target = self.path.resolve()
        beside = target.with_name(f".{target.name}.migrating")
        try:
            # Its folder alone would allow to put another one in its place.
            target.open("r+b").close()
            try:
                beside.write_bytes(self.migration.text.encode("utf-8"))
                shutil.copymode(target, beside)
                beside.replace(target)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror or error}; it is as it was") from None


def find_programs(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the Python files and notebooks in files and folders; hidden folders and environments are left out.

    Raises:
        UsageError: A path does not exist, is a file of another kind, or a folder without programs.
    """
    for path in paths:
        if path.is_dir():
            found = sorted(each for each in path.rglob("*") if _is_program(each.relative_to(path), each))
            if not found:
                raise UsageError(f"the folder {path} holds no Python file and no notebook")
            yield from found
        elif not path.exists():
            raise UsageError(f"{path} does not exist")
        elif path.suffix not in _SUFFIXES:
            raise UsageError(f"{path} is not a Python file (.py) or a notebook (.ipynb)")
        elif not path.is_file():
            raise UsageError(f"{path} is not a regular file")
        else:
            yield path


def _is_program(inside: Path, path: Path) -> bool:
    folders = inside.parts[:-1]
    hidden = any(part.startswith(".") or part in _SKIPPED for part in folders)
    return path.suffix in _SUFFIXES and not hidden and path.is_file()


def migrate_file(path: Path) -> FileMigration:
    """Return what a migration does to a file.

    Raises:
        UsageError: The file cannot be read, or is not valid.
    """
    try:
        before = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {why_unreadable(error)}") from None
    try:
        return FileMigration(path, before, _SUFFIXES[path.suffix](before))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
