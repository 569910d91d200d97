"""Settings under the names people use, as the options of a sagewire client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.content_handlers import ContentHandler, LangChainHandler, LlamaIndexHandler
from sagewire.errors import UsageError
from sagewire.types import OptionArguments
from sagewire.types.requests import SPELLINGS

__all__ = ["as_options", "as_tool_choice"]

_OPTIONS = frozenset(OptionArguments.__annotations__) - {"extra"}


def as_options(handler: ContentHandler, *layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return keyword arguments for a client; later layers win, and the arguments stay unchanged.

    Names that are not options of sagewire go to the container as they are. Only if the container uses OpenAI's
    language are Hugging Face's names for the same thing translated.

    Args:
        handler: The container's request format.
        *layers: Settings, the most general first. `None` takes a setting back.

    Example:
        >>> from sagewire.content_handlers import TgiHandler
        >>> as_options(TgiHandler(), {"temperature": 0.5, "watermark": True}, {"temperature": 0})
        {'temperature': 0, 'extra': {'watermark': True}}
    """
    merged: dict[str, tuple[str, Any]] = {}
    extra: dict[str, Any] = {}
    foreign = isinstance(handler, LangChainHandler | LlamaIndexHandler)
    for layer in layers:
        nested = layer.get("model_kwargs")
        if isinstance(nested, Mapping) and not foreign:
            # A server would not read a field of this name.
            layer = {**nested, **{name: value for name, value in layer.items() if name != "model_kwargs"}}
        for name, value in layer.items():
            if name == "extra":
                extra.update(value or {})
            else:
                merged[SPELLINGS.get(name, name)] = (name, value)
    translate = handler.speaks == "messages" and not foreign
    options: dict[str, Any] = {}
    for general, (name, value) in merged.items():
        known = general if translate else name
        if known not in _OPTIONS:
            extra[known] = value
        elif value is not None:
            options[known] = value
    return {**options, "extra": extra} if extra else options


def as_tool_choice(value: str | Mapping[str, Any] | None) -> str | None:
    """Return a tool choice as sagewire names it: `auto`, `none`, `required`, or a tool's name.

    Example:
        >>> as_tool_choice({"type": "function", "function": {"name": "add"}})
        'add'
    """
    if isinstance(value, Mapping):
        function = value.get("function", value)
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str) or not name:
            raise UsageError(
                f"tool_choice={dict(value)!r} does not name a tool; use 'auto', 'none', 'required' or a name"
            )
        return name
    return "required" if value == "any" else value
