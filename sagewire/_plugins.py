"""Content handlers and prompt formats of other packages: entry points, and objects named by `package.module:Name`.

A distribution adds names with entry points, which it declares in its `pyproject.toml`:

    [project.entry-points."sagewire.content_handlers"]
    nimbus = "nimbus_sagewire:NimbusHandler"

The installed distributions are searched once per process, and again when a name is not found.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

from sagewire.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "CONTENT_HANDLERS",
    "PROMPT_FORMATS",
    "find",
    "is_import_path",
    "load_import_path",
    "plugin_names",
    "refresh",
]

CONTENT_HANDLERS = "sagewire.content_handlers"
PROMPT_FORMATS = "sagewire.prompt_formats"

_IMPORT_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def plugin_names(group: str) -> list[str]:
    """Return the names that installed distributions add to a group, sorted."""
    return sorted(_installed(group))


def refresh() -> None:
    """Search the installed distributions anew next time."""
    _installed.cache_clear()


def find(name: str, group: str, *, built_in: bool) -> Any:
    """Return the object that an installed distribution offers under a name, or `None`.

    Args:
        name: The name.
        group: The group of entry points.
        built_in: sagewire itself has something of this name.

    Raises:
        UsageError: Two sources offer this name, or the object cannot be loaded; the message names the sources.
    """
    if not built_in and name not in _installed(group):
        # It may have been installed meanwhile, in a notebook for example.
        refresh()
    found = _installed(group).get(name, ())
    if not found:
        return None
    sources = [*(["sagewire itself"] if built_in else []), *(_source(point) for point in found)]
    if len(sources) > 1:
        raise UsageError(
            f"the name {name!r} is offered by {' and by '.join(sources)} (entry points of the group {group!r}); "
            "uninstall one of them, rename it, or pass 'package.module:Name'"
        )
    try:
        return found[0].load()
    except Exception as error:
        raise UsageError(f"{name!r} of {sources[0]} cannot be loaded: {type(error).__name__}: {error}") from error


def is_import_path(name: str) -> bool:
    """Return whether a name is of the form `package.module:Name`.

    Example:
        >>> is_import_path("nimbus.handlers:NimbusHandler"), is_import_path("tgi")
        (True, False)
    """
    return _IMPORT_PATH.fullmatch(name) is not None


def load_import_path(path: str) -> Any:
    """Return the object that `package.module:Name` names.

    Raises:
        UsageError: The module cannot be imported, or has no such object.
    """
    module, _, name = path.partition(":")
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise UsageError(f"{path!r}: cannot import {module}: {error}") from error
        raise UsageError(f"{path!r}: cannot import {module}: {error}; is its folder on PYTHONPATH?") from None
    except Exception as error:
        raise UsageError(f"{path!r}: cannot import {module}: {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{path!r}: {module} has no {name}")
        found = getattr(found, part)
    return found


@cache
def _installed(group: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    if not _any_names(group):
        return {}
    from importlib.metadata import entry_points

    found: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for point in entry_points(group=group):
        # A distribution may lie on the path twice.
        found.setdefault(point.name, {})[(_source(point), point.value)] = point
    return {name: tuple(points.values()) for name, points in found.items()}


def _any_names(group: str) -> bool:
    """Return whether a distribution may have names for a group.

    Parsing what all of them offer takes as long as a small call, and nearly always none of it is for sagewire.
    """
    # Distributions that are elsewhere than in a folder: in a zip file, or where a finder of another package looks.
    if any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder):
        return True
    if any(os.path.isfile(place) for place in sys.path):
        return True
    return any(group.encode() in declared for place in sys.path for declared in _declarations(place or os.curdir))


def _declarations(place: str) -> Iterator[bytes]:
    """Yield what distributions in a folder declare as entry points."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if entry.name.lower().endswith(("dist-info", "egg-info")):
                with suppress(OSError), open(os.path.join(entry.path, "entry_points.txt"), "rb") as file:
                    yield file.read()


def _source(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version} ({point.value})" if point.dist else point.value
