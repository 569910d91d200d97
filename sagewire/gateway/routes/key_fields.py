"""The fields of requests that make or change keys, under LiteLLM's names: what acts, what is kept, what is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from sagewire.errors import UsageError
from sagewire.gateway.config import GatewayConfig
from sagewire.gateway.config.server import MAX_BUDGET
from sagewire.gateway.durations import after
from sagewire.gateway.keys import Key, check_name
from sagewire.openai_shapes.fields import BadRequest, Fields

__all__ = ["KEPT", "changed_key", "checked_secret", "name_of"]

JSON = dict[str, Any]
# Fields that are given back as they came, and that nothing here depends on.
KEPT = ("metadata", "user_id", "team_id", "soft_budget", "permissions", "config")
# Fields of LiteLLM's without effect, which the answer names; all others that are not read are refused.
_IDLE = frozenset({
    "default_estimated_output_tokens", "default_estimated_output_tokens_per_model", "enable_prompt_caching",
    "key_type", "rpm_limit_type", "send_invite_email", "tpm_limit_type",
})  # fmt: skip
# Values of fields that allow what every key may do here.
_USUAL: Mapping[str, tuple[Any, ...]] = {
    "key_type": ("default", "llm_api"),
    "allowed_routes": (["llm_api_routes"],),
    "spend": (0,),
    "rpm_limit_type": ("best_effort_throughput",),
    "tpm_limit_type": ("best_effort_throughput",),
}
# Fields that LiteLLM also reads in `metadata`, and that restrict a key.
_IN_METADATA = frozenset({
    "allowed_cache_controls", "allowed_passthrough_routes", "allowed_routes", "allowed_vector_store_indexes",
    "denied_passthrough_routes", "end_user_budget_id", "enforced_batch_output_expires_after",
    "enforced_file_expires_after", "enforced_params", "guardrails", "max_budget_per_session", "max_iterations",
    "mcp_rpm_limit", "model_itpm_limit", "model_max_budget", "model_otpm_limit", "model_rpm_limit",
    "model_tpm_limit", "policies", "require_trace_id", "service_account_id", "tag_rpm_limit",
    "temp_budget_expiry", "temp_budget_increase", "throttle_on_budget_exceeded",
})  # fmt: skip
# Names that stand for all models, and the length of time that never ends.
_ALL_MODELS = frozenset({"*", "all-proxy-models"})
_NEVER = "-1"
# LiteLLM's words for lengths of time.
_WORDS = {"hourly": "1h", "daily": "24h", "weekly": "7d", "monthly": "30d"}
_LIMITS = {
    "rpm_limit": "requests_per_minute",
    "tpm_limit": "tokens_per_minute",
    "max_parallel_requests": "max_parallel_requests",
}
# What an explicit null takes away, as in LiteLLM.
_LIFTED = {"duration": "expires", "max_budget": "max_budget", "budget_duration": "budget_duration", **_LIMITS}
# Columns of limits have 32 bits.
_MOST = 2**31 - 1
_NOTES_BYTES = 16_384
_SECRET = re.compile(r"[\x21-\x7e]+")


def changed_key(key: Key, fields: Fields, body: Mapping[str, Any], config: GatewayConfig) -> tuple[Key, list[str]]:
    """Return a key with the changes that a request asks for, and the fields that have no effect.

    Args:
        key: The key so far.
        fields: The fields of the request that have not been read.
        body: All of them; an explicit null takes a limit away.
        config: Names the models.

    Raises:
        BadRequest: A field is wrong, or the key would allow more than it asks for.
    """
    changes = _limits(fields, body)
    blocked = fields.flag("blocked")
    if "blocked" in body:
        changes["blocked"] = bool(blocked)
    models = fields.items("models")
    if models is not None:
        changes["models"] = _models(models, config)
    limits = _model_limits(key, fields, body, config)
    if limits is not None:
        changes["model_limits"] = limits
    changes["notes"], ignored = _notes(key, fields, body)
    limited = changes.get("models", key.models) is not None
    ignored += _check_rest(fields.rest(), limited=limited, team=body.get("team_id"))
    changed = replace(key, **changes)
    if changed.budget_duration and changed.max_budget is None:
        raise BadRequest("'budget_duration' needs 'max_budget'", "budget_duration")
    return changed, sorted(ignored)


def _limits(fields: Fields, body: Mapping[str, Any]) -> JSON:
    """Return the changes of what holds for all models."""
    changes: JSON = {ours: None for theirs, ours in _LIFTED.items() if body.get(theirs, "") is None}
    for theirs in ("duration", "budget_duration"):
        duration = fields.text(theirs)
        if theirs == "duration" and duration == _NEVER:
            changes["expires"] = None
        elif duration is not None:
            duration = _WORDS.get(duration, duration)
            ends = _ends(duration, theirs)
            changes |= {"expires": ends} if theirs == "duration" else {theirs: duration}
    if body.get("max_budget") == "":
        # LiteLLM's forms send it for no budget.
        fields.take("max_budget")
        changes["max_budget"] = None
    budget = _number(fields, "max_budget")
    if budget is not None:
        if not 0 <= budget <= MAX_BUDGET:
            raise BadRequest(f"'max_budget' must be between 0 and {MAX_BUDGET:g} dollars", "max_budget")
        changes["max_budget"] = float(budget)
    for theirs, ours in _LIMITS.items():
        limit = _number(fields, theirs)
        if limit is not None:
            changes[ours] = _limit(limit, theirs)
    return changes


def name_of(fields: Fields, config: GatewayConfig, before: Key | None = None) -> str | None:
    """Return the name that a key is to have, `None` if none is given.

    Args:
        fields: The fields of the request.
        config: Its keys have names, too.
        before: The key as it is.
    """
    name = fields.text("key_alias")
    if not name or (before is not None and name == before.name):
        return None
    try:
        check_name(name)
    except UsageError as error:
        raise BadRequest(str(error), "key_alias") from None
    if any(name == one.name for one in config.keys):
        # They would share their limits and what they have spent.
        raise BadRequest(f"there is a key '{name}' in the configuration file: choose another name", "key_alias")
    return name


def checked_secret(secret: str) -> str:
    """Return a key that a caller has chosen.

    Raises:
        BadRequest: No header could hold it.
    """
    if len(secret) > 1000 or not _SECRET.fullmatch(secret):
        raise BadRequest("'key' must be 1 to 1,000 letters, digits and signs of ASCII, without spaces", "key")
    return secret


def _number(fields: Fields, name: str) -> float | None:
    """Take a number; as in LiteLLM, also one that is written as a text."""
    value = fields.take(name)
    if isinstance(value, str):
        value = value.strip()
        try:
            value = int(value) if re.fullmatch(r"[+-]?\d{1,20}", value) else float(value)
        except ValueError:
            raise BadRequest(f"{name!r} must be a number, not {value[:40]!r}", name) from None
    return None if value is None else Fields({name: value}).number(name)


def _limit(limit: float, name: str) -> int:
    if not math.isfinite(limit) or limit != int(limit) or not 1 <= limit <= _MOST:
        cure = (
            "to allow nothing, block the key (/key/block)" if limit == 0 else "for no limit, leave it out or send null"
        )
        raise BadRequest(f"{name!r} must be a whole number from 1 to {_MOST}; {cure}", name)
    return int(limit)


def _models(given: list[Any], config: GatewayConfig) -> tuple[str, ...] | None:
    """Return the models that a key may use; as in LiteLLM, none named means all."""
    if _ALL_MODELS.intersection(one for one in given if isinstance(one, str)):
        return None
    for one in given:
        if not isinstance(one, str) or (config.entry(one) is None and one not in config.access_groups):
            raise BadRequest(f"there is no model {str(one)[:100]!r}", "models")
    return tuple(given) or None


def _model_limits(
    key: Key, fields: Fields, body: Mapping[str, Any], config: GatewayConfig
) -> dict[str, tuple[int | None, int | None]] | None:
    """Return the limits for single models, if the request changes them; each field replaces all of its kind."""
    found: list[dict[str, int | None]] = []
    for place, field in enumerate(("model_rpm_limit", "model_tpm_limit")):
        given = fields.object(field)
        if field not in body:
            found.append({name: limits[place] for name, limits in key.model_limits.items()})
            continue
        for name in given or ():
            if config.entry(name) is None:
                raise BadRequest(f"{field!r}: there is no model {name[:100]!r}", field)
        numbers = {name: _number(Fields({field: limit}), field) for name, limit in (given or {}).items()}
        found.append({name: None if limit is None else _limit(limit, field) for name, limit in numbers.items()})
    if not {"model_rpm_limit", "model_tpm_limit"} & body.keys():
        return None
    requests, tokens = found
    pairs = {name: (requests.get(name), tokens.get(name)) for name in (*requests, *tokens)}
    return {name: pair for name, pair in pairs.items() if pair != (None, None)}


def _notes(key: Key, fields: Fields, body: Mapping[str, Any]) -> tuple[JSON, list[str]]:
    """Return what is kept of the request, beside what was kept before, and what of it LiteLLM would act on."""
    notes = dict(key.notes)
    for name in KEPT:
        if name in body:
            value = fields.object(name) if name in ("metadata", "permissions", "config") else fields.take(name)
            notes[name] = value
    for name, kind in (("user_id", str), ("team_id", str), ("soft_budget", (int, float))):
        value = notes.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise BadRequest(f"{name!r} must be {'a number' if name == 'soft_budget' else 'a string'}", name)
    metadata = notes.get("metadata") or {}
    for inner in sorted(_IN_METADATA & metadata.keys() if "metadata" in body else ()):
        if not _is_nothing(metadata[inner]):
            raise _would_allow_more(f"metadata.{inner}")
    tags = fields.items("tags")
    if tags is not None:
        # As in LiteLLM they are a part of it.
        notes["metadata"] = {**metadata, "tags": tags}
    notes = {name: value for name, value in notes.items() if value not in (None, "", {})}
    try:
        # Somewhat deeper inside of the answers that give them back.
        size = len(orjson.dumps([[[[notes]]]]))
    except TypeError:
        raise BadRequest("'metadata' and what else is kept must not be nested so deeply", "metadata") from None
    if size > _NOTES_BYTES:
        raise BadRequest(f"'metadata' and what else is kept must have at most {_NOTES_BYTES} bytes of JSON", "metadata")
    return notes, [name for name in ("config", "permissions", "soft_budget") if name in notes and name in body]


def _check_rest(rest: Mapping[str, Any], *, limited: bool, team: Any) -> list[str]:
    """Raise `BadRequest` for a field that is not read, and without which a key would allow more.

    Args:
        rest: The fields that are not read.
        limited: The key has a list of models.
        team: The team that the key is to belong to.

    Returns:
        The fields that have no effect.
    """
    ignored = []
    for name, value in rest.items():
        if _is_nothing(value) or value in _USUAL.get(name, ()):
            continue
        # Without `auto_rotate` it says nothing.
        idle = name in _IDLE or (name == "rotation_interval" and not rest.get("auto_rotate"))
        if not idle or name == "key_type":
            raise _would_allow_more(name)
        ignored.append(name)
    if team and not limited:
        raise BadRequest(
            "'team_id' without 'models' means the models of the team, and there are no teams: list the models",
            "team_id",
        )
    return ignored


def _is_nothing(value: Any) -> bool:
    """Return whether a field asks for nothing, also inside of an object; a limit of 0 does."""
    if isinstance(value, dict):
        return all(inner is None or inner is False or inner in ({}, []) for inner in value.values())
    return value is None or value is False or value == []


def _would_allow_more(name: str) -> BadRequest:
    return BadRequest(f"{name!r} is not supported: without it the key would allow more; leave it out", name)


def _ends(duration: str, field: str) -> datetime:
    try:
        return after(duration)
    except UsageError as error:
        raise BadRequest(f"{field!r}: {error}", field) from None
