"""`AsyncClient`: an endpoint you can talk to from asyncio. The names are those of `sagewire.client.Client`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, Unpack

from sagewire.client import sticky_sessions as sessions
from sagewire.client.base import ClientBase, MessagesLike, ToolChoice, ToolsLike
from sagewire.client.batching import Batch, BatchJob, as_texts, split_batch
from sagewire.client.runner import CallRun, explain, run_async
from sagewire.client.streams import AsyncReplyStream
from sagewire.content_handlers.base import Request
from sagewire.discovery.describe import Description
from sagewire.errors import EndpointError
from sagewire.transports.base import AsyncTransport
from sagewire.types import Embeddings, EmbedOptions, InputType, OptionArguments, Ranking, Reply

__all__ = ["AsyncClient"]

P = ParamSpec("P")
T = TypeVar("T")

# Batches of one `embed` or `rerank` that are under way at once.
BATCHES_IN_FLIGHT = 8


class AsyncClient(ClientBase):
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
        tool_choice: ToolChoice | None = None,
        parallel_tool_calls: bool | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[OptionArguments],
    ) -> Reply:
        """Answer a conversation; see `Client.chat`."""
        stream = self._stream_internally
        request = self._chat(messages, tools, tool_choice, parallel_tool_calls, options, stream)
        return await self._answer(request, endpoint_kwargs)

    def stream(
        self,
        messages: MessagesLike,
        *,
        tools: ToolsLike | None = None,
        tool_choice: ToolChoice | None = None,
        parallel_tool_calls: bool | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        include_usage: bool = True,
        keep_reply: bool = True,
        **options: Unpack[OptionArguments],
    ) -> AsyncReplyStream:
        """Answer a conversation as a stream of deltas; see `Client.stream`."""
        request = self._chat(messages, tools, tool_choice, parallel_tool_calls, options, True, include_usage)
        return self._stream(request, endpoint_kwargs, keep_reply)

    async def complete(
        self, prompt: str, *, endpoint_kwargs: Mapping[str, Any] | None = None, **options: Unpack[OptionArguments]
    ) -> Reply:
        """Continue a text exactly as given; see `Client.complete`."""
        return await self._answer(self._complete(prompt, options, self._stream_internally), endpoint_kwargs)

    def stream_complete(
        self,
        prompt: str,
        *,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        include_usage: bool = True,
        keep_reply: bool = True,
        **options: Unpack[OptionArguments],
    ) -> AsyncReplyStream:
        """Continue a text as a stream of deltas; see `Client.stream_complete`."""
        return self._stream(self._complete(prompt, options, True, include_usage), endpoint_kwargs, keep_reply)

    async def embed(
        self,
        texts: Iterable[str],
        *,
        input_type: InputType | None = None,
        dimensions: int | None = None,
        truncate: bool | None = None,
        normalize: bool | None = None,
        model: str | None = None,
        extra: Mapping[str, Any] | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
    ) -> Embeddings:
        """Turn texts into vectors, several batches at a time; see `Client.embed`."""
        texts = as_texts(texts, "texts")
        if not texts:
            return Embeddings()
        options = EmbedOptions(input_type, dimensions, truncate, normalize, model, extra or {})
        work = await self._resolved(self._embedding, texts, options, endpoint_kwargs)
        with self._watch_work(work) as outcome:
            try:
                embeddings = await self._work_off(work)
            except EndpointError as error:
                if error.status not in (404, 405) or not await asyncio.to_thread(self._tries_out, error):
                    raise
                embeddings = await self._work_off(self._embedding(texts, options, endpoint_kwargs))
            outcome.answer = lambda: embeddings
        return embeddings

    async def rerank(
        self,
        query: str,
        documents: Iterable[str],
        *,
        top_n: int | None = None,
        extra: Mapping[str, Any] | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
    ) -> Ranking:
        """Order documents by their relevance to a query; see `Client.rerank`."""
        documents = as_texts(documents, "documents")
        if not documents:
            return Ranking()
        work = await self._resolved(self._reranking, query, documents, top_n, extra, endpoint_kwargs)
        with self._watch_work(work) as outcome:
            ranking = await self._work_off(work)
            outcome.answer = lambda: ranking
        return ranking

    async def open_session(self, *, endpoint_kwargs: Mapping[str, Any] | None = None) -> str:
        """Open a sticky session and return its id; see `Client.open_session`."""
        parameters = await self._resolved(self._parameters, endpoint_kwargs)
        return sessions.opened((await self._connect().invoke(sessions.opening(parameters))).info)

    async def close_session(self, session_id: str, *, endpoint_kwargs: Mapping[str, Any] | None = None) -> None:
        """Close a sticky session; see `Client.close_session`."""
        parameters = await self._resolved(self._parameters, endpoint_kwargs)
        await self._connect().invoke(sessions.closing(session_id, parameters))

    async def wait_for_ready(
        self, budget: float = 900.0, on_progress: Callable[[Description], None] | None = None
    ) -> Description:
        """Wait until the endpoint is in service; see `Client.wait_for_ready`."""
        return await asyncio.to_thread(self._resolver.wait_until_serving, budget, on_progress)

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

    def _stream(
        self, request: Request, endpoint_kwargs: Mapping[str, Any] | None, keep_reply: bool = True
    ) -> AsyncReplyStream:
        call = CallRun(self, request, endpoint_kwargs, yields=True, keep_reply=keep_reply)
        return AsyncReplyStream(call, self._connect)

    async def _answer(self, request: Request, endpoint_kwargs: Mapping[str, Any] | None) -> Reply:
        call = CallRun(self, request, endpoint_kwargs)
        async for _ in run_async(call, self._connect):
            pass
        return call.reply

    async def _resolved(self, make: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `make`, which may have to ask the control plane, through botocore, which blocks."""
        if self._resolver.known:
            return make(*args, **kwargs)
        return await asyncio.to_thread(make, *args, **kwargs)

    async def _work_off(self, work: BatchJob[T]) -> T:
        slots = asyncio.Semaphore(BATCHES_IN_FLIGHT)

        async def send(batch: Batch) -> list[tuple[Batch, T]]:
            async with slots:
                try:
                    body = await self._connect().invoke(work.invocation(batch))
                except EndpointError as error:
                    smaller = split_batch(batch, error)
                    if smaller is None:
                        explain(error, work.handler)
                        raise
                else:
                    return [(batch, work.read(batch, body))]
            return [*await send(smaller[0]), *await send(smaller[1])]

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(send(batch)) for batch in work.batches()]
        except BaseExceptionGroup as failed:
            # The first failure cancelled the other batches; callers know single errors, not groups.
            raise failed.exceptions[0] from None
        return work.join([part for task in tasks for part in task.result()])

    def _connect(self) -> AsyncTransport:
        if self._transport is None:
            with self._connecting:
                if self._transport is None:
                    self._transport = self._settings.open_async_transport()
        return self._transport
