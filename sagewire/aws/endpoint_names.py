"""An endpoint by its name, or by its whole ARN."""

from __future__ import annotations

import re

from sagewire.errors import UsageError

__all__ = ["endpoint_of"]

_ARN = re.compile(r"arn:aws[\w-]*:sagemaker:(?P<region>[a-z0-9-]+):\d{12}:(?P<kind>[a-z-]+)/(?P<name>[A-Za-z0-9-]+)")


def endpoint_of(endpoint: str, region_name: str | None = None) -> tuple[str, str | None]:
    """Return an endpoint's name, and its region if the ARN or the caller says it.

    Args:
        endpoint: The endpoint's name or ARN.
        region_name: The region the caller gave.

    Raises:
        UsageError: It is a model's id, the ARN of something else, or names another region than the caller.

    Example:
        >>> endpoint_of("arn:aws:sagemaker:eu-west-1:111122223333:endpoint/my-llm")
        ('my-llm', 'eu-west-1')
    """
    if not endpoint.startswith("arn:"):
        # A URL is refused where clients check their arguments.
        if "/" in endpoint and "://" not in endpoint:
            raise UsageError(
                f"{endpoint!r} is not an endpoint's name, which has letters, digits and hyphens; give the name of the "
                "endpoint that serves the model, or url= for a server that is not on SageMaker"
            )
        return endpoint, region_name
    match = _ARN.fullmatch(endpoint)
    if match is None or match["kind"] != "endpoint":
        raise UsageError(
            f"{endpoint!r} is not an endpoint's ARN; it should be arn:aws:sagemaker:REGION:ACCOUNT:endpoint/NAME"
            + (
                " (name inference components in inference_component_name=)"
                if ":inference-component/" in endpoint
                else ""
            )
        )
    if region_name is not None and region_name != match["region"]:
        raise UsageError(f"region_name={region_name!r} contradicts {endpoint!r}; leave one of them out")
    return match["name"], match["region"]
