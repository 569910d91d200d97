"""SageMaker endpoints over sagewire's own engines: `SageMakerTransport`, and `AsyncSageMakerTransport` awaited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

from sagewire.aws.credentials import Credentials
from sagewire.aws.settings import ServiceSettings, origin_of
from sagewire.aws.signing import Signer
from sagewire.errors import EndpointError, PayloadTooLarge
from sagewire.http.origin import host_header
from sagewire.http.request import Request
from sagewire.http.sync_engine import SyncEngine
from sagewire.transports.async_transport import AsyncTransport
from sagewire.transports.sagemaker.endpoint import EndpointArguments, SageMakerEndpoint
from sagewire.transports.sagemaker.runtime_api import check_parameters, endpoint_path, request_headers, response_info
from sagewire.transports.sagemaker.service_errors import error_of, service_error_of
from sagewire.transports.sync_transport import SyncTransport
from sagewire.types import Invocation, ResponseInfo, Timings

__all__ = ["MAX_REQUEST_BYTES", "AsyncSageMakerTransport", "SageMakerTarget", "SageMakerTransport"]

MAX_REQUEST_BYTES = 25 * 1024 * 1024
"""The most a real-time endpoint takes, by AWS's "Model Hosting FAQs"; the API model's older 6 MB is not enforced."""


class SageMakerTarget:
    """SageMaker Runtime as a `Target`: signed requests, AWS's errors. Pure but for the clock.

    Args:
        endpoint_name: The endpoint.
        settings: How the service is reached.
        parameters: InvokeEndpoint parameters for every call, under boto3's names; those of a call win.
        max_request_bytes: Larger bodies are refused before they are sent; `None` for no limit.
    """

    def __init__(
        self,
        endpoint_name: str,
        settings: ServiceSettings,
        parameters: Mapping[str, str] | None = None,
        max_request_bytes: int | None = MAX_REQUEST_BYTES,
    ) -> None:
        self._endpoint = endpoint_name
        self._settings = settings
        self._parameters = dict(parameters or {})
        self._max = max_request_bytes
        self._signer = Signer(settings.signing_name, settings.region)
        prefix = settings.path_prefix
        self._paths = {stream: prefix + endpoint_path(endpoint_name, stream=stream) for stream in (False, True)}
        self._base_url = settings.base_url
        self._name = f"endpoint {endpoint_name!r} in {settings.region} ({host_header(settings.endpoint_url)})"

    @property
    def name(self) -> str:
        """The endpoint and its region."""
        return self._name

    def check(self, call: Invocation, *, stream: bool) -> None:
        """Raise `UsageError`, `UnsupportedFeature` or `PayloadTooLarge` if the call cannot be sent."""
        if self._parameters or call.parameters:
            check_parameters({**self._parameters, **call.parameters}, stream=stream)
        if self._max is not None and len(call.body) > self._max:
            raise PayloadTooLarge(
                f"the request has {len(call.body):,} bytes; a real-time endpoint takes {self._max:,}. "
                "Asynchronous inference takes up to 1 GB",
                code="PayloadTooLarge",
                fault="client",
            )

    def request(self, call: Invocation, credentials: Credentials | None, *, stream: bool) -> Request:
        """Return the signed request."""
        assert credentials is not None, "SageMaker's transports always have a source of credentials"
        headers = request_headers(call, {**self._parameters, **call.parameters}, stream=stream)
        path = self._paths[stream]
        signed = self._signer.sign("POST", self._base_url + path, headers, call.body, credentials)
        headers["User-Agent"] = self._settings.user_agent
        headers["Accept-Encoding"] = "identity"
        headers.update(signed)
        return Request(path, headers, call.body)

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
        return response_info(headers, timings, stream=stream)


class SageMakerTransport(SyncTransport):
    """Carries invocations to one SageMaker endpoint; safe to share between threads, and usable after a fork.

    Args:
        endpoint_name: The endpoint.
        session: Credentials: one of sagewire's sessions, a boto3 or botocore session, a profile's name; `None` for
            whatever boto3 would find.
        region_name: The region; else as boto3 finds it.
        endpoint_url: Another base URL of SageMaker Runtime.
        timeouts: The deadlines of each call; `None` for those of `config`, else the defaults.
        retries: How often to try; `None` for what the AWS configuration says, else the defaults.
        config: A `botocore.config.Config`: time limits, retries, proxies, client certificate, pool size, user agent.
        parameters: InvokeEndpoint parameters for every call, under boto3's names; those of a call win.
        max_request_bytes: Larger bodies are refused before they are sent; `None` for no limit.
        max_response_bytes: The longest answer that is read, whole or streamed; `None` for the default of 256 MB.

    Raises:
        UsageError: No region, an unknown parameter, an invalid URL.

    Example:
        >>> transport = SageMakerTransport("my-llm", region_name="eu-west-1")  # doctest: +SKIP
        >>> transport.invoke(Invocation(b'{"inputs": "Hello"}')).data  # doctest: +SKIP
        b'[{"generated_text": " world"}]'
    """

    def __init__(
        self,
        endpoint_name: str,
        *,
        max_request_bytes: int | None = MAX_REQUEST_BYTES,
        **arguments: Unpack[EndpointArguments],
    ) -> None:
        endpoint = SageMakerEndpoint.resolve(endpoint_name, **arguments)
        engine = SyncEngine(origin_of(endpoint.settings))
        super().__init__(_target(endpoint, max_request_bytes), engine, **endpoint.for_carrier)


class AsyncSageMakerTransport(AsyncTransport):
    """`SageMakerTransport`, awaited; works in any number of event loops. The arguments are the same."""

    def __init__(
        self,
        endpoint_name: str,
        *,
        max_request_bytes: int | None = MAX_REQUEST_BYTES,
        **arguments: Unpack[EndpointArguments],
    ) -> None:
        # Loads asyncio, which sync callers do not wait for.
        from sagewire.http.async_engine import AsyncEngine

        endpoint = SageMakerEndpoint.resolve(endpoint_name, **arguments)
        engine = AsyncEngine(origin_of(endpoint.settings))
        super().__init__(_target(endpoint, max_request_bytes), engine, **endpoint.for_carrier)


def _target(endpoint: SageMakerEndpoint, max_request_bytes: int | None) -> SageMakerTarget:
    check_parameters(endpoint.parameters)
    return SageMakerTarget(endpoint.name, endpoint.settings, endpoint.parameters, max_request_bytes)
