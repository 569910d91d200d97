"""The checks of how a content handler writes requests: everything it declares is carried, everything else refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sagewire.client.prepared_call import prepare
from sagewire.content_handlers.base import ContentHandler, Request
from sagewire.errors import SagewireError, UnsupportedFeature
from sagewire.types import ChatRequest, ImagePart, Message, PromptRequest, TextPart, Tool, ToolCall

__all__ = ["check_requests"]

# One value for each option that no server has for a default.
OPTIONS: dict[str, Any] = {
    "max_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 5,
    "min_p": 0.1,
    "typical_p": 0.5,
    "stop": ("x",),
    "seed": 1,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "repetition_penalty": 1.5,
    "n": 2,
    "logprobs": True,
    "top_logprobs": 2,
    "response_format": {"type": "json_object"},
    "reasoning_effort": "low",
    "model": "served",
    "adapter": "tone",
}
# Without a field for them sagewire enforces the one, and the other needs no field.
NEVER_REFUSED = {"stop", "model"}
CAPABILITIES = {"n": "n", "logprobs": "logprobs", "top_logprobs": "logprobs", "response_format": "response_format"}

LOOK = Tool("look", "Look around.", {"type": "object", "properties": {"where": {"type": "string"}}})
WAIT = Tool("wait", "Wait.", {"type": "object", "properties": {}})


def check_requests(handler: ContentHandler, request: Request) -> None:
    """Check the bytes a handler makes of requests.

    Args:
        handler: The handler to check.
        request: A request it takes.

    Raises:
        AssertionError: A check failed; the message says which and why.
    """
    for streamed in (False, True) if handler.can.streaming else (False,):
        asked = replace(request, stream=streamed)
        body = handler.transform_input(asked)
        assert isinstance(body, bytes), f"transform_input must return bytes, not {type(body).__name__}"
        assert handler.transform_input(asked) == body, "transform_input must give the same bytes for the same request"
    request = replace(request, stream=False)
    for what, declared, asked, compared in _features(handler, request):
        if declared:
            _check_carried(handler, what, asked, compared)
        else:
            _check_refused(handler, what, asked)


def _check_carried(handler: ContentHandler, what: str, asked: Request, compared: Request) -> None:
    try:
        sent = prepare(asked, handler).invocation
    except SagewireError as error:
        raise AssertionError(f"{handler!r} declares {what} and refuses it: {error}") from error
    assert sent != prepare(compared, handler).invocation, (
        f"{handler!r} declares {what}, but what it sends does not depend on it: write it into the request, or do not "
        "declare it"
    )


def _check_refused(handler: ContentHandler, what: str, asked: Request) -> None:
    try:
        prepare(asked, handler)
    except UnsupportedFeature:
        return
    raise AssertionError(f"{handler!r} does not declare {what}, so asking for it must raise UnsupportedFeature")


def _features(handler: ContentHandler, request: Request) -> Iterator[tuple[str, bool, Request, Request]]:
    """Yield a feature, whether the handler declares it, a request for it, and one that differs in it alone."""
    # A schema and tools together are a combination that a handler may refuse; each by itself is what it declares.
    plain = replace(request, tools=(), tool_choice=None) if isinstance(request, ChatRequest) else request
    for name, value in OPTIONS.items():
        declared = name in handler.option_names and getattr(handler.can, CAPABILITIES.get(name, ""), True)
        if declared or name not in NEVER_REFUSED:
            unsaid = () if name == "stop" else None
            asked, compared = _with_options(plain, **{name: value}), _with_options(plain, **{name: unsaid})
            yield f"the option {name}", declared, asked, compared
    extra = {**request.options.extra, "sagewire_check": 1}
    yield "takes_extra", handler.takes_extra, _with_options(request, extra=extra), request
    if isinstance(request, PromptRequest):
        yield "the prompt", True, replace(request, prompt=f"{request.prompt} Now."), request
    else:
        yield from _features_of_conversations(handler, request)


def _with_options(request: Request, **options: Any) -> Request:
    return replace(request, options=replace(request.options, **options))


def _features_of_conversations(
    handler: ContentHandler, request: ChatRequest
) -> Iterator[tuple[str, bool, Request, Request]]:
    can = handler.can
    request = replace(request, tools=(), tool_choice=None)
    *earlier, last = request.messages
    yield "the text of a message", True, replace(request, messages=(*earlier, Message(last.role, "Now."))), request
    images = [
        replace(request, messages=(Message("user", (TextPart("What is this?"), ImagePart(data=data))),))
        for data in (b"\x89PNG\r\n\x1a\n", b"GIF89a")
    ]
    yield "images", can.images, images[0], images[1]
    with_tools = replace(request, tools=(LOOK, WAIT))
    yield "tools", can.tools, with_tools, replace(request, tools=(LOOK,))
    for part, other in (
        ("description", replace(LOOK, description="Look up.")),
        ("parameters", replace(LOOK, parameters=WAIT.parameters)),
    ):
        yield f"tools ({part})", can.tools, with_tools, replace(request, tools=(other, WAIT))
    for choice in ("required", "look"):
        asked = replace(with_tools, tool_choice=choice)
        yield f"tool_choice ({choice!r})", can.tools and can.tool_choice, asked, with_tools
    if can.tools:
        yield "tool_choice ('none')", True, replace(with_tools, tool_choice="none"), with_tools
    if can.tools and can.parallel_tool_calls:
        yield "parallel_tool_calls", True, replace(with_tools, parallel_tool_calls=False), with_tools
    history = _tool_history("look", '{"where": "up"}', "a star")
    for part, turns in (
        ("name", _tool_history("wait", '{"where": "up"}', "a star")),
        ("arguments", _tool_history("look", '{"where": "down"}', "a star")),
        ("result", _tool_history("look", '{"where": "up"}', "a stone")),
    ):
        asked, compared = replace(with_tools, messages=history), replace(with_tools, messages=turns)
        yield f"tool calls in the conversation ({part})", can.tools, asked, compared


def _tool_history(name: str, arguments: str, result: str) -> tuple[Message, ...]:
    return (
        Message("user", "What do you see?"),
        Message("assistant", "", tool_calls=(ToolCall("call_1", name, arguments),)),
        Message("tool", result, tool_call_id="call_1", name=name),
        Message("user", "And now?"),
    )
