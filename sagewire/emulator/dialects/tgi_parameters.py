"""The checks of TGI on the parameters of a generate request (`router/src/validation.rs`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sagewire.emulator.dialects.base import Refusal
from sagewire.emulator.http_values import Response, json_response

__all__ = ["MAX_STOPS", "check", "invalid", "plain_refusal"]

MAX_STOPS = 4
NO_SHAPE = "Failed to deserialize the JSON body into the target type"


def invalid(message: str, kind: str = "validation") -> Refusal:
    """Return the refusal of a parameter (`ValidationError`)."""
    return Refusal(json_response(422, {"error": f"Input validation error: {message}", "error_type": kind}))


def plain_refusal(message: str, status: int = 422) -> Refusal:
    """Return axum's refusal of a body that is not what the route takes: plain text, not JSON."""
    return Refusal(Response(status, {"Content-Type": "text/plain; charset=utf-8"}, message.encode()))


# Name -> (the type serde reads, which values are valid, what the router says otherwise)
_Rule = tuple[type | tuple[type, ...], Callable[[Any], bool], str]
_RULES: dict[str, _Rule] = {
    "temperature": ((int, float), lambda v: v > 0, "`temperature` must be strictly positive"),
    "repetition_penalty": ((int, float), lambda v: v > 0, "`repetition_penalty` must be strictly positive"),
    "frequency_penalty": (
        (int, float),
        lambda v: -2 <= v <= 2,
        "`frequency_penalty` must be >= -2.0 and <= 2.0",
    ),
    "top_k": (int, lambda v: v > 0, "`top_k` must be strictly positive"),
    "top_p": ((int, float), lambda v: 0 < v < 1, "`top_p` must be > 0.0 and < 1.0"),
    "typical_p": ((int, float), lambda v: 0 < v < 1, "`typical_p` must be > 0.0 and < 1.0"),
    "max_new_tokens": (int, lambda v: v > 0, "`max_new_tokens` must be strictly positive"),
    "best_of": (int, lambda v: 0 < v <= 2, "`best_of` must be > 0 and <= 2. Given: {value}"),
    "top_n_tokens": (int, lambda v: 0 <= v <= 5, "`top_n_tokens` must be >= 0 and <= 5. Given: {value}"),
    "seed": (int, lambda v: v >= 0, "`seed` must be positive"),
    "truncate": (int, lambda v: v > 0, "`truncate` must be strictly positive"),
    "stop": (
        list,
        lambda v: len(v) <= MAX_STOPS,
        f"`stop` supports up to {MAX_STOPS} stop sequences. Given: {{count}}",
    ),
}


def check(parameters: Mapping[str, Any], stream: bool) -> None:
    """Refuse what the router refuses; keys it does not know it ignores.

    Raises:
        Refusal: With the router's words.
    """
    for name, (kind, valid, words) in _RULES.items():
        value = parameters.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, kind):
            raise plain_refusal(f"{NO_SHAPE}: parameters.{name}: invalid type")
        if not valid(value):
            raise invalid(words.format(value=value, count=len(value) if isinstance(value, list) else 0))
    if any(not isinstance(stop, str) for stop in parameters.get("stop") or ()):
        raise plain_refusal(f"{NO_SHAPE}: parameters.stop: invalid type, expected a string")
    if (parameters.get("best_of") or 1) > 1:
        if not parameters.get("do_sample"):
            raise invalid("you must use sampling when `best_of` is > 1")
        if stream:
            raise invalid("`best_of` != 1 is not supported when streaming tokens")
        if parameters.get("seed") is not None:
            raise invalid("`seed` must not be set when `best_of` > 1")
    if stream and parameters.get("decoder_input_details"):
        raise invalid("`decoder_input_details` == true is not supported when streaming tokens")
