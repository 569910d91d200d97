"""The arguments of a client, and the transport made from them. Nothing here waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sagewire.client.transport_choices import Boto3, Http, Route, SageMaker, TransportChoice, refuse_ignored
from sagewire.errors import UsageError
from sagewire.http.deadlines import Timeouts
from sagewire.http.secret_urls import check_pickled_proxies
from sagewire.telemetry import CallRetried, Hooks
from sagewire.transports.base import AsyncTransport, Retries, Transport
from sagewire.types.secret import Secret, hide, reveal

__all__ = ["ClientConfig", "choose_transport"]

# The arguments that a transport is made from.
_ROUTE = (
    "region_name",
    "session",
    "profile_name",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "config",
    "endpoint_url",
    "endpoint_kwargs",
    "inference_component_name",
    "timeout",
    "retries",
    "max_response_bytes",
)
_SECRETS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


@dataclass(frozen=True)
class ClientConfig:
    """The arguments of a client, checked for contradictions; `Client` explains each one.

    `transport` is a `TransportChoice`, or a transport of the caller.
    """

    endpoint: str | None = None
    handler: Any = None
    format: Any = None
    region_name: str | None = None
    session: Any = None
    profile_name: str | None = None
    aws_access_key_id: str | Secret | None = field(default=None, repr=False)
    aws_secret_access_key: str | Secret | None = field(default=None, repr=False)
    aws_session_token: str | Secret | None = field(default=None, repr=False)
    config: Any = None
    endpoint_url: str | None = None
    endpoint_kwargs: Mapping[str, Any] = field(default_factory=dict)
    inference_component_name: str | None = None
    timeouts: Timeouts | None = None
    retries: Retries | None = None
    transport: Any = field(default_factory=SageMaker)
    hooks: Hooks | None = None
    probe: bool = False
    max_response_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in _SECRETS:
            value = getattr(self, name)
            if not isinstance(value, str | Secret | None):
                raise UsageError(f"{name} must be a string, not {type(value).__name__}")
            object.__setattr__(self, name, hide(value))
        if isinstance(self.endpoint, str) and self.endpoint.startswith(("http://", "https://")):
            raise UsageError(f"{self.endpoint} is a URL, not an endpoint's name; give it as url=")
        if isinstance(self.transport, TransportChoice):
            self.transport.check(self.endpoint)
            self.transport.refuse(self._given())
        elif not hasattr(self.transport, "invoke"):
            raise UsageError(
                f"transport={self.transport!r:.80} is not a transport: give AsyncInference(), Boto3(client), "
                "Http(url), or an object with `invoke` and `stream`"
            )
        else:
            refuse_ignored(self._given(), _ROUTE, "your own transport decides it; set it on that transport")
        if self.hooks is not None and not hasattr(self.hooks, "on_request"):
            raise UsageError(f"hooks must be a sagewire.Hooks, not {type(self.hooks).__name__}")
        if self.endpoint_url is not None:
            from sagewire.aws.settings import check_endpoint_url

            check_endpoint_url(self.endpoint_url)
        keys = [name for name in _SECRETS if getattr(self, name)]
        if keys and (self.session is not None or self.profile_name):
            raise UsageError(
                f"{keys[0]} and {'session' if self.session is not None else 'profile_name'} contradict; give one"
            )
        if keys and not (self.aws_access_key_id and self.aws_secret_access_key):
            raise UsageError("aws_access_key_id and aws_secret_access_key go together; give both")

    def _given(self) -> dict[str, Any]:
        """Return the arguments that are meant for the transport, by the names they have in `Client`."""
        return {name: getattr(self, "timeouts" if name == "timeout" else name) for name in _ROUTE}

    def __getstate__(self) -> dict[str, Any]:
        given = [name for name in _SECRETS if getattr(self, name)]
        if given:
            raise UsageError(
                f"{given[0]} is a secret and is never pickled; use a profile, a role session or the environment instead"
            )
        check_pickled_proxies(self.config)
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> ClientConfig:
        # Frozen and stateless: sharing is as good as copying, and keeps secrets and clients where they are.
        return self

    @property
    def url(self) -> str | None:
        """The base URL of a plain HTTP server, `None` for a SageMaker endpoint."""
        return self.transport.address if isinstance(self.transport, TransportChoice) else None

    @property
    def target(self) -> str:
        """The endpoint's name or the URL, for messages."""
        return self.endpoint or self.url or type(self.transport).__name__

    @property
    def own_transport(self) -> bool:
        """Whether calls go through a transport of the caller, which sagewire cannot inspect."""
        return not isinstance(self.transport, TransportChoice)

    def open_transport(self) -> Transport:
        """Return a new transport, or the one that was given."""
        if isinstance(self.transport, TransportChoice):
            return self.transport.open(self._route())
        return self.transport  # type: ignore[no-any-return]

    def open_async_transport(self) -> AsyncTransport:
        """Return a new transport for asyncio, or the one that was given."""
        if isinstance(self.transport, TransportChoice):
            return self.transport.open_async(self._route())
        return self.transport  # type: ignore[no-any-return]

    def control_client(self) -> Any:
        """Return a boto3-like client of SageMaker's control plane, with the credentials that calls are made with.

        Raises:
            UsageError: The credentials of a `client=` cannot be used.
        """
        from botocore.config import Config

        # A subnet may reach the endpoints but not the control plane: fail in seconds, not after botocore's minutes.
        hasty = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2, "mode": "standard"})
        return self.aws_client("sagemaker", hasty)

    def aws_client(self, service: str, hasty: Any = None) -> Any:
        """Return a boto3-like client of an AWS service, with the credentials that calls are made with.

        Args:
            service: boto3's name of the service.
            hasty: A `botocore.config.Config` that wins over the one for calls.

        Raises:
            UsageError: The credentials of a `client=` cannot be used.
        """
        if not isinstance(self.transport, Boto3):
            from sagewire.aws.session import as_session

            session = as_session(self.credentials(), region_name=self.region_name)
            return session.client(
                service, region_name=self.region_name or session.region_name, config=_merged(self.config, hasty)
            )
        client = self.transport.client
        if not hasattr(client, "_get_credentials"):
            kind = type(client).__name__
            raise UsageError(
                f"client={kind} is not a boto3 client, so the endpoint cannot be described; name the handler"
            )
        import botocore.session

        # A boto3 client has no public attribute for its credentials.
        credentials = client._get_credentials()
        keys = credentials.get_frozen_credentials() if credentials else None
        return botocore.session.get_session().create_client(
            service,
            region_name=client.meta.region_name,
            config=_merged(client.meta.config, hasty),
            aws_access_key_id=keys and keys.access_key,
            aws_secret_access_key=keys and keys.secret_key,
            aws_session_token=keys and keys.token,
        )

    def credentials(self) -> Any:
        """Return where credentials come from, as `as_session` takes it."""
        from sagewire.aws.session import named_session

        return named_session(
            self.session,
            region_name=self.region_name,
            profile_name=self.profile_name,
            aws_access_key_id=reveal(self.aws_access_key_id),
            aws_secret_access_key=reveal(self.aws_secret_access_key),
            aws_session_token=reveal(self.aws_session_token),
        )

    def _route(self) -> Route:
        parameters = dict(self.endpoint_kwargs)
        if self.inference_component_name:
            parameters["InferenceComponentName"] = self.inference_component_name
        return Route(
            self.endpoint,
            timeouts=self.timeouts,
            retries=self._observed_retries(),
            # Only a transport that signs needs credentials.
            session=None if self.url else self.credentials(),
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            config=self.config,
            parameters=parameters,
            max_response_bytes=self.max_response_bytes,
        )

    def _observed_retries(self) -> Retries | None:
        tell = self.hooks.on_retry if self.hooks else None
        if tell is None:
            return self.retries
        return replace(
            self.retries or Retries(),
            on_retry=lambda attempt, error, delay: tell(CallRetried(attempt, error, delay)),
        )


def _merged(config: Any, other: Any) -> Any:
    return other if config is None else config if other is None else config.merge(other)


def choose_transport(url: str | None, token: str | None, client: Any, transport: Any) -> Any:
    """Return the transport that the arguments of a client select, short spellings (`url=`, `client=`) included.

    Raises:
        UsageError: They contradict.
    """
    ways = {"url": url, "client": client, "transport": transport}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{given[0]}= and {given[1]}= are two ways to send calls; give one")
    if token is not None and url is None:
        raise UsageError("token= goes with url=; SageMaker's calls are signed instead")
    if url is not None:
        return Http(url, token)
    if client is not None:
        return Boto3(client)
    return SageMaker() if transport is None else transport
