"""One endpoint as a Python object: `Client`, and `AsyncClient` with the same names awaited.

A client made once works from many threads, in several event loops and after a fork.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from sagewire._names import refuse
from sagewire.client import sticky_sessions as sessions
from sagewire.client.base import ClientBase, MessagesLike, ToolChoice, ToolsLike
from sagewire.client.batch_run import BatchRun, Progress
from sagewire.client.batching import Batch, BatchJob, as_inputs, as_texts
from sagewire.client.finding import Finding
from sagewire.client.misplaced import (
    EMBED_ARGUMENTS,
    RERANK_ARGUMENTS,
    Misplaced,
    check_endpoint_kwargs,
    explains_missing,
    refuse_misplaced,
)
from sagewire.client.progress import shown
from sagewire.client.runner import CallRun, explain, run
from sagewire.client.streams import ReplyStream
from sagewire.content_handlers.base import Request
from sagewire.discovery.describe import Description
from sagewire.errors import EndpointError, WireError
from sagewire.transports.base import Body, Transport
from sagewire.types import Embeddings, EmbedOptions, InputType, OptionArguments, Ranking, Reply

if TYPE_CHECKING:
    from sagewire.client.async_client import AsyncClient

__all__ = ["Client"]

T = TypeVar("T", bound=Embeddings | Ranking)


class Client(ClientBase):
    """A client of one endpoint; every method waits for its answer.

    Args:
        endpoint: The SageMaker endpoint's name.
        url: Instead of `endpoint`: the base URL of a Hugging Face endpoint or of any HTTP server; short for
            `transport=Http(url)`.
        token: Bearer token for `url`; sent to that host only.
        client: Your own `boto3.client("sagemaker-runtime")`; short for `transport=Boto3(client)`.
        transport: The transport: `AsyncInference(...)` for an endpoint with Asynchronous Inference, `Http(...)` with
            headers of your own, `Boto3(...)`; or a transport object of your own, which then looks after hosts and
            credentials.
        handler: The container's request format: a name in `HANDLERS` or of a plug-in, `package.module:Name`, a
            `ContentHandler`, or a handler object written for LangChain or LlamaIndex. Default: detected.
        format: How the model family writes a conversation: a name in `FORMATS` or of a plug-in, `package.module:Name`,
            a `PromptFormat`, or a callable from messages to text. Only containers that take plain text need one.
        options: Generation settings for every call; those given with a call win.
        region_name: AWS region; else as boto3 finds it.
        session: The source of credentials: one of sagewire's session factories, a boto3 or botocore session.
        profile_name: A profile of the AWS configuration, instead of `session`.
        aws_access_key_id: Static credentials, instead of `session`.
        aws_secret_access_key: The secret that goes with it.
        aws_session_token: The session token, for temporary credentials.
        config: A `botocore.config.Config` for time limits, proxies, pool size and the like.
        endpoint_url: Another SageMaker Runtime URL, as boto3's argument of that name.
        endpoint_kwargs: InvokeEndpoint parameters for every call, under boto3's names.
        inference_component_name: The inference component to call.
        timeout: Seconds to wait for the server, or `Timeouts` for each limit by itself.
        retries: How often to try in all, or `Retries`.
        max_response_bytes: The longest answer that is read, whole or streamed; 256 MB if omitted.
        stream_internally: Answer `chat` and `complete` by folding a stream: SageMaker gives a whole answer 60 s only.
        hooks: Functions of your own that are called for each call, see `sagewire.telemetry.Hooks`.
        probe: If the endpoint cannot be described, or its container is not known, detect its request format with one to
            three tiny requests.

    Example:
        >>> client = Client("my-llama", handler="tgi", format="llama3_1")  # doctest: +SKIP
        >>> client.chat("Why is the sky blue?", max_tokens=200).text  # doctest: +SKIP
        'Because air scatters blue light more than red.'
    """

    _transport: Transport | None = None

    @explains_missing
    def chat(
        self,
        messages: MessagesLike,
        *_misplaced: Misplaced,
        tools: ToolsLike | None = None,
        tool_choice: ToolChoice | None = None,
        parallel_tool_calls: bool | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[OptionArguments],
    ) -> Reply:
        """Answer a conversation.

        Args:
            messages: A string (one user turn), or messages as `Message` objects or OpenAI-shaped dictionaries.
            tools: Functions the model may ask for, as `Tool` objects or OpenAI-shaped dictionaries.
            tool_choice: `auto`, `none`, `required`, the name of one tool, or OpenAI's dictionary that names it.
            parallel_tool_calls: Whether several calls in one answer are allowed.
            endpoint_kwargs: InvokeEndpoint parameters of this call, under boto3's names.
            **options: Generation settings, each of them optional and explained at `Options`: `max_tokens`,
                `temperature`, `top_p`, `top_k`, `min_p`, `typical_p`, `stop` (a string or several), `seed`,
                `frequency_penalty`, `presence_penalty`, `repetition_penalty`, `n`, `logprobs`, `top_logprobs`,
                `response_format`, `reasoning_effort`, `model`, `adapter`, and `extra`, a mapping of settings under the
                container's own names.

        Raises:
            UsageError: The call is wrong.
            UnsupportedFeature: The handler or the prompt format cannot express the request.
            EndpointError: The service returned an error.
            WireError: The answer cannot be read as the handler's response format.

        Example:
            >>> client.chat("Why is the sky blue?", max_tokens=200, temperature=0).text  # doctest: +SKIP
            'Because air scatters blue light more than red.'
        """
        stream = self._stream_internally
        request = self._chat(messages, tools, tool_choice, parallel_tool_calls, options, stream, misplaced=_misplaced)
        return self._answer(request, endpoint_kwargs)

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
    ) -> ReplyStream:
        """Answer a conversation as a stream of deltas; the arguments are those of `chat`.

        If the container cannot stream, the whole answer arrives as one piece.

        Args:
            messages: As for `chat`.
            tools: As for `chat`.
            tool_choice: As for `chat`.
            parallel_tool_calls: As for `chat`.
            endpoint_kwargs: As for `chat`.
            include_usage: Ask for token counts at the end.
            keep_reply: Keep what arrives, for `ReplyStream.reply`. Without it a stream of any length takes constant
                memory, and neither `reply` nor an error's `partial` can be asked for.
            **options: As for `chat`.
        """
        request = self._chat(
            messages, tools, tool_choice, parallel_tool_calls, options, True, include_usage, misplaced=_misplaced
        )
        return self._stream(request, endpoint_kwargs, keep_reply)

    @explains_missing
    def complete(
        self,
        prompt: str,
        *_misplaced: Misplaced,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[OptionArguments],
    ) -> Reply:
        """Continue a text exactly as given.

        If the container takes messages only, the text is sent as one user message.

        Args:
            prompt: The text.
            endpoint_kwargs: InvokeEndpoint parameters of this call, under boto3's names.
            **options: Generation settings, as for `chat`.
        """
        return self._answer(
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
    ) -> ReplyStream:
        """Continue a text as a stream of deltas; `include_usage` and `keep_reply` are those of `stream`."""
        return self._stream(
            self._complete(prompt, options, True, include_usage, misplaced=_misplaced), endpoint_kwargs, keep_reply
        )

    @explains_missing
    def embed(
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
        """Turn texts into vectors.

        Texts are sent in batches the container takes, several at a time, and a batch it still finds too large is
        halved. A server that has too many calls gets fewer.

        Args:
            texts: The texts, in any iterable; an empty one gives an empty answer without a call. A text may also be a
                list of the numbers of its tokens, if the request format has that (OpenAI's, vLLM's, TEI's): the
                model's own tokenizer must have made them.
            input_type: The purpose of the texts, if the request format has a field for it (Cohere).
            dimensions: Ask for shorter vectors, of models trained for that.
            truncate: Cut texts that are too long, or refuse them.
            normalize: Ask for vectors of length 1.
            model: A served model name, if the request format has a field for it.
            extra: Anything else, passed to the server under the name given.
            endpoint_kwargs: InvokeEndpoint parameters of this call, under boto3's names.
            max_concurrency: Batches in flight at most; 16 if omitted.
            progress: `True` shows a bar in a terminal or notebook (needs `sagewire[cli]`); a function is given how
                many texts are done, and how many there are.

        Raises:
            UnsupportedFeature: The container does not make embeddings, or its request format lacks an option or token
                numbers.
            EndpointError: The service returned an error.
            WireError: Vectors are missing, of different lengths, or not finite.
        """
        refuse_misplaced("embed", {"texts": texts}, _misplaced, _unknown, EMBED_ARGUMENTS)
        inputs = as_inputs(texts)
        if not inputs:
            return Embeddings()
        options = EmbedOptions(input_type, dimensions, truncate, normalize, model, {} if extra is None else extra)
        return self._work(
            lambda finding: self._embedding(inputs, options, endpoint_kwargs, finding),
            endpoint_kwargs,
            max_concurrency,
            progress,
        )

    @explains_missing
    def rerank(
        self,
        query: str,
        documents: Iterable[str],
        *_misplaced: Misplaced,
        top_n: int | None = None,
        extra: Mapping[str, Any] | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        **_unknown: Misplaced,
    ) -> Ranking:
        """Order documents by their relevance to a query, the best first.

        Args:
            query: The text that documents are compared with.
            documents: The texts; an empty list gives an empty answer without a call.
            top_n: How many of the best to return, `None` for all.
            extra: Anything else, passed to the server under the name given.
            endpoint_kwargs: InvokeEndpoint parameters of this call, under boto3's names.

        Raises:
            UnsupportedFeature: The container does not rerank.
            EndpointError: The service returned an error.
            WireError: The answer ranks documents that were not sent, or leaves some out.
        """
        given = {"query": query, "documents": documents}
        refuse_misplaced("rerank", given, _misplaced, _unknown, RERANK_ARGUMENTS)
        documents = as_texts(documents, "documents")
        if not documents:
            return Ranking()
        return self._work(
            lambda finding: self._reranking(finding, query, documents, top_n, extra, endpoint_kwargs), endpoint_kwargs
        )

    def open_session(self, *, endpoint_kwargs: Mapping[str, Any] | None = None) -> str:
        """Open a sticky session of a SageMaker endpoint: its calls all go to one instance.

        Args:
            endpoint_kwargs: InvokeEndpoint parameters, for example `TargetVariant`.

        Returns:
            Its id, for `endpoint_kwargs={"SessionId": ...}` of the calls that belong to it.

        Raises:
            ModelError: The container has stateful sessions switched off.
            WireError: The container does not support sticky sessions.

        Example:
            >>> session = client.open_session()  # doctest: +SKIP
            >>> client.chat("Hello", endpoint_kwargs={"SessionId": session}).text  # doctest: +SKIP
            'Hello! How can I help?'
        """
        return sessions.opened(self._connect().invoke(sessions.opening(self._parameters(endpoint_kwargs))).info)

    def close_session(self, session_id: str, *, endpoint_kwargs: Mapping[str, Any] | None = None) -> None:
        """Close a sticky session; the container drops its state."""
        self._connect().invoke(sessions.closing(session_id, self._parameters(endpoint_kwargs)))

    def wait_for_ready(
        self, budget: float = 900.0, on_progress: Callable[[Description], None] | None = None
    ) -> Description:
        """Wait until the endpoint is in service, polling SageMaker's control plane.

        An endpoint that is scaled to zero wakes up only when it is called: use `Retries(wait_for_ready=...)`.

        Args:
            budget: Seconds to wait at most.
            on_progress: Called with each description of the endpoint.

        Raises:
            NotReady: It is not in service in time, or never will be; the message names the status.
        """
        return self._resolver.wait_until_serving(budget, on_progress)

    def close(self) -> None:
        """Give back pooled connections. The client may be used again."""
        if self._transport is not None:
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    if not TYPE_CHECKING:
        __aenter__ = __aexit__ = refuse("use `with`; sagewire.AsyncClient is for `async with`")

    def to_async(self) -> AsyncClient:
        """Return the same endpoint for asyncio."""
        from sagewire.client.async_client import AsyncClient

        twin = AsyncClient.__new__(AsyncClient)
        twin.__setstate__(self.__getstate__())
        twin._resolver = self._resolver
        return twin

    def _stream(
        self, request: Request, endpoint_kwargs: Mapping[str, Any] | None, keep_reply: bool = True
    ) -> ReplyStream:
        return ReplyStream(CallRun(self, request, endpoint_kwargs, yields=True, keep_reply=keep_reply), self._connect)

    def _answer(self, request: Request, endpoint_kwargs: Mapping[str, Any] | None) -> Reply:
        call = CallRun(self, request, endpoint_kwargs)
        for _ in run(call, self._connect):
            pass
        return call.reply

    def _work(
        self,
        make: Callable[[Finding], BatchJob[T]],
        endpoint_kwargs: Mapping[str, Any] | None,
        max_concurrency: int | None = None,
        progress: bool | Progress = False,
    ) -> T:
        """Run a job; start again if the container has changed."""
        check_endpoint_kwargs(endpoint_kwargs)
        began = time.monotonic()
        finding = self._resolver.finding(endpoint_kwargs)
        spent = time.monotonic() - began
        work = make(finding)
        with self._watch_work(work) as outcome, shown(progress, work.doing) as tell:
            try:
                answer = self._work_off(BatchRun(work, max_concurrency, tell, spent))
            except (WireError, EndpointError) as error:
                if not self._resolver.found_other(error, endpoint_kwargs, finding):
                    explain(error, work.handler, self._connect())
                    raise
                again = make(self._resolver.finding(endpoint_kwargs))
                answer = self._work_off(BatchRun(again, max_concurrency, tell, time.monotonic() - began))
            outcome.answer = lambda: answer
        return answer

    def _work_off(self, run: BatchRun[T]) -> T:
        transport = self._connect()
        if run.workers == 1:
            while not run.over:
                time.sleep(run.pause or 0.0)
                for batch in run.start():
                    _settle(run, batch, partial(transport.invoke, run.invocation(batch)))
            return run.result()
        from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

        flying: dict[Future[Body], Batch] = {}
        with ThreadPoolExecutor(run.workers, "sagewire-batch") as pool:
            try:
                while not run.over:
                    for batch in run.start():
                        context = contextvars.copy_context()
                        call = partial(transport.invoke, run.invocation(batch))
                        flying[pool.submit(context.run, call)] = batch
                    if not flying:
                        time.sleep(run.pause or 0.0)
                    for done in wait(flying, run.pause, FIRST_COMPLETED).done:
                        _settle(run, flying.pop(done), done.result)
            except BaseException:
                # Batches in flight end by themselves; nothing more is sent.
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return run.result()

    def _connect(self) -> Transport:
        if self._transport is None:
            with self._connecting:
                if self._transport is None:
                    self._transport = self._settings.open_transport()
        return self._transport


def _settle(run: BatchRun[Any], batch: Batch, answer: Callable[[], Body]) -> None:
    try:
        body = answer()
    except EndpointError as error:
        run.refused(batch, error)
    else:
        run.answered(batch, body)
