"""Checks of a client's arguments when it is made, so that a wrong one does not fail in the first call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from sagewire.client.endpoint_names import REGION
from sagewire.client.misplaced import check_endpoint_kwargs
from sagewire.content_handlers import check_handler_argument
from sagewire.errors import UsageError
from sagewire.types import Options

__all__ = ["as_switch", "check_arguments"]

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_TEXTS = ("region_name", "profile_name", "endpoint_url", "inference_component_name", "url")
# Where people say their region is.
_CITIES = {
    "bahrain": "me-south-1", "california": "us-west-1", "canada": "ca-central-1", "frankfurt": "eu-central-1",
    "hong kong": "ap-east-1", "ireland": "eu-west-1", "london": "eu-west-2", "milan": "eu-south-1",
    "mumbai": "ap-south-1", "ohio": "us-east-2", "oregon": "us-west-2", "osaka": "ap-northeast-3",
    "paris": "eu-west-3", "sao paulo": "sa-east-1", "seoul": "ap-northeast-2", "singapore": "ap-southeast-1",
    "spain": "eu-south-2", "stockholm": "eu-north-1", "sydney": "ap-southeast-2", "tokyo": "ap-northeast-1",
    "virginia": "us-east-1", "zurich": "eu-central-2",
}  # fmt: skip


def as_switch(name: str, value: bool | None) -> bool | None:
    """Return a switch that is on, off or not set.

    Raises:
        UsageError: It is something else.
    """
    if value is None or value is True or value is False:
        return value
    raise UsageError(f"{name}={value!r:.60} must be True, False or None")


def check_arguments(given: Mapping[str, Any]) -> None:
    """Check the arguments of a client that are checked nowhere else.

    Args:
        given: The arguments by name.

    Raises:
        UsageError: One of them cannot mean anything; the message says what to write.
    """
    for name in _TEXTS:
        value = given[name]
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{name}={value!r:.60} must be a string, not {type(value).__name__}")
    endpoint, region = given["endpoint"], given["region_name"]
    # Beside a transport or client of the caller's own, such as a stub, it is only a label.
    is_label = given["client"] is not None or given["transport"] is not None
    if isinstance(endpoint, str) and endpoint and not (is_label or _NAME.fullmatch(endpoint) or _is_address(endpoint)):
        raise UsageError(_misspelt(endpoint))
    # Servers other than AWS's have regions of their own.
    if region is not None and given["endpoint_url"] is None and not REGION.fullmatch(region):
        raise UsageError(f"region_name={region!r:.60} is not a region, which looks like us-east-1{_meant(region)}")
    for name in ("endpoint_url", "url"):
        if given[name] is not None:
            _check_url(name, given[name])
    _check_objects(given)
    if given["handler"] is not None:
        check_handler_argument(given["handler"])
    if given["format"] is not None:
        # Loading all formats takes a while, and only clients that name one need them here.
        from sagewire.prompt_formats import check_format_argument

        check_format_argument(given["format"])


def _check_objects(given: Mapping[str, Any]) -> None:
    session, config, client, options = (given[name] for name in ("session", "config", "client", "options"))
    if not (isinstance(session, str | None) or hasattr(session, "get_credentials") or hasattr(session, "boto_session")):
        raise UsageError(
            f"session={_shown(session)} is not a session: give boto3.Session(...), the name of a profile, or "
            "sagewire.assume_role_session(role_arn)"
        )
    if config is not None and not hasattr(config, "merge"):
        raise UsageError(f"config={_shown(config)} is not a botocore.config.Config: write Config(read_timeout=...)")
    if client is not None and not hasattr(client, "invoke_endpoint"):
        # A value here may be a secret that was meant for another argument.
        kind = type(client).__name__
        raise UsageError(f"client={kind} cannot invoke endpoints; pass boto3.client('sagemaker-runtime')")
    if not isinstance(options, Options | Mapping | None):
        raise UsageError(f"options must be Options or a mapping, not {type(options).__name__}")
    limit = given["max_response_bytes"]
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise UsageError(f"max_response_bytes={limit!r:.60} must be a whole number of bytes, at least 1")
    check_endpoint_kwargs(given["endpoint_kwargs"])


def _is_address(endpoint: str) -> bool:
    """Return whether a name is an ARN, a URL or a model's id, which are looked at elsewhere."""
    return endpoint.startswith("arn:") or "/" in endpoint


def _misspelt(endpoint: str) -> str:
    if re.fullmatch(r"[\w.-]+:\d+", endpoint) or endpoint.startswith("localhost"):
        return f"{endpoint!r:.80} is not an endpoint's name; did you mean the URL http://{endpoint}?"
    plain = re.sub(r"[\W_]+", "-", endpoint).strip("-")
    hint = f"; did you mean {plain!r}?" if _NAME.fullmatch(plain) else ""
    return f"{endpoint!r:.80} is not an endpoint's name, which has letters, digits and hyphens{hint}"


def _meant(region: str) -> str:
    plain = region.strip().lower().replace("_", "-")
    if found := next((name for city, name in _CITIES.items() if city in plain.replace("-", " ")), None):
        return f"; did you mean {found!r}?"
    # An availability zone has a letter more.
    for meant in (plain, plain[:-1]):
        if REGION.fullmatch(meant):
            return f"; did you mean {meant!r}?"
    return ""


def _check_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"{name}={url!r:.80} is not a URL: {error}") from None
    if parts.scheme in ("http", "https") and parts.hostname:
        return
    bare = re.sub(r"^\w*:?/+", "", url)
    local = bare.startswith(("localhost", "127.", "0.0.0.0", "["))
    meant = f"; did you mean {'http' if local else 'https'}://{bare}?" if bare else ""
    raise UsageError(f"{name}={url!r:.80} is not a URL: it must start with http:// or https:// and name a host{meant}")


def _shown(value: object) -> str:
    kind = type(value).__name__
    return f"the module {getattr(value, '__name__', '')}" if kind == "module" else f"{kind} ({value!r:.40})"
