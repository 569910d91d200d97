"""The way from OpenAI's client to an endpoint: its address, its key, and the in-process server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from sagewire.aws.session import as_session
from sagewire.aws.settings import origin_of, resolve
from sagewire.client import Client
from sagewire.client.endpoint_names import meant_instead
from sagewire.client.misplaced import REQUIRED
from sagewire.content_handlers import check_handler_argument
from sagewire.errors import UsageError
from sagewire.http.origin import Origin
from sagewire.integrations.openai._in_process_server import InProcessServer
from sagewire.integrations.openai._tokens import BearerTokens

__all__ = ["Access", "RouteChoice", "find_access"]

RouteChoice = Literal["auto", "sagemaker", "in_process"]
_NATIVE: Mapping[str, bool | None] = {"auto": None, "sagemaker": True, "in_process": False}
# What decides about everything else; OpenAI's own arguments of these names would be another server's.
_OURS = ("api_key", "base_url", "http_client")


@dataclass(frozen=True, slots=True)
class Access:
    """A way to an endpoint.

    Args:
        base_url: The address of SageMaker's OpenAI route for it, or one that leads nowhere but into the process.
        door: What decides about requests, and answers them.
        tokens: The source of keys, `None` if they are not needed.
        options: Arguments of OpenAI's client.
        origin: Where SageMaker's OpenAI route is; `None` if it is never used.
    """

    base_url: str
    door: InProcessServer
    tokens: BearerTokens | None
    options: Mapping[str, Any]
    origin: Origin | None = None


# Arguments that people expect, and the ones to use; everything else is OpenAI's.
_ELSEWHERE = {
    **{name: meant_instead(name) for name in ("region", "aws_region_name", "credentials_profile_name", "profile")},
    **{name: meant_instead(name) for name in ("role_arn", "content_handler", "prompt_format")},
    "endpoint_name": "the first argument, openai_client('my-endpoint')",
    "model": "model= in the call; the endpoint is the first argument, openai_client('my-endpoint')",
    "inference_component_name": "inference_component=",
    "temperature": "temperature= in the call",
    "max_tokens": "max_tokens= in the call",
    "client": "a sagewire.Client as the first argument",
}


def find_access(endpoint: str | Client, arguments: Mapping[str, Any]) -> Access:
    """Return the way to an endpoint.

    Args:
        endpoint: The endpoint's name, or a client.
        arguments: The arguments of `openai_client`.

    Raises:
        UsageError: Arguments contradict, or the region is missing.
    """
    given = dict(arguments)
    options = given.pop("options")
    if not isinstance(endpoint, Client) and not (isinstance(endpoint, str) and endpoint):
        got = "" if endpoint is REQUIRED else f", not {endpoint!r:.60}"
        raise UsageError(f"give the endpoint's name or a sagewire.Client, openai_client('my-endpoint'){got}")
    for name in options:
        if name in _ELSEWHERE:
            raise UsageError(f"openai_client has no argument {name!r}: use {_ELSEWHERE[name]}")
    if given.get("handler") is not None:
        check_handler_argument(given["handler"])
    wrong = [name for name in _OURS if name in options]
    if wrong:
        raise UsageError(f"{wrong[0]} follows from the endpoint; leave it out")
    route, lifetime = given.pop("route"), given.pop("token_lifetime")
    if route not in _NATIVE:
        raise UsageError(f"route={route!r} must be one of {', '.join(map(repr, _NATIVE))}")
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(endpoint, Client):
        if given or route == "sagemaker":
            raise UsageError(f"{next(iter(given), 'route')} is a matter of the client that was given; leave it out")
        door = InProcessServer((endpoint.target,), endpoint, native=False)
        return Access("https://in-process.invalid/openai/v1", door, None, options)
    return _of_endpoint(endpoint, given, route, lifetime, options)


def _of_endpoint(
    endpoint: str, given: dict[str, Any], route: RouteChoice, lifetime: int, options: Mapping[str, Any]
) -> Access:
    if "session" in given and "profile_name" in given:
        raise UsageError("session and profile_name contradict; give one")
    # One session for calls and tokens: credentials fetched once are used for both.
    session = as_session(given.pop("session", None) or given.pop("profile_name", None))
    region, url = given.get("region_name"), given.get("endpoint_url")
    service = resolve(session, region_name=region, endpoint_url=url)
    component = given.pop("inference_component", None)
    path = f"/endpoints/{quote(endpoint, safe='')}"
    if component:
        path += f"/inference-components/{quote(component, safe='')}"
    native = _NATIVE[route]
    if native is None and "handler" in given:
        native = False
    parts = {**given, "endpoint": endpoint, "session": session, "inference_component_name": component}
    names = (endpoint, component) if component else (endpoint,)
    tokens = BearerTokens(service.source, service.region, lifetime)
    door = InProcessServer(names, parts, native)
    origin = None if native is False else origin_of(service)
    return Access(f"{service.endpoint_url}{path}/openai/v1", door, tokens, options, origin)
