"""One endpoint as a Python object: `Client`, and `AsyncClient` with the same names awaited.

A client made once works from many threads, in several event loops and after a fork.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

from sagewire._exchange import Exchange, prepare
from sagewire._settings import Settings
from sagewire._streams import AsyncReplyStream, ReplyStream
from sagewire.content_handlers.base import ContentHandler, Request
from sagewire.prompt_formats.base import PromptFormat
from sagewire.transports.base import AsyncTransport, Retries, Timeouts, Transport
from sagewire.types import (
    ChatRequest,
    Message,
    OptionArguments,
    Options,
    PromptRequest,
    Reply,
    Tool,
    as_messages,
    as_tools,
    make_options,
)

__all__ = ["AsyncClient", "Client"]

MessagesLike = str | Message | Mapping[str, Any] | Iterable[Message | Mapping[str, Any]]
ToolsLike = Iterable[Tool | Mapping[str, Any]]


class _BaseClient:
    """Everything that only computes; `Client` says what the arguments mean."""

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        url: str | None = None,
        token: str | None = None,
        handler: str | ContentHandler | object | None = None,
        format: str | PromptFormat | object | None = None,
        options: Options | Mapping[str, Any] | None = None,
        region_name: str | None = None,
        session: Any = None,
        profile_name: str | None = None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_session_token: str | None = None,
        client: Any = None,
        config: Any = None,
        endpoint_url: str | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        inference_component_name: str | None = None,
        timeout: Timeouts | float | None = None,
        retries: Retries | int | None = None,
        transport: Any = None,
        stream_internally: bool = False,
    ) -> None:
        self._settings = Settings(
            endpoint=endpoint,
            url=url,
            token=token,
            region_name=region_name,
            session=session,
            profile_name=profile_name,
            aws_access_key_id=aws_access_key_id,
            aws_secret_access_key=aws_secret_access_key,
            aws_session_token=aws_session_token,
            client=client,
            config=config,
            endpoint_url=endpoint_url,
            endpoint_kwargs=dict(endpoint_kwargs or {}),
            inference_component_name=inference_component_name,
            timeouts=Timeouts.of(timeout),
            retries=Retries(attempts=retries) if isinstance(retries, int) else retries or Retries(),
            transport=transport,
            handler=handler,
            format=format,
        )
        self._options = options if isinstance(options, Options) else make_options(**(options or {}))
        self._stream_internally = stream_internally
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.target!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"_settings": self._settings, "_options": self._options, "_stream_internally": self._stream_internally}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @property
    def handler(self) -> ContentHandler:
        """What the container speaks."""
        return self._settings.handler_in_use

    @property
    def format(self) -> PromptFormat | None:
        """How the model family writes, where that is known."""
        return self._settings.format_in_use

    def _chat(
        self,
        messages: MessagesLike,
        tools: ToolsLike | None,
        tool_choice: str | None,
        parallel_tool_calls: bool | None,
        endpoint_kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any],
        stream: bool,
        include_usage: bool = True,
    ) -> Exchange:
        request = ChatRequest(
            messages=as_messages(messages),
            options=make_options(self._options, **options),
            tools=as_tools(tools),
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            stream=stream,
            include_usage=include_usage,
        )
        return self._prepare(request, endpoint_kwargs)

    def _complete(
        self, prompt: str, endpoint_kwargs: Mapping[str, Any] | None, options: Mapping[str, Any], stream: bool
    ) -> Exchange:
        return self._prepare(PromptRequest(prompt, make_options(self._options, **options), stream), endpoint_kwargs)

    def _prepare(self, request: Request, endpoint_kwargs: Mapping[str, Any] | None) -> Exchange:
        return prepare(request, self.handler, self.format, endpoint_kwargs)


class Client(_BaseClient):
    """An endpoint you can talk to; every method waits for its answer.

    Args:
        endpoint: The SageMaker endpoint's name.
        url: Instead of `endpoint`: the base URL of a Hugging Face endpoint or of any HTTP server.
        token: Bearer token for `url`; sent to that host only.
        handler: What the container speaks: a name out of `HANDLERS`, a `ContentHandler`, or a content handler object
            written for LangChain or LlamaIndex.
        format: How the model family writes: a name out of `FORMATS`, a `PromptFormat`, or a callable from messages to
            text. Only needed where the container takes plain text.
        options: Generation settings for every call; those given with a call win.
        region_name: AWS region; else as boto3 finds it.
        session: Where credentials come from: one of sagewire's session factories, a boto3 or botocore session.
        profile_name: A profile of the AWS configuration, instead of `session`.
        aws_access_key_id: Static credentials, instead of `session`.
        aws_secret_access_key: The secret that goes with it.
        aws_session_token: The session token, for temporary credentials.
        client: Your own `boto3.client("sagemaker-runtime")`; calls then go through it untouched.
        config: A `botocore.config.Config` for time limits, proxies, pool size and the like.
        endpoint_url: Another SageMaker Runtime URL, as boto3's argument of that name.
        endpoint_kwargs: InvokeEndpoint parameters for every call, under boto3's names.
        inference_component_name: The inference component to call.
        timeout: Seconds to wait for the server, or `Timeouts` for each limit by itself.
        retries: How often to try in all, or `Retries`.
        transport: Your own transport; everything about hosts and credentials is then yours.
        stream_internally: Answer `chat` and `complete` by folding a stream: SageMaker gives a whole answer 60 s only.

    Example:
        >>> client = Client("my-llama", handler="tgi", format="llama3_1")  # doctest: +SKIP
        >>> client.chat("Why is the sky blue?", max_tokens=200).text  # doctest: +SKIP
        'Because air scatters blue light more than red.'
    """

    _transport: Transport | None = None

    def chat(
        self,
        messages: MessagesLike,
        *,
        tools: ToolsLike | None = None,
        tool_choice: str | None = None,
        parallel_tool_calls: bool | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[OptionArguments],
    ) -> Reply:
        """Answer a conversation.

        Args:
            messages: A string (one user turn), or messages as `Message` objects or OpenAI-shaped dictionaries.
            tools: Functions the model may ask for, as `Tool` objects or OpenAI-shaped dictionaries.
            tool_choice: `auto`, `none`, `required`, or the name of one tool.
            parallel_tool_calls: Whether several calls in one answer are allowed.
            endpoint_kwargs: InvokeEndpoint parameters of this call, under boto3's names.
            **options: Generation settings, see `Options`.

        Raises:
            UsageError: The call is wrong.
            UnsupportedFeature: The container's wire or the prompt format cannot express it.
            EndpointError: The service said no.
            WireError: The answer is not what the handler promised.
        """
        stream = self._stream_internally
        return self._answer(
            self._chat(messages, tools, tool_choice, parallel_tool_calls, endpoint_kwargs, options, stream)
        )

    def stream(
        self,
        messages: MessagesLike,
        *,
        tools: ToolsLike | None = None,
        tool_choice: str | None = None,
        parallel_tool_calls: bool | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        include_usage: bool = True,
        **options: Unpack[OptionArguments],
    ) -> ReplyStream:
        """Answer a conversation as a stream of deltas; the arguments are those of `chat`.

        A container that cannot stream is asked for the whole answer, which then arrives as one piece.

        Args:
            messages: As for `chat`.
            tools: As for `chat`.
            tool_choice: As for `chat`.
            parallel_tool_calls: As for `chat`.
            endpoint_kwargs: As for `chat`.
            include_usage: Ask for token counts at the end.
            **options: As for `chat`.
        """
        exchange = self._chat(
            messages, tools, tool_choice, parallel_tool_calls, endpoint_kwargs, options, True, include_usage
        )
        return ReplyStream(exchange, self._connect())

    def complete(
        self, prompt: str, *, endpoint_kwargs: Mapping[str, Any] | None = None, **options: Unpack[OptionArguments]
    ) -> Reply:
        """Continue a text exactly as given.

        Where the container takes messages only, the text is sent as one user message.
        """
        return self._answer(self._complete(prompt, endpoint_kwargs, options, self._stream_internally))

    def stream_complete(
        self, prompt: str, *, endpoint_kwargs: Mapping[str, Any] | None = None, **options: Unpack[OptionArguments]
    ) -> ReplyStream:
        """Continue a text as a stream of deltas."""
        return ReplyStream(self._complete(prompt, endpoint_kwargs, options, True), self._connect())

    def close(self) -> None:
        """Give back pooled connections. The client may be used again."""
        if self._transport is not None:
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _answer(self, exchange: Exchange) -> Reply:
        if exchange.streams:
            with ReplyStream(exchange, self._connect()) as stream:
                for _ in stream:
                    pass
                return stream.reply
        body = self._connect().invoke(exchange.invocation)
        return exchange.read_whole(body.data, body.info)

    def _connect(self) -> Transport:
        if self._transport is None:
            with self._lock:
                if self._transport is None:
                    self._transport = self._settings.transport_in_use()
        return self._transport


class AsyncClient(_BaseClient):
    """An endpoint you can talk to from asyncio; the arguments are those of `Client`.

    Example:
        >>> client = AsyncClient("my-llama", handler="tgi", format="llama3_1")  # doctest: +SKIP
        >>> (await client.chat("Why is the sky blue?", max_tokens=200)).text  # doctest: +SKIP
        'Because air scatters blue light more than red.'
    """

    _transport: AsyncTransport | None = None

    async def chat(
        self,
        messages: MessagesLike,
        *,
        tools: ToolsLike | None = None,
        tool_choice: str | None = None,
        parallel_tool_calls: bool | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[OptionArguments],
    ) -> Reply:
        """Answer a conversation; see `Client.chat`."""
        stream = self._stream_internally
        return await self._answer(
            self._chat(messages, tools, tool_choice, parallel_tool_calls, endpoint_kwargs, options, stream)
        )

    def stream(
        self,
        messages: MessagesLike,
        *,
        tools: ToolsLike | None = None,
        tool_choice: str | None = None,
        parallel_tool_calls: bool | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        include_usage: bool = True,
        **options: Unpack[OptionArguments],
    ) -> AsyncReplyStream:
        """Answer a conversation as a stream of deltas; see `Client.stream`."""
        exchange = self._chat(
            messages, tools, tool_choice, parallel_tool_calls, endpoint_kwargs, options, True, include_usage
        )
        return AsyncReplyStream(exchange, self._connect())

    async def complete(
        self, prompt: str, *, endpoint_kwargs: Mapping[str, Any] | None = None, **options: Unpack[OptionArguments]
    ) -> Reply:
        """Continue a text exactly as given; see `Client.complete`."""
        return await self._answer(self._complete(prompt, endpoint_kwargs, options, self._stream_internally))

    def stream_complete(
        self, prompt: str, *, endpoint_kwargs: Mapping[str, Any] | None = None, **options: Unpack[OptionArguments]
    ) -> AsyncReplyStream:
        """Continue a text as a stream of deltas."""
        return AsyncReplyStream(self._complete(prompt, endpoint_kwargs, options, True), self._connect())

    async def close(self) -> None:
        """Give back pooled connections of the running event loop. The client may be used again."""
        if self._transport is not None:
            await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def _answer(self, exchange: Exchange) -> Reply:
        if exchange.streams:
            async with AsyncReplyStream(exchange, self._connect()) as stream:
                async for _ in stream:
                    pass
                return stream.reply
        body = await self._connect().invoke(exchange.invocation)
        return exchange.read_whole(body.data, body.info)

    def _connect(self) -> AsyncTransport:
        if self._transport is None:
            with self._lock:
                if self._transport is None:
                    self._transport = self._settings.async_transport_in_use()
        return self._transport
