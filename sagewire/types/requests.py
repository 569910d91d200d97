"""Requests: options, chat and prompt requests, and the bytes they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypedDict, Unpack

from sagewire._short_repr import ShortRepr
from sagewire.errors import UsageError, unknown_name
from sagewire.types.conversation import Message, Tool
from sagewire.types.option_checks import check_option


@dataclass(frozen=True, slots=True, repr=False)
class Options(ShortRepr):
    """Generation settings in one vocabulary; each handler translates, repairs or refuses them for its wire.

    `None` always means "not set": the server's default applies and nothing is sent.

    Args:
        max_tokens: Maximum tokens to generate.
        temperature: Sampling temperature; 0 is greedy on every wire, also on those that refuse the number 0.
        top_p: Nucleus sampling mass in (0, 1].
        top_k: Sample from the k most likely tokens.
        min_p: Drop tokens below this share of the most likely one.
        typical_p: Typical decoding mass.
        stop: Strings that end the answer; they are never part of it.
        seed: Makes sampling repeatable if the server supports it.
        frequency_penalty: OpenAI's penalty, -2 to 2.
        presence_penalty: OpenAI's penalty, -2 to 2.
        repetition_penalty: The multiplicative penalty of Hugging Face servers; 1.0 has no effect.
        n: How many answers to generate.
        logprobs: Ask for log probabilities of the generated tokens.
        top_logprobs: Also for this many alternatives per token.
        response_format: OpenAI's `response_format` mapping (`json_object`, `json_schema`).
        reasoning_effort: `low`, `medium` or `high`, for models that reason.
        model: A served model name; sent only if the request format has a field for it.
        adapter: A LoRA adapter to answer with.
        extra: Anything else, passed to the server under the name given.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: Mapping[str, Any] | None = None
    reasoning_effort: str | None = None
    model: str | None = None
    adapter: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def given(self) -> dict[str, Any]:
        """Return the settings that are set, without `extra`, in field order."""
        given = {}
        # Every call does this; a comprehension would be its own function.
        for name in _OPTION_NAMES:
            value = getattr(self, name)
            if value is not None and value != ():
                given[name] = value
        return given


# Arguments of other libraries, and the way to say them here.
_ELSEWHERE = {
    "stream": "use client.stream(...) or client.stream_complete(...)",
    "streaming": "use client.stream(...) or client.stream_complete(...)",
    "messages": "pass the messages as the first argument",
    "prompt": "use client.complete(prompt)",
    "system": "put it first: [{'role': 'system', 'content': ...}, {'role': 'user', 'content': ...}]",
    "system_prompt": "put it first: [{'role': 'system', 'content': ...}, {'role': 'user', 'content': ...}]",
    "timeout": "pass it to the client, Client(..., timeout=...)",
    "region_name": "pass it to the client, Client(..., region_name=...)",
    "max_retries": "pass it to the client, Client(..., retries=...)",
    "callbacks": "pass functions to the client, Client(..., hooks=sagewire.Hooks(...))",
    "functions": "use tools=[...]",
    "function_call": "use tool_choice=",
    "response_model": "use response_format= with the model's JSON schema",
    "temp": "use temperature=",
    **dict.fromkeys(("max_length", "max_gen_len", "num_predict", "n_predict", "maxTokens"), "use max_tokens="),
    "model_kwargs": "give its settings one by one; extra={...} takes those under the container's own names",
    "parameters": "give its settings one by one; extra={...} takes those under the container's own names",
    "extra_body": "use extra={...}",
    "extra_headers": "use Client(transport=Http(url, headers={...})); SageMaker takes endpoint_kwargs={...}",
    "do_sample": "temperature=0 takes the most likely tokens; extra={'do_sample': ...} is the container's own switch",
    "return_full_text": "put the prompt before the answer yourself",
    "echo": "put the prompt before the answer yourself",
    **dict.fromkeys(("best_of", "num_return_sequences"), "use n= for several answers"),
    "verbose": "switch the log on, logging.getLogger('sagewire').setLevel('DEBUG')",
}
# Other spellings of a setting: those of Hugging Face's servers, and OpenAI's newer one.
SPELLINGS: Mapping[str, str] = {
    "max_new_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "stop_sequences": "stop",
}
_OPTION_NAMES = tuple(f.name for f in fields(Options) if f.name != "extra")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation to be answered.

    Args:
        messages: The turns so far, oldest first.
        options: Generation settings.
        tools: Functions the model may ask for.
        tool_choice: `auto`, `none`, `required`, or the name of one tool; `None` leaves it to the server.
        parallel_tool_calls: Whether several calls in one answer are allowed.
        stream: Ask the server to stream.
        include_usage: Ask for token counts at the end of a stream.
    """

    messages: tuple[Message, ...]
    options: Options = field(default_factory=Options)
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    stream: bool = False
    include_usage: bool = True


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """Raw text to be continued: a completion, or a conversation already written in a prompt format.

    Args:
        prompt: The text.
        options: Generation settings.
        stream: Ask the server to stream.
        include_usage: Ask for token counts at the end of a stream.
    """

    prompt: str
    options: Options = field(default_factory=Options)
    stream: bool = False
    include_usage: bool = True


@dataclass(frozen=True, slots=True)
class Invocation:
    """A request as bytes, ready for a transport; nothing has been sent.

    Args:
        body: The request body.
        content_type: Its media type.
        accept: The media type asked of the container.
        path: The path below a plain HTTP server's base URL (`/v1/chat/completions`); not used with SageMaker.
        parameters: Options of SageMaker's InvokeEndpoint under boto3's names (`TargetVariant`, `SessionId`, ...).
        idempotent: False forbids retries after the request may have reached the container.
        generates: Whether the container generates text, which it should not do twice: see `Retries.resend`.
        bounded: False lets a streamed answer be of any length: its reader keeps none of it.
        spent: Seconds of the limit on the whole call that have passed already, looking up the endpoint's container.
        method: The HTTP method, for plain HTTP servers; `GET` is used to detect a server (`/info`).
    """

    body: bytes = field(repr=False)
    content_type: str = "application/json"
    accept: str = "application/json"
    path: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    idempotent: bool = True
    generates: bool = True
    bounded: bool = True
    spent: float = 0.0
    method: Literal["POST", "GET"] = "POST"


class OptionArguments(TypedDict, total=False):
    """`Options` as keyword arguments; see there for each of them. `stop` may be one string or several."""

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    typical_p: float | None
    stop: str | Sequence[str] | None
    seed: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    repetition_penalty: float | None
    n: int | None
    logprobs: bool | None
    top_logprobs: int | None
    response_format: Mapping[str, Any] | None
    reasoning_effort: str | None
    model: str | None
    adapter: str | None
    extra: Mapping[str, Any] | None


def make_options(base: Options | None = None, /, **given: Unpack[OptionArguments]) -> Options:
    """Return `base` with the given settings on top; `extra` mappings are merged.

    A setting is the same under every spelling: `max_tokens` given here replaces a `max_new_tokens` in the
    `extra` of `base`, and the other way round.

    Args:
        base: Settings to start from.
        **given: Settings on top, see `Options`; `None` leaves one as it is.

    Raises:
        UsageError: A name is unknown, the message lists the known ones; or a value cannot be sent.

    Example:
        >>> make_options(Options(seed=1), stop="END", temperature=0.2).stop
        ('END',)
    """
    base = base or Options()
    if not given:
        return base
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name, value in changes.items():
        if name not in _OPTION_NAMES and name != "extra":
            if name in _ELSEWHERE:
                raise UsageError(f"{name}= is not an option of a call: {_ELSEWHERE[name]}")
            if name in SPELLINGS:
                raise UsageError(f"unknown option {name!r}; did you mean {SPELLINGS[name]!r}?")
            raise UsageError(unknown_name(name, [*_OPTION_NAMES, "extra"], "option"))
        # The scores of a prompt come without a new token, on the servers that have them.
        if not (name == "max_tokens" and type(value) is int and value == 0 and given.get("logprobs")):
            changes[name] = check_option(name, value)
    if base.extra or "extra" in changes:
        changes = _merged(base, changes)
    return replace(base, **changes) if changes else base


def _merged(base: Options, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the changes with both `extra` mappings in one, in which a setting stands under one spelling."""
    extra = dict(changes.get("extra", ()))
    said = {SPELLINGS.get(name, name) for name in (*changes, *extra)}
    for name in extra:
        setting = SPELLINGS.get(name, name)
        if setting in _OPTION_NAMES and setting not in changes:
            changes[setting] = () if setting == "stop" else None
    standing = {name: value for name, value in base.extra.items() if SPELLINGS.get(name, name) not in said}
    return {**changes, "extra": {**standing, **extra}}
