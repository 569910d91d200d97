"""The ways to name an endpoint: its name, its ARN, or an object of SageMaker's own SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagewire.aws.endpoint_names import endpoint_of
from sagewire.errors import UsageError, unknown_name
from sagewire.types import OptionArguments
from sagewire.types.requests import SPELLINGS

__all__ = ["EndpointName", "endpoint_name_of", "meant_instead", "refuse_positional", "refuse_unknown"]

# The form of a region's name.
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}")
# Arguments of other libraries, and the ones to use here.
_MEANT = {
    "region": "region_name=",
    "aws_region_name": "region_name=",
    "aws_region": "region_name=",
    "role_arn": "session=sagewire.assume_role_session(role_arn)",
    "aws_role_name": "session=sagewire.assume_role_session(role_arn)",
    "endpoint_name": "the first argument, Client('my-endpoint')",
    "model": "the endpoint's name as the first argument; a model served by it goes into options={'model': ...}",
    "content_handler": "handler=",
    "prompt_format": "format=",
    "messages_to_prompt": "format=",
    "model_kwargs": "options={...}",
    "credentials_profile_name": "profile_name=",
    "profile": "profile_name=",
    "api_key": "token=, which goes with url=",
    "base_url": "url=",
    "headers": "transport=Http(url, headers={...})",
    "upload_to": "transport=AsyncInference(upload_to=...)",
    "max_retries": "retries=",
    "stream": "client.stream(...)",
    "streaming": "client.stream(...)",
    "component": "inference_component_name=",
}


@dataclass(frozen=True, slots=True)
class EndpointName:
    """An endpoint, with the other facts in its ARN or object.

    Args:
        name: The endpoint's name.
        region_name: The region of its ARN.
        session: The boto3 session of the object.
        component: The inference component of the object.
    """

    name: str | None
    region_name: str | None = None
    session: Any = None
    component: str | None = None


def endpoint_name_of(endpoint: Any) -> EndpointName:
    """Return the endpoint's name from any of the ways to give it.

    Args:
        endpoint: A name; an ARN; a `Predictor` or `AsyncPredictor` of the SageMaker SDK 2 (`endpoint_name`,
            `component_name`, `sagemaker_session.boto_session`); an `Endpoint` of sagemaker-core and SDK 3
            (`endpoint_name`, `_session`, `_region`).

    Raises:
        UsageError: It is something else, or the ARN of something else.

    Example:
        >>> endpoint_name_of("arn:aws:sagemaker:eu-west-1:111122223333:endpoint/my-llama")
        EndpointName(name='my-llama', region_name='eu-west-1', session=None, component=None)
    """
    if endpoint is None:
        return EndpointName(None)
    if isinstance(endpoint, str):
        return EndpointName(*endpoint_of(endpoint))
    name = getattr(endpoint, "endpoint_name", None)
    if not isinstance(name, str):
        raise UsageError(
            f"endpoint must be a name, an ARN, or a Predictor or Endpoint of SageMaker's SDK, not "
            f"{type(endpoint).__name__}"
        )
    owner = getattr(endpoint, "predictor", endpoint)
    component = getattr(endpoint, "component_name", None) or getattr(owner, "component_name", None)
    sdk_session = getattr(endpoint, "sagemaker_session", None)
    session = getattr(sdk_session, "boto_session", None) or getattr(endpoint, "_session", None)
    region = getattr(endpoint, "_region", None) if session is None else None
    return EndpointName(name, region if isinstance(region, str) else None, session, component)


def refuse_positional(client: str, endpoint: Any, misplaced: Sequence[object]) -> None:
    """Raise `UsageError` for more arguments without a name than the endpoint."""
    first = misplaced[0]
    meant = "everything else by name, for example region_name='us-east-1'"
    if isinstance(first, str):
        if REGION.fullmatch(first):
            meant = f"the region by name: {client}({endpoint!r}, region_name={first!r})"
        elif first.startswith(("http://", "https://")):
            meant = f"a URL by name, and instead of an endpoint: {client}(url={first!r})"
        elif first.startswith("arn:"):
            meant = "a role as session=sagewire.assume_role_session(role_arn)"
    raise UsageError(f"{client}() takes the endpoint without a name, and {meant}")


def meant_instead(name: str) -> str:
    """Return the argument of a client that another library's argument means; an empty string if none is known."""
    return _MEANT.get(name, "")


def refuse_unknown(unknown: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raise `UsageError` for arguments that a client does not have, naming the one to use instead."""
    for name in unknown:
        if name in _MEANT:
            raise UsageError(f"Client has no argument {name!r}: use {_MEANT[name]}")
        if name in OptionArguments.__annotations__ or name in SPELLINGS:
            raise UsageError(f"Client has no argument {name!r}: use options={{{SPELLINGS.get(name, name)!r}: ...}}")
        raise UsageError(unknown_name(name, known, "argument"))
