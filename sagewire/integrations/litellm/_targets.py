"""Which server a model's name means, and whose credentials go there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sagewire.aws.options import OPTION_NAMES, options_session
from sagewire.client import Client
from sagewire.discovery.container_rules import ContainerProfile
from sagewire.errors import UsageError, close_names
from sagewire.http.deadlines import Timeouts
from sagewire.http.secret_urls import shown_url
from sagewire.integrations._addresses import HUB_MODELS, ROUTER, runtime_address
from sagewire.transports.base import Retries
from sagewire.transports.http.hugging_face import is_hugging_face

__all__ = ["PROVIDERS", "Target", "find_target"]

# Without describe permissions LiteLLM's own assumption about the endpoint holds.
PROVIDERS: Mapping[str, ContainerProfile | None] = {
    "sagemaker": ContainerProfile(
        "a TGI container, as LiteLLM's 'sagemaker/' assumes",
        chat="tgi",
        complete="tgi",
    ),
    "sagemaker_chat": ContainerProfile(
        "a server of OpenAI's chat route, as LiteLLM's 'sagemaker_chat/' assumes",
        chat="openai_chat",
    ),
    "sagemaker_nova": ContainerProfile("an Amazon Nova container", chat="nova", complete="nova"),
    "huggingface": None,
}
# LiteLLM's own variables, for options that are not given.
_VARIABLES = {
    "aws_profile_name": "AWS_PROFILE_NAME",
    "aws_role_name": "AWS_ROLE_NAME",
    "aws_session_name": "AWS_SESSION_NAME",
    "aws_external_id": "AWS_EXTERNAL_ID",
    "aws_web_identity_token": "AWS_WEB_IDENTITY_TOKEN",
    "aws_sts_endpoint": "AWS_STS_ENDPOINT",
}
# Settings that mean something only together with a role.
_OF_A_ROLE = ("aws_session_name", "aws_external_id", "aws_web_identity_token", "aws_sts_endpoint")


@dataclass(frozen=True, slots=True)
class Target:
    """A server.

    Args:
        provider: `sagemaker`, `sagemaker_chat`, `sagemaker_nova` or `huggingface`.
        name: The rest of the model's name: an endpoint, a model's id or a URL.
        parts: What makes the client for it, in a form that can be compared; see `client`.
        served: The name of the model for servers that have several.
        handler: The server's request format, if it need not be detected.
        feature_extraction: The address for embeddings, where Hugging Face has another one for them.
        openai: The caller says that the container serves OpenAI's embeddings route.
    """

    provider: str
    name: str
    parts: Mapping[str, Any] = field(repr=False)
    served: str | None = None
    handler: str | None = None
    feature_extraction: str | None = None
    openai: bool = False

    @property
    def assumed(self) -> ContainerProfile | None:
        """The fallback profile without describe permissions."""
        return PROVIDERS[self.provider]

    def client(self, **more: Any) -> Client:
        """Return a new client."""
        arguments = {**self.parts, **more}
        identity = arguments.pop("identity", None)
        if identity:
            arguments["session"] = options_session(**identity)
        return Client(**arguments)


def find_target(model: str, options: dict[str, Any]) -> Target:
    """Return the server that is meant, and take everything about it out of `options`.

    Raises:
        UsageError: The name's prefix is unknown, or options contradict.
    """
    provider, name = _split(model, options.pop("custom_llm_provider", None))
    shared = {"timeout": _timeouts(options), "retries": _retries(options)}
    if provider == "huggingface":
        return _hugging_face(name, options, shared)
    return _sagemaker(provider, name, options, shared)


def _split(model: str, provider: str | None) -> tuple[str, str]:
    prefix, slash, rest = model.partition("/")
    if slash and prefix in PROVIDERS and (provider is None or provider == prefix):
        provider, model = prefix, rest
    if provider is None or provider not in PROVIDERS or not model:
        known = ", ".join(f"'{name}/...'" for name in PROVIDERS)
        close = close_names(prefix, PROVIDERS, 1) if slash else ["sagemaker"]
        meant = f"; did you mean {f'{close[0]}/{rest or model}'!r}?" if close and model else f"; write one of {known}"
        raise UsageError(f"model={model!r} has no known prefix{meant}")
    return provider, model


def _sagemaker(provider: str, name: str, options: dict[str, Any], shared: dict[str, Any]) -> Target:
    base = _base_url(options, "sagemaker_base_url")
    if options.pop("api_key", None) is not None:
        raise UsageError("SageMaker has no api_key; give aws_access_key_id and aws_secret_access_key, or a profile")
    # "openai/" says that the container serves OpenAI's embeddings route, which is found out here.
    endpoint, url = name.removeprefix("openai/"), None
    if base is not None:
        found = runtime_address(base)
        if found is None:
            raise UsageError(f"{base!r} is not an address of SageMaker Runtime")
        url, endpoint = found[0], found[1] or endpoint
    parameters = {**_parameters(options), **(options.pop("endpoint_kwargs", None) or {})}
    identity, region = _identity(options)
    return Target(
        provider,
        endpoint,
        {
            "endpoint": endpoint,
            "endpoint_url": url,
            "region_name": region,
            "identity": identity,
            "inference_component_name": options.pop("model_id", None),
            "endpoint_kwargs": parameters,
            **shared,
        },
        # LiteLLM: the served name of the chat route, the prompt format of the other one.
        served=options.pop("hf_model_name", None) if provider == "sagemaker_chat" else None,
        openai=name.startswith("openai/"),
    )


def _hugging_face(name: str, options: dict[str, Any], shared: dict[str, Any]) -> Target:
    wrong = [option for option in (*OPTION_NAMES, "model_id", "sagemaker_base_url") if options.pop(option, None)]
    if wrong:
        raise UsageError(f"{wrong[0]} means nothing to Hugging Face; leave it out")
    if options.pop("extra_headers", None) or options.pop("headers", None):
        raise UsageError("extra_headers cannot be sent to Hugging Face from here; leave them out")
    base = _base_url(options)
    token = options.pop("api_key", None)
    handler, extraction = None, None
    if name.startswith(("http://", "https://")):
        if base is not None and base != name:
            raise UsageError(f"two addresses: {name!r} and api_base={base!r}; give one")
        url, served = name, None
    elif base is not None:
        url, served = base, name
    else:
        url, served, handler = ROUTER, _routed(name), "openai_chat"
        extraction = f"{HUB_MODELS}/{name}/pipeline/feature-extraction"
    if token is None and is_hugging_face(urlsplit(url).hostname or ""):
        token = os.environ.get("HUGGINGFACE_API_KEY") or None
    return Target("huggingface", shown_url(name), {"url": url, "token": token, **shared}, served, handler, extraction)


def _routed(name: str) -> str:
    """Return a model's id as the router takes it: `together/org/name` is `org/name:together` there."""
    provider, *rest = name.split("/")
    return f"{'/'.join(rest)}:{provider}" if len(rest) == 2 else name


def _base_url(options: dict[str, Any], *names: str) -> str | None:
    given = {name: options.pop(name, None) for name in (*names, "api_base", "base_url")}
    urls = {url for url in given.values() if url}
    if len(urls) > 1:
        raise UsageError(f"{' and '.join(name for name, url in given.items() if url)} contradict; give one")
    return urls.pop() if urls else None


def _identity(options: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return the credentials out of the options and LiteLLM's variables, and the region."""
    given = {name: value for name in OPTION_NAMES if (value := options.pop(name, None)) is not None}
    unknown = [name for name in options if name.startswith("aws_") and name != "aws_sagemaker_allow_zero_temp"]
    if unknown:
        raise UsageError(f"{unknown[0]} is not known here; known: {', '.join(OPTION_NAMES)}")
    region = given.pop("aws_region_name", None)
    if region is None and not os.environ.get("AWS_REGION"):
        region = os.environ.get("AWS_REGION_NAME") or None
    for name, variable in _VARIABLES.items():
        value = os.environ.get(variable)
        keys_win = name == "aws_profile_name" and "aws_access_key_id" in given
        if value and name not in given and not keys_win:
            given[name] = value
    if "aws_role_name" not in given:
        for name in _OF_A_ROLE:
            if os.environ.get(_VARIABLES[name]) == given.get(name):
                # In the environment for another program's role.
                given.pop(name, None)
    if given and region:
        given["aws_region_name"] = region
    return given, region


# LiteLLM passes headers on; these are the ones SageMaker knows, under boto3's names.
_HEADERS = {
    "x-amzn-sagemaker-custom-attributes": "CustomAttributes",
    "x-amzn-sagemaker-enable-explanations": "EnableExplanations",
    "x-amzn-sagemaker-inference-component": "InferenceComponentName",
    "x-amzn-sagemaker-inference-id": "InferenceId",
    "x-amzn-sagemaker-session-id": "SessionId",
    "x-amzn-sagemaker-target-container-hostname": "TargetContainerHostname",
    "x-amzn-sagemaker-target-model": "TargetModel",
    "x-amzn-sagemaker-target-variant": "TargetVariant",
}


def _parameters(options: dict[str, Any]) -> dict[str, str]:
    headers = {**(options.pop("headers", None) or {}), **(options.pop("extra_headers", None) or {})}
    unknown = [name for name in headers if name.lower() not in _HEADERS]
    if unknown:
        raise UsageError(f"SageMaker passes no header {unknown[0]!r} on; known: {', '.join(_HEADERS)}")
    return {_HEADERS[name.lower()]: value for name, value in headers.items()}


def _timeouts(options: dict[str, Any]) -> Timeouts | None:
    timeout = options.pop("timeout", None)
    timeout = options.pop("request_timeout", None) if timeout is None else timeout
    if timeout is None or isinstance(timeout, Timeouts):
        return timeout
    if isinstance(timeout, int | float | str):
        try:
            return Timeouts.of(float(timeout))
        except ValueError:
            raise UsageError(f"timeout={timeout!r} must be a number of seconds") from None
    # httpx.Timeout, of either generation of that library.
    try:
        return Timeouts(connect=timeout.connect, first_byte=timeout.read, idle=timeout.read)
    except AttributeError:
        raise UsageError(f"timeout must be a number of seconds, not {type(timeout).__name__}") from None


def _retries(options: dict[str, Any]) -> Retries | None:
    given = [options.pop(name, None) for name in ("num_retries", "max_retries")]
    retries = next((value for value in given if value is not None), None)
    if retries is None:
        return None
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise UsageError(f"num_retries={retries!r} must be a whole number")
    # LiteLLM counts what comes after the first call.
    return Retries(attempts=retries + 1)
