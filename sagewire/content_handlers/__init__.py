"""Content handlers: what serving containers speak.

`HANDLERS` is the whole list. A name from it, a handler object of your own, or one written for LangChain
(`transform_input`, `transform_output`) or LlamaIndex (`serialize_input`, `deserialize_output`) is accepted wherever
sagewire takes `handler=` or `content_handler=`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from sagewire.content_handlers.base import Capabilities, ContentHandler, EventReader, JsonHandler, map_options
from sagewire.content_handlers.custom import LangChainHandler, LlamaIndexHandler
from sagewire.content_handlers.lmi import LmiHandler
from sagewire.content_handlers.openai_chat import OpenAiChatHandler
from sagewire.content_handlers.tgi import TgiHandler
from sagewire.errors import UsageError

__all__ = [
    "HANDLERS",
    "Capabilities",
    "ContentHandler",
    "EventReader",
    "JsonHandler",
    "LangChainHandler",
    "LlamaIndexHandler",
    "LmiHandler",
    "OpenAiChatHandler",
    "TgiHandler",
    "get_handler",
    "map_options",
]

HANDLERS: dict[str, Callable[[], ContentHandler]] = {
    "lmi": LmiHandler,
    "openai_chat": OpenAiChatHandler,
    "tgi": TgiHandler,
}


def get_handler(handler: Any) -> ContentHandler:
    """Return the handler that is meant.

    Args:
        handler: A name in `HANDLERS`, a `ContentHandler` or a class of it, or an object (or class) in the style of
            LangChain's `LLMContentHandler` or LlamaIndex's `BaseIOHandler`.

    Raises:
        UsageError: There is no handler of that name, or the object is none.

    Example:
        >>> get_handler("tgi")
        TgiHandler()
    """
    if isinstance(handler, str):
        return _by_name(handler)
    if isinstance(handler, ContentHandler):
        return handler
    if isinstance(handler, type):
        handler = handler()
        if isinstance(handler, ContentHandler):
            return handler
    if _has(handler, "transform_input", "transform_output"):
        return LangChainHandler(handler)
    if _has(handler, "serialize_input", "deserialize_output"):
        return LlamaIndexHandler(handler)
    raise UsageError(
        f"{type(handler).__name__} is no content handler: pass an object with transform_input and transform_output, "
        f"or serialize_input and deserialize_output, or a name: {', '.join(sorted(HANDLERS))}"
    )


def _by_name(name: str) -> ContentHandler:
    try:
        return HANDLERS[name]()
    except KeyError:
        pass
    close = difflib.get_close_matches(name, HANDLERS, 1)
    hint = f", did you mean '{close[0]}'?" if close else "."
    raise UsageError(f"there is no handler '{name}'{hint} Known handlers: {', '.join(sorted(HANDLERS))}")


def _has(handler: Any, *methods: str) -> bool:
    return all(callable(getattr(handler, method, None)) for method in methods)
