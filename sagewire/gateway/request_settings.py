"""The settings of one request that LiteLLM's clients send beside it: they may ask for less than is configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sagewire.gateway.errors import GatewayError
from sagewire.openai_shapes import BadRequest
from sagewire.openai_shapes.fields import Fields

__all__ = ["NO_SETTINGS", "RequestSettings", "take_settings"]

MAX_FALLBACKS = 20
# Settings that ask for no cache, which the gateway does not have.
_NO_CACHE = frozenset({"no-cache", "no-store"})


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """What a request asks of the router.

    Args:
        seconds: How long the request may take until its answer, or the first piece of a stream, is there.
        attempts: Maximum calls for it; the configuration's number holds, too.
        fallbacks: Models to ask in place of the configured fallbacks.
    """

    seconds: float | None = None
    attempts: int | None = None
    fallbacks: tuple[str, ...] | None = None


NO_SETTINGS = RequestSettings()


def take_settings(body: dict[str, Any]) -> tuple[dict[str, Any], RequestSettings]:
    """Return a body without its settings, and the settings.

    Args:
        body: The body of a request.

    Raises:
        BadRequest: A setting has the wrong type.
        GatewayError: 400 for a setting that would keep something out, or needs what the gateway does not have.
    """
    if _SETTINGS.isdisjoint(body):
        return body, NO_SETTINGS
    fields = Fields(body)
    seconds = _seconds(fields)
    retries = [fields.count(name) for name in ("num_retries", "max_retries")]
    attempts = next((number + 1 for number in retries if number is not None), None)
    fallbacks = _fallbacks(fields.items("fallbacks"))
    if fields.flag("disable_fallbacks"):
        fallbacks = ()
    _check_cache(fields)
    for name in _GUARDS:
        if fields.take(name):
            raise _no_guards(name)
    for place in ("metadata", "litellm_metadata"):
        _check_metadata(place, body.get(place))
    unwanted = [one for one in fields.items("additional_drop_params") or () if isinstance(one, str)]
    left = fields.rest()
    kept = {name: value for name, value in left.items() if name not in _OWN and name not in unwanted}
    return left if len(kept) == len(left) else kept, RequestSettings(seconds, attempts, fallbacks)


_GUARDS = ("guardrails", "guardrail_config", "policies")
# LiteLLM's accounts of a request, which go to no server, and have no effect here.
_OWN = frozenset({
    "allowed_openai_params", "assistant_continue_message", "drop_params", "enable_tag_filtering",
    "ensure_alternating_roles", "input_cost_per_second", "input_cost_per_token", "litellm_call_id",
    "litellm_disabled_callbacks", "litellm_metadata", "litellm_request_debug", "litellm_session_id",
    "litellm_trace_id", "merge_reasoning_content_in_choices", "no-log", "output_cost_per_second",
    "output_cost_per_token", "prompt_id", "prompt_label", "prompt_variables", "prompt_version",
    "provider_specific_header", "router_settings_override", "secret_fields", "supports_system_message", "tags",
    "turn_off_message_logging", "user_continue_message",
})  # fmt: skip
_SETTINGS = _OWN.union(_GUARDS) | {
    "additional_drop_params", "cache", "caching", "disable_fallbacks", "fallbacks", "max_retries", "metadata",
    "num_retries", "request_timeout", "stream_timeout", "timeout",
}  # fmt: skip


def _seconds(fields: Fields) -> float | None:
    given = {name: fields.number(name) for name in ("timeout", "request_timeout", "stream_timeout")}
    for name, seconds in given.items():
        if seconds is not None and seconds <= 0:
            raise BadRequest(f"{name!r} must be a number of seconds above 0", name)
    if fields.rest().get("stream") and given["stream_timeout"] is not None:
        return given["stream_timeout"]
    return given["timeout"] if given["timeout"] is not None else given["request_timeout"]


def _fallbacks(given: list[Any] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    if len(given) > MAX_FALLBACKS:
        raise BadRequest(f"'fallbacks' has {len(given)} entries; at most {MAX_FALLBACKS} are served", "fallbacks")
    for one in given:
        if not isinstance(one, str):
            raise BadRequest(
                "'fallbacks' must list names of models; other messages for them are not supported", "fallbacks"
            )
    return tuple(given)


def _check_cache(fields: Fields) -> None:
    cache = fields.object("cache") or {}
    wanted = [name for name, value in cache.items() if value and name not in _NO_CACHE]
    if wanted or fields.flag("caching"):
        raise _refused("cache", "the gateway keeps no answers; leave it out")


def _check_metadata(place: str, given: Any) -> None:
    for name in _GUARDS if isinstance(given, dict) else ():
        if given.get(name):
            raise _no_guards(f"{place}.{name}")


def _no_guards(name: str) -> GatewayError:
    return _refused(name, "the gateway has no guardrails, and would let through what they keep out")


def _refused(name: str, says: str) -> GatewayError:
    return GatewayError(400, "field_not_allowed", f"'{name}' is not supported: {says}", param=name)
