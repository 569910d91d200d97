"""Handlers as configuration files name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sagewire.content_handlers import (
    EMBEDDING_HANDLERS,
    HANDLERS,
    RERANK_HANDLERS,
    get_embedding_handler,
    get_handler,
    get_rerank_handler,
)
from sagewire.errors import UsageError, unknown_name

__all__ = ["make_handler"]

_KINDS: Mapping[str, tuple[Callable[[Any], Any], Mapping[str, Callable[..., Any]]]] = {
    "handler": (get_handler, HANDLERS),
    "embedding_handler": (get_embedding_handler, EMBEDDING_HANDLERS),
    "rerank_handler": (get_rerank_handler, RERANK_HANDLERS),
}


def make_handler(given: str | Mapping[str, Any], setting: str = "handler") -> Any:
    """Return a new handler.

    Args:
        given: Its name, or a mapping of `name` and the arguments it is made with.
        setting: `handler`, `embedding_handler` or `rerank_handler`.

    Raises:
        UsageError: The name is unknown, or the handler does not take these arguments.

    Example:
        >>> make_handler({"name": "openai_chat", "thinking_field": "reasoning"}).thinking_field
        'reasoning'
    """
    get, named = _KINDS[setting]
    if isinstance(given, str):
        return get(given)
    arguments = dict(given)
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise UsageError(f"a {setting} with arguments needs its `name`, for example {{name: openai_chat}}")
    if not arguments:
        return get(name)
    make = named.get(name) or (type(get(name)) if ":" in name else None)
    if make is None:
        raise UsageError(unknown_name(name, named, setting.replace("_", " ")))
    try:
        return get(make(**arguments))
    except TypeError as error:
        raise UsageError(f"{setting} {name!r} cannot be made with {', '.join(arguments)}: {error}") from None
