"""OpenAI-shaped results that are read as attributes or as dictionaries, whichever a program already does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sagewire.openai_shapes import chat_completion, embedding_list, text_completion
from sagewire.openai_shapes.answers import add_usage
from sagewire.types import Embeddings, Reply, ResponseInfo, Usage
from sagewire.types.replies import NO_INFO

__all__ = ["OpenAiObject", "chat_object", "embedding_object", "joined", "object_of", "text_object", "usage_object"]

# Fields that OpenAI's objects have or have not; those that are absent read as None, as in OpenAI's own client.
_OPTIONAL = frozenset(
    {
        "annotations",
        "audio",
        "content",
        "finish_reason",
        "function_call",
        "logprobs",
        "reasoning_content",
        "refusal",
        "role",
        "stop_reason",
        "system_fingerprint",
        "tool_calls",
        "usage",
    }
)


class OpenAiObject(dict[str, Any]):
    """A JSON object whose fields are also attributes; `in` and iteration see only the fields it has.

    Attributes:
        info: The service's facts about the response: request id, variant, timings.

    Example:
        >>> answer = object_of({"choices": [{"message": {"content": "Hi"}}]})
        >>> answer.choices[0].message.content == answer["choices"][0]["message"]["content"]
        True
        >>> answer.usage is None
        True
    """

    info: ResponseInfo = NO_INFO

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this object has no field {name!r}; it has {', '.join(self)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __missing__(self, name: str) -> Any:
        if name in _OPTIONAL:
            return None
        raise KeyError(name)

    def model_dump(self, *, exclude_none: bool = False) -> dict[str, Any]:
        """Return plain dictionaries, as the objects of pydantic do."""
        plain: dict[str, Any] = _plain(self, exclude_none)
        return plain

    def model_dump_json(self, *, indent: int | None = None) -> str:
        """Return the object as JSON text."""
        return json.dumps(self, indent=indent, ensure_ascii=False)

    def json(self) -> dict[str, Any]:
        """Return plain dictionaries, under LiteLLM's name for it."""
        return self.model_dump()


def object_of(value: Any) -> Any:
    """Return JSON with every object in it readable as attributes."""
    if isinstance(value, Mapping):
        return OpenAiObject((name, object_of(item)) for name, item in value.items())
    if isinstance(value, list):
        # Vectors are long, and hold nothing to convert.
        return value if value and isinstance(value[0], float) else [object_of(item) for item in value]
    return value


def chat_object(replies: list[Reply], *, model: str | None) -> OpenAiObject:
    """Return one or several answers to the same conversation as a `chat.completion`."""
    whole = joined(replies)
    return _completed(chat_completion(whole, model=model or ""), whole, model)


def text_object(replies: list[Reply], *, model: str | None, echo: list[str] | None = None) -> OpenAiObject:
    """Return the answers to prompts, numbered through, as a `text_completion`.

    Args:
        replies: The answers.
        model: The name under which they were asked for.
        echo: For each of the replies its prompt, if that should precede the answer.
    """
    body = text_completion(replies, model=model or "", echo=echo or ())
    return _completed(body, joined(replies), model)


def embedding_object(embeddings: Embeddings, *, model: str | None, base64: bool = False) -> OpenAiObject:
    """Return vectors as OpenAI's list object."""
    body = embedding_list(embeddings, model=model or "", encoding_format="base64" if base64 else "float")
    tokens = embeddings.usage.prompt_tokens if embeddings.usage else None
    usage = None if tokens is None else {"prompt_tokens": tokens, "total_tokens": tokens}
    return _with_info(object_of({**body, "model": model, "usage": usage}), embeddings.info)


def usage_object(usage: Usage | None) -> dict[str, Any] | None:
    """Return token counts as the server gave them; one that it did not give is `None`, never a guess."""
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _completed(body: dict[str, Any], whole: Reply, model: str | None) -> OpenAiObject:
    usage = usage_object(whole.usage)
    if usage is not None:
        # The shapes write 0 for an unknown count, and details if there are any.
        body["usage"] = {**body.get("usage", {}), **usage}
    else:
        body["usage"] = None
    return _with_info(object_of({**body, "model": model}), whole.info)


def joined(replies: list[Reply]) -> Reply:
    """Return one or several answers to the same conversation as one reply."""
    if len(replies) == 1:
        return replies[0]
    first = replies[0]
    choices = tuple(choice for reply in replies for choice in reply.choices)
    usage = add_usage([reply.usage for reply in replies])
    return Reply(choices, usage, first.id, first.model, first.extra, first.info)


def _with_info(made: Any, info: ResponseInfo) -> OpenAiObject:
    # Beside the fields, not among them.
    made.__dict__["info"] = info
    return made  # type: ignore[no-any-return]


def _plain(value: Any, exclude_none: bool) -> Any:
    if isinstance(value, dict):
        return {
            name: _plain(item, exclude_none) for name, item in value.items() if item is not None or not exclude_none
        }
    return [_plain(item, exclude_none) for item in value] if isinstance(value, list) else value
