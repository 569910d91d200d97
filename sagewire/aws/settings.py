"""A service's address and connection settings, found as boto3 does: arguments, environment, files, endpoint rules.

botocore answers these questions itself: a client is made, one call is prepared, and the URL it would have used is
taken from it before anything is sent. Importing botocore is two thirds of a cold start, though, so the one case that
needs none of its knowledge - keys and region given or in the environment, no configuration file, a region of the
`aws` partition - is answered here.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from sagewire.aws.credential_cache import CredentialSource, EnvironmentSource
from sagewire.aws.credential_providers import DefaultChain, StaticKeys
from sagewire.aws.lookup_errors import credential_errors
from sagewire.aws.session import Session
from sagewire.errors import UsageError
from sagewire.http.origin import Origin, encoded_path, proxy_for, split_url
from sagewire.http.secret_urls import shown_url
from sagewire.types.secret import Secret

__all__ = ["ServiceSettings", "check_endpoint_url", "origin_of", "resolve"]

# partitions.json of botocore 1.44, partition "aws"; its runtime.sagemaker endpoints follow one pattern.
_AWS_REGION = re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+")
# Any of these makes the answer depend on more than a region.
_BOTOCORE_KNOWS = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_DATA_PATH",
    "AWS_DEFAULTS_MODE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_MAX_ATTEMPTS",
    "AWS_RETRY_MODE",
)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How to reach one AWS service.

    Args:
        region: The signing region.
        signing_name: The service's name in signatures.
        endpoint_url: The base URL, without a trailing slash.
        source: Where current credentials come from.
        user_agent: The `User-Agent` header.
        ca_bundle: A file or directory of CA certificates; `True` for the default ones, `False` for no check at all.
        client_cert: A file with certificate and key, or a pair of files.
        proxies: Proxy URLs by scheme; `None` if the environment decides.
        proxies_config: botocore's `proxies_config`: CA bundle and client certificate for the proxy itself.
        connect_timeout: Seconds, if a `Config` sets it.
        read_timeout: Seconds, if a `Config` sets it.
        max_attempts: Calls in all, if the configuration sets it.
        pool_size: Connections to keep, if a `Config` sets it.
        tcp_keepalive: Whether TCP keep-alive probes are sent.
    """

    region: str
    signing_name: str
    endpoint_url: str
    source: CredentialSource
    user_agent: str = ""
    ca_bundle: bool | str = True
    client_cert: str | tuple[str, str] | None = None
    proxies: Mapping[str, Secret] | None = field(default=None, repr=False)
    proxies_config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    connect_timeout: float | None = None
    read_timeout: float | None = None
    max_attempts: int | None = None
    pool_size: int | None = None
    tcp_keepalive: bool = False

    @property
    def path_prefix(self) -> str:
        """The path of the base URL, percent-encoded; it comes before the path of each request, as boto3 sends it."""
        return encoded_path(urlsplit(self.endpoint_url).path.rstrip("/"))

    @property
    def base_url(self) -> str:
        """The base URL without its path."""
        parts = urlsplit(self.endpoint_url)
        return f"{parts.scheme}://{parts.netloc}"


def resolve(
    session: Session,
    *,
    region_name: str | None = None,
    endpoint_url: str | None = None,
    config: Any = None,
    service: str = "sagemaker-runtime",
) -> ServiceSettings:
    """Return how to reach `service`.

    Args:
        session: Credentials to call with.
        region_name: The region; else the session's, `AWS_REGION`, `AWS_DEFAULT_REGION`, or the profile's.
        endpoint_url: Another base URL; else `AWS_ENDPOINT_URL_...`, the configuration file, or AWS's own.
        config: A `botocore.config.Config`.
        service: boto3's name of the service.

    Raises:
        UsageError: No region is configured, or a setting is invalid.
    """
    if endpoint_url is not None:
        check_endpoint_url(endpoint_url)
    quick = None if config is not None else _without_botocore(session, region_name, endpoint_url, service)
    if quick is not None:
        return quick
    with credential_errors():
        return _ask_botocore(session, region_name, endpoint_url, config, service)


def check_endpoint_url(endpoint_url: str) -> None:
    """Raise `UsageError` if a text is not the base URL of an AWS service."""
    parts = split_url(endpoint_url, "endpoint_url")
    if parts.query or parts.fragment or parts.username is not None:
        raise UsageError(
            f"endpoint_url={shown_url(endpoint_url)!r} must end with the path: requests to AWS have no use for a "
            "query, a fragment, a user name or a password"
        )


def _region(session: Session, region_name: str | None) -> str:
    region = region_name or session.region_name
    if not region:
        raise UsageError("no AWS region; pass region_name=, set AWS_REGION, or add a region to the profile")
    if not re.fullmatch(r"[A-Za-z0-9-]+", region):
        raise UsageError(f"region_name={region!r} is not a region; it looks like us-east-1")
    return region


def _ca_bundle(configured: str | None) -> bool | str:
    return configured or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def _without_botocore(
    session: Session, region_name: str | None, endpoint_url: str | None, service: str
) -> ServiceSettings | None:
    if service != "sagemaker-runtime" or any(os.environ.get(name) for name in _BOTOCORE_KNOWS):
        return None
    if not isinstance(session.recipe, DefaultChain | StaticKeys) or _has_files():
        return None
    keys = session.recipe.keys() or EnvironmentSource.read()
    environment = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    region = region_name or session.recipe.region_name or environment
    if keys is None or not region or not _AWS_REGION.fullmatch(region):
        return None
    url = endpoint_url or os.environ.get("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME") or os.environ.get("AWS_ENDPOINT_URL")
    return ServiceSettings(
        region=region,
        signing_name="sagemaker",
        endpoint_url=(url or f"https://runtime.sagemaker.{region}.amazonaws.com").rstrip("/"),
        source=session.source if isinstance(session.recipe, StaticKeys) else EnvironmentSource(),
        user_agent=_user_agent(f"Python/{platform.python_version()}"),
        ca_bundle=_ca_bundle(os.environ.get("AWS_CA_BUNDLE")),
    )


def _has_files() -> bool:
    names = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
    return any(
        Path(os.path.expandvars(os.environ.get(name, default))).expanduser().exists() for name, default in names.items()
    )


def _user_agent(base: str) -> str:
    import sagewire

    return f"{base} sagewire/{getattr(sagewire, '__version__', '0')}"


def _ask_botocore(
    session: Session, region_name: str | None, endpoint_url: str | None, config: Any, service: str
) -> ServiceSettings:
    botocore_session = session.botocore_session
    client = botocore_session.create_client(
        service,
        region_name=_region(session, region_name),
        endpoint_url=endpoint_url,
        config=config,
        # Nothing is signed with these; they keep botocore from asking the metadata service for real ones.
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    try:
        base, user_agent = _prepared_call(client, service)
        settings = ServiceSettings(
            region=client.meta.region_name,
            signing_name=client.meta.service_model.signing_name,
            endpoint_url=base,
            source=session.source,
            user_agent=_user_agent(user_agent),
            ca_bundle=_ca_bundle(botocore_session.get_config_variable("ca_bundle")),
        )
        return _with_config(settings, client.meta.config, config, botocore_session)
    finally:
        client.close()


def _prepared_call(client: Any, service: str) -> tuple[str, str]:
    if service != "sagemaker-runtime":
        return client.meta.endpoint_url.rstrip("/"), client.meta.config.user_agent
    prepared: dict[str, Any] = {}

    def take(params: dict[str, Any], **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        prepared.update(params)
        return SimpleNamespace(status_code=200), {}

    # A handler of this event that returns a response stands in for the network (botocore/client.py).
    client.meta.events.register("before-call.sagemaker-runtime.InvokeEndpoint", take)
    client.invoke_endpoint(EndpointName="x", Body=b"")
    return prepared["url"].removesuffix("/endpoints/x/invocations"), prepared["headers"]["User-Agent"]


def _with_config(settings: ServiceSettings, merged: Any, given: Any, session: Any) -> ServiceSettings:
    # Config fills in its own defaults (60 s, pool of 10); only what the user wrote counts against sagewire's.
    wrote = getattr(given, "_user_provided_options", {}) if given is not None else {}
    keepalive = session.get_config_variable("tcp_keepalive")
    return replace(
        settings,
        client_cert=merged.client_cert,
        # Proxies' URLs may hold a password.
        proxies=None if merged.proxies is None else {name: Secret(url) for name, url in merged.proxies.items()},
        proxies_config=merged.proxies_config or {},
        connect_timeout=wrote.get("connect_timeout"),
        read_timeout=wrote.get("read_timeout"),
        max_attempts=_max_attempts(merged.retries or {}, wrote.get("retries") or {}, session),
        pool_size=wrote.get("max_pool_connections"),
        tcp_keepalive=bool(keepalive if merged.tcp_keepalive is None else merged.tcp_keepalive),
    )


def _max_attempts(merged: Mapping[str, Any], wrote: Mapping[str, Any], session: Any) -> int | None:
    """Return the attempts that a `Config`, the environment or the profile asks for, as boto3 counts them."""
    if any(name in wrote for name in ("max_attempts", "total_max_attempts")):
        attempts: int | None = merged.get("total_max_attempts")
        return attempts
    given = session.get_config_variable("max_attempts")
    if given is not None:
        return int(given)
    mode = wrote.get("mode") or os.environ.get("AWS_RETRY_MODE") or session.get_scoped_config().get("retry_mode")
    # Each mode has its own default (botocore/retryhandler.py, botocore/retries/standard.py).
    return None if mode is None else {"legacy": 5}.get(mode, 3)


def origin_of(settings: ServiceSettings) -> Origin:
    """Return where an AWS service is reached."""
    proxies = None if settings.proxies is None else {name: url.reveal() for name, url in settings.proxies.items()}
    return Origin(
        settings.endpoint_url,
        ca_bundle=settings.ca_bundle,
        client_cert=settings.client_cert,
        proxy=proxy_for(settings.endpoint_url, proxies),
        proxy_ca_bundle=settings.proxies_config.get("proxy_ca_bundle"),
        proxy_client_cert=settings.proxies_config.get("proxy_client_cert"),
        pool_size=settings.pool_size,
        tcp_keepalive=settings.tcp_keepalive,
    )
