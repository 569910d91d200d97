"""LiteLLM's keyword arguments as those of sagewire's clients; unsupported ones are an error, never dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sagewire.content_handlers import ContentHandler, EmbeddingHandler
from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.integrations._fallback_profile import once
from sagewire.types.openai_shape import function_name

__all__ = ["PROVIDERS_OWN", "Dropping", "own_options", "take_dropping"]

LOG = logging.getLogger("sagewire.litellm")

# LiteLLM's book-keeping: nothing of it changes an answer.
_WITHOUT_EFFECT = (
    "caching", "id", "input_cost_per_second", "input_cost_per_token", "litellm_call_id", "litellm_logging_obj",
    "litellm_metadata", "litellm_session_id", "litellm_trace_id", "logger_fn", "no-log", "output_cost_per_second",
    "output_cost_per_token", "shared_session", "tags", "verbose",
)  # fmt: skip
# Settings that would lead to another answer, or to another server's.
_IMPOSSIBLE = {
    "api_version": "leave it out: neither SageMaker nor Hugging Face has versions to choose from",
    "cache": "keep answers yourself",
    "content_policy_fallbacks": "catch the error and call again",
    "context_window_fallback_dict": "catch the error and call again",
    "deployment_id": "write the endpoint's name into model",
    "fallbacks": "catch the error and call again",
    "mock_response": "use sagewire.emulator",
    "model_list": "write the endpoint's name into model",
    "shared_prompt": "leave it out",
}
# OpenAI's settings without an option in sagewire. A server with another request format would ignore them.
_OPENAI_WIRE_ONLY = ("logit_bias", "prediction", "verbosity")
# Provider-specific in LiteLLM, options here. If the request format lacks such a field, they are sent as they are.
PROVIDERS_OWN = ("min_p", "repetition_penalty", "top_k", "typical_p")
_OPENAI_OPTIONS = (
    "frequency_penalty", "logprobs", "max_tokens", "n", "parallel_tool_calls", "presence_penalty", "reasoning_effort",
    "response_format", "seed", "stop", "temperature", "top_logprobs", "top_p",
)  # fmt: skip
_OF_VECTORS = ("dimensions", "input_type", "truncate", "normalize", "model")


@dataclass(frozen=True, slots=True)
class Dropping:
    """What the caller allows to be left out.

    Args:
        unsupported: All of OpenAI's parameters that the request format lacks.
        names: These, in any case.
    """

    unsupported: bool = False
    names: tuple[str, ...] = ()

    def fit(self, arguments: dict[str, Any], handler: ContentHandler) -> dict[str, Any]:
        """Return the arguments of a client in the form in which this wire takes them.

        Raises:
            UnsupportedFeature: The request format lacks a setting that only OpenAI's has.
        """
        fitted = {name: value for name, value in arguments.items() if name not in self.names}
        extra = {name: value for name, value in (fitted.pop("extra", None) or {}).items() if name not in self.names}
        names = getattr(handler, "option_names", None)
        if names:
            moved = {name: fitted.pop(name) for name in PROVIDERS_OWN if name in fitted and name not in names}
            extra = {**moved, **extra}
        if names and self.unsupported:
            left_out = [name for name in _OPENAI_OPTIONS if name in fitted and name not in (*names, "n")]
            fitted = {name: value for name, value in fitted.items() if name not in left_out}
            LOG.debug("'%s' does not support %s: left out", handler.name, left_out)
        if not handler.path.startswith("/v1/"):
            for name in _OPENAI_WIRE_ONLY:
                if name in extra and not self.unsupported:
                    raise UnsupportedFeature(f"'{name}'", f"handler '{handler.name}'", "Or pass drop_params=True.")
                extra.pop(name, None)
        return {**fitted, "extra": extra} if extra else fitted

    def fit_vectors(self, arguments: dict[str, Any], handler: EmbeddingHandler | None) -> dict[str, Any]:
        """Return the arguments of an embeddings call in the form in which this wire takes them."""
        fitted = {name: value for name, value in arguments.items() if name not in self.names}
        if handler is None or not self.unsupported:
            return fitted
        left_out = [name for name in _OF_VECTORS if name in fitted and name not in handler.option_names]
        LOG.debug("'%s' does not support %s: left out", handler.name, left_out)
        return {name: value for name, value in fitted.items() if name not in left_out}


def take_dropping(options: dict[str, Any], drop_params: bool) -> Dropping:
    """Take `drop_params` and `additional_drop_params`."""
    given = options.pop("drop_params", None)
    names = tuple(options.pop("additional_drop_params", None) or ())
    for name in names:
        options.pop(name, None)
    return Dropping(drop_params if given is None else bool(given), names)


def own_options(options: dict[str, Any]) -> None:
    """Put LiteLLM's own arguments into the form of OpenAI's API, in place.

    Raises:
        UsageError: A parameter asks for something that cannot be done here.
    """
    for name, cure in _IMPOSSIBLE.items():
        if options.pop(name, None):
            raise UsageError(f"{name!r} is not supported; {cure}")
    for name in _WITHOUT_EFFECT:
        if options.pop(name, None):
            once(LOG, f"{name!r} has no effect here")
    options.update(options.pop("extra_body", None) or {})
    if options.get("max_completion_tokens") is not None:
        # The newer name wins, as in LiteLLM.
        options.pop("max_tokens", None)
    if isinstance(options.get("stop"), tuple):
        options["stop"] = list(options["stop"])
    _functions(options)
    wanted = options.get("response_format")
    if isinstance(wanted, type):
        options["response_format"] = _schema_of(wanted)


def _functions(options: dict[str, Any]) -> None:
    """Write the older `functions` and `function_call` as tools."""
    functions, choice = options.pop("functions", None), options.pop("function_call", None)
    if functions:
        tools = [{"type": "function", "function": function} for function in functions]
        options["tools"] = [*(options.get("tools") or ()), *tools]
    if choice is not None and options.get("tool_choice") is None:
        named = isinstance(choice, Mapping)
        options["tool_choice"] = {"type": "function", "function": choice} if named else choice


def _schema_of(model: type) -> dict[str, Any]:
    """Return a pydantic model as OpenAI's `response_format`."""
    schema: Callable[[], dict[str, Any]] | None = getattr(model, "model_json_schema", None)
    if schema is None:
        raise UsageError(f"response_format={model.__name__} is not a pydantic model")
    return {
        "type": "json_schema",
        "json_schema": {"name": function_name(model.__name__), "schema": schema(), "strict": True},
    }
