"""The common base of both clients: everything that only computes."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Never, Protocol, Self

from sagewire._forks import reset_in_child
from sagewire._names import NamesHelp
from sagewire.client.argument_checks import as_switch, check_arguments
from sagewire.client.batching import BatchJob, Embedding, Reranking
from sagewire.client.config import ClientConfig, choose_transport
from sagewire.client.endpoint_names import endpoint_name_of, refuse_positional, refuse_unknown
from sagewire.client.finding import Finding
from sagewire.client.misplaced import METHODS_OF_OTHERS, REQUIRED, refuse_misplaced
from sagewire.client.prepared_call import PreparedCall, prepare
from sagewire.client.resolver import EndpointResolver
from sagewire.client.transport_choices import AsyncInference, SageMaker, TransportChoice
from sagewire.content_handlers.base import ContentHandler, Request
from sagewire.discovery.container_rules import ContainerProfile
from sagewire.discovery.describe import Description
from sagewire.errors import UsageError, concise
from sagewire.http.deadlines import Timeouts
from sagewire.telemetry import CallStarted, Hooks, Outcome, watch
from sagewire.transports.base import AsyncTransport, Retries, Transport
from sagewire.types import (
    ChatRequest,
    EmbedOptions,
    Message,
    Options,
    PromptRequest,
    Reply,
    Tool,
    as_messages,
    as_tool_choice,
    as_tools,
    make_options,
)

if TYPE_CHECKING:
    from sagewire.aws.session import Session
    from sagewire.prompt_formats.base import PromptFormat

__all__ = ["ClientBase", "MessagesLike", "ToolChoice", "ToolsLike"]

MessagesLike = str | Message | Mapping[str, Any] | Iterable[Message | Mapping[str, Any]]
ToolsLike = Iterable[Tool | Mapping[str, Any]]
ToolChoice = str | Mapping[str, Any]


class EndpointLike(Protocol):
    """A `Predictor` or `Endpoint` of SageMaker's own SDK."""

    endpoint_name: Any


class ClientBase(NamesHelp):
    """The part of both clients that only computes; `Client` explains the arguments."""

    _instead: ClassVar[Mapping[str, str]] = METHODS_OF_OTHERS

    def __init__(
        self,
        endpoint: str | EndpointLike | None = None,
        *_misplaced: Never,
        url: str | None = None,
        token: str | None = None,
        client: Any = None,
        transport: TransportChoice | Transport | AsyncTransport | None = None,
        handler: str | ContentHandler | object | None = None,
        format: str | PromptFormat | object | None = None,
        options: Options | Mapping[str, Any] | None = None,
        region_name: str | None = None,
        session: Any = None,
        profile_name: str | None = None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_session_token: str | None = None,
        config: Any = None,
        endpoint_url: str | None = None,
        endpoint_kwargs: Mapping[str, Any] | None = None,
        inference_component_name: str | None = None,
        timeout: Timeouts | float | None = None,
        retries: Retries | int | None = None,
        stream_internally: bool = False,
        hooks: Hooks | None = None,
        probe: bool = False,
        max_response_bytes: int | None = None,
        **unknown: Never,
    ) -> None:
        if _misplaced:
            refuse_positional(type(self).__name__, endpoint, _misplaced)
        if unknown:
            refuse_unknown(unknown, _ARGUMENTS)
        chosen = choose_transport(url, token, client, transport)
        check_arguments(locals())
        named = endpoint_name_of(endpoint)
        if named.region_name and region_name and named.region_name != region_name:
            raise UsageError(f"region_name={region_name!r} contradicts {endpoint}")
        if (
            session is None
            and not (profile_name or aws_access_key_id)
            and isinstance(chosen, SageMaker | AsyncInference)
        ):
            # That of an object of SageMaker's SDK.
            session = named.session
        self._settings = ClientConfig(
            endpoint=named.name,
            transport=chosen,
            region_name=region_name or named.region_name,
            session=session,
            profile_name=profile_name,
            aws_access_key_id=aws_access_key_id,
            aws_secret_access_key=aws_secret_access_key,
            aws_session_token=aws_session_token,
            config=config,
            endpoint_url=endpoint_url,
            endpoint_kwargs=dict(endpoint_kwargs or {}),
            inference_component_name=inference_component_name or named.component,
            timeouts=None if timeout is None else Timeouts.of(timeout),
            retries=Retries.of(retries),
            hooks=hooks,
            probe=probe,
            max_response_bytes=max_response_bytes,
            handler=handler,
            format=format,
        )
        given = {**options.given(), "extra": options.extra} if isinstance(options, Options) else options or {}
        self._options = make_options(**given)
        self._stream_internally = stream_internally
        self._start()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.target!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"_settings": self._settings, "_options": self._options, "_stream_internally": self._stream_internally}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def _start(self) -> None:
        self._usage_refused = False
        self._resolver = EndpointResolver(self._settings)
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the lock; another thread of the parent may have held it."""
        self._connecting = threading.Lock()

    @property
    def handler(self) -> ContentHandler:
        """The container's request format for `chat`; may wait for the control plane if no handler was named."""
        return self._resolver.finding().handler("chat")

    @property
    def format(self) -> PromptFormat | None:
        """The model family's prompt format, if it is named or follows from the model; may wait likewise."""
        finding = self._resolver.finding()
        return finding.format(finding.handler("chat"))

    @property
    def known(self) -> bool:
        """Whether `handler`, `format` and, if no handler was named, `profile()` answer without waiting."""
        return self._resolver.known()

    @property
    def discovers(self) -> bool:
        """Whether the request format is detected, because no handler was named."""
        return self._resolver.discovers

    def profile(self) -> ContainerProfile:
        """Return the detected container profile, with the reason for it; asks the control plane.

        Raises:
            UsageError: sagewire does not know the container, or this client has no SageMaker endpoint.
            NotReady: The endpoint is not in service.
            AccessDenied: A describe permission is missing; the message names it.
        """
        return self._resolver.profile()

    @property
    def target(self) -> str:
        """The endpoint's name, or the URL that is called."""
        return self._settings.target

    def session(self) -> Session:
        """Return the AWS session whose credentials calls are made with; for a SageMaker endpoint."""
        from sagewire.aws.session import as_session

        return as_session(self._settings.credentials(), region_name=self._settings.region_name)

    def control_client(self) -> Any:
        """Return a client of SageMaker's control plane, like `boto3.client("sagemaker")`, with the same credentials.

        Raises:
            UsageError: The credentials of a `client=` cannot be used.
        """
        return self._settings.control_client()

    def with_transport(self, transport: TransportChoice, *, retries: Retries | int | None = None) -> Self:
        """Return a client of the same endpoint that uses another transport.

        Args:
            transport: The transport to use.
            retries: How often to try; `None` as before.

        Example:
            >>> queued = client.with_transport(AsyncInference())  # doctest: +SKIP
        """
        changed = type(self).__new__(type(self))
        settings = replace(self._settings, transport=transport)
        if retries is not None:
            settings = replace(settings, retries=Retries.of(retries))
        changed.__setstate__({**self.__getstate__(), "_settings": settings})
        return changed

    def describe(self) -> Description:
        """Return the endpoint's current description from SageMaker's control plane.

        Raises:
            EndpointNotFound: The endpoint does not exist.
            AccessDenied: `sagemaker:DescribeEndpoint` is not allowed.
        """
        return self._resolver.description()

    def _chat(
        self,
        messages: MessagesLike,
        tools: ToolsLike | None,
        tool_choice: ToolChoice | None,
        parallel_tool_calls: bool | None,
        options: Mapping[str, Any],
        stream: bool,
        include_usage: bool = True,
        *,
        misplaced: Sequence[object] = (),
    ) -> ChatRequest:
        try:
            if messages is REQUIRED or misplaced:
                refuse_misplaced("chat", {"messages": messages}, misplaced, options)
            return ChatRequest(
                messages=as_messages(messages),
                options=make_options(self._options, **options),
                tools=as_tools(tools),
                tool_choice=as_tool_choice(tool_choice),
                parallel_tool_calls=as_switch("parallel_tool_calls", parallel_tool_calls),
                stream=stream,
                include_usage=include_usage,
            )
        except UsageError as error:
            concise(error)
            raise

    def _complete(
        self,
        prompt: str,
        options: Mapping[str, Any],
        stream: bool,
        include_usage: bool = True,
        *,
        misplaced: Sequence[object] = (),
    ) -> PromptRequest:
        try:
            if prompt is REQUIRED or misplaced:
                refuse_misplaced("complete", {"prompt": prompt}, misplaced, options)
            if not isinstance(prompt, str):
                raise UsageError(f"a prompt is a string, not {type(prompt).__name__}; messages go to `chat`")
            return PromptRequest(prompt, make_options(self._options, **options), stream, include_usage)
        except UsageError as error:
            concise(error)
            raise

    def _prepare(
        self, request: Request, endpoint_kwargs: Mapping[str, Any] | None, finding: Finding | None = None
    ) -> PreparedCall:
        finding = finding or self._resolver.finding(endpoint_kwargs)
        is_chat = isinstance(request, ChatRequest)
        handler = finding.handler("chat" if is_chat else "complete")
        # A container that takes messages writes them with its own template.
        prompt_format = finding.format(handler) if is_chat and handler.speaks == "prompt" else None
        parameters = {**finding.parameters, **(endpoint_kwargs or {})}
        try:
            return prepare(request, handler, prompt_format, parameters, may_think=finding.may_think)
        except RecursionError:
            raise UsageError("the messages or tools are nested too deeply to be written as JSON") from None

    def _parameters(self, endpoint_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
        return {**self._resolver.finding(endpoint_kwargs).parameters, **(endpoint_kwargs or {})}

    def _embedding(
        self,
        texts: Sequence[Any],
        options: EmbedOptions,
        endpoint_kwargs: Mapping[str, Any] | None,
        finding: Finding | None = None,
        kind: type[Embedding] = Embedding,
    ) -> Embedding:
        finding = finding or self._resolver.finding(endpoint_kwargs)
        parameters = {**finding.parameters, **(endpoint_kwargs or {})}
        return kind(finding.embedding_handler(), texts, options, parameters)

    def _reranking(
        self,
        finding: Finding,
        query: str,
        documents: Sequence[str],
        top_n: int | None,
        extra: Mapping[str, Any] | None,
        endpoint_kwargs: Mapping[str, Any] | None,
    ) -> Reranking:
        handler = finding.rerank_handler()
        parameters = {**finding.parameters, **(endpoint_kwargs or {})}
        return Reranking(handler, query, documents, top_n, {} if extra is None else extra, parameters)

    def _watch(
        self, prepared: PreparedCall, answer: Callable[[], Reply], mask: Callable[[Exception], None]
    ) -> AbstractContextManager[Outcome]:
        def begin() -> CallStarted:
            # What the caller asked for, not the plain prompt it may have become.
            request = prepared.chat or prepared.request
            operation = "chat" if isinstance(request, ChatRequest) else "text_completion"
            options = {name: value for name, value in request.options.given().items() if name != "response_format"}
            if prepared.stops:
                # Also those that the server is not told, because it would stop inside the thinking.
                options["stop"] = prepared.stops
            return self._begin(operation, len(prepared.invocation.body), options, prepared.streams)

        return watch(self._settings.hooks, begin, answer, mask)

    def _watch_work(self, work: BatchJob[Any]) -> AbstractContextManager[Outcome]:
        operation = "embeddings" if isinstance(work, Embedding) else "rerank"
        return watch(self._settings.hooks, lambda: self._begin(operation, 0, {}, False))

    def _begin(self, operation: str, size: int, options: Mapping[str, Any], streaming: bool) -> CallStarted:
        provider = "http" if self._settings.url else "aws.sagemaker"
        return CallStarted(self._settings.target, operation, provider, streaming, options, size)


_ARGUMENTS = frozenset(inspect.signature(ClientBase.__init__).parameters) - {"self", "unknown", "_misplaced"}
