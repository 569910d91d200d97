"""The providers of LiteLLM's models: which are served here, and where their servers are."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from sagewire.errors import UsageError
from sagewire.gateway.config import litellm_names
from sagewire.gateway.config.document import Document, Path, nearest
from sagewire.gateway.config.patterns import HUGGING_FACE_ROUTER, STAR, format_of, router_name, without_task

__all__ = ["CATCH_ALL", "NotServed", "check_provider", "place_of", "provider_of"]

JSON = dict[str, Any]
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
# Those of them that are also services, which LiteLLM calls without an `api_base`.
_SERVICES = frozenset({"lambda_ai", "llama_api", "nvidia_nim", "openai", "text-completion-openai"})
# Models that LiteLLM knows without the name of their provider (model_prices_and_context_window.json).
_KNOWN_MODELS = {
    "openai": r"(gpt|chatgpt|o\d|text-embedding-(3|ada)|davinci|babbage|ft:|dall-e|whisper|tts|omni-moderation"
    r"|text-moderation|computer-use|sora|codex)\b",
    "anthropic": r"claude\b",
    "bedrock": r"((us|eu|apac|au|jp|global)\.)?(ai21|amazon|anthropic|cohere|deepseek|meta|mistral|openai|qwen"
    r"|stability|twelvelabs|writer)\.",
    "cohere": r"(command|embed-(english|multilingual)|rerank|c4ai)\b",
    "vertex_ai": r"(gemini|gemma|text-(bison|unicorn|embedding-\d+|multilingual)|textembedding|multimodalembedding"
    r"|(chat|code|codechat)-(bison|gecko)|imagen|imagegeneration|veo|medlm)",
    "deepseek": r"deepseek-(chat|reasoner|coder)\b",
    "ai21": r"(j2|jamba)-",
}
_TEMPLATE = ("roles", "initial_prompt_value", "final_prompt_value", "bos_token", "eos_token")


class NotServed(UsageError):
    """A deployment of a provider that LiteLLM knows, and that is not served here.

    Args:
        message: The message with the place in the file.
        reason: The reason for callers.
        needs_base: A server's URL is all that is missing.
    """

    def __init__(self, message: str, reason: str = "", *, needs_base: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.needs_base = needs_base

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (*self.args, self.reason)


def provider_of(model: str, given: Mapping[str, Any], document: Document, path: Path) -> tuple[str, str]:
    """Return the provider of a model, and the model's name there.

    Args:
        model: `model`, as the file has it.
        given: `litellm_params`.
        document: The file.
        path: The place of `model` in it.

    Raises:
        UsageError: It names none.
    """
    provider, slash, name = model.partition("/")
    if "custom_llm_provider" in given:
        named = str(given["custom_llm_provider"])
        return named, name if provider == named else model
    if slash:
        return provider, name
    # As LiteLLM, which knows many models by name.
    for known, names in _KNOWN_MODELS.items():
        if re.match(names, model, re.IGNORECASE):
            return known, model
    raise document.error(path, f"{model!r} names no provider, for example sagemaker/{model}")


def check_provider(
    provider: str, document: Document, path: Path, custom: Collection[str] = (), *, has_base: bool = False
) -> None:
    """Raise `NotServed` for a provider that LiteLLM knows, and sagewire does not.

    Args:
        provider: The provider.
        document: The file.
        path: The place of `model` in it.
        custom: The names of the file's own providers, which are Python code for LiteLLM.
        has_base: The model has an `api_base`, at which many providers have OpenAI's API.
    """
    if provider in _PROVIDERS or (has_base and provider in litellm_names.COMPATIBLE):
        return
    if provider in litellm_names.PROVIDERS or provider in custom:
        says = f"sagewire serves SageMaker, Hugging Face and servers of your own, not {provider!r}"
        cure = " without an `api_base`" if provider in litellm_names.COMPATIBLE else ""
        reason = f"its provider is {provider!r}{cure}; {says.partition(', not')[0]}"
        raise NotServed(str(document.error(path, says + cure)), reason, needs_base=bool(cure))


def place_of(provider: str, name: str, given: JSON, info: Mapping[str, Any], document: Document, path: Path) -> JSON:
    """Return where a model is: the settings of its endpoint or its server.

    Args:
        provider: Its provider.
        name: Its name there.
        given: `litellm_params`.
        info: `model_info`.
        document: The file.
        path: The place of `model` in it.

    Raises:
        NotServed: It is a service of its own, and no `api_base` is given.
        UsageError: The provider is unknown, or needs an `api_base`.
    """
    base = given.get("api_base") or given.get("base_url")
    embeds = info.get("mode") == "embedding"
    if provider in ("sagemaker", "sagemaker_chat", "sagemaker_nova"):
        return _sagemaker(provider, name, given)
    if provider not in _PROVIDERS and not (base and provider in litellm_names.COMPATIBLE):
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
        says = f"{provider}/{name} needs `api_base`: sagewire calls servers of your own"
        if provider in _SERVICES:
            raise NotServed(
                str(document.error(path, says)),
                f"it is a model of {provider}'s own service, and sagewire calls servers of your own: give it an "
                "`api_base`",
                needs_base=True,
            )
        raise document.error(path, says)
    handler = "openai_completions" if provider in _TEXT_SERVERS else "openai_chat"
    settings: JSON = {"url": base, "handler": handler, "served_model": name} | token
    if provider == "infinity":
        # Its routes are at the root, unless it is told to put something in front.
        paths = {
            "embedding_handler": ("openai_embeddings", "/embeddings"),
            "rerank_handler": ("vllm_rerank", "/rerank"),
        }
        return settings | {field: {"name": kind, "path": there} for field, (kind, there) in paths.items()}
    return settings | {"embedding_handler": "openai_embeddings"}


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
