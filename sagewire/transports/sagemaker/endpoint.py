"""One SageMaker endpoint with all that its transports are made of: how it is reached, and what a call may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from sagewire.aws.endpoint_names import endpoint_of
from sagewire.aws.session import Session, SessionLike, as_session
from sagewire.aws.settings import ServiceSettings, resolve
from sagewire.errors import UsageError
from sagewire.http.deadlines import Timeouts
from sagewire.http.limits import checked_limit
from sagewire.transports.base import Retries

__all__ = ["EndpointArguments", "SageMakerEndpoint"]


class EndpointArguments(TypedDict, total=False):
    """The arguments that every transport to SageMaker takes; `SageMakerTransport` says what each one means."""

    session: SessionLike
    region_name: str | None
    endpoint_url: str | None
    timeouts: Timeouts | None
    retries: Retries | None
    config: Any
    parameters: Mapping[str, str] | None
    max_response_bytes: int | None


@dataclass(frozen=True, slots=True)
class SageMakerEndpoint:
    """An endpoint, resolved.

    Args:
        name: The endpoint's name.
        session: Credentials to call with.
        settings: How the service is reached.
        config: A `botocore.config.Config`.
        parameters: InvokeEndpoint parameters of every call.
        timeouts: The deadlines of each call.
        retries: How often to try.
        max_response_bytes: The longest answer that is read.
    """

    name: str
    session: Session
    settings: ServiceSettings
    config: Any
    parameters: Mapping[str, str]
    timeouts: Timeouts
    retries: Retries
    max_response_bytes: int

    @classmethod
    def resolve(
        cls,
        endpoint_name: str,
        *,
        session: SessionLike = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        config: Any = None,
        parameters: Mapping[str, str] | None = None,
        max_response_bytes: int | None = None,
    ) -> SageMakerEndpoint:
        """Return the endpoint that the arguments of a transport mean.

        Raises:
            UsageError: No endpoint or region is named, or a URL is not valid.
        """
        if not endpoint_name:
            raise UsageError("name the endpoint")
        endpoint_name, region_name = endpoint_of(endpoint_name, region_name)
        who = as_session(session, region_name=region_name)
        settings = resolve(who, region_name=region_name, endpoint_url=endpoint_url, config=config)
        return cls(
            endpoint_name,
            who,
            settings,
            config,
            dict(parameters or {}),
            timeouts or _timeouts(settings),
            retries or _retries(settings),
            checked_limit(max_response_bytes),
        )

    @property
    def for_carrier(self) -> dict[str, Any]:
        """The arguments of a transport beside its target and its engine."""
        return {
            "timeouts": self.timeouts,
            "retries": self.retries,
            "source": self.settings.source,
            "max_response_bytes": self.max_response_bytes,
        }


def _timeouts(settings: ServiceSettings) -> Timeouts:
    """Return the deadlines of a botocore `Config`, else the defaults."""
    plain = Timeouts()
    return Timeouts(
        connect=settings.connect_timeout or plain.connect,
        first_byte=settings.read_timeout or plain.first_byte,
        idle=settings.read_timeout or plain.idle,
    )


def _retries(settings: ServiceSettings) -> Retries:
    """Return how often the AWS configuration says to try, else the default."""
    return Retries(attempts=settings.max_attempts) if settings.max_attempts else Retries()
