"""Detects the handler of a plain HTTP server from `/info`, `/v1/models`, `/props` and `/version`.

Sources: text-generation-inference router/src/server.rs and text-embeddings-inference router/src/http/server.rs
(`/info`); vLLM, SGLang, llama.cpp and Ollama (`owned_by` in `/v1/models`); llama.cpp tools/server (`/tokenize`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import orjson

from sagewire.discovery.container_rules import ContainerLimits, ContainerProfile, vllm_thinking_field
from sagewire.errors import EndpointError, EndpointTimeout, SagewireError

__all__ = ["UNKNOWN", "Asker", "detect_server", "detect_url"]

Asker = Callable[..., bytes]
"""`ask(path)` GETs a path of the server, `ask(path, body)` POSTs; returns the answer's body, raises `SagewireError`."""

UNKNOWN = "an unknown server"
_VERSION_LENGTH = 40
_SERVERS = {"vllm": "vLLM", "sglang": "SGLang", "library": "Ollama"}
# The tokens of an empty text are those that the tokenizer adds by itself.
_EMPTY = b'{"content":"","add_special":true}'
_THINKING_FIELDS = {"sglang": "reasoning_content", "library": "reasoning"}


def detect_url(url: str) -> ContainerProfile | None:
    """Return a server's profile if its address alone tells it: OpenAI's API is what lives below `/v1`.

    Example:
        >>> detect_url("https://router.huggingface.co/v1").chat
        'openai_chat'
    """
    if urlsplit(url).path.rstrip("/").endswith("/v1"):
        return ContainerProfile("an OpenAI-compatible server", *_OPENAI, reasons=("the address ends in /v1",))
    return None


_OPENAI = ("openai_chat", "openai_completions", "openai_embeddings", "vllm_rerank")


def detect_server(ask: Asker) -> ContainerProfile:
    """Return a server's profile by asking it; four small requests at most.

    A server that answers neither is taken for an OpenAI-compatible one, which nearly all are today.
    """
    info = _ask(ask, "/info")
    if isinstance(info, dict):
        if "model_type" in info:
            return _tei(info)
        if "max_total_tokens" in info or "max_input_tokens" in info or "docker_label" in info:
            return _tgi(info)
    listed = _ask(ask, "/v1/models")
    models = listed.get("data") if isinstance(listed, dict) else None
    if isinstance(models, list):
        # `transformers serve` lists nothing while its models are in their own folder.
        model = models[0] if models and isinstance(models[0], dict) else {}
        if model.get("owned_by") == "llamacpp":
            return _llamacpp(model, _ask(ask, "/props"), _ask(ask, "/tokenize", _EMPTY))
        return _openai(model, _ask(ask, "/version") if model.get("owned_by") == "vllm" else None)
    # LMI is among these: it serves the chat route only.
    return ContainerProfile(
        UNKNOWN,
        chat="openai_chat",
        embed="openai_embeddings",
        rerank="vllm_rerank",
        reasons=("it answers neither /info nor /v1/models",),
    )


def _ask(ask: Asker, *request: Any) -> Any:
    try:
        return orjson.loads(ask(*request))
    except EndpointTimeout:
        raise
    except EndpointError as error:
        # 404 and the like mean that the route is missing; an unreachable server is handled elsewhere.
        if error.status is None or error.status in (401, 403):
            raise
        return None
    except (SagewireError, orjson.JSONDecodeError):
        return None


def _tei(info: dict[str, Any]) -> ContainerProfile:
    kind = info["model_type"]
    names = [name for name in ([kind] if isinstance(kind, str) else _items(kind)) if isinstance(name, str)]
    kinds = {name.lower() for name in names}
    return ContainerProfile(
        f"TEI {_version(info)}".strip(),
        embed="tei" if "embedding" in kinds else None,
        rerank="tei_rerank" if "reranker" in kinds else None,
        model_id=_text(info.get("model_id")),
        limits=ContainerLimits(_count(info.get("max_input_length")), _count(info.get("max_client_batch_size"))),
        reasons=(f"/info says model_type {', '.join(names)}",),
    )


def _tgi(info: dict[str, Any]) -> ContainerProfile:
    version = _version(info)
    number = _number(version)
    # The chat route came with 1.4.0.
    chat = "tgi_chat" if number >= (1, 4) or not number else "tgi"
    return ContainerProfile(
        f"TGI {version}".strip(),
        chat=chat,
        complete="tgi",
        model_id=_text(info.get("model_id")),
        limits=ContainerLimits(_count(info.get("max_total_tokens")), _count(info.get("max_client_batch_size"))),
        reasons=("/info answers as TGI's does",),
    )


def _openai(model: dict[str, Any], version: Any) -> ContainerProfile:
    owner = _text(model.get("owned_by")) or ""
    field = _THINKING_FIELDS.get(owner)
    if owner == "vllm":
        field = vllm_thinking_field(_number(_version(_fields(version))))
    return ContainerProfile(
        _SERVERS.get(owner, "an OpenAI-compatible server"),
        *_OPENAI,
        model_id=_text(model.get("id")),
        thinking_field=field,
        limits=ContainerLimits(_count(model.get("max_model_len"))),
        reasons=(f"/v1/models answers, owned_by {owner or 'unknown'}",),
    )


def _llamacpp(model: dict[str, Any], props: Any, empty: Any) -> ContainerProfile:
    # `meta.n_ctx` of newer servers is what one conversation has; `/props` may be switched off (--no-props).
    props = _fields(props)
    window = _count(_fields(model.get("meta")).get("n_ctx"))
    window = window or _count(_fields(props.get("default_generation_settings")).get("n_ctx"))
    # Some files say that the tokenizer adds no such token, since their template writes it.
    tokens = _fields(empty).get("tokens")
    tools = _fields(props.get("chat_template_caps")).get("supports_tools")
    return ContainerProfile(
        "llama.cpp",
        chat="llamacpp",
        complete="llamacpp_completions",
        embed="openai_embeddings",
        rerank="vllm_rerank",
        model_id=_text(model.get("id")),
        tools=tools if isinstance(tools, bool) else None,
        adds_bos=bool(tokens) if isinstance(tokens, list) else None,
        thinking_field="reasoning_content",
        limits=ContainerLimits(window),
        reasons=("/v1/models answers, owned_by llamacpp",),
    )


# Other servers answer the same paths with anything.


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    # TEI writes the kind of a model as an object with one field.
    return list(value) if isinstance(value, list | dict) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _version(told: dict[str, Any]) -> str:
    version = told.get("version")
    return version[:_VERSION_LENGTH] if isinstance(version, str) else ""


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
