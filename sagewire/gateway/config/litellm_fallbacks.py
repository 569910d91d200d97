"""The models that LiteLLM's fallbacks are for: by name, by alias, or by a name that fits a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.gateway.config.models import ModelConfig
from sagewire.gateway.config.patterns import concrete, sorted_patterns

__all__ = ["own_model"]

JSON = dict[str, Any]


def own_model(name: str, models: Mapping[str, JSON]) -> tuple[str, JSON] | None:
    """Return the pattern that a name fits, and its settings for this name alone; `None` if it fits none.

    LiteLLM has fallbacks for such a name. Keys that may use the pattern may use the model: it is in a group of the
    pattern's name.

    Args:
        name: The name.
        models: The settings of models and patterns, as they are given to `GatewayConfig`.
    """
    pattern = next((one for one in sorted_patterns(models) if one.stars(name) is not None), None)
    if pattern is None:
        return None
    settings = models[pattern.name]
    found = concrete(ModelConfig.model_validate(settings), pattern.stars(name) or ())
    if found is None:
        return None
    deployments = [
        {field: getattr(one, field, value) if _is_starred(field) else value for field, value in given.items()}
        for one, given in zip(found.deployments, settings["deployments"], strict=True)
    ]
    groups = [*settings.get("access_groups", ()), pattern.name]
    return pattern.name, {**settings, "deployments": deployments, "access_groups": groups}


def _is_starred(field: str) -> bool:
    return field in ("endpoint", "inference_component", "served_model", "format")
