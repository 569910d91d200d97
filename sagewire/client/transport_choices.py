"""The transports to choose from, as values for `Client(transport=...)`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

from sagewire._names import explains_arguments
from sagewire.errors import UsageError
from sagewire.http.deadlines import Timeouts
from sagewire.http.secret_urls import check_login, hide_url, shown_url
from sagewire.transports.base import AsyncTransport, Retries, Transport
from sagewire.types.secret import Secret, hide, reveal

__all__ = ["AsyncInference", "Boto3", "Http", "Route", "SageMaker", "TransportChoice", "refuse_ignored"]


@dataclass(frozen=True, slots=True)
class Route:
    """The arguments of a client that its transport is made from.

    Args:
        endpoint: The endpoint's name, if there is one.
        timeouts: The deadlines of each call.
        retries: How often to try.
        session: The session that calls are signed with.
        region_name: The AWS region.
        endpoint_url: Another SageMaker Runtime URL.
        config: A `botocore.config.Config`.
        parameters: InvokeEndpoint parameters of every call.
        max_response_bytes: The longest answer that is read; `None` for the default.
    """

    endpoint: str | None
    timeouts: Timeouts | None = None
    retries: Retries | None = None
    session: Any = None
    region_name: str | None = None
    endpoint_url: str | None = None
    config: Any = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    max_response_bytes: int | None = None

    @property
    def for_sagemaker(self) -> dict[str, Any]:
        """The arguments that every transport to SageMaker takes."""
        names = (
            "timeouts",
            "retries",
            "session",
            "region_name",
            "endpoint_url",
            "config",
            "parameters",
            "max_response_bytes",
        )
        return {name: getattr(self, name) for name in names}


_ACCOUNT = (
    "region_name",
    "session",
    "profile_name",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "config",
    "endpoint_url",
)


class TransportChoice(ABC):
    """A choice of transport. It does not hold a connection: each client opens its own.

    Attributes:
        without_effect: Arguments of a client that mean nothing to this transport.
        cure: What to do instead of giving one of them.
    """

    without_effect: ClassVar[tuple[str, ...]] = ()
    cure: ClassVar[str] = ""

    def refuse(self, given: Mapping[str, Any]) -> None:
        """Raise `UsageError` if one of a client's arguments would have no effect."""
        refuse_ignored(given, self.without_effect, self.cure)

    @property
    def address(self) -> str | None:
        """The URL to call, `None` if an endpoint is named."""
        return None

    def check(self, endpoint: str | None) -> None:
        """Raise `UsageError` if this transport does not fit the named endpoint."""
        if not endpoint:
            raise UsageError(
                "name the endpoint, Client('my-endpoint'), or give `url=` for a server that is not on SageMaker"
            )

    @abstractmethod
    def open(self, route: Route) -> Transport:
        """Return a new transport."""

    @abstractmethod
    def open_async(self, route: Route) -> AsyncTransport:
        """Return a new transport for asyncio."""


def refuse_ignored(given: Mapping[str, Any], without_effect: Iterable[str], cure: str) -> None:
    """Raise `UsageError` if one of the given arguments has no effect."""
    for name in without_effect:
        if given.get(name):
            raise UsageError(f"{name}= has no effect here: {cure}")


@dataclass(frozen=True, slots=True)
class SageMaker(TransportChoice):
    """Calls to a SageMaker endpoint, signed by sagewire; what a client does by default."""

    def open(self, route: Route) -> Transport:
        """Return a new transport."""
        from sagewire.transports.sagemaker import SageMakerTransport

        return SageMakerTransport(cast(str, route.endpoint), **route.for_sagemaker)

    def open_async(self, route: Route) -> AsyncTransport:
        """Return a new transport for asyncio."""
        from sagewire.transports.sagemaker import AsyncSageMakerTransport

        return AsyncSageMakerTransport(cast(str, route.endpoint), **route.for_sagemaker)


@explains_arguments(
    input_location="use upload_to=, a folder on S3",
    bucket="use upload_to='s3://bucket/folder'",
    s3_uri="use upload_to=, a folder on S3",
    output_location="leave it out: the endpoint's configuration names it",
    timeout="use Client(..., timeout=Timeouts(total=...))",
)
@dataclass(frozen=True, slots=True)
class AsyncInference(TransportChoice):
    """Calls to an endpoint with Asynchronous Inference: the answer comes by way of S3.

    Args:
        upload_to: An S3 folder for request bodies of more than 128,000 bytes.
        cleanup: The objects to delete once an answer is read: `uploads`, `all` or `none`.
        poll: The first and the longest wait between two checks for the answer, in seconds.
        tickets: A file that remembers the requests in flight. If the program is killed, its next run collects their
            answers instead of asking again. One process at a time uses it.

    Example:
        >>> Client("my-queue", transport=AsyncInference(upload_to="s3://my-bucket/requests"))  # doctest: +SKIP
    """

    upload_to: str | None = None
    cleanup: Literal["uploads", "all", "none"] = "uploads"
    poll: tuple[float, float] = (0.5, 15.0)
    tickets: str | None = None

    def __post_init__(self) -> None:
        if self.upload_to is not None and not str(self.upload_to).startswith("s3://"):
            raise UsageError(
                f"AsyncInference(upload_to={self.upload_to!r:.60}) must be a folder on S3: s3://bucket/folder"
            )

    def check(self, endpoint: str | None) -> None:
        """Raise `UsageError` if no endpoint is named."""
        if not endpoint:
            raise UsageError("asynchronous inference needs a SageMaker endpoint; name the endpoint")

    def open(self, route: Route) -> Transport:
        """Return a new transport."""
        from sagewire.transports.async_inference import DeferredTransport

        return DeferredTransport(cast(str, route.endpoint), **route.for_sagemaker, **self._own)

    def open_async(self, route: Route) -> AsyncTransport:
        """Return a new transport for asyncio."""
        from sagewire.transports.async_inference import AsyncDeferredTransport

        return AsyncDeferredTransport(cast(str, route.endpoint), **route.for_sagemaker, **self._own)

    @property
    def _own(self) -> dict[str, Any]:
        return {"upload_to": self.upload_to, "cleanup": self.cleanup, "poll": self.poll, "tickets": self.tickets}


@explains_arguments()
@dataclass(frozen=True, slots=True)
class Boto3(TransportChoice):
    """Calls that go through your own boto3 client, untouched: its hooks, stubs and settings apply.

    Args:
        client: A `boto3.client("sagemaker-runtime")`.

    Example:
        >>> Client("my-llama", transport=Boto3(boto3.client("sagemaker-runtime")))  # doctest: +SKIP
    """

    client: Any

    without_effect = (*_ACCOUNT, "timeout", "retries")
    cure = "calls go through your own boto3 client; set it on that client"

    def __reduce__(self) -> Any:
        raise UsageError("a boto3 client cannot be pickled; use `session=` or `profile_name=` instead of `client=`")

    def refuse(self, given: Mapping[str, Any]) -> None:
        """Raise `UsageError` if one of a client's arguments would have no effect.

        The region of an endpoint's ARN may be the client's own, and waiting for an endpoint to wake up is sagewire's.
        """
        left = dict(given)
        if left.get("region_name") == getattr(getattr(self.client, "meta", None), "region_name", None):
            left.pop("region_name", None)
        retries = left.get("retries")
        if retries is not None and retries.attempts == Retries().attempts and not retries.resend:
            del left["retries"]
        refuse_ignored(left, self.without_effect, self.cure)

    def open(self, route: Route) -> Transport:
        """Return a new transport."""
        from sagewire.transports.sagemaker.boto3_client import Boto3Transport

        return Boto3Transport(self.client, cast(str, route.endpoint), **self._arguments(route))

    def open_async(self, route: Route) -> AsyncTransport:
        """Return a new transport for asyncio."""
        from sagewire.transports.sagemaker.boto3_client import AsyncBoto3Transport

        return AsyncBoto3Transport(self.client, cast(str, route.endpoint), **self._arguments(route))

    def _arguments(self, route: Route) -> dict[str, Any]:
        return {
            "parameters": route.parameters,
            "retries": route.retries,
            "max_response_bytes": route.max_response_bytes,
        }


@explains_arguments(
    base_url="use url=",
    api_base="use url=",
    api_key="use token=",
    bearer="use token=",
    timeout="use Client(..., timeout=...)",
    retries="use Client(..., retries=...)",
    ssl="use verify=, a file of CA certificates",
    cert="use verify= for CA certificates; a certificate of the client's own cannot be given",
)
@dataclass(frozen=True, slots=True)
class Http(TransportChoice):
    """Calls to a plain HTTP server: a Hugging Face endpoint, vLLM, TGI, TEI, llama.cpp, Ollama.

    Args:
        url: The server's base URL. With a key in its query it is never shown or pickled, as headers are not.
        token: Bearer token, or a function that returns a current one; sent to that host only.
        headers: Further headers of every request. They may hold secrets, so they are never shown or pickled; the
            attributes `token` and `headers` hold them wrapped, and `reveal()` unwraps one.
        verify: A file or directory of CA certificates; `False` for no check of the server's certificate. Default:
            `REQUESTS_CA_BUNDLE`, else `SSL_CERT_FILE`, else those of the system.

    Example:
        >>> Client(transport=Http("https://llm.example.org", headers={"X-Tenant": "blue"}))  # doctest: +SKIP
    """

    url: str | Secret
    token: str | Secret | Callable[[], str] | None = field(default=None, repr=False)
    headers: Mapping[str, str | Secret] = field(default_factory=dict, repr=False)
    verify: bool | str | None = None

    without_effect = (*_ACCOUNT, "endpoint_kwargs", "inference_component_name")
    cure = "it is for SageMaker endpoints, and calls go to a server behind a URL"

    def __post_init__(self) -> None:
        if not isinstance(self.url, str | Secret):
            kind = type(self.url).__name__
            raise UsageError(f"url= must be a string like https://host:8443/path, not {kind}")
        if not (self.token is None or isinstance(self.token, str | Secret) or callable(self.token)):
            # Not shown: bytes are a token, too.
            kind = type(self.token).__name__
            raise UsageError(f"token= must be a string, or a function that returns one, not {kind}")
        if not isinstance(self.headers, Mapping):
            raise UsageError(f"headers= must be a mapping of names to values, not {type(self.headers).__name__}")
        check_login(self.url)
        object.__setattr__(self, "url", hide_url(self.url))
        object.__setattr__(self, "token", hide(self.token))
        object.__setattr__(self, "headers", {name: hide(value) for name, value in self.headers.items()})

    @property
    def address(self) -> str:
        """The server's base URL, as messages show it: a key in its query is masked."""
        return shown_url(self.url)

    def __repr__(self) -> str:
        return f"Http(url={self.address!r}, verify={self.verify!r})"

    def check(self, endpoint: str | None) -> None:
        """Raise `UsageError` if an endpoint is named too."""
        if endpoint:
            raise UsageError("give either an endpoint name or `url=`, not both: they are two different servers")

    def __reduce__(self) -> Any:
        if self.token or self.headers or isinstance(self.url, Secret):
            name = "token" if self.token else "headers" if self.headers else "the query of the URL"
            raise UsageError(
                f"{name} may be a secret and is never pickled; make the client in the process that uses it"
            )
        return Http, (self.url, None, {}, self.verify)

    def open(self, route: Route) -> Transport:
        """Return a new transport."""
        from sagewire.transports.http import HttpTransport

        return HttpTransport(reveal(self.url), **self._arguments(route))

    def open_async(self, route: Route) -> AsyncTransport:
        """Return a new transport for asyncio."""
        from sagewire.transports.http import AsyncHttpTransport

        return AsyncHttpTransport(reveal(self.url), **self._arguments(route))

    def _arguments(self, route: Route) -> dict[str, Any]:
        return {
            "token": reveal(self.token),
            "headers": {name: reveal(value) for name, value in self.headers.items()},
            "verify": self.verify,
            "timeouts": route.timeouts,
            "retries": route.retries,
            "max_response_bytes": route.max_response_bytes,
        }
