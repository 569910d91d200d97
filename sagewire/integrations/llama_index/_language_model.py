"""A hosted model as a LlamaIndex LLM: everything but the endpoint's address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr, field_serializer
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.tools.types import BaseTool

from sagewire.client.finding import handler_of
from sagewire.content_handlers import ContentHandler
from sagewire.errors import SagewireError, UnsupportedFeature, UsageError, excerpt
from sagewire.integrations._client_pool import ClientPair
from sagewire.integrations.llama_index._asking import Question
from sagewire.integrations.llama_index._connection import Connection, describe
from sagewire.integrations.llama_index._messages import as_sagewire_messages
from sagewire.integrations.llama_index._options import as_options, as_tool_choice
from sagewire.integrations.llama_index._prompts import (
    given,
    keep_given,
    llama2_completion_to_prompt,
    llama2_messages_to_prompt,
    write_completion,
)
from sagewire.integrations.llama_index._responses import (
    ChatGrowth,
    CompletionGrowth,
    chat_response,
    completion_response,
)
from sagewire.integrations.llama_index._structured import StructuredPrediction
from sagewire.integrations.llama_index._tools import conversation, openai_tools, tool_selections
from sagewire.prompt_formats import FORMATS
from sagewire.prompt_formats.base import without_bos
from sagewire.types.requests import SPELLINGS

__all__ = ["EndpointLLM"]

# The spellings of one setting.
_LIMITS = ("max_tokens", *(name for name, setting in SPELLINGS.items() if setting == "max_tokens"))


@dataclass(slots=True)
class _Facts:
    """What follows from the fields and from the endpoint; every call and every event asks for it.

    Args:
        pair: The clients made of these fields.
        profile: The detected endpoint.
        handler: The request format.
        is_text_model: See `_is_text_model`.
        payload: The model's fields of events.
    """

    pair: ClientPair
    profile: Any
    handler: ContentHandler
    is_text_model: bool
    payload: dict[str, Any] | None = None


class EndpointLLM(Connection, StructuredPrediction, FunctionCallingLLM):
    """The behaviour shared by every language model class here; see `SageMakerLLM`."""

    prompt_format: Any = Field(
        default=None, description="How the model family writes: a name in sagewire.prompt_formats.FORMATS or a format."
    )
    model_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Settings of every call, under sagewire's or the container's own names."
    )
    temperature: float | None = Field(default=None, description="Sampling temperature; None leaves it to others.")
    max_tokens: int | None = Field(default=None, description="Maximum number of tokens to generate.", gt=0)
    context_window: int | None = Field(default=None, description="How many tokens the model takes in all.", gt=0)
    is_chat_model: bool | None = Field(
        default=None, description="Whether LlamaIndex sends conversations; None derives it from handler and format."
    )
    is_function_calling_model: bool | None = Field(
        default=None, description="Whether the model calls functions; None derives it from the handler and the format."
    )

    _worked_out: _Facts | None = PrivateAttr(default=None)

    shared_fields = ("prompt_format", "messages_to_prompt", "completion_to_prompt")

    def __init__(self, **data: Any) -> None:
        super().__init__(**keep_given(data))
        if self.content_handler is not None:
            self._is_text_model()

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        for name in ("messages_to_prompt", "completion_to_prompt"):
            state["__dict__"][name] = given(state["__dict__"][name])
        return state

    def _client_arguments(self) -> dict[str, Any]:
        return {**super()._client_arguments(), "format": self.prompt_format}

    @field_serializer("prompt_format")
    def _name_format(self, value: Any) -> str | None:
        name = getattr(value, "name", None)
        return str(name) if name in FORMATS and FORMATS[name] == value else describe(value)

    @property
    def metadata(self) -> LLMMetadata:
        """The facts about a model that LlamaIndex uses; `context_window` decides how much text a query engine packs."""
        most = self.max_tokens or next((n for name in _LIMITS if (n := self.model_kwargs.get(name))), None)
        return LLMMetadata(
            context_window=self.context_window or self._found_window() or DEFAULT_CONTEXT_WINDOW,
            num_output=most or DEFAULT_NUM_OUTPUTS,
            is_chat_model=not self._is_text_model() if self.is_chat_model is None else self.is_chat_model,
            is_function_calling_model=self._calls_functions(),
            model_name=self._model_name(),
        )

    def to_payload(self) -> dict[str, Any]:
        """Return the model's fields of instrumentation events; neither waits for the endpoint nor fails over it."""
        if self._known:
            with suppress(SagewireError):
                facts = self._facts()
                if facts.payload is None:
                    facts.payload = {"class_name": self.class_name(), **self.metadata.model_dump()}
                return dict(facts.payload)
        return {"class_name": self.class_name(), "model_name": self._model_name()}

    def _facts(self) -> _Facts:
        """Return what follows from the fields and the endpoint; may wait for the latter."""
        pair = self._settled_pair()
        profile = pair.client.profile() if pair.client.discovers else None
        facts: _Facts | None = (self.__pydantic_private__ or {}).get("_worked_out")
        if facts is None or facts.pair is not pair or facts.profile is not profile:
            facts = self._worked_out = _Facts(pair, profile, pair.client.handler, self._is_text_model())
        return facts

    def _found_window(self) -> int | None:
        return None if self._dialect is None else self._dialect.limits.context_window

    # The eight methods.

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation.

        Args:
            messages: The turns so far.
            **kwargs: Settings of this call; `tools`, `tool_choice` and `parallel_tool_calls` as OpenAI has them, and
                `endpoint_kwargs` for InvokeEndpoint parameters of this call.
        """
        question = self._chat_question(messages, kwargs)
        reply = question.answer()
        return chat_response(reply, single_call=question.single_call, clean=question.cleaner())

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation; see `chat`."""
        await self._ready()
        question = self._chat_question(messages, kwargs)
        reply = await question.aanswer()
        return chat_response(reply, single_call=question.single_call, clean=question.cleaner())

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation piece by piece: each item holds the whole message so far, and the new text.

        The last item has an empty `delta` and the usage.
        """
        question = self._chat_question(messages, kwargs)
        growth = ChatGrowth(single_call=question.single_call, clean=question.cleaner())
        return question.grow(growth)

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer a conversation piece by piece; see `stream_chat`."""
        await self._ready()
        question = self._chat_question(messages, kwargs)
        growth = ChatGrowth(single_call=question.single_call, clean=question.cleaner())
        return question.agrow(growth)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer one prompt.

        Args:
            prompt: The instruction.
            formatted: It is already in the model's prompt format; send it as it is.
            **kwargs: Settings of this call.
        """
        question = self._complete_question(prompt, formatted, kwargs)
        reply = question.answer()
        return completion_response(reply, clean=question.cleaner(), **self._sent(kwargs))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer one prompt; see `complete`."""
        await self._ready()
        question = self._complete_question(prompt, formatted, kwargs)
        reply = await question.aanswer()
        return completion_response(reply, clean=question.cleaner(), **self._sent(kwargs))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Answer one prompt piece by piece; see `complete` and `stream_chat`."""
        question = self._complete_question(prompt, formatted, kwargs)
        return question.grow(CompletionGrowth(question.cleaner()))

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Answer one prompt piece by piece; see `complete` and `stream_chat`."""
        await self._ready()
        question = self._complete_question(prompt, formatted, kwargs)
        return question.agrow(CompletionGrowth(question.cleaner()))

    # Tools.

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        prepared: dict[str, Any] = {"messages": conversation(user_msg, chat_history), **kwargs}
        if tools:
            prepared["tools"] = openai_tools(tools, strict)
            prepared["tool_choice"] = tool_choice or ("required" if tool_required else "auto")
            prepared["parallel_tool_calls"] = allow_parallel_tool_calls
        return prepared

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tools a response asks for; of a response still being streamed, with the arguments so far.

        Raises:
            ValueError: The response does not contain a tool call, and `error_on_no_tool_call` is set.
            WireError: The answer is complete, and a call's arguments are not a JSON object.
        """
        selections = tool_selections(response)
        if not selections and error_on_no_tool_call:
            raise ValueError(f"the model did not call a tool; it answered: {excerpt(response.message.content or '')}")
        return selections

    # What is asked.

    def _chat_question(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> Question:
        facts, settings = self._facts(), dict(kwargs)
        tools, choice = settings.pop("tools", None), settings.pop("tool_choice", None)
        parallel = settings.pop("parallel_tool_calls", None)
        options = self._options(facts.handler, settings)
        if facts.is_text_model:
            if tools:
                cure = "Name the model's family in prompt_format, which writes tools, and leave messages_to_prompt out."
                raise UnsupportedFeature("tools", "a model that is sent plain text", cure)
            return Question(self._write_messages(messages), facts.pair, facts.handler, options)
        choice = as_tool_choice(choice)
        if not tools and choice not in (None, "auto", "none"):
            raise UsageError(f"tool_choice={choice!r} needs tools to choose from; pass tools=[...] as well")
        if tools:
            options |= {"tools": tools, "tool_choice": choice, "parallel_tool_calls": parallel}
        return Question(
            as_sagewire_messages(messages), facts.pair, facts.handler, options, single_call=parallel is False
        )

    def _complete_question(self, prompt: str, formatted: bool, kwargs: Mapping[str, Any]) -> Question:
        facts = self._facts()
        options = self._options(facts.handler, kwargs)
        if formatted:
            return Question(prompt, facts.pair, facts.handler, options)
        if facts.is_text_model or given(self.completion_to_prompt):
            return Question(self._write_completion(prompt), facts.pair, facts.handler, options)
        turns = self._extend_messages([ChatMessage(role=MessageRole.USER, content=prompt)])
        return Question(as_sagewire_messages(turns), facts.pair, facts.handler, options)

    def _own_settings(self) -> dict[str, Any]:
        own = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {name: value for name, value in own.items() if value is not None}

    def _options(self, handler: ContentHandler, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        settings = dict(kwargs)
        endpoint_kwargs = settings.pop("endpoint_kwargs", None)
        options = as_options(handler, self._default_settings(), self.model_kwargs, self._own_settings(), settings)
        return {**options, "endpoint_kwargs": endpoint_kwargs} if endpoint_kwargs else options

    def _default_settings(self) -> dict[str, Any]:
        """Return settings that anything else overrides."""
        return {}

    def _sent(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the `additional_kwargs` of a completion, as in the published class."""
        return {"model_kwargs": {**self._default_settings(), **self.model_kwargs, **self._own_settings(), **kwargs}}

    def _model_name(self) -> str:
        # Not an abstract method: LlamaIndex makes a span of each call of those.
        raise NotImplementedError

    # Text models.

    def _is_text_model(self) -> bool:
        """Whether conversations become prompts here, by functions, and not by a chat template or prompt format."""
        if given(self.messages_to_prompt):
            self._check_takes_text("messages_to_prompt")
            if self.prompt_format is not None:
                raise UsageError(
                    "prompt_format and messages_to_prompt both set how conversations are written; give one"
                )
            return True
        if given(self.completion_to_prompt):
            self._check_takes_text("completion_to_prompt")
        return self._handler.speaks == "prompt" and (not self._has_rule() or self._client.format is None)

    def _has_rule(self) -> bool:
        """Whether the model family's prompt format is known; that of summarizers, base models and others is not."""
        if self.prompt_format is not None:
            return True
        try:
            _ = self._client.format
        except UsageError:
            return False
        return True

    def _check_takes_text(self, function: str) -> None:
        """Refuse a prompt function if its text would become one message inside a chat template."""
        handler = self._text_handler()
        if handler.speaks == "messages":
            raise UsageError(
                f"{function} writes a prompt, but handler '{handler.name}' takes messages and applies the model's own "
                "chat template; leave it out"
            )

    def _text_handler(self) -> ContentHandler:
        profile = self._dialect
        return self._handler if profile is None else handler_of(profile, profile.complete or profile.chat)

    def _as_sent(self, prompt: str) -> str:
        return without_bos(prompt) if self._text_handler().adds_bos else prompt

    def _write_messages(self, messages: Sequence[ChatMessage]) -> str:
        if not given(self.messages_to_prompt):
            # Raises if the model is known and its prompt format is not.
            _ = self._client.format
        write = given(self.messages_to_prompt) or self._default_prompt
        return self._as_sent(write(messages))

    @property
    def _default_prompt(self) -> Callable[[Sequence[ChatMessage]], str]:
        """What writes the conversations of a text model without a function of its own."""
        return llama2_messages_to_prompt

    def _write_completion(self, prompt: str) -> str:
        default = llama2_completion_to_prompt if self._has_rule() else _as_it_is
        written = write_completion(given(self.completion_to_prompt) or default, prompt, self.system_prompt)
        return self._as_sent(written)

    def _get_prompt(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        # LlamaIndex would put system prompt and output format outside of the text of `completion_to_prompt`.
        parser = self.output_parser
        return prompt.format(
            llm=self,
            messages_to_prompt=lambda messages: self._write_messages(self._extend_messages(messages)),
            completion_to_prompt=lambda text: self._write_completion(parser.format(text) if parser else text),
            **prompt_args,
        )

    def _calls_functions(self) -> bool:
        if self._is_text_model():
            return False
        if self.is_function_calling_model is not None:
            return self.is_function_calling_model
        if self._handler.speaks == "prompt":
            return bool(getattr(self._client.format, "supports_tools", False))
        # A server can accept tools and still lack a parser for the model's calls.
        return self._handler.can.tools and not (self._dialect is not None and self._dialect.tools is False)


def _as_it_is(prompt: str) -> str:
    return prompt
