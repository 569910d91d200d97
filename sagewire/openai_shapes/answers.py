"""Whole replies as OpenAI's response objects."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from sagewire.types import Choice, FinishReason, Reply, TokenLogprob, ToolCall, Usage

__all__ = [
    "chat_completion",
    "chat_logprobs",
    "finish_word",
    "new_id",
    "text_completion",
    "text_logprobs",
    "tool_call",
    "usage_of",
]

JSON = dict[str, Any]


def new_id(prefix: str) -> str:
    """Return a fresh id such as `chatcmpl-5f1c...`."""
    return f"{prefix}-{os.urandom(12).hex()}"


def chat_completion(reply: Reply, *, model: str, id: str | None = None, created: int | None = None) -> JSON:
    """Return a reply as a `chat.completion` object.

    Reasoning goes into `reasoning_content`, the name that DeepSeek began with and most clients read.

    Args:
        reply: The answer.
        model: The name under which it was asked for.
        id: The object's id; else the server's, else a fresh one.
        created: Seconds since the epoch; else now.
    """
    body: JSON = {
        "id": id or reply.id or new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()) if created is None else created,
        "model": model,
        "choices": [_chat_choice(number, choice) for number, choice in enumerate(reply.choices)],
    }
    return _with_surroundings(body, reply)


def text_completion(
    replies: Sequence[Reply],
    *,
    model: str,
    id: str | None = None,
    created: int | None = None,
    echo: Sequence[str] = (),
    echoed: bool = False,
) -> JSON:
    """Return the replies to one or several prompts as one `text_completion` object.

    Args:
        replies: One reply per prompt; their answers are numbered through, as OpenAI does.
        model: The name under which they were asked for.
        id: The object's id; else a fresh one.
        created: Seconds since the epoch; else now.
        echo: The prompts, if they should precede the answers.
        echoed: The server has put the prompts there itself, with their log probabilities.
    """
    choices: list[JSON] = []
    for number, reply in enumerate(replies):
        before = echo[number] if echo else ""
        choices += [
            _text_choice(len(choices) + index, choice, before, echoed) for index, choice in enumerate(reply.choices)
        ]
    body: JSON = {
        "id": id or new_id("cmpl"),
        "object": "text_completion",
        "created": int(time.time()) if created is None else created,
        "model": model,
        "choices": choices,
    }
    if len(replies) == 1:
        return _with_surroundings(body, replies[0])
    usage = add_usage([reply.usage for reply in replies])
    return body | ({"usage": usage_of(usage)} if usage is not None else {})


def add_usage(usages: Sequence[Usage | None]) -> Usage | None:
    """Return the sum of token counts; a count that any answer lacks is not known of the sum either."""
    known = [usage for usage in usages if usage is not None]
    if not known or len(known) < len(usages):
        return None

    def total(name: str) -> int | None:
        counts = [getattr(usage, name) for usage in known]
        return None if None in counts else sum(counts)

    return Usage(*(total(name) for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")))


def usage_of(usage: Usage) -> JSON:
    """Return token counts as OpenAI's `usage` object.

    Its three counts are required numbers there, so one that the server did not give is written as 0.
    """
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    body: JSON = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    if usage.cached_tokens is not None:
        body["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        body["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return body


def finish_word(reason: FinishReason | None, *, called_tools: bool) -> str:
    """Return OpenAI's word for why an answer ended.

    `error` is not among OpenAI's reasons; it is kept, because any of those would claim that the answer is whole.
    """
    if reason is None or reason == "other":
        return "tool_calls" if called_tools else "stop"
    return reason


def tool_call(call: ToolCall) -> JSON:
    """Return a tool call as a message holds it."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> JSON:
    """Return log probabilities as a chat choice holds them."""
    return {
        "content": [
            _logprob(token.token, token.logprob) | {"top_logprobs": [_logprob(*other) for other in token.top]}
            for token in tokens
        ],
        "refusal": None,
    }


def text_logprobs(tokens: Sequence[TokenLogprob], offset: int = 0) -> JSON:
    """Return log probabilities as a text choice holds them.

    Args:
        tokens: The tokens.
        offset: Where in the text the first of them begins.
    """
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.token)
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [dict(token.top) for token in tokens],
        "text_offset": offsets,
    }


def _chat_choice(number: int, choice: Choice) -> JSON:
    message: JSON = {
        "role": "assistant",
        "content": None if choice.tool_calls and not choice.text else choice.text,
        "refusal": None,
    }
    if choice.thinking:
        message["reasoning_content"] = choice.thinking
    if choice.tool_calls:
        message["tool_calls"] = [tool_call(call) for call in choice.tool_calls]
    return {
        "index": number,
        "message": message,
        "logprobs": chat_logprobs(choice.logprobs) if choice.logprobs else None,
        "finish_reason": finish_word(choice.finish_reason, called_tools=bool(choice.tool_calls)),
    } | _stop_reason(choice)


def _text_choice(number: int, choice: Choice, before: str, echoed: bool) -> JSON:
    body: JSON = {
        "index": number,
        "text": before + choice.text,
        "logprobs": text_logprobs(choice.logprobs, len(before)) if choice.logprobs else None,
        "finish_reason": finish_word(choice.finish_reason, called_tools=False),
    } | _stop_reason(choice)
    if echoed and choice.logprobs:
        body["logprobs"] = _echoed_logprobs(choice)
    return body | ({"reasoning_content": choice.thinking} if choice.thinking else {})


def _echoed_logprobs(choice: Choice) -> JSON:
    """Return the log probabilities of prompt and answer; the prompt's first token has none, and is there as null."""
    first = choice.text[: max(0, len(choice.text) - sum(len(token.token) for token in choice.logprobs))]
    found = text_logprobs(choice.logprobs, len(first))
    return {
        "tokens": [first, *found["tokens"]],
        "token_logprobs": [None, *found["token_logprobs"]],
        "top_logprobs": [None, *found["top_logprobs"]],
        "text_offset": [0, *found["text_offset"]],
    }


def _stop_reason(choice: Choice) -> JSON:
    # vLLM's field for the stop string that matched; LangChain and others read it if present.
    return {"stop_reason": choice.stop} if choice.stop is not None else {}


def _with_surroundings(body: JSON, reply: Reply) -> JSON:
    if reply.usage is not None:
        body["usage"] = usage_of(reply.usage)
    fingerprint = reply.extra.get("system_fingerprint")
    if fingerprint is not None:
        body["system_fingerprint"] = fingerprint
    return body


def _logprob(token: str, logprob: float) -> JSON:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}
