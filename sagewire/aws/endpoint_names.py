"""An endpoint by its name, or by its whole ARN."""

from __future__ import annotations

import re

from sagewire.errors import UsageError

__all__ = ["endpoint_of"]

_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:(?P<region>[a-z0-9-]+):\d{12}:(?P<kind>[a-z-]+)/(?P<name>[A-Za-z0-9-]+)")


def endpoint_of(endpoint: str, region_name: str | None = None) -> tuple[str, str | None]:
    """Return an endpoint's name, and its region if the ARN or the caller says it.

    Args:
        endpoint: The endpoint's name or ARN.
        region_name: The region the caller gave.

    Raises:
        UsageError: It is the ARN of something else, or names another region than the caller.

    Example:
        >>> endpoint_of("arn:aws:sagemaker:eu-west-1:111122223333:endpoint/my-llm")
        ('my-llm', 'eu-west-1')
    """
    if not endpoint.startswith("arn:"):
        return endpoint, region_name
    match = _ARN.fullmatch(endpoint)
    if match is None or match["kind"] != "endpoint":
        raise UsageError(
            f"{endpoint!r} is not the ARN of an endpoint, which looks like "
            "arn:aws:sagemaker:us-east-1:123456789012:endpoint/name"
        )
    if region_name is not None and region_name != match["region"]:
        raise UsageError(
            f"{endpoint!r} is in {match['region']}, but region_name={region_name!r}; leave one of them out"
        )
    return match["name"], match["region"]
