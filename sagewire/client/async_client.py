"""`AsyncClient`: a client of one endpoint for asyncio. The names are those of `sagewire.client.Client`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, Unpack

from sagewire._names import refuse
from sagewire.client import sticky_sessions as sessions
from sagewire.client.base import ClientBase, MessagesLike, ToolChoice, ToolsLike
from sagewire.client.batch_run import BatchRun, Progress
from sagewire.client.batching import Batch, BatchJob, as_inputs, as_texts
from sagewire.client.finding import Finding
from sagewire.client.misplaced import (
    EMBED_ARGUMENTS,
    METHODS_OF_OTHERS,
    RERANK_ARGUMENTS,
    Misplaced,
    check_endpoint_kwargs,
    explains_missing,
    refuse_misplaced,
)
from sagewire.client.progress import shown
from sagewire.client.ready_wait import ReadyWait
from sagewire.client.runner import CallRun, answer_async, explain, run_async
from sagewire.client.streams import AsyncReplyStream
from sagewire.content_handlers.base import Request
from sagewire.discovery.describe import Description
from sagewire.errors import EndpointError, WireError
from sagewire.http.abandonable import in_thread
from sagewire.transports.base import AsyncTransport, Body
from sagewire.types import Embeddings, EmbedOptions, InputType, OptionArguments, Ranking, Reply

__all__ = ["AsyncClient"]

T = TypeVar("T", bound=Embeddings | Ranking)
# Libraries that have both kinds of methods in one class begin the asynchronous ones with an `a`.
_WITHOUT_A = {
    f"a{name}": f"use {name}: the methods of AsyncClient are awaited and have the names of Client's"
    for name in ("chat", "complete", "embed", "rerank", "close", "stream")
}


class AsyncClient(ClientBase):
    """A client of one endpoint for asyncio; the arguments are those of `Client`.

    Example:
        >>> client = AsyncClient("my-llama", handler="tgi", format="llama3_1")  # doctest: +SKIP
        >>> (await client.chat("Why is the sky blue?", max_tokens=200)).text  # doctest: +SKIP
        'Because air scatters blue light more than red.'
    """

    _transport: AsyncTransport | None = None
    _instead: ClassVar[Mapping[str, str]] = {**METHODS_OF_OTHERS, **_WITHOUT_A}

    @explains_missing
    async def chat(
        self,
        messages: MessagesLike,
        *_misplaced: Misplaced,
        tools: ToolsLike | None = None,
        tool_choice: ToolChoice | None = None,
        parallel_tool_calls: bool | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[OptionArguments],
    ) -> Reply:
        """Answer a conversation; see `Client.chat`."""
        stream = self._stream_internally
        request = self._chat(messages, tools, tool_choice, parallel_tool_calls, options, stream, misplaced=_misplaced)
        return await self._answer(request, endpoint_kwargs)

    @explains_missing
    def stream(
        self,
        messages: MessagesLike,
        *_misplaced: Misplaced,
        tools: ToolsLike | None = None,
        tool_choice: ToolChoice | None = None,
        parallel_tool_calls: bool | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        include_usage: bool = True,
        keep_reply: bool = True,
        **options: Unpack[OptionArguments],
    ) -> AsyncReplyStream:
        """Answer a conversation as a stream of deltas; see `Client.stream`."""
        request = self._chat(
            messages, tools, tool_choice, parallel_tool_calls, options, True, include_usage, misplaced=_misplaced
        )
        return self._stream(request, endpoint_kwargs, keep_reply)

    @explains_missing
    async def complete(
        self,
        prompt: str,
        *_misplaced: Misplaced,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[OptionArguments],
    ) -> Reply:
        """Continue a text exactly as given; see `Client.complete`."""
        return await self._answer(
            self._complete(prompt, options, self._stream_internally, misplaced=_misplaced), endpoint_kwargs
        )

    @explains_missing
    def stream_complete(
        self,
        prompt: str,
        *_misplaced: Misplaced,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        include_usage: bool = True,
        keep_reply: bool = True,
        **options: Unpack[OptionArguments],
    ) -> AsyncReplyStream:
        """Continue a text as a stream of deltas; see `Client.stream_complete`."""
        return self._stream(
            self._complete(prompt, options, True, include_usage, misplaced=_misplaced), endpoint_kwargs, keep_reply
        )

    @explains_missing
    async def embed(
        self,
        texts: Iterable[str | Sequence[int]],
        *_misplaced: Misplaced,
        input_type: InputType | None = None,
        dimensions: int | None = None,
        truncate: bool | None = None,
        normalize: bool | None = None,
        model: str | None = None,
        extra: Mapping[str, Any] | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        max_concurrency: int | None = None,
        progress: bool | Progress = False,
        **_unknown: Misplaced,
    ) -> Embeddings:
        """Turn texts into vectors, several batches at a time; see `Client.embed`."""
        refuse_misplaced("embed", {"texts": texts}, _misplaced, _unknown, EMBED_ARGUMENTS)
        inputs = as_inputs(texts)
        if not inputs:
            return Embeddings()
        options = EmbedOptions(input_type, dimensions, truncate, normalize, model, {} if extra is None else extra)
        return await self._work(
            lambda finding: self._embedding(inputs, options, endpoint_kwargs, finding),
            endpoint_kwargs,
            max_concurrency,
            progress,
        )

    @explains_missing
    async def rerank(
        self,
        query: str,
        documents: Iterable[str],
        *_misplaced: Misplaced,
        top_n: int | None = None,
        extra: Mapping[str, Any] | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        **_unknown: Misplaced,
    ) -> Ranking:
        """Order documents by their relevance to a query; see `Client.rerank`."""
        given = {"query": query, "documents": documents}
        refuse_misplaced("rerank", given, _misplaced, _unknown, RERANK_ARGUMENTS)
        documents = as_texts(documents, "documents")
        if not documents:
            return Ranking()
        return await self._work(
            lambda finding: self._reranking(finding, query, documents, top_n, extra, endpoint_kwargs), endpoint_kwargs
        )

    async def open_session(self, *, endpoint_kwargs: Mapping[str, Any] | None = None) -> str:
        """Open a sticky session and return its id; see `Client.open_session`."""
        parameters = {**(await self._find(endpoint_kwargs)).parameters, **(endpoint_kwargs or {})}
        return sessions.opened((await self._connect().invoke(sessions.opening(parameters))).info)

    async def close_session(self, session_id: str, *, endpoint_kwargs: Mapping[str, Any] | None = None) -> None:
        """Close a sticky session; see `Client.close_session`."""
        parameters = {**(await self._find(endpoint_kwargs)).parameters, **(endpoint_kwargs or {})}
        await self._connect().invoke(sessions.closing(session_id, parameters))

    async def wait_for_ready(
        self, budget: float = 900.0, on_progress: Callable[[Description], None] | None = None
    ) -> Description:
        """Wait until the endpoint is in service; see `Client.wait_for_ready`."""
        wait = ReadyWait(budget)
        while True:
            try:
                async with asyncio.timeout(wait.left):
                    found = await in_thread(self._resolver.description)
            except TimeoutError as error:
                raise wait.failed(error) from None
            delay = wait.delay_after(found, on_progress)
            if delay is None:
                return found
            await asyncio.sleep(delay)

    async def look_up(self) -> None:
        """Wait until `handler`, `format` and `profile()` answer without waiting, with all tasks that wait for the same.

        Raises:
            SagewireError: As `profile`.
        """
        if not self._resolver.known():
            await self._resolver.look_up()

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

    if not TYPE_CHECKING:
        __enter__ = __exit__ = refuse("use `async with`; sagewire.Client is for `with`")

    def _stream(
        self, request: Request, endpoint_kwargs: Mapping[str, Any] | None, keep_reply: bool = True
    ) -> AsyncReplyStream:
        call = CallRun(self, request, endpoint_kwargs, yields=True, keep_reply=keep_reply)
        return AsyncReplyStream(call, self._connect)

    async def _answer(self, request: Request, endpoint_kwargs: Mapping[str, Any] | None) -> Reply:
        call = CallRun(self, request, endpoint_kwargs)
        if not request.stream:
            return await answer_async(call, self._connect)
        async for _ in run_async(call, self._connect):
            pass
        return call.reply

    async def _find(self, endpoint_kwargs: Mapping[str, Any] | None) -> Finding:
        """Return the finding for a call. The control plane is asked through botocore, which blocks."""
        resolver = self._resolver
        if not resolver.known(endpoint_kwargs):
            await resolver.look_up(endpoint_kwargs)
        # A lifetime that ended in between is rare, and the next look-up not in the way.
        known = resolver.known(endpoint_kwargs) or not resolver.discovers
        return resolver.finding(endpoint_kwargs) if known else await in_thread(resolver.finding, endpoint_kwargs)

    async def _work(
        self,
        make: Callable[[Finding], BatchJob[T]],
        endpoint_kwargs: Mapping[str, Any] | None,
        max_concurrency: int | None = None,
        progress: bool | Progress = False,
    ) -> T:
        """Run a job; start again if the container has changed."""
        check_endpoint_kwargs(endpoint_kwargs)
        began = time.monotonic()
        finding = await self._find(endpoint_kwargs)
        spent = time.monotonic() - began
        work = make(finding)
        with self._watch_work(work) as outcome, shown(progress, work.doing) as tell:
            try:
                answer = await self._work_off(BatchRun(work, max_concurrency, tell, spent))
            except (WireError, EndpointError) as error:
                resolver = self._resolver
                suspects = resolver.suspects(error)
                if not (suspects and await resolver.found_other_async(error, endpoint_kwargs, finding)):
                    explain(error, work.handler, self._connect())
                    raise
                again = make(await self._find(endpoint_kwargs))
                answer = await self._work_off(BatchRun(again, max_concurrency, tell, time.monotonic() - began))
            outcome.answer = lambda: answer
        return answer

    async def _work_off(self, run: BatchRun[T]) -> T:
        transport = self._connect()
        flying: dict[asyncio.Task[Body], Batch] = {}
        try:
            while not run.over:
                for batch in run.start():
                    flying[asyncio.ensure_future(transport.invoke(run.invocation(batch)))] = batch
                if not flying:
                    await asyncio.sleep(run.pause or 0.0)
                    continue
                done, _ = await asyncio.wait(flying, timeout=run.pause, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    batch = flying.pop(task)
                    try:
                        body = task.result()
                    except EndpointError as error:
                        run.refused(batch, error)
                    else:
                        run.answered(batch, body)
        finally:
            for task in flying:
                task.cancel()
            if flying:
                await asyncio.gather(*flying, return_exceptions=True)
        return run.result()

    def _connect(self) -> AsyncTransport:
        if self._transport is None:
            with self._connecting:
                if self._transport is None:
                    self._transport = self._settings.open_async_transport()
        return self._transport
