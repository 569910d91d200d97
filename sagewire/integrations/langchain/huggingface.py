"""The same classes on any HTTP server: Hugging Face Inference Endpoints, TGI, vLLM, TEI, llama.cpp, Ollama."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import AliasChoices, Field, SecretStr

from sagewire.integrations.langchain._endpoint import EndpointFields
from sagewire.integrations.langchain.chat import EndpointChatModel
from sagewire.integrations.langchain.embeddings import EndpointEmbeddings
from sagewire.integrations.langchain.llm import EndpointLLM
from sagewire.integrations.langchain.rerank import EndpointRerank

__all__ = [
    "ChatHuggingFaceEndpoint",
    "HuggingFaceEndpoint",
    "HuggingFaceEndpointEmbeddings",
    "HuggingFaceFields",
    "HuggingFaceRerank",
]


class HuggingFaceFields(EndpointFields):
    """Where an HTTP server is.

    Args:
        endpoint_url: The server's base URL (also `base_url`, `inference_server_url`).
        token: Bearer token, sent to that host only; without one, the user's own Hugging Face token is sent to Hugging
            Face's own hosts, and nothing elsewhere (also `huggingfacehub_api_token`, `api_key`).
    """

    endpoint_url: str = Field(validation_alias=AliasChoices("endpoint_url", "base_url", "inference_server_url"))
    token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("token", "huggingfacehub_api_token", "api_key")
    )

    _secret: ClassVar[tuple[str, ...]] = ("token",)

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Which arguments are secrets, and the environment variables that hold them when the object is loaded."""
        return {"token": "HF_TOKEN"}

    def _target(self) -> dict[str, Any]:
        token = None if self.token is None else self.token.get_secret_value()
        return {"url": self.endpoint_url, "token": token}

    @property
    def _endpoint_label(self) -> str:
        return self.endpoint_url

    @property
    def _where(self) -> dict[str, Any]:
        return {"endpoint_url": self.endpoint_url}


class ChatHuggingFaceEndpoint(HuggingFaceFields, EndpointChatModel):
    """A chat model on any HTTP server; without a `content_handler` it is spoken to as OpenAI's.

    The arguments are those of `HuggingFaceFields`, `EndpointFields` and `GenerationFields`.

    Example:
        >>> model = ChatHuggingFaceEndpoint(endpoint_url="http://localhost:8000", model="Qwen/Qwen3-8B")
        >>> model.invoke("Why is the sky blue?").content  # doctest: +SKIP
        'Because air scatters blue light more than red.'
    """

    @property
    def _llm_type(self) -> str:
        return "huggingface_endpoint_chat"


class HuggingFaceEndpoint(HuggingFaceFields, EndpointLLM):
    """A completion model on any HTTP server.

    The arguments are those of `HuggingFaceFields`, `EndpointFields` and `GenerationFields`.

    Example:
        >>> llm = HuggingFaceEndpoint(endpoint_url="http://localhost:8080", content_handler="tgi")
        >>> llm.invoke("The sky is blue because")  # doctest: +SKIP
        ' air scatters blue light more than red.'
    """

    @property
    def _llm_type(self) -> str:
        return "huggingface_endpoint"


class HuggingFaceEndpointEmbeddings(HuggingFaceFields, EndpointEmbeddings):
    """Embeddings on any HTTP server; without a `content_handler` it is spoken to as Text Embeddings Inference.

    The arguments are those of `HuggingFaceFields`, `EndpointFields` and `EndpointEmbeddings`.
    """


class HuggingFaceRerank(HuggingFaceFields, EndpointRerank):
    """A reranker on any HTTP server; without a `content_handler` it is spoken to as Text Embeddings Inference.

    The arguments are those of `HuggingFaceFields`, `EndpointFields` and `EndpointRerank`.
    """
