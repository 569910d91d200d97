"""Optional dependencies fail in one sentence that names the extra."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from sagewire.errors import MissingExtra

__all__ = ["require"]


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
            f"this needs {package}, which is not installed: pip install 'sagewire[{extra}]'", name=package
        ) from None
