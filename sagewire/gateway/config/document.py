"""A configuration whose every value knows its file and line, for the messages of errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

import yaml

from sagewire.errors import UsageError
from sagewire.gateway.config.yaml_files import compose, construct, join, read_included, where

__all__ = ["ENVIRONMENT_MARK", "Document", "Path", "as_number", "nearest"]

Path = tuple[str | int, ...]
ENVIRONMENT_MARK = "os.environ/"


class Document:
    r"""A parsed configuration file, with what it includes.

    Args:
        text: The file's text.
        name: The name of the file in messages.
        path: Its path; files it includes are looked for next to it, else in the current directory.
        files: Gets the digest of each included file that is read or looked for.

    Raises:
        UsageError: It, or a file it includes, is not YAML, holds a key twice, or is not a mapping.

    Example:
        >>> document = Document("models:\n  llama: {endpoint: a}", "gateway.yaml")
        >>> document.line(("models", "llama", "endpoint"))
        2
    """

    def __init__(
        self, text: str, name: str, *, path: FilePath | None = None, files: dict[FilePath, bytes] | None = None
    ) -> None:
        self.name = name
        files = {} if files is None else files
        self._root = join(read_included(compose(text, name), path, files))
        # As in Compose files, such a key only holds what others take over by an anchor.
        self.data: Any = {
            key: value for key, value in construct(self._root, name).items() if not str(key).startswith("x-")
        }

    def line(self, path: Sequence[str | int]) -> int:
        """Return the line of the value at a path, or of the closest thing above it that is in its file."""
        return int(self._mark(path).line) + 1

    def error(self, path: Sequence[str | int], message: str, *, at: Sequence[str | int] | None = None) -> UsageError:
        """Return the error for something wrong at a path; in the line of another path, if that is given."""
        place = ".".join(map(str, path))
        return UsageError(f"{where(self._mark(at or path))}: {f'{place}: ' if place else ''}{message}")

    def resolve(self, environment: Mapping[str, str]) -> list[tuple[Path, str]]:
        """Put the values of environment variables in place of `os.environ/NAME`.

        Returns:
            The path and name of each variable that is not set; its value is then null.
        """
        missing: list[tuple[Path, str]] = []
        self.data = _resolved(self.data, environment, (), missing)
        return missing

    def _mark(self, path: Sequence[str | int]) -> yaml.Mark:
        node: Any = self._root
        mark = self._root.start_mark
        for step in path:
            found = _child(node, step)
            if found is None:
                continue  # a step that validation made up, for example the one deployment of a short form
            mark, node = found
        return mark


def as_number(value: Any) -> float | None:
    """Return a number that a file has as such or as text; `None` if it is not one."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return a hint at the name that comes closest, ready to be put behind a message; else nothing.

    Args:
        name: The unknown name.
        known: The known ones.
        cutoff: How alike they must be, from 0 to 1.
    """
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""


def _child(node: Any, step: str | int) -> tuple[yaml.Mark, Any] | None:
    if isinstance(node, yaml.MappingNode):
        # The last one counts: what `<<` brings in stands in front of what overrides it.
        for key, value in reversed(node.value):
            if key.value == str(step):
                return key.start_mark, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item = node.value[step]
        return item.start_mark, item
    return None


def _resolved(value: Any, environment: Mapping[str, str], path: Path, missing: list[tuple[Path, str]]) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item, environment, (*path, key), missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, environment, (*path, number), missing) for number, item in enumerate(value)]
    if isinstance(value, str) and value.startswith(ENVIRONMENT_MARK):
        name = value[len(ENVIRONMENT_MARK) :]
        if name in environment:
            return environment[name]
        missing.append((path, name))
        return None
    return value
