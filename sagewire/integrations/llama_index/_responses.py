"""Replies as LlamaIndex responses: whole, and growing while a stream is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse, LogProb

from sagewire.integrations._chunk_template import ChunkTemplate
from sagewire.integrations.llama_index._blocks import assistant_message, raw_call
from sagewire.types import Choice, Delta, Reply, ResponseInfo, TextDelta, ThinkingDelta, ToolCall, ToolCallDelta, Usage

__all__ = ["ChatGrowth", "CompletionGrowth", "chat_response", "completion_response"]

Clean = Callable[[str], str]

_PIECES = ChunkTemplate(ChatResponse(message=assistant_message("", "", ()), delta="", raw=None, additional_kwargs={}))
_COMPLETIONS = ChunkTemplate(CompletionResponse(text="", delta="", raw=None))


def chat_response(reply: Reply, *, single_call: bool = False, clean: Clean | None = None) -> ChatResponse:
    """Return a whole answer.

    Args:
        reply: The answer.
        single_call: Show the first tool call only; `raw` has all of them.
        clean: The function that the text goes through first.
    """
    choice = reply.choices[0]
    calls = choice.tool_calls[:1] if single_call else choice.tool_calls
    text = clean(choice.text) if clean else choice.text
    thinking_tokens = reply.usage.reasoning_tokens if reply.usage else None
    return ChatResponse(
        message=assistant_message(text, choice.thinking or "", calls, thinking_tokens),
        raw=raw_reply(reply),
        logprobs=_logprobs(choice),
        additional_kwargs=_counts(reply.usage),
    )


def completion_response(reply: Reply, *, clean: Clean | None = None, **additional: Any) -> CompletionResponse:
    """Return a whole completion."""
    choice = reply.choices[0]
    return CompletionResponse(
        text=clean(choice.text) if clean else choice.text,
        raw=raw_reply(reply),
        logprobs=_logprobs(choice),
        additional_kwargs={**_counts(reply.usage), **additional},
    )


class ChatGrowth:
    """A streamed answer: each delta becomes a response that holds everything so far."""

    def __init__(self, *, single_call: bool = False, clean: Clean | None = None) -> None:
        self._single_call = single_call
        self._text = _Text(clean)
        self._thinking = ""
        self._calls: dict[int, ToolCall] = {}

    def add(self, delta: Delta) -> ChatResponse | None:
        """Return the response after one more delta, or `None` if it does not change anything visible."""
        if getattr(delta, "choice", 0) != 0:
            return None
        if isinstance(delta, TextDelta):
            new = self._text.add(delta.text)
            return self._response(new, {"content": new}) if new else None
        if isinstance(delta, ThinkingDelta):
            self._thinking += delta.text
            return self._response("", {"reasoning_content": delta.text}, {"thinking_delta": delta.text})
        if isinstance(delta, ToolCallDelta):
            return self._add_call(delta)
        return None

    def finish(self, reply: Reply) -> ChatResponse:
        """Return the last response, with the usage and the finish reason."""
        response = chat_response(reply, single_call=self._single_call, clean=self._text.clean)
        response.delta = (response.message.content or "")[len(self._text.shown) :]
        return response

    def _add_call(self, delta: ToolCallDelta) -> ChatResponse | None:
        if delta.cancelled:
            # The supposed call was text, which follows.
            self._calls.pop(delta.index, None)
            return None
        call = self._calls.get(delta.index) or ToolCall(f"call_{delta.index}", "", "")
        self._calls[delta.index] = ToolCall(
            delta.id or call.id if delta.index not in self._calls else call.id,
            delta.name or call.name,
            call.arguments + delta.arguments,
        )
        if self._single_call and delta.index != min(self._calls):
            return None
        piece = {"index": delta.index, "function": {"name": delta.name, "arguments": delta.arguments}}
        return self._response("", {"tool_calls": [piece]})

    def _response(
        self, delta: str, piece: Mapping[str, Any], additional: Mapping[str, Any] | None = None
    ) -> ChatResponse:
        return _PIECES.cast(
            message=assistant_message(self._text.shown, self._thinking, self._named_calls() if self._calls else ()),
            delta=delta,
            raw=_raw_piece(piece),
            additional_kwargs={} if additional is None else dict(additional),
        )

    def _named_calls(self) -> tuple[ToolCall, ...]:
        calls = tuple(call for _, call in sorted(self._calls.items()) if call.name)
        return calls[:1] if self._single_call else calls


class CompletionGrowth:
    """A streamed completion."""

    def __init__(self, clean: Clean | None = None) -> None:
        self._text = _Text(clean)

    def add(self, delta: Delta) -> CompletionResponse | None:
        """Return the response after one more delta, or `None` if the text did not grow."""
        if not isinstance(delta, TextDelta) or delta.choice != 0:
            return None
        new = self._text.add(delta.text)
        if not new:
            return None
        return _COMPLETIONS.cast(text=self._text.shown, delta=new, raw=_raw_piece({"content": new}))

    def finish(self, reply: Reply, **additional: Any) -> CompletionResponse:
        """Return the last response, with the usage and the finish reason."""
        response = completion_response(reply, clean=self._text.clean, **additional)
        response.delta = response.text[len(self._text.shown) :]
        return response


class _Text:
    """Text as it grows, and as much of it as has been shown."""

    def __init__(self, clean: Clean | None) -> None:
        self.clean = clean
        self.shown = ""
        self._whole = ""

    def add(self, text: str) -> str:
        """Return the further text to show."""
        if self.clean is None:
            self.shown += text
            return text
        self._whole += text
        cleaned = self.clean(self._whole)
        new = cleaned[len(self.shown) :]
        self.shown += new
        return new


def raw_reply(reply: Reply) -> dict[str, Any]:
    """Return an answer as an OpenAI-shaped dictionary, which readers of `raw` expect.

    `usage` is there only if the server counted: token counters then take it as exact, and estimate otherwise. What
    the service said besides is there under boto3's names too, where the published SageMaker class has it.
    """
    raw: dict[str, Any] = {
        "id": reply.id,
        "object": "chat.completion",
        "model": reply.model,
        "choices": [_raw_choice(index, choice) for index, choice in enumerate(reply.choices)],
    }
    usage = _raw_usage(reply.usage)
    if usage:
        raw["usage"] = usage
    raw["request_id"] = reply.info.request_id
    raw |= _raw_info(reply.info, reply.text)
    return {**dict(reply.extra), **raw}


def _raw_info(info: ResponseInfo, text: str) -> dict[str, Any]:
    named = {
        "ContentType": info.content_type,
        "InvokedProductionVariant": info.production_variant,
        "CustomAttributes": info.custom_attributes,
        "NewSessionId": info.new_session_id,
        "ClosedSessionId": info.closed_session_id,
    }
    known = {name: value for name, value in named.items() if value}
    return {"Body": text, "ResponseMetadata": {"RequestId": info.request_id, "HTTPStatusCode": 200}, **known}


def _raw_choice(index: int, choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text}
    if choice.thinking:
        message["reasoning_content"] = choice.thinking
    if choice.tool_calls:
        message["tool_calls"] = [raw_call(call) for call in choice.tool_calls]
    raw = {"index": index, "message": message, "finish_reason": choice.finish_reason or "other"}
    return {**raw, "stop_reason": choice.stop} if choice.stop is not None else raw


def _raw_piece(delta: Mapping[str, Any]) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": dict(delta), "finish_reason": None}]}


def _raw_usage(usage: Usage | None) -> dict[str, Any]:
    raw: dict[str, Any] = dict(_counts(usage))
    if usage and usage.cached_tokens is not None:
        raw["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage and usage.reasoning_tokens is not None:
        raw["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return raw


def _counts(usage: Usage | None) -> dict[str, int]:
    """Return the counts the server gave; one it did not give is left out, since a `None` would be added up."""
    if usage is None:
        return {}
    counts = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    return {name: count for name, count in counts.items() if count is not None}


def _logprobs(choice: Choice) -> list[list[LogProb]] | None:
    if not choice.logprobs:
        return None
    return [
        [LogProb(token=token, logprob=logprob) for token, logprob in each.top or ((each.token, each.logprob),)]
        for each in choice.logprobs
    ]
