"""One entry of LiteLLM's `model_list` as the settings of a deployment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sagewire.gateway.config import litellm_keys as keys
from sagewire.gateway.config.document import Document, Path, as_number, nearest
from sagewire.gateway.config.models import OF_ROLES
from sagewire.gateway.config.patterns import HUGGING_FACE_ROUTER, STAR, format_of, router_name, without_task
from sagewire.types import OptionArguments

__all__ = ["CATCH_ALL", "Defaults", "deployment_settings"]

JSON = dict[str, Any]
_OPTIONS = frozenset(OptionArguments.__annotations__) - {"model", "extra"}
# Servers with OpenAI's API at `api_base`.
_OPENAI_SERVERS = (
    "openai", "hosted_vllm", "vllm", "openai_like", "custom_openai", "llamafile", "lm_studio", "ollama", "ollama_chat",
    "nvidia_nim", "xinference", "infinity", "litellm_proxy", "docker_model_runner", "lemonade", "oobabooga", "petals",
    "triton", "lambda_ai", "text-generation-inference", "llama_api",
)  # fmt: skip
# Where LiteLLM looks for them if a file does not say.
_LOCAL = {
    "docker_model_runner": "http://localhost:22088/engines/llama.cpp",
    "lemonade": "http://localhost:8000/api/v1",
    "llamafile": "http://127.0.0.1:8080/v1",
    "ollama": "http://localhost:11434",
    "ollama_chat": "http://localhost:11434",
    "xinference": "http://127.0.0.1:9997/v1",
}
_TEXT_SERVERS = ("text-completion-openai",)
# Whose models a file can serve without naming one of them, or a server.
CATCH_ALL = ("sagemaker", "sagemaker_chat", "sagemaker_nova", "huggingface")
_PROVIDERS = (*CATCH_ALL, *_OPENAI_SERVERS, *_TEXT_SERVERS)
_AWS = {
    "aws_region_name": "region",
    "region_name": "region",
    "aws_access_key_id": "aws_access_key_id",
    "aws_secret_access_key": "aws_secret_access_key",
    "aws_session_token": "aws_session_token",
    "aws_profile_name": "profile",
    "aws_role_name": "role_arn",
    "aws_session_name": "role_session_name",
    "aws_external_id": "external_id",
    "aws_session_tags": "session_tags",
    "aws_web_identity_token": "web_identity_token_file",
    "aws_sts_endpoint": "sts_endpoint",
    "model_id": "inference_component",
    "aws_sagemaker_allow_zero_temp": "allow_zero_temperature",
}
_OPENAI_MODEL = re.compile(r"(gpt|chatgpt|o\d|text-embedding|davinci|babbage)\b", re.IGNORECASE)
_NUMBERS = (
    "cooldown_time", "max_parallel_requests", "max_retries", "num_retries", "request_timeout", "rpm", "stream_timeout",
    "timeout", "tpm", "weight",
)  # fmt: skip
_TEMPLATE = ("roles", "initial_prompt_value", "final_prompt_value", "bos_token", "eos_token")


@dataclass(frozen=True)
class Defaults:
    """The settings of the other sections that hold for all deployments."""

    params: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    timeout: float | None = None
    stream_timeout: float | None = None
    allowed_fails: int | None = None
    cooldown: float | None = None
    cooldowns: bool = True
    max_parallel: int | None = None
    drop_params: bool = False
    ssl_verify: Any = None
    weighted: bool = True
    limit_requests: bool = False
    limit_tokens: bool = False


def deployment_settings(
    params: Mapping[str, Any], info: Mapping[str, Any], defaults: Defaults, document: Document, path: Path
) -> tuple[JSON, list[str]]:
    """Return the settings of a deployment, and what of `params` has no effect.

    Args:
        params: `litellm_params`.
        info: `model_info`.
        defaults: What the other sections say.
        document: The file it was read from.
        path: The place of `params` in it.

    Raises:
        UsageError: The provider is not supported, or a key is unknown or close to a known one.
    """
    given = {name: value for name, value in {**defaults.params, **params}.items() if value is not None}
    given = _credential(given, defaults, document, path) | given
    for number in _NUMBERS:
        if number in given and as_number(given[number]) is None:
            raise document.error((*path, number), f"should be a number, not {type(given[number]).__name__}")
    model = given.get("model")
    if not isinstance(model, str):
        raise document.error(path, "`model` is missing, for example sagemaker/my-endpoint")
    provider, slash, name = model.partition("/")
    if "custom_llm_provider" in given:
        provider, name = str(given["custom_llm_provider"]), name if provider == given["custom_llm_provider"] else model
    elif not slash and _OPENAI_MODEL.match(model):
        # As LiteLLM, which knows OpenAI's models by name.
        provider, name = "openai", model
    elif not slash:
        raise document.error((*path, "model"), f"{model!r} names no provider, for example sagemaker/{model}")
    settings = _place(provider, name, given, info, document, (*path, "model"))
    notes = _options(given, settings, document, path)
    notes += _headers(given, settings, document, path)
    notes += _ssl_verify(given, settings, defaults, document, path)
    notes += _account(given, settings, document, path)
    if info.get("id"):
        settings["name"] = str(info["id"])
    notes += _unlimited(given, defaults, document, path)
    notes += _prices(given, info, settings, document, path)
    return settings | _shares(given, defaults) | _limits(given, defaults), notes


def _account(given: JSON, settings: JSON, document: Document, path: Path) -> list[str]:
    """Add the AWS settings, and return those that have no effect."""
    notes = []
    for theirs, ours in _AWS.items():
        if theirs not in given:
            continue
        reason = ""
        if settings.get("url"):
            reason = "has no effect: this model is not on SageMaker"
        elif ours in OF_ROLES and "aws_role_name" not in given:
            reason = "has no effect without aws_role_name"
        if reason:
            notes.append(str(document.error((*path, theirs), f"{theirs} {reason}")))
        else:
            settings[ours] = given[theirs]
    return notes


def _credential(given: JSON, defaults: Defaults, document: Document, path: Path) -> JSON:
    """Return the values of the entry of `credential_list` that is named; those given directly win."""
    if "litellm_credential_name" not in given:
        return {}
    name = str(given["litellm_credential_name"])
    if name not in defaults.credentials:
        hint = nearest(name, defaults.credentials)
        raise document.error(
            (*path, "litellm_credential_name"), f"there is no credential {name!r} in credential_list{hint}"
        )
    return {key: value for key, value in defaults.credentials[name].items() if value is not None}


def _place(provider: str, name: str, given: JSON, info: Mapping[str, Any], document: Document, path: Path) -> JSON:
    base = given.get("api_base") or given.get("base_url")
    embeds = info.get("mode") == "embedding"
    if provider in ("sagemaker", "sagemaker_chat", "sagemaker_nova"):
        return _sagemaker(provider, name, given)
    if provider not in _PROVIDERS:
        raise document.error(
            path,
            f"sagewire serves SageMaker, Hugging Face and servers of your own, not {provider!r}"
            f"{nearest(provider, _PROVIDERS)}; known: {', '.join(_PROVIDERS)}",
        )
    token = {"token": given["api_key"]} if given.get("api_key") else {}
    if provider == "huggingface":
        return _hugging_face(name, base, embeds) | token
    base = base or _LOCAL.get(provider)
    if not base:
        raise document.error(path, f"{provider}/{name} needs `api_base`: sagewire calls servers of your own")
    handler = "openai_completions" if provider in _TEXT_SERVERS else "openai_chat"
    return {"url": base, "handler": handler, "embedding_handler": "openai_embeddings", "served_model": name} | token


def _sagemaker(provider: str, name: str, given: JSON) -> JSON:
    settings: JSON = {"endpoint": name}
    if given.get("sagemaker_base_url"):
        # There it is the whole URL of the call, here the runtime's.
        parts = urlsplit(str(given["sagemaker_base_url"]))
        settings["endpoint_url"] = f"{parts.scheme}://{parts.netloc}"
    family = given.get("hf_model_name")
    if provider != "sagemaker":
        settings["handler"] = "openai_chat" if provider == "sagemaker_chat" else "nova"
        return settings | ({"served_model": family} if family else {})
    template = {key: given[key] for key in _TEMPLATE if given.get(key) is not None}
    settings["handler"] = "tgi"
    told = str(family or name)
    # Of a star it will be known what it tells when there is a name in its place.
    settings["format"] = template or (STAR if STAR in told else format_of(told))
    return settings


def _hugging_face(name: str, base: str | None, embeds: bool) -> JSON:
    if not base and name.startswith(("http://", "https://")):
        # huggingface/https://..., an endpoint without its own name.
        base, name = name, ""
    if base:
        handlers = {"handler": "openai_chat", "embedding_handler": "tei", "rerank_handler": "tei_rerank"}
        return {"url": base, "served_model": None if embeds else without_task(name) or None} | handlers
    # huggingface/<inference provider>/<organisation>/<model>, or without a provider.
    return {"url": HUGGING_FACE_ROUTER, "handler": "openai_chat", "served_model": router_name(name)}


def _options(given: JSON, settings: JSON, document: Document, path: Path) -> list[str]:
    """Put generation settings into their fields; keys that LiteLLM does not know go to the server, as there."""
    notes: list[str] = []
    options: JSON = {}
    extra: JSON = {}
    if "max_completion_tokens" in given:
        options["max_tokens"] = given["max_completion_tokens"]
    for name, value in given.items():
        if name in keys.PARAMS_TAKEN:
            continue
        if name in keys.REFUSED and value not in (None, False, [], {}):
            raise document.error(
                (*path, name), "sagewire has none, and without it the model would be open to more; remove it here"
            )
        if name in _OPTIONS:
            options[name] = value
        elif name in keys.PARAMS_NO_EFFECT or name in keys.REFUSED or "_cost" in name or keys.SECRET.search(name):
            notes.append(str(document.error((*path, name), "has no effect in sagewire")))
        elif name == "mock_response":
            raise document.error(
                (*path, name), "a made-up answer is nothing to serve; `sagewire gateway --demo` has some"
            )
        else:
            _check_typo(name, document, path)
            extra[name] = value
    body = given.get("extra_body") or {}
    if not isinstance(body, dict):
        raise document.error((*path, "extra_body"), "should be a mapping of fields to send")
    extra |= body
    if extra:
        options["extra"] = extra
    if options:
        settings["options"] = options
    return notes


def _headers(given: JSON, settings: JSON, document: Document, path: Path) -> list[str]:
    """Put further headers into their field; calls of SageMaker cannot have any."""
    notes: list[str] = []
    for name in ("headers", "extra_headers"):
        headers = given.get(name)
        if not headers:
            continue
        if not isinstance(headers, dict):
            raise document.error((*path, name), "should be a mapping of names to values")
        if settings.get("url"):
            settings["headers"] = settings.get("headers", {}) | {str(key): str(value) for key, value in headers.items()}
        else:
            notes.append(str(document.error((*path, name), "has no effect: calls of SageMaker endpoints are signed")))
    return notes


def _ssl_verify(given: JSON, settings: JSON, defaults: Defaults, document: Document, path: Path) -> list[str]:
    """Put the check of a server's certificate into its field; that of SageMaker follows AWS_CA_BUNDLE."""
    wanted = given.get("ssl_verify", defaults.ssl_verify)
    if isinstance(wanted, str) and wanted.lower() in ("true", "false"):
        wanted = wanted.lower() == "true"
    if wanted is None or wanted is True:
        return []
    if not isinstance(wanted, bool | str):
        raise document.error((*path, "ssl_verify"), f"should be true, false or a path, not {type(wanted).__name__}")
    if settings.get("url"):
        settings["ssl_verify"] = wanted
        return []
    if "ssl_verify" not in given:
        return []
    says = "has no effect: set AWS_CA_BUNDLE, which boto3 reads, too, for calls of SageMaker endpoints"
    return [str(document.error((*path, "ssl_verify"), says))]


def _check_typo(name: str, document: Document, path: Path) -> None:
    import difflib

    known = {*keys.PARAMS_TAKEN, *_OPTIONS}
    if name.startswith("aws_") or difflib.get_close_matches(name, known, n=1, cutoff=0.86):
        raise document.error((*path, name), f"unknown key{nearest(name, known)}")


def _unlimited(given: JSON, defaults: Defaults, document: Document, path: Path) -> list[str]:
    """Return what to say of rates that limit nothing, here as there."""
    return [
        str(
            document.error(
                (*path, name),
                f"{'is a weight, not a limit' if defaults.weighted else 'limits nothing'}, as in LiteLLM; "
                "`optional_pre_call_checks: [enforce_model_rate_limits]` in router_settings makes it a limit",
            )
        )
        for name, limits in (("rpm", defaults.limit_requests), ("tpm", defaults.limit_tokens))
        if given.get(name) is not None and not limits
    ]


def _prices(given: JSON, info: Mapping[str, Any], settings: JSON, document: Document, path: Path) -> list[str]:
    """Put the prices into their fields; those by the second count only without others, as in LiteLLM."""
    found: JSON = {}
    for name in keys.PRICES:
        place, value = (path, given[name]) if name in given else ((*path[:-1], "model_info"), info.get(name))
        if value is not None:
            found[name] = as_number(value)
            if found[name] is None:
                raise document.error((*place, name), f"should be a number, not {type(value).__name__}")
    tokens = {name: value for name, value in found.items() if name.endswith("_token")}
    seconds = [value for name, value in found.items() if name.endswith("_second")]
    settings |= tokens or ({"cost_per_second": sum(seconds)} if seconds else {})
    if tokens and seconds:
        return [str(document.error(path, "prices by the second have no effect beside those of tokens, as in LiteLLM"))]
    return []


def _shares(given: JSON, defaults: Defaults) -> JSON:
    settings: JSON = {}
    weight = next((given[name] for name in ("weight", "rpm", "tpm") if given.get(name) is not None), None)
    if weight is not None and defaults.weighted:
        settings["weight"] = weight
    if defaults.limit_requests and given.get("rpm") is not None:
        settings["requests_per_minute"] = max(1, int(given["rpm"]))
    if defaults.limit_tokens and given.get("tpm") is not None:
        settings["tokens_per_minute"] = max(1, int(given["tpm"]))
    return settings


def _limits(given: JSON, defaults: Defaults) -> JSON:
    settings: JSON = {}
    parallel = given.get("max_parallel_requests", defaults.max_parallel)
    if parallel is not None:
        settings["max_concurrency"] = parallel
    whole = given.get("timeout", given.get("request_timeout", defaults.timeout))
    stream = given.get("stream_timeout", defaults.stream_timeout)
    limits: JSON = {}
    if whole is not None:
        limits = {"connect": min(10.0, float(whole)), "first_byte": whole, "idle": whole}
    if stream is not None:
        limits["stream_first_byte"] = stream
    if limits:
        settings["timeouts"] = limits
    if defaults.allowed_fails is not None:
        # LiteLLM counts those that are allowed; the next one is too many.
        settings["breaker_failures"] = int(defaults.allowed_fails) + 1
    cooldown = given.get("cooldown_time", defaults.cooldown)
    if cooldown:
        settings["breaker_seconds"] = cooldown
    if not defaults.cooldowns or cooldown == 0:
        settings["breaker_failures"] = 1_000_000
    if given.get("drop_params", defaults.drop_params):
        settings["drop_unsupported"] = True
    return settings
