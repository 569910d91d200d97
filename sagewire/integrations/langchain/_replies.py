"""Sagewire's whole replies as LangChain's messages."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import (
    AIMessage,
    InvalidToolCall,
    UsageMetadata,
)
from langchain_core.messages import (
    ToolCall as LangChainToolCall,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult

from sagewire.integrations.langchain._messages import REASONING
from sagewire.types import (
    Choice,
    Reply,
    TokenLogprob,
    ToolCall,
    Usage,
    parse_arguments,
)

__all__ = [
    "OWN_MESSAGE",
    "PROVIDER",
    "generation_info_of",
    "metadata_of",
    "to_result",
    "token_usage",
    "usage_metadata_of",
]

# Both `ls_provider` and every message's `model_provider`: middleware trusts reported usage only where they agree.
PROVIDER = "sagewire"

# The key under which a reply keeps the message made by the user's own content handler.
OWN_MESSAGE = "langchain_message"


def to_result(reply: Reply, model_name: str) -> ChatResult:
    """Return a whole reply as LangChain wants it.

    Args:
        reply: The answer; each choice becomes a generation.
        model_name: The model's name if the server did not report one.
    """
    generations = []
    for number, choice in enumerate(reply.choices):
        message = _message(reply, choice, model_name, usage=number == 0)
        generations.append(ChatGeneration(message=message, generation_info=generation_info_of(choice)))
    output: dict[str, Any] = {"model_name": reply.model or model_name}
    if reply.usage is not None:
        output["token_usage"] = token_usage(reply.usage)
    return ChatResult(generations=generations, llm_output=output)


def metadata_of(reply: Reply, choice: Choice, model_name: str) -> dict[str, Any]:
    """Return `response_metadata`: what is known about the answer, and nothing that is not."""
    info = reply.info
    known = {
        "model_provider": PROVIDER,
        "model_name": reply.model or model_name,
        "id": reply.id,
        "finish_reason": choice.finish_reason,
        "stop_sequence": choice.stop,
        "system_fingerprint": reply.extra.get("system_fingerprint"),
        "request_id": info.request_id,
        "production_variant": info.production_variant,
        "custom_attributes": info.custom_attributes,
        "new_session_id": info.new_session_id,
        "logprobs": {"content": [_logprob(token) for token in choice.logprobs]} if choice.logprobs else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def token_usage(usage: Usage) -> dict[str, int]:
    """Return token counts under OpenAI's names, which callbacks written for LLMs read."""
    counts = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    return {name: count for name, count in counts.items() if count is not None}


def _message(reply: Reply, choice: Choice, model_name: str, *, usage: bool) -> AIMessage:
    own = reply.extra.get(OWN_MESSAGE)
    if isinstance(own, AIMessage):
        metadata = {**metadata_of(reply, choice, model_name), **own.response_metadata}
        # A stop string may have ended the text.
        content = own.content if own.text == choice.text else choice.text
        return own.model_copy(update={"content": content, "response_metadata": metadata})
    good: list[LangChainToolCall] = []
    broken: list[InvalidToolCall] = []
    for call in choice.tool_calls:
        arguments, error = _arguments(call)
        if error is None:
            good.append(tool_call(name=call.name, args=arguments, id=call.id or None))
        else:
            broken.append(invalid_tool_call(name=call.name, args=call.arguments, id=call.id or None, error=error))
    return AIMessage(
        content=choice.text,
        additional_kwargs={REASONING: choice.thinking} if choice.thinking else {},
        tool_calls=good,
        invalid_tool_calls=broken,
        response_metadata=metadata_of(reply, choice, model_name),
        usage_metadata=usage_metadata_of(reply.usage) if usage else None,
    )


def _arguments(call: ToolCall) -> tuple[dict[str, Any], str | None]:
    try:
        return parse_arguments(call.arguments), None
    except ValueError as error:
        return {}, f"The arguments of {call.name!r} cannot be read as a JSON object: {error}"


def generation_info_of(choice: Choice) -> dict[str, Any] | None:
    """Return what callbacks look for beside the message."""
    return {"finish_reason": choice.finish_reason} if choice.finish_reason else None


def usage_metadata_of(usage: Usage | None) -> UsageMetadata | None:
    """Return token counts as LangChain has them; a count the server did not give is 0 there, which has no `None`."""
    if usage is None or (usage.prompt_tokens is None and usage.completion_tokens is None):
        return None
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    metadata = UsageMetadata(input_tokens=prompt, output_tokens=completion, total_tokens=prompt + completion)
    if usage.cached_tokens is not None:
        metadata["input_token_details"] = InputTokenDetails(cache_read=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        metadata["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    return metadata


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    top = [{"token": text, "logprob": value} for text, value in token.top]
    return {"token": token.token, "logprob": token.logprob, "top_logprobs": top}
