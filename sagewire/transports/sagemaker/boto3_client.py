"""SageMaker endpoints through a caller's own boto3 client, untouched: its hooks, stubs, retries and deadlines apply."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from sagewire.errors import SagewireError, UsageError
from sagewire.http.abandonable import in_thread
from sagewire.http.deadlines import Deadlines, Timeouts
from sagewire.http.limits import checked, checked_limit
from sagewire.transports.base import Body, Retries
from sagewire.transports.retrying import RetryPolicy
from sagewire.transports.sagemaker.botocore_errors import info_of, translated
from sagewire.transports.sagemaker.runtime_api import PARAMETERS, check_parameters
from sagewire.transports.secrets import Redactor
from sagewire.transports.sent_secrets import masked_info
from sagewire.transports.worker_threads import WorkerStream
from sagewire.types import Invocation, ResponseInfo, Timings

__all__ = ["AsyncBoto3Transport", "Boto3Stream", "Boto3Transport"]

READ_SIZE = 262_144


class Boto3Transport:
    """Carries invocations to one endpoint through `boto3.client("sagemaker-runtime")`.

    Args:
        client: The client.
        endpoint_name: The endpoint.
        parameters: InvokeEndpoint parameters for every call; those of a call win.
        retries: How to wait while the endpoint is loading or scaled to zero (`wait_for_ready`). Everything else is
            retried as the client was configured.
        max_response_bytes: The longest answer that is read; `None` for the default of 256 MB.

    Example:
        >>> transport = Boto3Transport(boto3.client("sagemaker-runtime"), "my-llm")  # doctest: +SKIP
        >>> transport.invoke(Invocation(b"{}")).data  # doctest: +SKIP
        b'[{"generated_text": "..."}]'
    """

    def __init__(
        self,
        client: Any,
        endpoint_name: str,
        *,
        parameters: Mapping[str, str] | None = None,
        retries: Retries | None = None,
        max_response_bytes: int | None = None,
    ) -> None:
        if not hasattr(client, "invoke_endpoint"):
            raise UsageError(
                f"client={type(client).__name__} cannot invoke endpoints; pass boto3.client('sagemaker-runtime')"
            )
        self._client = client
        self._endpoint = endpoint_name
        self._region = str(getattr(getattr(client, "meta", None), "region_name", None) or "the client's region")
        self._parameters = dict(parameters or {})
        self._check(self._parameters, stream=False)
        self._policy = RetryPolicy(replace(retries or Retries(), attempts=1))
        self._limit = checked_limit(max_response_bytes)
        self._where = f"endpoint {endpoint_name!r} in {self._region}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(endpoint {self._endpoint!r} in {self._region})"

    def invoke(self, call: Invocation) -> Body:
        """Send and return the whole answer; raise `EndpointError`."""
        arguments = self._arguments(call, stream=False)
        deadlines = self._deadlines()
        response, attempts = self._send(self._client.invoke_endpoint, arguments, deadlines, call)
        first_byte = deadlines.elapsed()
        with translated(self._endpoint, self._region, "idle"), closing(_readable(response["Body"])) as body:
            # The body checks its own length when it is read to its end.
            data = b"".join(checked(iter(partial(body.read, READ_SIZE), b""), self._limit, self._where))
        timings = Timings(first_byte, deadlines.elapsed(), attempts)
        return Body(data, self.info(response, timings))

    def stream(self, call: Invocation) -> Boto3Stream:
        """Send and return the answer as it arrives; leaving the block early closes the connection."""
        return Boto3Stream(self, call, self._arguments(call, stream=True))

    def close(self) -> None:
        """Do nothing: the client is the caller's."""

    def redact(self, error: SagewireError) -> None:
        """Mask in an error what the client signs with; answers may repeat it."""
        self._redactor().error(error)

    def _redactor(self) -> Redactor:
        keys = None
        with suppress(Exception):
            # A boto3 client has no public attribute for its credentials.
            keys = self._client._get_credentials().get_frozen_credentials()
        found = [keys.secret_key, keys.token, keys.access_key] if keys is not None else []
        return Redactor(sorted((one for one in found if isinstance(one, str)), key=len, reverse=True))

    def info(self, response: Mapping[str, Any], timings: Timings) -> ResponseInfo:
        """Return what a response says beside its body, without what the client signs with."""
        return replace(masked_info(info_of(response), self._redactor), timings=timings)

    def start(self, call: Invocation, arguments: dict[str, Any], deadlines: Deadlines) -> tuple[Mapping[str, Any], int]:
        """Send a streaming call and return boto3's response."""
        send = self._client.invoke_endpoint_with_response_stream
        return self._send(send, arguments, deadlines, call)

    def _send(
        self, operation: Any, arguments: dict[str, Any], deadlines: Deadlines, call: Invocation
    ) -> tuple[Mapping[str, Any], int]:
        def attempt() -> Mapping[str, Any]:
            try:
                with translated(self._endpoint, self._region, "first_byte"):
                    answer: Mapping[str, Any] = operation(**arguments)
                    return answer
            except SagewireError as error:
                # Before it is told of, or logged as the reason of another attempt.
                self.redact(error)
                raise

        return self._policy.run(attempt, deadlines, call)

    def _deadlines(self) -> Deadlines:
        # The client has its own deadlines.
        return Deadlines(Timeouts(None, None, None, None), f"endpoint {self._endpoint!r}")

    def _arguments(self, call: Invocation, *, stream: bool) -> dict[str, Any]:
        parameters = {**self._parameters, **call.parameters}
        self._check(parameters, stream=stream)
        return {
            "EndpointName": self._endpoint,
            "Body": call.body,
            "ContentType": call.content_type,
            "Accept": call.accept,
            **parameters,
        }

    def _check(self, parameters: Mapping[str, str], *, stream: bool) -> None:
        # A newer boto3 may know parameters that sagewire does not; then its own validation is the judge.
        unknown = {name: value for name, value in parameters.items() if name not in PARAMETERS}
        if unknown:
            with suppress(Exception):
                model = self._client.meta.service_model.operation_model("InvokeEndpoint")
                taken = ("Body", "EndpointName", "ContentType", "Accept")
                unknown = {k: v for k, v in unknown.items() if k in taken or k not in model.input_shape.members}
        check_parameters({k: v for k, v in parameters.items() if k in PARAMETERS or k in unknown}, stream=stream)


def _readable(body: Any) -> Any:
    """Return a body that can be read in pieces; those of stub clients are often bare bytes or text."""
    if isinstance(body, str):
        body = body.encode()
    return io.BytesIO(body) if isinstance(body, bytes | bytearray) else body


class Boto3Stream:
    """An answer being read through boto3; a context manager that sends on entry."""

    def __init__(self, transport: Boto3Transport, call: Invocation, arguments: dict[str, Any]) -> None:
        self._transport = transport
        self._call = call
        self._arguments = arguments
        self._body: Any = None
        self._info = ResponseInfo()

    @property
    def info(self) -> ResponseInfo:
        """What the service said ahead of the body; complete timings once the body was read."""
        return self._info

    def __enter__(self) -> Self:
        self._deadlines = self._transport._deadlines()
        response, attempts = self._transport.start(self._call, self._arguments, self._deadlines)
        self._body = response["Body"]
        self._info = self._transport.info(response, Timings(self._deadlines.elapsed(), None, attempts))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        if self._body is None:
            raise RuntimeError("a stream is read inside its `with` block")
        with translated(self._transport._endpoint, self._transport._region, "idle"):
            limit = self._transport._limit
            pieces = self._payloads()
            yield from checked(pieces, limit, self._transport._where) if self._call.bounded else pieces
        timings = self._info.timings
        self._info = replace(self._info, timings=replace(timings, total=self._deadlines.elapsed()))

    def _payloads(self) -> Iterator[bytes]:
        for event in self._body:
            # botocore turns error events into exceptions; kinds of events that are new to it are not payload.
            payload = event.get("PayloadPart", {}).get("Bytes")
            if payload:
                yield payload

    def close(self) -> None:
        """Close the connection, unless the answer was read to its end."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()

    def interrupt(self) -> None:
        """End a read that another thread is waiting in; closing a socket would not."""
        # urllib3 has this since 2.3; without it the thread ends with the next event.
        with suppress(Exception):
            self._body._raw_stream.shutdown()


class AsyncBoto3Transport:
    """`Boto3Transport`, awaited: each call and each stream has one worker thread; the arguments are the same."""

    def __init__(
        self,
        client: Any,
        endpoint_name: str,
        *,
        parameters: Mapping[str, str] | None = None,
        retries: Retries | None = None,
        max_response_bytes: int | None = None,
    ) -> None:
        self._sync = Boto3Transport(
            client,
            endpoint_name,
            parameters=parameters,
            retries=retries,
            max_response_bytes=max_response_bytes,
        )

    def __repr__(self) -> str:
        return f"Async{self._sync!r}"

    async def invoke(self, call: Invocation) -> Body:
        """Send and return the whole answer; raise `EndpointError`."""
        return await in_thread(self._sync.invoke, call)

    def stream(self, call: Invocation) -> WorkerStream:
        """Send and return the answer as it arrives; leaving the block early closes the connection."""
        return WorkerStream(self._sync.stream(call))

    def redact(self, error: SagewireError) -> None:
        """Mask in an error what the client signs with; answers may repeat it."""
        self._sync.redact(error)

    async def close(self) -> None:
        """Do nothing: the client is the caller's."""
