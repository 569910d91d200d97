"""Objects of SageMaker's own SDK instead of an endpoint's name, in classes whose field is called `endpoint_name`."""

from __future__ import annotations

from typing import Any

from sagewire.client.endpoint_names import endpoint_name_of

__all__ = ["with_endpoint_name"]


def with_endpoint_name(values: dict[str, Any], *, region: str) -> dict[str, Any]:
    """Return the arguments of a class with a `Predictor` or `Endpoint` taken apart into name, session and component.

    Args:
        values: The arguments; what they say themselves wins.
        region: The class's name for its region.

    Raises:
        UsageError: `endpoint_name` is neither a name nor an object that has one.
    """
    given = values.get("endpoint_name")
    if given is None or isinstance(given, str):
        return values
    named = endpoint_name_of(given)
    said = {"session": named.session, "inference_component_name": named.component, region: named.region_name}
    return {**{name: value for name, value in said.items() if value is not None}, **values, "endpoint_name": named.name}
