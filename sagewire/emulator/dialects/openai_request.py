"""Reading the body of a chat or text completion, with the checks that OpenAI-style servers share."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagewire.emulator import tokens
from sagewire.emulator.engines.base import Turn, sampling_of
from sagewire.types import ImagePart, MediaPart, Message, Part, Role, TextPart, Tool, ToolCall

__all__ = ["BadRequest", "CompletionBody", "Settings", "read_chat", "read_completion", "read_messages", "read_tools"]

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


class BadRequest(Exception):
    """An invalid request body.

    Args:
        message: The mistake, in the server's words.
        param: The field.
        shape: The body does not fit the schema at all; servers that try several schemas hide this message.
    """

    def __init__(self, message: str, param: str | None = None, *, shape: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.shape = shape


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a chat or completion body besides the conversation.

    Args:
        turn: The request as an engine reads it.
        stream: Answer with a stream.
        include_usage: End the stream with token counts.
        continuous_usage: Put token counts on every chunk.
        n: How many answers.
        logprobs: Log probabilities are wanted.
        top_logprobs: How many alternatives per token.
        keep_stop: The stop string stays in the text.
        keep_special: Special tokens stay in the text.
        named_tool: `tool_choice` names a function.
        echo: The prompt is part of a completion's text.
        only_echo: It is all of the text: `max_tokens` is 0.
    """

    turn: Turn
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    n: int = 1
    logprobs: bool = False
    top_logprobs: int = 0
    keep_stop: bool = False
    keep_special: bool = False
    named_tool: bool = False
    echo: bool = False
    only_echo: bool = False


@dataclass(frozen=True, slots=True)
class CompletionBody:
    """A text completion: one setting per prompt."""

    prompts: tuple[Settings, ...]
    model: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)


# (lowest, highest, the range as vLLM's sampling_params.py words it)
_RANGES: dict[str, tuple[float, float, str]] = {
    "temperature": (0.0, 2.0, "temperature must be in [0, 2]"),
    "min_p": (0.0, 1.0, "min_p must be in [0, 1]"),
    "presence_penalty": (-2.0, 2.0, "presence_penalty must be in [-2, 2]"),
    "frequency_penalty": (-2.0, 2.0, "frequency_penalty must be in [-2, 2]"),
    "n": (1, 128, "n must be at least 1"),
    "max_tokens": (1, 10**9, "max_tokens must be at least 1"),
    "max_completion_tokens": (1, 10**9, "max_tokens must be at least 1"),
    "top_logprobs": (0, 20, "Requested sample logprobs must not be greater than max allowed: 20"),
}
_NUMBERS = (*_RANGES, "top_p", "top_k", "repetition_penalty", "seed")


def _check_numbers(body: Mapping[str, Any]) -> None:
    for name in _NUMBERS:
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadRequest(f"Input should be a valid number, got {value!r}", name)
        low, high, words = _RANGES.get(name, (float("-inf"), float("inf"), ""))
        if not low <= value <= high:
            raise BadRequest(f"{words}, got {value}.", name, shape=False)
    top_p, top_k = body.get("top_p"), body.get("top_k")
    if top_p is not None and not 0 < top_p <= 1:
        raise BadRequest(f"top_p must be in (0, 1], got {top_p}.", "top_p", shape=False)
    if top_k is not None and top_k < -1:
        raise BadRequest(f"top_k must be 0 (disable), or at least 1, got {top_k}.", "top_k", shape=False)
    if (penalty := body.get("repetition_penalty")) is not None and penalty <= 0:
        raise BadRequest(
            f"repetition_penalty must be greater than zero, got {penalty}.", "repetition_penalty", shape=False
        )


def _stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    value = body.get("stop")
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise BadRequest("stop must be a string or a list of strings", "stop")
    if "" in stops:
        raise BadRequest("stop cannot contain an empty string.", "stop", shape=False)
    return tuple(stops)


def _schema_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    wanted = body.get("response_format")
    named = wanted.get("json_schema") if isinstance(wanted, dict) else None
    fields = named if isinstance(named, dict) else {}
    return {name: fields[name] for name in ("name", "description", "strict") if fields.get(name) is not None}


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = body.get("response_format")
    guided = body.get("guided_json") or (body.get("structured_outputs") or {}).get("json")
    if guided:
        return dict(json.loads(guided)) if isinstance(guided, str) else dict(guided)
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_object":
        return {"type": "object"}
    if kind == "json_schema":
        named = wanted.get("json_schema")
        if not isinstance(named, dict) or not isinstance(named.get("schema"), dict):
            raise BadRequest("response_format of type json_schema needs json_schema.schema", "response_format")
        return dict(named["schema"])
    if kind == "text":
        return None
    raise BadRequest(
        f"Input tag {kind!r} does not match any of 'text', 'json_object', 'json_schema'", "response_format"
    )


def _stream(body: Mapping[str, Any]) -> tuple[bool, bool, bool]:
    stream = body.get("stream") or False
    options = body.get("stream_options")
    if not isinstance(stream, bool):
        raise BadRequest("Input should be a valid boolean", "stream")
    if options is not None and not stream:
        raise BadRequest("Stream options can only be defined when `stream=True`.", "stream_options")
    options = options or {}
    return stream, bool(options.get("include_usage")), bool(options.get("continuous_usage_stats"))


def read_chat(body: Any) -> Settings:
    """Return what a chat completion's body asks.

    Raises:
        BadRequest: The body is wrong.
    """
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        raise BadRequest("Field required", "messages")
    messages = read_messages(body["messages"])
    _check_numbers(body)
    stream, include_usage, continuous = _stream(body)
    tools = read_tools(body.get("tools"))
    choice, named = _tool_choice(body, tools)
    if body.get("top_logprobs") and not body.get("logprobs"):
        raise BadRequest("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
    structured = body.get("structured_outputs") or {}
    template = body.get("chat_template_kwargs") or {}
    turn = Turn(
        messages=messages,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=body.get("parallel_tool_calls") is not False,
        json_schema=_schema(body),
        schema_fields=_schema_fields(body),
        choices=tuple(body.get("guided_choice") or structured.get("choice") or ()),
        pattern=body.get("guided_regex") or structured.get("regex"),
        reasoning=bool(template.get("enable_thinking")) or body.get("reasoning_effort") not in (None, "none"),
        max_tokens=_whole(body.get("max_completion_tokens") or body.get("max_tokens")),
        stop=_stops(body),
        seed=body.get("seed"),
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        model=body.get("model") or "",
        sampling=sampling_of(body) | _further(body),
        logprobs=bool(body.get("logprobs")),
    )
    return Settings(
        turn,
        stream=stream,
        include_usage=include_usage,
        continuous_usage=continuous,
        n=int(body.get("n") or 1),
        logprobs=bool(body.get("logprobs")),
        top_logprobs=int(body.get("top_logprobs") or 0),
        keep_stop=bool(body.get("include_stop_str_in_output")),
        keep_special=body.get("skip_special_tokens") is False,
        named_tool=named,
    )


def _further(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the emulator has no use for, but a real model behind it has."""
    found = {name: body[name] for name in _FURTHER if body.get(name)}
    return found | {name: False for name in _ON_BY_DEFAULT if body.get(name) is False}


# Of vLLM's and SGLang's chat and completions.
_FURTHER = (
    "logit_bias", "min_tokens", "ignore_eos", "stop_token_ids", "bad_words", "allowed_token_ids", "length_penalty",
    "use_beam_search", "truncate_prompt_tokens", "chat_template", "chat_template_kwargs", "continue_final_message",
    "documents", "reasoning_effort", "suffix", "thinking_token_budget", "mm_processor_kwargs",
    "include_stop_str_in_output", "prompt_logprobs",
)  # fmt: skip
_ON_BY_DEFAULT = ("add_special_tokens", "skip_special_tokens", "add_generation_prompt", "include_reasoning")


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def read_completion(body: Any, default_max_tokens: int | None = 16) -> CompletionBody:
    """Return what a text completion's body asks.

    Raises:
        BadRequest: The body is wrong.
    """
    prompt = body.get("prompt") if isinstance(body, dict) else None
    if not isinstance(prompt, str | list):
        raise BadRequest("Field required", "prompt")
    # How evaluation harnesses score a text: nothing is to be generated.
    only_echo = bool(body.get("echo")) and body.get("max_tokens") == 0
    unchecked = ("logprobs", "max_tokens") if only_echo else ("logprobs",)
    _check_numbers({name: value for name, value in body.items() if name not in unchecked})
    stream, include_usage, continuous = _stream(body)
    top = body.get("logprobs")
    settings = [
        Settings(
            Turn(
                prompt=text,
                json_schema=_schema(body),
                schema_fields=_schema_fields(body),
                max_tokens=1 if only_echo else _whole(body.get("max_tokens")) or default_max_tokens,
                stop=_stops(body),
                seed=body.get("seed"),
                temperature=body.get("temperature"),
                top_p=body.get("top_p"),
                model=body.get("model") or "",
                sampling=sampling_of(body) | _further(body),
                logprobs=top is not None and top is not False,
            ),
            stream=stream,
            include_usage=include_usage,
            continuous_usage=continuous,
            n=int(body.get("n") or 1),
            logprobs=top is not None and top is not False,
            top_logprobs=int(top or 0),
            keep_stop=bool(body.get("include_stop_str_in_output")),
            keep_special=body.get("skip_special_tokens") is False,
            echo=bool(body.get("echo")),
            only_echo=only_echo,
        )
        for text in texts_of(prompt, "prompt")
    ]
    return CompletionBody(tuple(settings), body.get("model") or "", body)


def texts_of(given: Any, name: str) -> list[str]:
    """Return the texts of a field that takes strings and token numbers; raise `BadRequest` if it has others."""
    try:
        return list(tokens.texts_of(given))
    except ValueError:
        says = f"{name} must be a string, array of strings, array of tokens, or array of token arrays"
        raise BadRequest(says, name) from None


def read_messages(messages: Any) -> tuple[Message, ...]:
    """Return the conversation; raises `BadRequest` naming the message that is wrong."""
    if not isinstance(messages, list):
        raise BadRequest("Input should be a valid list", "messages")
    if not messages:
        raise BadRequest("messages must not be empty", "messages", shape=False)
    return tuple(_message(message, number) for number, message in enumerate(messages))


def _message(message: Any, number: int) -> Message:
    where = f"messages.{number}"
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise BadRequest(f"Input should be a message with a role of {', '.join(_ROLES)}", where)
    calls = tuple(_call(call, where) for call in message.get("tool_calls") or ())
    content = message.get("content")
    if content is None and not calls and message["role"] != "assistant":
        raise BadRequest("Field required", f"{where}.content")
    return Message(
        _ROLES[message["role"]],
        _content(content, where),
        tool_calls=calls,
        tool_call_id=message.get("tool_call_id"),
        name=message.get("name"),
        thinking=message.get("reasoning") or message.get("reasoning_content"),
    )


def _content(content: Any, where: str) -> str | tuple[Part, ...]:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise BadRequest("Input should be a valid string or list", f"{where}.content")
    return tuple(_part(part, f"{where}.content.{number}") for number, part in enumerate(content))


def _part(part: Any, where: str) -> Part:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return TextPart(part["text"])
    if kind == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        if isinstance(url, str) and url:
            _check_image(url, where)
            return ImagePart(url=url, detail=image.get("detail") if isinstance(image, dict) else None)
    if kind in _MEDIA and isinstance(part.get(kind), dict):
        return MediaPart(kind, part[kind])
    raise BadRequest(f"Unknown part type: {kind}", where, shape=False)


# Those of vLLM (vllm/entrypoints/chat_utils.py), and OpenAI's files.
_MEDIA = ("input_audio", "audio_url", "video_url", "file")


def _check_image(url: str, where: str) -> None:
    if url.startswith("data:"):
        try:
            base64.b64decode(url.partition(",")[2], validate=True)
        except binascii.Error:
            raise BadRequest("The image is not valid base64", where, shape=False) from None
    elif not url.startswith(("http://", "https://")):
        raise BadRequest("The URL must be either a HTTP, data or file URL.", where, shape=False)


def _call(call: Any, where: str) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRequest("Field required", f"{where}.tool_calls.function.name")
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    try:
        json.loads(arguments or "{}")
    except (ValueError, TypeError):
        # Chat templates are given the arguments as an object: vLLM parses them first.
        raise BadRequest(f"Tool call arguments are not valid JSON: {arguments!r}", where, shape=False) from None
    return ToolCall(str(call.get("id") or ""), function["name"], arguments or "{}")


def read_tools(tools: Any) -> tuple[Tool, ...]:
    """Return the tools on offer; raises `BadRequest` for a list that is empty or not of functions."""
    if tools is None:
        return ()
    if not isinstance(tools, list) or not tools:
        raise BadRequest("`tools` must be a non-empty list", "tools")
    return tuple(_tool(tool, number) for number, tool in enumerate(tools))


def _tool(tool: Any, number: int) -> Tool:
    function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRequest("Field required", f"tools.{number}.function.name")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return Tool(function["name"], function.get("description") or "", parameters, function.get("strict"))


def _tool_choice(body: Mapping[str, Any], tools: Sequence[Tool]) -> tuple[str, bool]:
    choice = body.get("tool_choice")
    if choice is None:
        return ("auto" if tools else "none"), False
    if not tools:
        if choice == "none":
            return "none", False
        raise BadRequest("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if choice in ("auto", "none", "required"):
        return choice, False
    name = (choice.get("function") or {}).get("name") if isinstance(choice, dict) else None
    if name not in {tool.name for tool in tools}:
        raise BadRequest(
            "The tool specified in `tool_choice` does not match any of the specified `tools`", "tool_choice"
        )
    return name, True
