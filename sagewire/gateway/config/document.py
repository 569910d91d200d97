"""A YAML file whose every value knows its line, so that what is wrong with it can be pointed at."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from sagewire.errors import UsageError

__all__ = ["Document", "Path", "nearest"]

Path = tuple[str | int, ...]
ENVIRONMENT_MARK = "os.environ/"


class Document:
    r"""A parsed configuration file.

    Args:
        text: The file's text.
        name: What the file is called in messages.

    Raises:
        UsageError: It is no YAML, holds a key twice, or is no mapping.

    Example:
        >>> document = Document("models:\n  llama: {endpoint: a}", "gateway.yaml")
        >>> document.line(("models", "llama", "endpoint"))
        2
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        try:
            self._root = yaml.compose(text, yaml.SafeLoader)
            # The safe loader makes plain values only, whatever the tags say.
            self.data: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"line {mark.line + 1}: " if mark else ""
            raise UsageError(f"{name}: {where}not YAML: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise UsageError(f"{name}: not YAML: {error}") from None
        if not isinstance(self.data, dict):
            raise UsageError(f"{name}: expected a mapping with `models` or `model_list`, found nothing of that kind")
        if self._root is not None:
            self._refuse_duplicates(self._root)

    def line(self, path: Sequence[str | int]) -> int:
        """Return the line of the value at a path, or of the closest thing above it that is in the file."""
        node: Any = self._root
        line = node.start_mark.line if node is not None else 0
        for step in path:
            found = _child(node, step)
            if found is None:
                continue  # a step that validation made up, for example the one deployment of a short form
            line, node = found
        return int(line) + 1

    def error(self, path: Sequence[str | int], message: str) -> UsageError:
        """Return the error for something wrong at a path."""
        place = ".".join(map(str, path))
        return UsageError(f"{self.name}, line {self.line(path)}: {f'{place}: ' if place else ''}{message}")

    def resolve(self, environment: Mapping[str, str]) -> list[tuple[Path, str]]:
        """Put the values of environment variables in place of `os.environ/NAME`.

        Returns:
            The path and name of each variable that is not set; its value is then null.
        """
        missing: list[tuple[Path, str]] = []
        self.data = _resolved(self.data, environment, (), missing)
        return missing

    def _refuse_duplicates(self, node: yaml.Node, path: Path = (), depth: int = 0) -> None:
        if depth > 50:
            raise UsageError(f"{self.name}: nested too deeply, or an alias contains itself")
        if isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self._refuse_duplicates(item, (*path, number), depth + 1)
        elif isinstance(node, yaml.MappingNode):
            seen: set[Any] = set()
            for key, value in node.value:
                if key.value in seen and key.value != "<<":
                    line = key.start_mark.line + 1
                    raise UsageError(f"{self.name}, line {line}: {key.value!r} is there twice; the first would be lost")
                seen.add(key.value)
                self._refuse_duplicates(value, (*path, key.value), depth + 1)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the name that comes closest, ready to be put behind a message; else nothing."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _child(node: Any, step: str | int) -> tuple[int, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item = node.value[step]
        return item.start_mark.line, item
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
