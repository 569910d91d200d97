"""Optional dependencies: one sentence that names the missing package and the command that installs it."""

from __future__ import annotations

import json
from importlib import import_module, metadata
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

from sagewire.errors import MissingExtra

__all__ = ["install_command", "require"]


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency.

    Args:
        module: The module to import.
        extra: The extra of sagewire that brings it.

    Raises:
        MissingExtra: It is not installed.

    Example:
        >>> require("json", "none-needed").dumps(1)
        '1'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            # It is installed but broken: that error is the one to see.
            raise
        raise MissingExtra(
            f"this needs {package}, which is not installed: {install_command(extra)}", name=package
        ) from None


def install_command(extra: str) -> str:
    """Return the command that installs an extra from where sagewire itself came from.

    A name on a package index could be somebody else's, so the index is named only if that is where this came from.

    Args:
        extra: Its name, several with commas between them, or an empty text for none.
    """
    extra = f"[{extra}]" if extra else ""
    origin = _origin()
    if origin is None:
        # No record, as in a folder on PYTHONPATH: a clone.
        return f"pip install '.{extra}' in your clone of sagewire"
    url = str(origin.get("url", ""))
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return f"pip install 'sagewire{extra} @ {vcs.get('vcs', 'git')}+{url}@{vcs.get('commit_id', 'main')}'"
    if "dir_info" in origin:
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f"pip install {editable}'{unquote(urlsplit(url).path)}{extra}'"
    if url.startswith("file:"):
        return f"pip install '{unquote(urlsplit(url).path)}{extra}'"
    if url:
        return f"pip install 'sagewire{extra} @ {url}'"
    return f"pip install 'sagewire{extra}'"


def _origin() -> dict[str, Any] | None:
    """Return the record of where sagewire was installed from (PEP 610): `{}` for a package index, `None` if unknown."""
    try:
        text = metadata.distribution("sagewire").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
