"""The check of every request against the capabilities its handler declares, before the handler sees it.

A handler declares (`can`, `option_names`, `takes_extra`) and need not remember to refuse. Settings that ask for nothing
(`n=1`, `logprobs=False`) are taken out when the handler has no place for them, since OpenAI's clients send them
unasked. Everything else that is not declared is an `UnsupportedFeature`.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sagewire.content_handlers.base import ContentHandler, Request, asks_for_nothing, unsupported_option
from sagewire.content_handlers.embeddings import EmbeddingHandler
from sagewire.content_handlers.rerank import RerankHandler
from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.streaming.base import BaseDecoder
from sagewire.types import (
    ChatRequest,
    Delta,
    EmbedOptions,
    ImagePart,
    MediaPart,
    Message,
    Options,
    TextPart,
    ToolCallDelta,
    make_options,
)
from sagewire.types.requests import SPELLINGS

__all__ = [
    "OneToolCall",
    "check_tool_choice",
    "enforce",
    "enforce_embedding",
    "enforce_rerank",
    "refuse_media",
    "without_further_fields",
]

# Options that need a capability besides their name.
_CAPABILITIES = {
    "n": "n",
    "logprobs": "logprobs",
    "top_logprobs": "logprobs",
    "response_format": "response_format",
}

# Values of settings that a server does not read, which ask for what it does anyway; False is one for all others.
_ANYWAY: Mapping[str, tuple[Any, ...]] = {"do_sample": (True,), "details": (True, False)}

_SPELLINGS: Mapping[str, str] = {**SPELLINGS, "max_tokens": "max_tokens"}

logger = logging.getLogger("sagewire")
# Message fields whose omission has been logged.
_LEFT_OUT: set[str] = set()

_TOOLS_CURE = "Use a handler that carries tools, or a text handler with a prompt format that writes them."
_MEDIA_CURE = "Send text or images, or use a handler of an OpenAI-shaped server that takes it."
_IMAGES_CURE = "Send text only, or use a handler that carries images."


def enforce(request: Request, handler: ContentHandler) -> Request:
    """Return the request without settings that ask for nothing; the handler declares everything that is left.

    Raises:
        UnsupportedFeature: The request needs something the handler does not declare.
        UsageError: `tool_choice` demands a tool that is not offered.
    """
    if isinstance(request, ChatRequest):
        _check_messages(request.messages, handler)
        request = without_further_fields(request, handler)
        if request.tools or request.tool_choice is not None:
            request = _enforce_tools(request, handler)
    if request.options.extra and handler.translates_settings:
        request = replace(request, options=_respelled(request.options, handler))
    if request.options.extra and handler.ignores:
        request = replace(request, options=_without_ignored(request.options, handler))
    options, can, names = request.options, handler.can, handler.option_names
    unsaid: dict[str, Any] = {}
    for name, value in options.given().items():
        if name in names and (name not in _CAPABILITIES or getattr(can, _CAPABILITIES[name])):
            continue
        if name == "stop":
            # Enforced by sagewire itself; see `PreparedCall.stops`.
            unsaid[name] = ()
        elif asks_for_nothing(name, value):
            unsaid[name] = None
        else:
            raise unsupported_option(name, handler.name, handler.cures.get(name))
    if options.extra and not handler.takes_extra:
        raise _unsupported_extra(options.extra, f"handler '{handler.name}'")
    return replace(request, options=replace(options, **unsaid)) if unsaid else request


def _respelled(options: Options, handler: ContentHandler) -> Options:
    """Return the options with settings in `extra` renamed to sagewire's names if this request format spells them so.

    Servers ignore fields they do not know: an OpenAI-shaped server ignores `max_new_tokens`, TGI `max_tokens`.
    """
    moved: dict[str, Any] = {}
    for name, value in options.extra.items():
        setting = _SPELLINGS.get(name)
        if setting is not None and handler.option_names.get(setting, name) != name and value is not None:
            moved[name] = value
    if not moved:
        return options
    rest = {name: value for name, value in options.extra.items() if name not in moved}
    settings: dict[str, Any] = {_SPELLINGS[name]: value for name, value in moved.items()}
    return make_options(replace(options, extra=rest), **settings)


def _without_ignored(options: Options, handler: ContentHandler) -> Options:
    """Return the options without settings in `extra` that the server does not read, if it does what they ask for.

    Raises:
        UnsupportedFeature: It does not.
    """
    ignored = {name: value for name, value in options.extra.items() if name in handler.ignores and value is not None}
    if ignored.get("do_sample") is False and options.temperature in (None, 0):
        options = replace(options, temperature=0)
        del ignored["do_sample"]
    for name, value in ignored.items():
        if value not in _ANYWAY.get(name, (False,)) or (name == "do_sample" and options.temperature == 0):
            raise unsupported_option(name, handler.name, handler.ignores[name])
    return replace(options, extra={name: value for name, value in options.extra.items() if name not in handler.ignores})


def enforce_embedding(options: EmbedOptions, handler: EmbeddingHandler) -> EmbedOptions:
    """Return the options of an embedding call; `input_type` is a hint and passes.

    Raises:
        UnsupportedFeature: The handler does not declare an option that was given.
    """
    where = f"embedding handler '{handler.name}'"
    for name in ("dimensions", "truncate", "normalize"):
        if getattr(options, name) is not None and name not in handler.option_names:
            raise UnsupportedFeature(f"the option '{name}'", where)
    if options.extra and not handler.takes_extra:
        raise _unsupported_extra(options.extra, where)
    if options.model is not None and "model" not in handler.option_names:
        return replace(options, model=None)
    return options


def enforce_rerank(extra: Mapping[str, Any], handler: RerankHandler) -> None:
    """Check the settings of a rerank call; `top_n` need not be sent, since sagewire cuts the answer.

    Raises:
        UnsupportedFeature: The handler takes no further settings.
    """
    if extra and not handler.takes_extra:
        raise _unsupported_extra(extra, f"rerank handler '{handler.name}'")


def check_tool_choice(chat: ChatRequest) -> None:
    """Check that `tool_choice` can be met with the tools of the request.

    Raises:
        UsageError: The request has no tools, or lacks the one that `tool_choice` names.
    """
    choice = chat.tool_choice
    if choice in (None, "auto", "none"):
        return
    if not chat.tools:
        raise UsageError(f"tool_choice={choice!r} needs tools: pass tools=[...] along with it")
    names = [tool.name for tool in chat.tools]
    if choice != "required" and choice not in names:
        close = difflib.get_close_matches(str(choice), names, 1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise UsageError(f"tool_choice={choice!r} is not one of the tools of this request ({', '.join(names)}){hint}")


def _enforce_tools(chat: ChatRequest, handler: ContentHandler) -> ChatRequest:
    check_tool_choice(chat)
    can = handler.can
    if chat.tool_choice == "none" and not can.tool_choice:
        # The same without a field for it: a tool that is not sent cannot be called.
        return replace(chat, tools=(), tool_choice=None, parallel_tool_calls=None)
    if chat.tools and not can.tools:
        raise UnsupportedFeature("tools", f"handler '{handler.name}'", handler.cures.get("tools", _TOOLS_CURE))
    if chat.tool_choice not in (None, "auto") and not can.tool_choice:
        raise UnsupportedFeature(
            f"tool_choice={chat.tool_choice!r}",
            f"handler '{handler.name}'",
            "Leave it out, or use 'auto': the model decides whether to call a tool.",
        )
    changes: dict[str, Any] = {}
    if chat.tool_choice is not None and not (chat.tools and can.tool_choice):
        changes["tool_choice"] = None
    if chat.parallel_tool_calls is not None and not (chat.tools and can.parallel_tool_calls):
        # Enforced by sagewire itself; see `OneToolCall`.
        changes["parallel_tool_calls"] = None
    return replace(chat, **changes) if changes else chat


def _check_messages(messages: Sequence[Message], handler: ContentHandler) -> None:
    can = handler.can
    for message in messages:
        if (message.tool_calls or message.role == "tool") and not can.tools:
            cure = handler.cures.get("tools", _TOOLS_CURE)
            raise UnsupportedFeature("tool calls in the conversation", f"handler '{handler.name}'", cure)
        if type(message.content) is str:
            continue
        for part in message.content:
            if isinstance(part, TextPart) or (can.images if isinstance(part, ImagePart) else can.media):
                continue
            if isinstance(part, MediaPart):
                raise _unsupported_media(part, handler)
            kind = "images" if isinstance(part, ImagePart) else f"message parts of type {type(part).__name__}"
            raise UnsupportedFeature(kind, f"handler '{handler.name}'", handler.cures.get("images", _IMAGES_CURE))


def refuse_media(messages: Sequence[Message], handler: ContentHandler) -> None:
    """Check that a conversation that becomes a prompt holds no audio, video or files.

    Raises:
        UnsupportedFeature: It does.
    """
    for message in messages:
        if type(message.content) is not str:
            for part in message.content:
                if isinstance(part, MediaPart):
                    raise _unsupported_media(part, handler)


def _unsupported_media(part: MediaPart, handler: ContentHandler) -> UnsupportedFeature:
    cure = handler.cures.get("media", _MEDIA_CURE)
    return UnsupportedFeature(f"message parts of type '{part.kind}'", f"handler '{handler.name}'", cure)


def without_further_fields(chat: ChatRequest, handler: ContentHandler) -> ChatRequest:
    """Return a conversation without the fields of other programs, unless the request format has fields for them.

    The model does not need them (`id`, `timestamp`, `provider_specific_fields`), so they are logged once and left out.
    """
    if handler.passes_message_fields or not any(message.extra for message in chat.messages):
        return chat
    names = {str(name) for message in chat.messages for name in message.extra}
    if new := names - _LEFT_OUT:
        _LEFT_OUT.update(new)
        logger.info("fields of messages that handler '%s' cannot carry are left out: %s", handler.name, sorted(new))
    return replace(chat, messages=tuple(replace(turn, extra={}) if turn.extra else turn for turn in chat.messages))


def _unsupported_extra(extra: Mapping[str, Any], where: str) -> UnsupportedFeature:
    return UnsupportedFeature(f"further settings (extra: {', '.join(map(str, extra))})", where, "Leave them out.")


class OneToolCall(BaseDecoder[Delta, Delta]):
    """The stage that keeps one tool call per choice, for request formats without `parallel_tool_calls`."""

    def __init__(self) -> None:
        self._first: dict[int, int] = {}

    def _decode(self, delta: Delta, out: list[Delta]) -> None:
        if isinstance(delta, ToolCallDelta):
            if self._first.setdefault(delta.choice, delta.index) != delta.index:
                return
            if delta.cancelled:
                # It turned out to be text, so the next call is the first.
                del self._first[delta.choice]
        out.append(delta)
