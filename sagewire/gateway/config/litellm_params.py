"""One entry of LiteLLM's `model_list` as the settings of a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sagewire.gateway.config import litellm_keys as keys
from sagewire.gateway.config.deployment import OF_ROLES
from sagewire.gateway.config.document import Document, Path, as_number, nearest
from sagewire.gateway.config.litellm_providers import NotServed, check_provider, place_of, provider_of
from sagewire.types import OptionArguments

__all__ = ["Defaults", "deployment_settings", "from_environment"]

JSON = dict[str, Any]
_OPTIONS = frozenset(OptionArguments.__annotations__) - {"model", "extra"}
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
_NUMBERS = (
    "cooldown_time", "max_parallel_requests", "max_retries", "num_retries", "request_timeout", "rpm", "stream_timeout",
    "timeout", "tpm", "weight",
)  # fmt: skip


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
    custom_providers: tuple[str, ...] = ()


def from_environment(params: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters with those that LiteLLM takes from variables if the file does not give them."""
    provider = str(params.get("custom_llm_provider") or params.get("model") or "").partition("/")[0]
    found = dict(params)
    prefix = provider.upper().replace("-", "_")
    if prefix and not provider.startswith("sagemaker"):
        for name, variable in (("api_base", f"{prefix}_API_BASE"), ("api_key", f"{prefix}_API_KEY")):
            if found.get(name) is None and found.get("base_url" if name == "api_base" else name) is None:
                found[name] = environment.get(variable)
    if provider.startswith("sagemaker") and not found.get("aws_region_name") and not found.get("region_name"):
        found["aws_region_name"] = environment.get("AWS_REGION_NAME")
    return found


def deployment_settings(
    params: Mapping[str, Any], info: Mapping[str, Any], defaults: Defaults, document: Document, path: Path
) -> tuple[JSON, list[str]]:
    """Return the settings of a deployment, and what of `params` has no effect.

    Args:
        params: `litellm_params`.
        info: `model_info`.
        defaults: The values of the other sections.
        document: The file it was read from.
        path: The place of `params` in it.

    Raises:
        NotServed: The provider is one of LiteLLM's, and not one of sagewire's.
        UsageError: The provider is unknown, or a key is unknown or close to a known one.
    """
    given = {name: value for name, value in {**defaults.params, **params}.items() if value is not None}
    # Before anything else is wrong with one that is left out anyway, a credential that LiteLLM has in its database.
    _check_provider(given, defaults, document, (*path, "model"))
    given = _credential(given, defaults, document, path) | given
    for number in _NUMBERS:
        if number in given and as_number(given[number]) is None:
            raise document.error((*path, number), f"should be a number, not {type(given[number]).__name__}")
    model = given.get("model")
    if not isinstance(model, str):
        raise document.error(path, "`model` is missing, for example sagemaker/my-endpoint")
    provider, name = provider_of(model, given, document, (*path, "model"))
    settings = place_of(provider, name, given, info, document, (*path, "model"))
    notes = _options(given, settings, document, path)
    notes += _headers(given, settings, document, path)
    notes += _ssl_verify(given, settings, defaults, document, path)
    notes += _account(given, settings, document, path)
    if info.get("id"):
        settings["name"] = str(info["id"])
    notes += _unlimited(given, defaults, document, path)
    notes += _prices(given, info, settings, document, path)
    return settings | _shares(given, defaults) | _limits(given, defaults), notes


def _check_provider(given: JSON, defaults: Defaults, document: Document, path: Path) -> None:
    model = given.get("model")
    if not isinstance(model, str):
        return
    named = given.get("litellm_credential_name")
    values = given if named is None else {**defaults.credentials.get(str(named), {}), **given}
    has_base = bool(values.get("api_base") or values.get("base_url"))
    if "custom_llm_provider" in given or named is None:
        provider = provider_of(model, given, document, path)[0]
    elif "/" in model:
        provider = model.partition("/")[0]
    else:
        return
    check_provider(provider, document, path, defaults.custom_providers, has_base=has_base)


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
            says = "sagewire has nothing like it, and without it the model would be open to more; "
            raise document.error((*path, name), says + keys.cure_of(name))
        if name in _OPTIONS:
            options[name] = value
        elif keys.is_kept_back(name):
            notes.append(str(document.error((*path, name), "has no effect in sagewire")))
        elif name == "mock_response":
            says = "a made-up answer is nothing to serve; `sagewire gateway --demo` has some"
            raise NotServed(str(document.error((*path, name), says)), "its answers would be made up (`mock_response`)")
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
    organization = {"OpenAI-Organization": given["organization"]} if given.get("organization") else None
    for name in ("organization", "headers", "extra_headers"):
        headers = organization if name == "organization" else given.get(name)
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
