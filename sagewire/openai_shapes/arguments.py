"""Request bodies of OpenAI's generating routes as the arguments of `Client.chat` and `Client.complete`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from sagewire.errors import UsageError
from sagewire.openai_shapes.fields import BadRequest, Fields
from sagewire.types import as_messages, as_tools
from sagewire.types.openai_shape import is_foreign

__all__ = [
    "BadRequest",
    "chat_arguments",
    "completion_arguments",
    "served_tools",
    "token_lists",
    "token_prompts",
    "wants_stream",
    "wants_usage",
]

T = TypeVar("T")
_NUMBERS = ("temperature", "top_p", "min_p", "typical_p", "frequency_penalty", "presence_penalty", "repetition_penalty")
_SAMPLING: Mapping[str, Callable[[Fields, str], Any]] = {
    **dict.fromkeys(_NUMBERS, Fields.number),
    "top_k": partial(Fields.count, least=-1),
    "seed": partial(Fields.count, least=-(2**63)),
    "n": partial(Fields.count, least=1),
    "adapter": Fields.text,
}
# Book-keeping of OpenAI's own platform. None of it changes an answer, and strict servers refuse what they do not know.
_BOOKKEEPING = frozenset({
    "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user",
})  # fmt: skip
# What asks for a thing no self-hosted wire can give, and what to do instead.
_IMPOSSIBLE = {
    "audio": "leave it out: answers are text",
    "functions": "use 'tools', which replaced it",
    "function_call": "use 'tool_choice', which replaced it",
    "web_search_options": "leave it out: only OpenAI's own models search the web",
}


def chat_arguments(body: Mapping[str, Any], skipped: list[str] | None = None) -> dict[str, Any]:
    """Return the keyword arguments of `Client.chat` for a body of `/v1/chat/completions`.

    `model`, `stream` and `stream_options` are left to the caller. Fields that OpenAI's API does not have (`top_k`,
    `min_p`, ...) are understood if sagewire has an option of that name; all others go into `extra`, which the
    content handler passes to the server unchanged.

    Args:
        body: The body.
        skipped: Gets the types of tools that are not functions, which are then left out; without it they are an error.

    Raises:
        BadRequest: A field has the wrong type, or asks for what only OpenAI's platform has.

    Example:
        >>> chat_arguments({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "top_k": 1, "guided": "x"})
        {'messages': (Message(role='user', content='Hi'),), 'top_k': 1, 'extra': {'guided': 'x'}}
    """
    fields = Fields(body)
    _drop_surroundings(fields)
    messages = fields.items("messages")
    if not messages:
        raise BadRequest("'messages' must be an array with at least one message", "messages")
    tools, choice = served_tools(fields.items("tools") or [], fields.take("tool_choice"), skipped)
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        tools, choice = _allowed_tools(tools, choice)
    arguments = {
        "messages": _read("messages", as_messages, messages),
        "tools": _read("tools", as_tools, tools) or None,
        "tool_choice": _tool_choice(choice),
        "parallel_tool_calls": fields.flag("parallel_tool_calls"),
        "max_tokens": _max_tokens(fields),
        **_sampling(fields),
        "logprobs": fields.flag("logprobs"),
        "top_logprobs": fields.count("top_logprobs"),
        "response_format": _response_format(fields),
        "reasoning_effort": fields.text("reasoning_effort"),
        "extra": _extra(fields),
    }
    return _given(arguments)


def completion_arguments(body: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the prompts and the keyword arguments of `Client.complete` for a body of `/v1/completions`.

    `model`, `stream`, `stream_options` and `echo` are left to the caller; `token_prompts` reads prompts that are given
    as token numbers.

    Raises:
        BadRequest: A field has the wrong type, or the prompt is given as token numbers.

    Example:
        >>> completion_arguments({"model": "m", "prompt": "Once", "max_tokens": 5})
        (['Once'], {'max_tokens': 5})
    """
    fields = Fields(body)
    _drop_surroundings(fields)
    fields.flag("echo")
    prompts = texts(fields.take("prompt"), "prompt")
    top_logprobs = fields.count("logprobs")
    if fields.rest().get("best_of") == fields.rest().get("n", 1):
        fields.take("best_of")
    arguments = {
        "max_tokens": fields.count("max_tokens", 0),
        **_sampling(fields),
        "logprobs": True if top_logprobs is not None else None,
        "top_logprobs": top_logprobs or None,
        "response_format": _response_format(fields),
        "extra": _extra(fields),
    }
    return prompts, _given(arguments)


def token_prompts(body: Mapping[str, Any]) -> list[list[int]] | None:
    """Return the prompts of a body of `/v1/completions` that are given as token numbers, `None` if they are texts.

    Example:
        >>> token_prompts({"prompt": [1, 2]}), token_prompts({"prompt": [[1], [2]]}), token_prompts({"prompt": "Hi"})
        ([[1, 2]], [[1], [2]], None)
    """
    return token_lists(body.get("prompt"), "prompt")


def token_lists(given: Any, name: str) -> list[list[int]] | None:
    """Return texts that are given as token numbers, one list or several of them, `None` if they are something else.

    Raises:
        BadRequest: What is in the lists are not token numbers.
    """
    lists = [given] if isinstance(given, list) and given and isinstance(given[0], int) else given
    if not isinstance(lists, list) or not lists or not all(isinstance(one, list) for one in lists):
        return None
    if not all(one and set(map(type, one)) == {int} and min(one) >= 0 for one in lists):
        raise BadRequest(f"{name!r} must hold texts, or arrays of token numbers, none of them empty", name)
    return lists


def wants_stream(body: Mapping[str, Any]) -> bool:
    """Return whether the answer should be streamed."""
    stream = body.get("stream")
    # To look at all other fields takes longer.
    return stream is True if stream is None or isinstance(stream, bool) else bool(Fields(body).flag("stream"))


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Return whether a streamed answer should end with token counts (`stream_options.include_usage`)."""
    if body.get("stream_options") is None:
        return False
    options = Fields(body).object("stream_options")
    return bool(options and Fields(options).flag("include_usage"))


def texts(value: Any, name: str) -> list[str]:
    """Return a string or an array of strings as a list.

    Raises:
        BadRequest: It is something else, for example token numbers.
    """
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return value
    if isinstance(value, list) and value and all(isinstance(item, int | list) for item in value):
        raise BadRequest(
            f"{name!r} holds token numbers, which mean something to one model only; send text "
            "(LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)",
            name,
        )
    raise BadRequest(f"{name!r} must be a string or an array of strings", name)


def _read(name: str, reader: Callable[[Any], T], value: Any) -> T:
    """Read a field here, where its caller can still be told what is wrong with it."""
    try:
        return reader(value)
    except UsageError as error:
        raise BadRequest(str(error), name) from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BadRequest(f"{name!r} is not well formed; compare it with OpenAI's documentation", name) from None


def _drop_surroundings(fields: Fields) -> None:
    """Take what is about the request rather than the answer."""
    fields.take("model")
    fields.flag("stream")
    fields.object("stream_options")
    for name in _BOOKKEEPING.intersection(fields.names):
        fields.take(name)
    if fields.take("modalities") not in (None, ["text"]):
        raise BadRequest("'modalities' can only be [\"text\"]", "modalities")
    for name in [name for name in fields.names if name in _IMPOSSIBLE]:
        if fields.take(name):
            raise BadRequest(f"{name!r} is not supported; {_IMPOSSIBLE[name]}", name)


def _sampling(fields: Fields) -> dict[str, Any]:
    # Most requests set two or three of them.
    sampling: dict[str, Any] = {}
    for name in [name for name in fields.names if name in _SAMPLING]:
        sampling[name] = _SAMPLING[name](fields, name)
    sampling["stop"] = _stop(fields.take("stop"))
    return sampling


def _stop(value: Any) -> list[str] | None:
    if value is None or value == "" or value == []:
        return None
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise BadRequest("'stop' must be a string or an array of strings, none of them empty", "stop")
    return stops


def _max_tokens(fields: Fields) -> int | None:
    older, newer = fields.count("max_tokens", 1), fields.count("max_completion_tokens", 1)
    if older is not None and newer is not None and older != newer:
        raise BadRequest("'max_tokens' and 'max_completion_tokens' contradict; give one", "max_tokens")
    return older if newer is None else newer


def served_tools(tools: list[Any], choice: Any, skipped: list[str] | None) -> tuple[list[Any], Any]:
    """Return the tools that are functions, and the choice unless it is of one that is left out.

    Args:
        tools: The tools of a request.
        choice: Its `tool_choice`.
        skipped: Gets the types of those that are left out; `None` if none may be.
    """
    if skipped is None:
        return tools, choice
    served = _without_foreign(tools)
    if len(served) == len(tools):
        return tools, choice
    skipped += sorted({tool["type"] for tool in tools if isinstance(tool, Mapping) and is_foreign(tool)})
    kind = choice.get("type") if isinstance(choice, Mapping) else None
    if not served or kind not in (None, "function", "allowed_tools"):
        return served, None
    if kind == "allowed_tools":
        inner = choice.get("allowed_tools", choice)
        listed = inner.get("tools") if isinstance(inner, Mapping) else None
        if isinstance(listed, list):
            kept = _without_foreign(listed)
            choice = {"type": kind, "mode": inner.get("mode"), "tools": kept}
            if listed and not kept:
                # None of those that are left may be called.
                return [], None
    return served, choice


def _without_foreign(tools: list[Any]) -> list[Any]:
    return [tool for tool in tools if not isinstance(tool, Mapping) or not is_foreign(tool)]


def _allowed_tools(tools: list[Any], choice: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Return the tools that a choice allows, and its mode; the Responses API has both without a level between."""
    inner = choice.get("allowed_tools", choice)
    listed = inner.get("tools") if isinstance(inner, Mapping) else None
    if not isinstance(listed, list) or inner.get("mode") not in ("auto", "required"):
        raise BadRequest("'tool_choice' of the type 'allowed_tools' needs a 'mode' and 'tools'", "tool_choice")
    wanted = {name for name in map(_name_of_tool, listed) if name is not None}
    missing = sorted(wanted - {_name_of_tool(tool) for tool in tools})
    if missing or not wanted:
        raise BadRequest(
            f"'tool_choice' allows tools that are not in 'tools': {missing or listed}"[:300], "tool_choice"
        )
    return [tool for tool in tools if _name_of_tool(tool) in wanted], inner["mode"]


def _name_of_tool(tool: Any) -> str | None:
    if not isinstance(tool, Mapping):
        return None
    function = tool.get("function")
    name = function.get("name") if isinstance(function, Mapping) else tool.get("name")
    return name if isinstance(name, str) else None


def _tool_choice(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        if value in ("auto", "none", "required"):
            return value
        if value == "any":  # Mistral's word
            return "required"
    if isinstance(value, Mapping):
        function = value.get("function")
        name = function.get("name") if isinstance(function, Mapping) else value.get("name")
        if value.get("type", "function") == "function" and isinstance(name, str) and name:
            return name
    raise BadRequest(
        '\'tool_choice\' must be "auto", "none", "required" or {"type": "function", "function": {"name": ...}}',
        "tool_choice",
    )


def _response_format(fields: Fields) -> dict[str, Any] | None:
    wanted = fields.object("response_format")
    # {"type": "text"} is the default and asks for nothing.
    return None if wanted is None or wanted.get("type") == "text" else wanted


def _extra(fields: Fields) -> dict[str, Any] | None:
    # The option's own name, in case a caller of Client.chat talks to this through OpenAI's client.
    nested = fields.object("extra") or {}
    return {**nested, **fields.rest()} or None


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
