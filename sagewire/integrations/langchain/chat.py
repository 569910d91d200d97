"""Chat models: `ChatSagemakerEndpoint`, and the base of every chat model on an endpoint of your own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from sagewire.client import AsyncClient, Client
from sagewire.errors import UsageError
from sagewire.http.abandonable import in_thread
from sagewire.integrations.langchain import _blocks
from sagewire.integrations.langchain._chunks import ChunkWriter
from sagewire.integrations.langchain._endpoint import SagemakerFields
from sagewire.integrations.langchain._errors import model_errors
from sagewire.integrations.langchain._generation import Call, GenerationFields
from sagewire.integrations.langchain._messages import to_messages
from sagewire.integrations.langchain._profile import profile_of
from sagewire.integrations.langchain._replies import PROVIDER, to_result
from sagewire.integrations.langchain._tools import describe_tools, tool_choice_name
from sagewire.integrations.langchain.structured import Method, response_format_of, structured_output
from sagewire.types import Message

__all__ = ["ChatSagemakerEndpoint", "EndpointChatModel"]

_blocks.register()

ToolLike = dict[str, Any] | type | Callable[..., Any] | BaseTool


class EndpointChatModel(GenerationFields, BaseChatModel):
    """A chat model on any endpoint; subclasses add its address."""

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._chat_call(stop, kwargs)
        with model_errors():
            reply = self._clients.client.chat(
                to_messages(messages), endpoint_kwargs=call.endpoint_kwargs, **call.chat, **call.options
            )
        return to_result(reply, call.model_name)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._chat_call(stop, kwargs)
        with model_errors():
            reply = await self._clients.twin.chat(
                to_messages(messages), endpoint_kwargs=call.endpoint_kwargs, **call.chat, **call.options
            )
        return to_result(reply, call.model_name)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call = self._chat_call(stop, kwargs, stream=True)
        with model_errors():
            turns = to_messages(messages)
            yield from self._chunks(turns, call, run_manager)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = self._chat_call(stop, kwargs, stream=True)
        with model_errors():
            turns = to_messages(messages)
            async with aclosing(self._achunks(turns, call, run_manager)) as chunks:
                async for chunk in chunks:
                    yield chunk

    def _chunks(
        self, turns: list[Message], call: Call, run_manager: CallbackManagerForLLMRun | None
    ) -> Iterator[ChatGenerationChunk]:
        client = self._clients.client
        with client.stream(
            turns,
            endpoint_kwargs=call.endpoint_kwargs,
            include_usage=call.include_usage,
            **call.chat,
            **call.options,
        ) as stream:
            writer = _chunk_writer(client, call)
            for delta in stream:
                for chunk in writer.write(delta):
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
            for chunk in (*writer.flush(), writer.last(stream.reply, call.model_name)):
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _achunks(
        self, turns: list[Message], call: Call, run_manager: AsyncCallbackManagerForLLMRun | None
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        client = self._clients.twin
        async with client.stream(
            turns,
            endpoint_kwargs=call.endpoint_kwargs,
            include_usage=call.include_usage,
            **call.chat,
            **call.options,
        ) as stream:
            writer = _chunk_writer(client, call)
            async for delta in stream:
                for chunk in writer.write(delta):
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
            for chunk in (*writer.flush(), writer.last(stream.reply, call.model_name)):
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _chat_call(self, stop: Sequence[str] | None, given: dict[str, Any], *, stream: bool = False) -> Call:
        """Return the arguments of a call; with what only a conversation has taken out of the options."""
        with model_errors():
            rest = dict(given)
            tools = describe_tools(rest.pop("tools", None) or (), strict=rest.pop("strict", None))
            choice = tool_choice_name(rest.pop("tool_choice", None), tools)
            parallel = rest.pop("parallel_tool_calls", None)
            if rest.get("response_format") is not None:
                rest["response_format"] = response_format_of(rest["response_format"])
            call = self._call(stop, rest)
            if stream and (call.options.get("n") or 1) > 1:
                raise UsageError("n > 1 cannot be streamed: a LangChain stream is one message; use invoke or generate")
        if tools:
            call.chat = {"tools": tools, "tool_choice": choice, "parallel_tool_calls": parallel}
        return call

    def bind_tools(
        self,
        tools: Sequence[ToolLike],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools it may call.

        If the container has no fields for tools, they travel in the prompt, as `prompt_format` writes them.

        Args:
            tools: Functions, LangChain tools, pydantic classes, TypedDicts, JSON schemas, or OpenAI's own form.
            tool_choice: `auto`, `none`, `any` or `required`, a tool's name, OpenAI's mapping; `True` is `any`.
            strict: Whether arguments must match the schema exactly, if the container can enforce it.
            parallel_tool_calls: Whether several calls in one answer are allowed.
            response_format: Also hold the answer to a schema: see `with_structured_output`.
            **kwargs: Further arguments of every call.

        Raises:
            UsageError: `tool_choice` names a tool that is not there.
        """
        with model_errors():
            described = describe_tools(tools, strict=strict)
            choice = tool_choice_name(tool_choice, described)
            if response_format is not None:
                kwargs["response_format"] = response_format_of(response_format, strict=strict)
        if described:
            kwargs |= {"tools": described}
        if choice is not None and described:
            kwargs["tool_choice"] = choice
        if parallel_tool_calls is not None and described:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(**kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Method | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        tools: Sequence[ToolLike] | None = None,
        repair: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return this model with answers in the form of a schema.

        Args:
            schema: A pydantic class (answers are instances), a TypedDict or a JSON schema (answers are dictionaries).
            method: `json_schema` lets the container hold the model to the schema; `function_calling` makes the schema
                a tool that must be called; `json_mode` asks for any JSON. The default is `json_schema` if the
                container can, else `function_calling`.
            include_raw: Return `{"raw": ..., "parsed": ..., "parsing_error": ...}` instead of raising.
            strict: OpenAI's flag, with the first two methods.
            tools: Tools the model may call before it answers, with `json_schema` only.
            repair: If an answer does not fit, show the model what is wrong with it and ask once more. Such an answer
                is not streamed.
            **kwargs: Further arguments of every call.

        Raises:
            UsageError: The arguments contradict each other, or `schema` is not a schema.
        """
        return structured_output(
            self,
            schema,
            method,
            takes_schema=lambda: self._clients.client.handler.can.response_format,
            include_raw=include_raw,
            strict=strict,
            tools=tools,
            repair=repair,
            **kwargs,
        )

    def discover(self) -> Self:
        """Look up the endpoint's container and complete `profile` with it; return the model itself.

        Making a model asks nothing, so its profile says only what a named `content_handler` tells. Some of LangChain
        needs more: limits given as a fraction, for example, need `max_input_tokens`.

        Raises:
            UsageError: sagewire does not know the container, or the model is not on a SageMaker endpoint.
            AccessDenied: A describe permission is missing.
        """
        with model_errors():
            found = profile_of(self._clients.client, self._clients.client.profile())
        self.profile = {**(self.profile or {}), **found}
        return self

    async def adiscover(self) -> Self:
        """`discover`, in its own thread."""
        return await in_thread(self.discover)

    def _check_handler(self) -> None:
        super()._check_handler()
        client = self._clients.client
        if client.handler.speaks == "prompt" and client.format is None:
            raise UsageError(
                f"{client.handler!r} sends text, so a conversation needs a prompt format: name the model's family, for "
                "example prompt_format='llama3_1' (`sagewire formats` lists them)"
            )

    def _resolve_model_profile(self) -> ModelProfile | None:
        return None if self.content_handler is None else profile_of(self._clients.client)

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**self._where, **self._identity()}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = PROVIDER
        params["ls_model_name"] = self._model_name(kwargs)
        if not stop and self.stop:
            params["ls_stop"] = [self.stop] if isinstance(self.stop, str) else self.stop
        return params

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        # LangChain makes the key of its cache from what is serialised, which sessions, handlers and formats are not.
        return f"{super()._get_llm_string(stop=stop, **kwargs)}---{sorted(self._identifying_params.items())}"

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        combined: dict[str, Any] = {}
        for output in llm_outputs:
            # `None` comes from the cache.
            for name, count in ((output or {}).get("token_usage") or {}).items():
                usage = combined.setdefault("token_usage", {})
                usage[name] = usage.get(name, 0) + count
            if output and "model_name" in output:
                combined["model_name"] = output["model_name"]
        return combined

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: the object can be written down, without its secrets and live objects, and made again."""
        return True


class ChatSagemakerEndpoint(SagemakerFields, EndpointChatModel):
    """A chat model on a SageMaker endpoint.

    The arguments are those of `SagemakerFields` (which endpoint, with whose credentials), `EndpointFields` and
    `GenerationFields`, besides those every LangChain chat model has (`cache`, `rate_limiter`, `callbacks`, `tags`,
    `metadata`, `disable_streaming`, `output_version`, `profile`).

    Setup:
        Install `sagewire[langchain]`. Credentials and the region are found as boto3 finds them.

    Key init args - completion params:
        `temperature`, `max_tokens`, `top_p`, `stop`, `seed`, `model_kwargs`.

    Key init args - client params:
        `endpoint_name`, `region_name`, `session`, `content_handler`, `prompt_format`, `timeout`, `max_retries`.

    Instantiate:
        >>> model = ChatSagemakerEndpoint(endpoint_name="my-llama", temperature=0)  # doctest: +SKIP

    Invoke:
        >>> model.invoke("Why is the sky blue?").content  # doctest: +SKIP
        'Because air scatters blue light more than red.'

    Stream:
        >>> for chunk in model.stream("Why is the sky blue?"):  # doctest: +SKIP
        ...     print(chunk.text, end="")

    Async:
        >>> answer = await model.ainvoke("Why is the sky blue?")  # doctest: +SKIP

    Tool calling:
        >>> model.bind_tools([get_weather]).invoke("Is it raining in Bergen?").tool_calls  # doctest: +SKIP
        [{'name': 'get_weather', 'args': {'city': 'Bergen'}, 'id': '...', 'type': 'tool_call'}]

    Structured output:
        >>> model.with_structured_output(Place).invoke("I live in Bergen.")  # doctest: +SKIP
        Place(city='Bergen')

    Token usage:
        >>> model.invoke("Why is the sky blue?").usage_metadata  # doctest: +SKIP
        {'input_tokens': 12, 'output_tokens': 10, 'total_tokens': 22}

    Response metadata:
        >>> model.invoke("Why is the sky blue?").response_metadata["finish_reason"]  # doctest: +SKIP
        'stop'
    """

    @property
    def _llm_type(self) -> str:
        return "amazon_sagemaker_chat"


def _chunk_writer(client: Client | AsyncClient, call: Call) -> ChunkWriter:
    # By the time the first tool call arrives this client knows its handler, so asking for it does not wait.
    return ChunkWriter(may_cancel=lambda: client.handler.speaks == "prompt", stops=bool(call.options.get("stop")))
