"""Entries of LiteLLM's `model_list` beside their parameters: above all `model_info`, which says who may use a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from sagewire.gateway.config import litellm_keys as keys
from sagewire.gateway.config.document import Document, Path, nearest
from sagewire.gateway.config.litellm_providers import NotServed

__all__ = ["add_groups", "check_entry", "check_served", "is_listed", "refused_info"]

_EVERYBODY = "without it everybody could use the model; list the models of each key where it is made, at /key/generate "
_REASONS = {
    "team_id": f"sagewire has no teams, and {_EVERYBODY}or with `keys add`, and remove it here",
    "access_windows": "sagewire reserves no model for teams at some hours, and without it everybody could use the "
    "model then; put a proxy in front that does it, and remove it here",
    "enable_tag_filtering": "sagewire does not choose deployments by tags, and without it the model would be open to "
    "more; put a proxy in front that does it, and remove it here",
}


def refused_info(info: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keys of a `model_info` that restrict access in a way that sagewire does not, with the reason.

    LiteLLM gives a model with a `team_id` to the keys of that team alone.
    """
    for name in sorted(keys.INFO_REFUSED & info.keys()):
        if info[name] not in (None, False, [], (), {}):
            yield name, _REASONS[name]


def check_entry(entry: BaseModel, path: Path, document: Document) -> list[str]:
    """Return what has no effect beside the parameters and the `model_info` of an entry.

    Args:
        entry: The entry.
        path: Its place.
        document: The file.

    Raises:
        UsageError: It keeps callers out in a way that sagewire does not, or a key looks like a misspelt one, or is one
            of `litellm_params`. LiteLLM passes over such keys.
    """
    for name, reason in refused_info(getattr(entry, "model_info", {})):
        raise document.error((*path, "model_info", name), reason)
    notes = []
    for name in entry.model_extra or {}:
        if name in keys.PARAMS_TAKEN:
            raise document.error((*path, name), "belongs in litellm_params; it has no effect here")
        hint = nearest(name, type(entry).model_fields)
        if hint:
            raise document.error((*path, name), f"unknown key{hint}")
        notes.append(str(document.error((*path, name), "has no effect in sagewire")))
    return notes


def check_served(info: Mapping[str, Any], environment: Mapping[str, str], path: Path, document: Document) -> None:
    """Raise `NotServed` for a deployment that LiteLLM does not serve, either.

    Args:
        info: Its `model_info`.
        environment: The variables, of which LiteLLM reads `LITELLM_ENVIRONMENT`.
        path: The place of `model_info`.
        document: The file.

    Raises:
        NotServed: It is blocked, or for another environment.
        UsageError: A value has the wrong type.
    """
    if info.get("blocked") in (True, "true", "True"):
        raise NotServed(str(document.error((*path, "blocked"), "it is blocked")), "it is blocked in the configuration")
    wanted = info.get("supported_environments")
    if wanted is None:
        return
    if not isinstance(wanted, list):
        raise document.error((*path, "supported_environments"), "should be a list, such as [production]")
    current = environment.get("LITELLM_ENVIRONMENT")
    if current not in wanted:
        told = f"it is for {', '.join(map(str, wanted))}, and LITELLM_ENVIRONMENT is {current or 'not set'}"
        raise NotServed(str(document.error((*path, "supported_environments"), told)), told)


def add_groups(model: dict[str, Any], info: Mapping[str, Any], path: Path, document: Document) -> None:
    """Add the access groups of a deployment to those of its model."""
    groups = info.get("access_groups") or []
    if not isinstance(groups, list):
        raise document.error((*path, "access_groups"), "should be a list, such as [beta]")
    if groups:
        model["access_groups"] = list(dict.fromkeys((*model.get("access_groups", ()), *map(str, groups))))


def is_listed(info: Mapping[str, Any]) -> bool:
    """Return whether lists of models show a deployment's model: not if LiteLLM's `discoverable` is false."""
    return info.get("discoverable") is not False
