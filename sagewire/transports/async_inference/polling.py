"""Asynchronous inference as values: the request, the ticket it is exchanged for, and what the objects in S3 mean.

Pure; `async_inference.py` does the waiting. Header names are those of botocore's InvokeEndpointAsync model.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson

from sagewire.aws.credentials import Credentials
from sagewire.aws.settings import ServiceSettings
from sagewire.aws.signing import Signer
from sagewire.errors import EndpointError, ModelError, PayloadTooLarge, UsageError, WireError
from sagewire.http.origin import host_header
from sagewire.http.request import Request
from sagewire.transports.container_errors import MAX_BODY_CHARACTERS, container_message
from sagewire.transports.sagemaker.runtime_api import check_values, endpoint_path, response_info
from sagewire.transports.sagemaker.service_errors import error_of, service_error_of
from sagewire.types import Invocation, ResponseInfo, Timings

__all__ = ["MAX_INLINE_BYTES", "MAX_UPLOAD_BYTES", "DeferredTarget", "Ticket", "failure_error", "poll_delays"]

MAX_INLINE_BYTES = 128_000
MAX_UPLOAD_BYTES = 1 << 30

ASYNC_PARAMETERS: Mapping[str, str] = {
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "Filename": "X-Amzn-SageMaker-Filename",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
    "InputLocation": "X-Amzn-SageMaker-InputLocation",
    "InvocationTimeoutSeconds": "X-Amzn-SageMaker-InvocationTimeoutSeconds",
    "RequestTTLSeconds": "X-Amzn-SageMaker-RequestTTLSeconds",
    "S3OutputPathExtension": "X-Amzn-SageMaker-S3OutputPathExtension",
}


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that was accepted. Keep it (it is plain text) to fetch the answer later, from any process.

    Args:
        inference_id: SageMaker's id of the request, or the caller's own.
        output: S3 address the answer will be written to.
        failure: S3 address of the error instead; empty if the endpoint has no failure path.
        input: The body uploaded for it, to be deleted afterwards; empty if the body went along.
    """

    inference_id: str
    output: str
    failure: str = ""
    input: str = ""


class DeferredTarget:
    """InvokeEndpointAsync as a `Target`. Pure but for the clock.

    Args:
        endpoint_name: The endpoint.
        settings: How the service is reached.
        parameters: InvokeEndpointAsync parameters for every call, under boto3's names; those of a call win.
    """

    def __init__(self, endpoint_name: str, settings: ServiceSettings, parameters: Mapping[str, str]) -> None:
        self._endpoint = endpoint_name
        self._settings = settings
        self._parameters = dict(parameters)
        self._signer = Signer(settings.signing_name, settings.region)
        route = endpoint_path(endpoint_name, stream=False).removesuffix("/invocations")
        self._path = f"{settings.path_prefix}{route}/async-invocations"
        self._host = host_header(settings.endpoint_url)
        check_values(self._parameters, ASYNC_PARAMETERS)

    @property
    def name(self) -> str:
        """The endpoint and its region."""
        return f"endpoint {self._endpoint!r} in {self._settings.region} ({self._host})"

    def check(self, call: Invocation, *, stream: bool) -> None:
        """Raise `UsageError` or `PayloadTooLarge` if the call cannot be sent."""
        check_values({**self._parameters, **call.parameters}, ASYNC_PARAMETERS)
        if len(call.body) > MAX_UPLOAD_BYTES:
            raise PayloadTooLarge(
                f"the request has {len(call.body):,} bytes; asynchronous inference takes {MAX_UPLOAD_BYTES:,}",
                code="PayloadTooLarge",
                fault="client",
            )

    def request(self, call: Invocation, credentials: Credentials | None, *, stream: bool) -> Request:
        """Return the signed request."""
        assert credentials is not None, "SageMaker's transports always have a source of credentials"
        headers = {"X-Amzn-SageMaker-Content-Type": call.content_type, "X-Amzn-SageMaker-Accept": call.accept}
        for name, value in {**self._parameters, **call.parameters}.items():
            headers[ASYNC_PARAMETERS[name]] = value
        url = self._settings.base_url + self._path
        signed = self._signer.sign("POST", url, headers, call.body, credentials)
        extra = {"User-Agent": self._settings.user_agent, "Accept-Encoding": "identity"}
        return Request(self._path, {**headers, **extra, **signed}, call.body)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EndpointError:
        """Return the error for an answer whose status is not 2xx."""
        fault = service_error_of(status, headers, body, endpoint=self._endpoint, region=self._settings.region)
        return error_of(fault)

    def set_clock(self, ahead: float) -> bool:
        """Sign with the server's time from now on, which is `ahead` of this machine's by so many seconds."""
        self._signer.clock_ahead = ahead
        return True

    def info(self, headers: Mapping[str, str], timings: Timings, *, stream: bool) -> ResponseInfo:
        """Return what the headers of an answer say, and how long it took to come."""
        return response_info(headers, timings, stream=False)


def ticket_of(headers: Mapping[str, str], body: bytes, uploaded: str) -> Ticket:
    """Read the answer to an accepted request."""
    output = headers.get("x-amzn-sagemaker-outputlocation")
    try:
        inference_id = str(orjson.loads(body)["InferenceId"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        inference_id = ""
    if not output:
        raise WireError("SageMaker accepted the request but did not name the output location")
    return Ticket(inference_id, output, headers.get("x-amzn-sagemaker-failurelocation") or "", uploaded)


def failure_error(ticket: Ticket, body: bytes) -> ModelError:
    """Return the error for a failure object, which holds the container's body or SageMaker's words."""
    words = container_message(body.decode("utf-8", "replace"))
    error = ModelError(
        f"the container failed (inference id {ticket.inference_id}, {ticket.failure}): {words}",
        code="ModelError",
        fault="model",
    )
    error.original_message = words
    error.body = body[:MAX_BODY_CHARACTERS].decode("utf-8", "replace")
    return error


def poll_delays(first: float, longest: float) -> Iterator[float]:
    """Yield the seconds between looks: growing by half each time, with some jitter, up to `longest`."""
    if not 0 < first <= longest:
        raise UsageError(f"poll=({first}, {longest}) must be the first and the longest wait in seconds")
    delay = first
    while True:
        yield delay * random.uniform(0.8, 1.0)
        delay = min(delay * 1.5, longest)
