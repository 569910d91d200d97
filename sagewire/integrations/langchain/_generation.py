"""What chat and completion models share: settings of a generation, counting tokens, the arguments of a call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import AliasChoices, Field

from sagewire import __version__
from sagewire.content_handlers import LangChainHandler, LlamaIndexHandler
from sagewire.errors import UsageError
from sagewire.integrations.langchain._endpoint import EndpointFields
from sagewire.integrations.langchain._identity import identity_of
from sagewire.integrations.langchain._messages import to_messages
from sagewire.types import OptionArguments, as_tools
from sagewire.types.requests import SPELLINGS

__all__ = ["Call", "GenerationFields"]

logger = logging.getLogger("sagewire")

_OPTIONS = frozenset(OptionArguments.__annotations__) - {"extra"}
_FIELDS = (
    "model", "adapter", "temperature", "max_tokens", "top_p", "top_k", "stop", "seed", "frequency_penalty",
    "presence_penalty", "repetition_penalty", "typical_p", "n", "logprobs", "top_logprobs", "reasoning_effort",
)  # fmt: skip
# What LangChain itself hands down, for tracing only.
_FOR_TRACING = frozenset({"ls_structured_output_format", "structured_output_format", "stream", "run_manager"})
# Characters of a typical English token; bytes, so that scripts without spaces are not taken for free.
_BYTES_PER_TOKEN = 4


@dataclass(slots=True)
class Call:
    """The arguments of one call of a client.

    Args:
        options: Generation settings.
        endpoint_kwargs: InvokeEndpoint parameters of this call.
        include_usage: Whether a stream is asked for token counts.
        model_name: The model's name if the server does not report one.
        chat: Arguments that only a conversation has: tools and the like.
    """

    options: dict[str, Any]
    endpoint_kwargs: dict[str, Any] | None
    include_usage: bool
    model_name: str
    chat: dict[str, Any] = field(default_factory=dict)


class GenerationFields(EndpointFields):
    """Settings of a generation; those given with a call win over these, and these over `model_kwargs`.

    Args:
        prompt_format: The model family's prompt format (`llama3_1`, `chatml`, ...): needed for conversations if the
            container takes plain text; also a `PromptFormat` or a callable from messages to text.
        model: A served model name, if the server has several (also `model_name`).
        adapter: A LoRA adapter to answer with.
        temperature: Sampling temperature; 0 is greedy on every container.
        max_tokens: Maximum number of tokens to generate (also `max_new_tokens`).
        top_p: Nucleus sampling mass.
        top_k: Sample from the k most likely tokens.
        stop: Strings that end the answer; sent to the container, and enforced (also `stop_sequences`).
        seed: Makes sampling repeatable if the container supports it.
        frequency_penalty: OpenAI's penalty.
        presence_penalty: OpenAI's penalty.
        repetition_penalty: The multiplicative penalty of Hugging Face servers.
        typical_p: Typical decoding mass.
        n: How many answers to generate.
        logprobs: Ask for log probabilities.
        top_logprobs: Also for this many alternatives per token.
        reasoning_effort: `low`, `medium` or `high`, for models that reason.
        model_kwargs: More settings. Names of sagewire's options are translated for the container, all others are sent
            as they are. A content handler of your own gets the whole mapping as it is.
        streaming: Let the container stream even if a whole answer is asked for; a streamed answer may take longer
            than the 60 seconds SageMaker gives a whole one.
        stream_usage: Ask for token counts at the end of a stream.
        tokenizer: Counts tokens exactly: an object with `encode(text)` (`tokenizers`, `transformers`, `tiktoken`).
            Without one, counts are an estimate of one token per four bytes of UTF-8.
    """

    prompt_format: Any = None
    model: str | None = Field(default=None, validation_alias=AliasChoices("model", "model_name"))
    adapter: str | None = None
    temperature: float | None = None
    max_tokens: int | None = Field(
        default=None, validation_alias=AliasChoices("max_tokens", "max_new_tokens", "max_completion_tokens")
    )
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] | str | None = Field(default=None, validation_alias=AliasChoices("stop", "stop_sequences"))
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    typical_p: float | None = None
    n: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: str | None = None
    model_kwargs: dict[str, Any] | None = None
    streaming: bool = False
    stream_usage: bool = True
    tokenizer: Any = Field(default=None, exclude=True, repr=False)

    def model_post_init(self, context: Any, /) -> None:
        """Leave sagewire's version for traces."""
        super().model_post_init(context)
        self._add_version("sagewire", __version__)  # type: ignore[attr-defined]

    def _client_arguments(self) -> dict[str, Any]:
        return {**super()._client_arguments(), "format": self.prompt_format}

    def _model_name(self, given: Mapping[str, Any]) -> str:
        return given.get("model") or self.model or self._endpoint_label

    def _call(self, stop: Sequence[str] | None, given: Mapping[str, Any]) -> Call:
        """Return the arguments of a call.

        Args:
            stop: The stop strings of this call, `None` for those of the model.
            given: The keyword arguments of this call.
        """
        rest = {name: value for name, value in given.items() if name not in _FOR_TRACING}
        if isinstance(nested := rest.get("model_kwargs"), Mapping) and not self._adapts:
            # A handler of the user's own gets it as it is; a server would not read a field of this name.
            del rest["model_kwargs"]
            rest = {**nested, **rest}
        endpoint_kwargs = rest.pop("endpoint_kwargs", None)
        include_usage = bool(rest.pop("stream_usage", self.stream_usage))
        extra = {**(rest.pop("extra_body", None) or {}), **(rest.pop("extra", None) or {})}
        options, unknown = self._settings(rest)
        if stop is not None:
            options["stop"] = [stop] if isinstance(stop, str) else list(stop)
        if unknown or extra:
            options["extra"] = {**unknown, **extra}
        return Call(options, endpoint_kwargs, include_usage, self._model_name(given))

    def _field_settings(self) -> dict[str, Any]:
        """Return the settings that are fields of the model."""
        return {name: value for name in _FIELDS if (value := getattr(self, name)) is not None}

    def _settings(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the settings of a call: those sagewire has names for, and the others.

        Those of the call win over the model's fields, and these over `model_kwargs`, under whichever spelling each was
        given. A content handler of the user's own gets its `model_kwargs` as they are.
        """
        own = self.model_kwargs or {}
        fields = self._field_settings()
        said: dict[str, tuple[str, Any]] = {}
        for layer in (fields, given) if self._adapts else (own, fields, given):
            said |= {SPELLINGS.get(name, name): (name, value) for name, value in layer.items()}
        options: dict[str, Any] = {}
        unknown: dict[str, Any] = {}
        if self._adapts:
            unknown |= {name: value for name, value in own.items() if SPELLINGS.get(name, name) not in said}
        for setting, (name, value) in said.items():
            if setting in _OPTIONS and not (self._adapts and name != setting):
                options[setting] = value
            else:
                unknown[name] = value
        return options, unknown

    @property
    def _adapts(self) -> bool:
        """Whether the handler is the user's own, which knows best what the names in its `model_kwargs` mean."""
        if self.content_handler is None or isinstance(self.content_handler, str):
            return False
        return isinstance(self._clients.client.handler, LangChainHandler | LlamaIndexHandler)

    def _identity(self) -> dict[str, Any]:
        """Return what tells this model from another: for traces, and for the keys of caches."""
        known: dict[str, Any] = {
            "content_handler": identity_of(self.content_handler),
            "prompt_format": identity_of(self.prompt_format),
        }
        known |= {name: value for name in _FIELDS if (value := getattr(self, name)) is not None}
        known["model_kwargs"] = self.model_kwargs or {}
        return {name: value for name, value in known.items() if value is not None}

    def get_token_ids(self, text: str) -> list[int]:
        """Return the tokens of a text.

        Raises:
            UsageError: The `tokenizer` is missing.
        """
        encode = self._encoder()
        if encode is None:
            raise UsageError("token ids need the model's own tokenizer: pass tokenizer=... with an encode(text) method")
        return encode(text)

    def get_num_tokens(self, text: str) -> int:
        """Return how many tokens a text has: exact with a `tokenizer`, else one per four bytes of UTF-8."""
        encode = self._encoder()
        return -(-len(text.encode()) // _BYTES_PER_TOKEN) if encode is None else len(encode(text))

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Return how many tokens a conversation has.

        With a `tokenizer` and a `prompt_format` the rendered prompt is counted; with a `tokenizer` alone its texts and
        four tokens of scaffolding per message; without one it is LangChain's estimate.

        Args:
            messages: The conversation.
            tools: The tools that are offered with it.
        """
        encode = self._encoder()
        described: list[Any] = [convert_to_openai_tool(tool) for tool in tools or ()]
        if encode is None:
            return count_tokens_approximately(messages, tools=described or None)
        turns = to_messages(messages)
        prompt_format = self._clients.client.format
        if prompt_format is not None:
            return len(encode(prompt_format.render(turns, as_tools(described) or None)))
        calls = [f"{call.name}{call.arguments}" for turn in turns for call in turn.tool_calls]
        texts = [*(turn.text for turn in turns), *calls, *map(str, described)]
        return sum(len(encode(text)) for text in texts if text) + 4 * len(turns)

    def _encoder(self) -> Callable[[str], list[int]] | None:
        if self.tokenizer is None:
            return getattr(self, "custom_get_token_ids", None)
        tokenizer = self.tokenizer

        def encode(text: str) -> list[int]:
            tokens = tokenizer.encode(text)
            # `tokenizers` wraps them in an Encoding; the others return the list.
            return list(getattr(tokens, "ids", tokens))

        return encode
