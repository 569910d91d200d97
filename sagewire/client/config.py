"""What a client was told, and the transport, handler and format that follow from it. Nothing here waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from sagewire.errors import UsageError, unknown_name
from sagewire.http.deadlines import Timeouts
from sagewire.telemetry import CallRetried, Hooks
from sagewire.transports.base import AsyncTransport, Retries, Transport

if TYPE_CHECKING:
    from sagewire.aws.session import Session

__all__ = ["ClientConfig"]

_SECRETS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "token")


ASYNC_INFERENCE = "async-inference"


@dataclass(frozen=True)
class ClientConfig:
    """The arguments of a client, checked for contradictions; `Client` says what each one means."""

    endpoint: str | None = None
    url: str | None = None
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    handler: Any = None
    format: Any = None
    region_name: str | None = None
    session: Any = None
    profile_name: str | None = None
    aws_access_key_id: str | None = field(default=None, repr=False)
    aws_secret_access_key: str | None = field(default=None, repr=False)
    aws_session_token: str | None = field(default=None, repr=False)
    client: Any = None
    config: Any = None
    endpoint_url: str | None = None
    endpoint_kwargs: Mapping[str, Any] = field(default_factory=dict)
    inference_component_name: str | None = None
    timeouts: Timeouts | None = None
    retries: Retries | None = None
    transport: Any = None
    hooks: Hooks | None = None
    upload_to: str | None = None
    probe: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.transport, str) and self.transport != ASYNC_INFERENCE:
            raise UsageError(unknown_name(self.transport, [ASYNC_INFERENCE], "transport"))
        if self.transport == ASYNC_INFERENCE and not self.endpoint:
            raise UsageError("asynchronous inference is SageMaker's; name the endpoint")
        named = [name for name in ("endpoint", "url", "transport") if getattr(self, name)]
        if not named:
            raise UsageError("name the endpoint, or give `url=` for a server that is not on SageMaker")
        if isinstance(self.endpoint, str) and self.endpoint.startswith(("http://", "https://")):
            raise UsageError(f"{self.endpoint} is a URL and no endpoint's name; give it as url=")
        if self.hooks is not None and not hasattr(self.hooks, "on_request"):
            raise UsageError(f"hooks must be a sagewire.Hooks, not {type(self.hooks).__name__}")
        if self.endpoint and self.url:
            raise UsageError("give either an endpoint name or `url=`, not both: they are two different servers")
        if (self.headers or self.token) and not self.url:
            raise UsageError("token= and headers= are for servers named by url=; SageMaker's calls are signed instead")
        keys = [name for name in _SECRETS[:3] if getattr(self, name)]
        if keys and (self.session is not None or self.profile_name):
            raise UsageError(
                f"{keys[0]} and {'session' if self.session is not None else 'profile_name'} contradict; give one"
            )
        if keys and not (self.aws_access_key_id and self.aws_secret_access_key):
            raise UsageError("aws_access_key_id and aws_secret_access_key go together; give both")

    def __getstate__(self) -> dict[str, Any]:
        # Headers are where gateways want their keys.
        given = [name for name in (*_SECRETS, "headers") if getattr(self, name)]
        if given:
            raise UsageError(
                f"{given[0]} is a secret and is never pickled; use a profile, a role session or the environment instead"
            )
        if self.client is not None:
            raise UsageError("a boto3 client cannot be pickled; use `session=` or `profile_name=` instead of `client=`")
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> ClientConfig:
        # Frozen and stateless: sharing is as good as copying, and keeps secrets and clients where they are.
        return self

    @property
    def target(self) -> str:
        """What is being called, for messages."""
        return self.endpoint or self.url or type(self.transport).__name__

    def transport_in_use(self) -> Transport:
        """Return a new transport, or the one that was given."""
        if self.transport == ASYNC_INFERENCE:
            from sagewire.transports.async_inference import DeferredTransport

            return DeferredTransport(self._name, **self._sagemaker_arguments(), upload_to=self.upload_to)
        if self.transport is not None:
            return self.transport  # type: ignore[no-any-return]
        if self.url is not None:
            from sagewire.transports.http import HttpTransport

            return HttpTransport(
                self.url, token=self.token, headers=self.headers, timeouts=self.timeouts, retries=self._retries
            )
        if self.client is not None:
            from sagewire.transports.sagemaker.boto3_client import Boto3Transport

            return Boto3Transport(self.client, self._name, parameters=self._parameters)
        from sagewire.transports.sagemaker import SageMakerTransport

        return SageMakerTransport(self._name, **self._sagemaker_arguments())

    def async_transport_in_use(self) -> AsyncTransport:
        """Return a new async transport, or the one that was given."""
        if self.transport == ASYNC_INFERENCE:
            from sagewire.transports.async_inference import AsyncDeferredTransport

            return AsyncDeferredTransport(self._name, **self._sagemaker_arguments(), upload_to=self.upload_to)
        if self.transport is not None:
            return self.transport  # type: ignore[no-any-return]
        if self.url is not None:
            from sagewire.transports.http import AsyncHttpTransport

            return AsyncHttpTransport(
                self.url, token=self.token, headers=self.headers, timeouts=self.timeouts, retries=self._retries
            )
        if self.client is not None:
            from sagewire.transports.sagemaker.boto3_client import AsyncBoto3Transport

            return AsyncBoto3Transport(self.client, self._name, parameters=self._parameters)
        from sagewire.transports.sagemaker import AsyncSageMakerTransport

        return AsyncSageMakerTransport(self._name, **self._sagemaker_arguments())

    def control_client(self) -> Any:
        """Return a client for SageMaker's control plane, with the credentials that calls are made with."""
        if self.client is None:
            from sagewire.aws.session import as_session

            session = as_session(self._session(), region_name=self.region_name)
            return session.client("sagemaker", region_name=self.region_name or session.region_name, config=self.config)
        if not hasattr(self.client, "_get_credentials"):
            kind = type(self.client).__name__
            raise UsageError(f"client={kind} is no boto3 client, so SageMaker cannot be asked; name the handler")
        import botocore.session

        # A boto3 client does not say publicly whose credentials it uses.
        credentials = self.client._get_credentials()
        keys = credentials.get_frozen_credentials() if credentials else None
        return botocore.session.get_session().create_client(
            "sagemaker",
            region_name=self.client.meta.region_name,
            config=self.client.meta.config,
            aws_access_key_id=keys and keys.access_key,
            aws_secret_access_key=keys and keys.secret_key,
            aws_session_token=keys and keys.token,
        )

    @property
    def _retries(self) -> Retries | None:
        tell = self.hooks.on_retry if self.hooks else None
        if tell is None:
            return self.retries
        return replace(
            self.retries or Retries(),
            on_retry=lambda attempt, error, delay: tell(CallRetried(attempt, error, delay)),
        )

    @property
    def _name(self) -> str:
        assert self.endpoint is not None, "checked in __post_init__"
        return self.endpoint

    @property
    def _parameters(self) -> dict[str, Any]:
        parameters = dict(self.endpoint_kwargs)
        if self.inference_component_name:
            parameters["InferenceComponentName"] = self.inference_component_name
        return parameters

    def _sagemaker_arguments(self) -> dict[str, Any]:
        return {
            "session": self._session(),
            "region_name": self.region_name,
            "endpoint_url": self.endpoint_url,
            "timeouts": self.timeouts,
            "retries": self._retries,
            "config": self.config,
            "parameters": self._parameters,
        }

    def _session(self) -> Session | Any:
        from sagewire.aws import session as sessions

        if self.aws_access_key_id and self.aws_secret_access_key:
            return sessions.static_session(
                self.aws_access_key_id,
                self.aws_secret_access_key,
                self.aws_session_token,
                region_name=self.region_name,
            )
        if self.profile_name:
            return sessions.profile_session(self.profile_name, region_name=self.region_name)
        return self.session
