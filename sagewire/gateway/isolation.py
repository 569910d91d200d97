"""The fields that a caller's request may not have: they choose the model, the adapter or the server.

The configuration decides that, and keys allow models by name. Whatever a server might read such a choice from is
refused on every route, at the top of the body and in `extra`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sagewire.gateway.errors import GatewayError
from sagewire.openai_shapes import BadRequest
from sagewire.types import OptionArguments

__all__ = ["check_body", "check_sizes"]

# Names under which servers take a model, an adapter or a LoRA: `adapter_id` (TGI), `adapters` (LMI), `lora_path`
# (SGLang), `lora` (llama.cpp), `lora_request`, `model_id`, `models` (proxies).
_MODEL = re.compile(r"(^|_)(lora|loras|adapters?|models?)(_|$)|^(lora|adapter)")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Settings of servers and proxies that name other servers, credentials or code.
_ELSEWHERE = frozenset({
    "api_base", "api_key", "apikey", "aws_region_name", "azure_endpoint", "backend", "base_url", "bootstrap_host",
    "bootstrap_port", "bootstrap_room", "callback_url", "custom_llm_provider", "custom_logit_processor",
    "data_parallel_rank", "deployment", "deployment_id", "deployment_name", "endpoint", "endpoint_kwargs",
    "endpoint_url", "engine", "engine_id", "extra_body", "extra_headers", "extra_query", "fallback", "headers", "host",
    "inference_component", "inference_component_name", "kv_transfer_params", "litellm_metadata", "litellm_params",
    "logits_processors", "mock_delay", "mock_response", "mock_testing_content_policy_fallbacks",
    "mock_testing_context_fallbacks", "mock_testing_fallbacks", "mock_testing_rate_limit_error", "mock_timeout",
    "mock_tool_calls", "provider", "proxy", "route", "router", "server", "target_variant", "url",
    "user_config", "variant", "webhook", "webhook_url",
})  # fmt: skip
# Fields whose keys are words of the caller's or of the model's template, in which no server looks for a model.
_FREE = frozenset({
    "audio", "chat_template_args", "chat_template_kwargs", "guided_json", "json_schema", "logit_bias", "metadata",
    "prediction", "reasoning", "response_format", "structured_outputs", "text", "web_search_options",
})  # fmt: skip
# The parts of a JSON schema whose keys are the caller's words, in whatever field a server takes schemas.
_SCHEMA = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
# LiteLLM's settings of one request that choose among servers or keep something out; a request may have some of them,
# see `request_settings`, but they never go to a server.
_ROUTING = frozenset({
    "cache", "caching", "context_window_fallback_dict", "disable_fallbacks", "fallbacks", "guardrails", "max_retries",
    "num_retries", "policies", "request_timeout", "stream_timeout", "timeout",
})  # fmt: skip
# The request itself, under the name of any route or server.
_CONTENT = frozenset({
    "documents", "input", "input_ids", "inputs", "messages", "parameters", "prompt", "prompt_token_ids", "query",
    "stream", "stream_options", "text_input", "texts", "token_ids", "tool_choice", "tools",
})  # fmt: skip
_OPTIONS = frozenset(OptionArguments.__annotations__) - {"extra"}
# Those of `_CONTENT` that a route has itself, or whose servers have it for something harmless.
_OWN: Mapping[str, frozenset[str]] = {
    "chat": frozenset({"messages", "stream", "stream_options", "tools", "tool_choice", "documents"}),
    "completions": frozenset({"prompt", "stream", "stream_options"}),
    "responses": frozenset({"input", "prompt", "stream", "stream_options", "tools", "tool_choice"}),
    "embeddings": frozenset({"input"}),
    "rerank": frozenset({"query", "documents", "texts"}),
}
_NONE: frozenset[str] = frozenset()
# These are checked by themselves.
_CHECKED = frozenset({"model", "adapter", "extra"})
MAX_STOPS, MAX_STOP_LENGTH = 64, 1_000
MAX_MESSAGES, MAX_TOOLS, MAX_INPUTS = 10_000, 1_000, 4_096
# No server has longer names of fields, nor nearly as many.
MAX_NAME, MAX_FIELDS, MAX_INNER_FIELDS = 200, 1_000, 10_000
# A text may also come as the numbers of its tokens.
MAX_TOKENS = 1_000_000
_STOPS = frozenset({"stop", "stop_sequences"})
_MOST = {
    "stop": MAX_STOPS,
    "stop_sequences": MAX_STOPS,
    "messages": MAX_MESSAGES,
    "tools": MAX_TOOLS,
    "documents": MAX_INPUTS,
    "prompt": MAX_INPUTS,
    "input": MAX_INPUTS,
}


def check_body(route: str, body: Mapping[str, Any]) -> None:
    """Check what a body says beside its route's own fields.

    Args:
        route: The route's name.
        body: The parsed body.

    Raises:
        GatewayError: 400: it names another model, adapter, server or conversation than the configuration does.
    """
    own = _OWN.get(route, _NONE)
    extra = body.get("extra")
    extra = extra if isinstance(extra, Mapping) else {}
    if len(body) + len(extra) > MAX_FIELDS:
        raise _too_large(f"the request has more than {MAX_FIELDS:,} fields")
    for name, value in body.items():
        if name not in own and name not in _CHECKED and value is not None:
            _check(name, name in _CONTENT)
            if isinstance(value, dict | list) and name not in _FREE:
                _check_inside(value, name)
    for name, value in extra.items():
        _check(name, name in _CONTENT or name in _OPTIONS, "extra.")
        if isinstance(value, dict | list) and name not in _FREE:
            _check_inside(value, f"extra.{name}")


def _check(name: str, content: bool, prefix: str = "") -> None:
    if len(name) > MAX_NAME:
        raise _too_large(f"the name of a field has more than {MAX_NAME} characters")
    choice = _choice(name)
    if choice == "routing":
        cure = "the gateway's configuration decides it; leave it out"
    elif content:
        cure = "use the route's own field for it" if prefix else "it is not a field of this route; leave it out"
    elif choice:
        raise _chooses(f"{prefix}{name}")
    else:
        return
    shown = f"{prefix}{name}"[:100]
    raise GatewayError(400, "field_not_allowed", f"'{shown}' is not allowed: {cure}", param=shown)


def _check_inside(value: Any, path: str) -> None:
    """Check the keys inside a field that only the server knows: `options` of Ollama, `nvext` of Dynamo."""
    waiting, seen = [(value, path)], 0
    while waiting:
        one, place = waiting.pop()
        seen += 1 + (len(one) if isinstance(one, dict) else 0)
        if seen > MAX_INNER_FIELDS:
            raise _too_large(f"{path[:MAX_NAME]!r} has more than {MAX_INNER_FIELDS:,} fields")
        if isinstance(one, dict):
            for name, inner in one.items():
                if len(name) <= MAX_NAME and _choice(name) == "model":
                    raise _chooses(f"{place}.{name}")
                if isinstance(inner, dict | list) and name not in _SCHEMA:
                    waiting.append((inner, f"{place}.{name}"[:100]))
        else:
            waiting += [(inner, place) for inner in one if isinstance(inner, dict | list)]


def _too_large(reason: str) -> GatewayError:
    return GatewayError(400, "field_not_allowed", f"{reason}; leave out what no server reads")


def _chooses(field: str) -> GatewayError:
    shown = field[:100]
    return GatewayError(
        400,
        "field_not_allowed",
        f"'{shown}' is not allowed: the gateway's configuration decides which model and server answer; name the model "
        "in 'model'",
        param=shown,
    )


@lru_cache(maxsize=4096)
def _choice(name: str) -> str:
    """Return what a field chooses by its name, however that is spelt; nothing for all others.

    Returns:
        `model`, `server`, `routing` or an empty text.
    """
    name = re.sub(r"[\W_]+", "_", unicodedata.normalize("NFKC", name)).strip("_")
    spellings = {name.lower(), _HUMP.sub("_", name).lower()}
    if spellings & _ROUTING:
        return "routing"
    if any(_MODEL.search(one) for one in spellings):
        return "model"
    return "server" if spellings & _ELSEWHERE else ""


def check_sizes(body: Mapping[str, Any]) -> None:
    """Check how many stop strings, messages, tools and inputs a body has.

    Raises:
        BadRequest: There are too many to be served without harm to others.
    """
    for name, value in body.items():
        if name in _MOST and isinstance(value, list) and len(value) > _MOST[name]:
            tokens = name in ("prompt", "input") and isinstance(value[0], int)
            if not tokens or len(value) > MAX_TOKENS:
                most = MAX_TOKENS if tokens else _MOST[name]
                raise BadRequest(f"{name!r} has {len(value)} entries; at most {most} are served", name)
        if name in _STOPS:
            for stop in value if isinstance(value, list) else [value]:
                if isinstance(stop, str) and len(stop) > MAX_STOP_LENGTH:
                    raise BadRequest(
                        f"a string in {name!r} is longer than {MAX_STOP_LENGTH} characters; shorten it", name
                    )
