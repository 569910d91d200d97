"""The same classes on any HTTP server: Hugging Face Inference Endpoints, TGI, vLLM, TEI, llama.cpp, Ollama.

They also take the arguments of LlamaIndex's own classes for these servers: HuggingFaceInferenceAPI and its embeddings,
TextGenerationInference, TextEmbeddingsInference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from llama_index.core.base.llms.generic_utils import messages_to_prompt as generic_messages_to_prompt
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import Field

from sagewire.content_handlers.embeddings import HfFeatureExtractionHandler
from sagewire.errors import UsageError
from sagewire.http.secret_urls import shown_url
from sagewire.integrations._addresses import HUB_INFERENCE, HUB_MODELS, HubInference
from sagewire.integrations.llama_index._connection import one_of
from sagewire.integrations.llama_index._language_model import EndpointLLM
from sagewire.integrations.llama_index._server import HuggingFaceConnection
from sagewire.integrations.llama_index.embeddings import EndpointEmbedding
from sagewire.integrations.llama_index.rerank import EndpointRerank

__all__ = ["HuggingFaceEndpointEmbedding", "HuggingFaceEndpointLLM", "HuggingFaceEndpointRerank"]

_CONVERSATIONS = "conversational"
_ROUTE = "/embed"
# Handlers of servers that may answer with a vector for each token.
_POOLING: Mapping[Any, type[HfFeatureExtractionHandler]] = {
    "hub": HubInference,
    "hf_feature_extraction": HfFeatureExtractionHandler,
}


class HuggingFaceEndpointLLM(HuggingFaceConnection, EndpointLLM):
    """A language model on any HTTP server; see `SageMakerLLM` for its behaviour and the other arguments.

    Args:
        url: The server's base URL (also `base_url`, `endpoint_url`, `model_url`).
        token: Bearer token, sent to that host only; without one, or with `True`, the user's own Hugging Face token is
            sent to Hugging Face's own hosts, and nothing elsewhere. With `False` none is sent.
        model: A served model name, if the server has several (the router, Ollama); without a `url` the server's
            address, or a model's id on the Hub for one of Hugging Face's inference providers (also `model_name`).
        provider: That inference provider.
        headers: Further headers of every request.
        cookies: Cookies of every request.
        task: `conversational` sends messages, as without it; `text-generation` sends text, which `prompt_format` or
            `messages_to_prompt` writes, and LlamaIndex's generic prompt (`user: ...`) without them.
        max_tokens: Maximum number of tokens to generate (also `num_output`).
        seed: Makes sampling repeatable if the container supports it.
        model_kwargs: Settings of every call (also `additional_kwargs`).
        is_chat_model: Overrides whether LlamaIndex takes it for a model of conversations.

    Example:
        >>> llm = HuggingFaceEndpointLLM("http://localhost:8000", content_handler="openai_chat")
        >>> llm.complete("Why is the sky blue?").text  # doctest: +SKIP
        'Because air scatters blue light more than red.'
    """

    seed: int | None = Field(default=None, description="The seed of sampling.")

    tasks: ClassVar[tuple[str, ...]] = (_CONVERSATIONS, "text-generation", "text2text-generation")

    def __init__(self, url: str = "", **data: Any) -> None:
        given = one_of(data, "model", "model_name")
        given = one_of(given, "max_tokens", "num_output")
        super().__init__(url, **one_of(given, "model_kwargs", "additional_kwargs"))

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which serialised models are known."""
        return "HuggingFaceEndpointLLM"

    def _own_settings(self) -> dict[str, Any]:
        own = {"model": self.model or None, "seed": self.seed}
        return {**super()._own_settings(), **{name: value for name, value in own.items() if value is not None}}

    def _model_name(self) -> str:
        return self.model or shown_url(self.url)

    def _is_text_model(self) -> bool:
        if self.task in (None, _CONVERSATIONS) or self.prompt_format is not None:
            return super()._is_text_model()
        self._check_takes_text(f"task={self.task!r}")
        return True

    @property
    def _default_prompt(self) -> Callable[[Sequence[ChatMessage]], str]:
        return super()._default_prompt if self.task in (None, _CONVERSATIONS) else generic_messages_to_prompt

    def _has_rule(self) -> bool:
        return super()._has_rule() if self.task in (None, _CONVERSATIONS) else self.prompt_format is not None


class HuggingFaceEndpointEmbedding(HuggingFaceConnection, EndpointEmbedding):
    """An embedding model on any HTTP server; see `SageMakerEmbedding` for the other arguments.

    Args:
        url: The server's base URL (also `base_url`, `endpoint_url`).
        token: As for `HuggingFaceEndpointLLM` (also `auth_token`, which may be a function of the address).
        model: A served model name, if the server has several; without a `url` the server's address, or a model's id on
            the Hub for Hugging Face's own servers (then also `model_name`, which beside a `url` is only a label).
        headers: Further headers of every request.
        cookies: Cookies of every request.
        task: `feature-extraction`.
        pooling: `cls`, `mean` or `last`: how vectors of tokens become one, if Hugging Face's servers answer with them.
        truncate: Cut texts that are too long (also `truncate_text`).
        endpoint: The route of Text Embeddings Inference, `/embed`, or a path before it.

    Example:
        >>> model = HuggingFaceEndpointEmbedding("http://localhost:8080", content_handler="tei")
        >>> len(model.get_text_embedding("The sky is blue."))  # doctest: +SKIP
        1024
    """

    tasks: ClassVar[tuple[str, ...]] = ("feature-extraction",)

    def __init__(self, url: str = "", **data: Any) -> None:
        given = one_of({"url": url or None, **data}, "url", "base_url", "endpoint_url")
        given = _with_token(one_of(given, "truncate", "truncate_text"))
        if given["url"] is None and given.get("model") is None:
            given["model"] = given.get("model_name")
        super().__init__(**_with_pooling(_with_route(given)))
        if "model_name" not in data:
            self.model_name = self.model or shown_url(self.url)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which serialised models are known."""
        return "HuggingFaceEndpointEmbedding"

    @classmethod
    def _hosted(cls, model: str, provider: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
        if provider not in (None, "auto", "hf-inference"):
            raise UsageError(f"provider={provider!r} makes no embeddings here; leave it out, or give url=")
        return {
            "url": f"{HUB_MODELS}/{model}/pipeline/feature-extraction",
            "model": None,
            "content_handler": given.get("content_handler") or HUB_INFERENCE,
        }

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), **({"model": self.model} if self.model else {})}


def _with_token(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with `auth_token`, which may be a function of the address, as the token."""
    token, address = given.get("auth_token"), given.get("url")
    if callable(token):
        return one_of({**given, "auth_token": partial(token, address)}, "token", "auth_token")
    return one_of(given, "token", "auth_token")


def _with_route(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with what `endpoint` has before the route behind the address."""
    rest = dict(given)
    endpoint = rest.pop("endpoint", None)
    if endpoint is None:
        return rest
    path, route = endpoint.rstrip("/").removesuffix(_ROUTE), endpoint.rstrip("/")
    if route and not route.endswith(_ROUTE):
        raise UsageError(f"endpoint={endpoint!r} is not Text Embeddings Inference's {_ROUTE}, or a path before it")
    handler = rest.get("content_handler") or "tei"
    return {**rest, "url": f"{str(rest['url']).rstrip('/')}{path}", "content_handler": handler}


def _with_pooling(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with a handler that pools vectors of tokens in the given way."""
    rest = dict(given)
    pooling = rest.pop("pooling", None)
    if pooling is None:
        return rest
    kind = _POOLING.get("hub" if rest.get("url") is None else rest.get("content_handler"))
    if kind is None:
        raise UsageError(
            f"pooling={pooling!r} has no effect: the server makes one vector of a text. Where it answers with one for "
            "each token, name content_handler='hf_feature_extraction'"
        )
    return {**rest, "content_handler": kind(pooling=getattr(pooling, "value", pooling))}


class HuggingFaceEndpointRerank(HuggingFaceConnection, EndpointRerank):
    """A reranker on any HTTP server; see `SageMakerRerank` for the other arguments.

    Args:
        url: The server's base URL (also `base_url`, `endpoint_url`).
        token: As for `HuggingFaceEndpointLLM`.
        model: A served model name, if the server has several.

    Example:
        >>> reranker = HuggingFaceEndpointRerank("http://localhost:8080", content_handler="tei_rerank", top_n=3)
        >>> engine = index.as_query_engine(node_postprocessors=[reranker])  # doctest: +SKIP
    """

    # Without it, type checkers derive the arguments from the fields, and refuse a name in first place and its aliases.
    def __init__(self, url: str = "", **data: Any) -> None:
        super().__init__(url, **data)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which serialised rerankers are known."""
        return "HuggingFaceEndpointRerank"

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        return {**options, "extra": {**options["extra"], "model": self.model}} if self.model else options

    def _model_name(self) -> str:
        return self.model or shown_url(self.url)
