"""The same classes on any HTTP server: Hugging Face Inference Endpoints, TGI, vLLM, TEI, llama.cpp, Ollama."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, model_validator

from sagewire.client.transport_choices import Http
from sagewire.errors import UsageError
from sagewire.http.secret_urls import shown_url
from sagewire.integrations._addresses import HUB_INFERENCE, HUB_MODELS, ROUTER, routed
from sagewire.integrations._secret_fields import SecretHeaders, SecretUrl, hidden_headers, revealed
from sagewire.integrations.langchain._endpoint import EndpointFields
from sagewire.integrations.langchain._generation import GenerationFields
from sagewire.integrations.langchain._identity import identity_of
from sagewire.integrations.langchain.chat import EndpointChatModel
from sagewire.integrations.langchain.embeddings import EndpointEmbeddings
from sagewire.integrations.langchain.llm import EndpointLLM
from sagewire.integrations.langchain.rerank import EndpointRerank
from sagewire.types.secret import reveal

__all__ = [
    "ChatHuggingFaceEndpoint",
    "HuggingFaceEndpoint",
    "HuggingFaceEndpointEmbeddings",
    "HuggingFaceFields",
    "HuggingFaceRerank",
    "HuggingFaceSettings",
]

# Fields that only the text model has.
_OF_TEXT = frozenset({"content_handler", "prompt_format", "name", "cache", "metadata", "tags", "return_full_text"})
_SCHEMES = ("http://", "https://")
_ADDRESSES = ("endpoint_url", "base_url", "inference_server_url")


def _hidden(given: dict[str, Any] | None) -> dict[str, Any] | None:
    return given and {**given, **({"headers": hidden_headers(given["headers"])} if given.get("headers") else {})}


class HuggingFaceFields(EndpointFields):
    """Where an HTTP server is.

    Args:
        endpoint_url: The server's base URL (also `base_url`, `inference_server_url`).
            As in langchain-huggingface, `model` may be an address, too; a model's id, there or in `repo_id`, stands for
            Hugging Face's inference providers, of which `provider` names one.
        token: Bearer token, sent to that host only; without one, the user's own Hugging Face token is sent to Hugging
            Face's own hosts, and nothing elsewhere (also `huggingfacehub_api_token`, `api_key`).
        provider: One of Hugging Face's inference providers, for a model that is named by its id.
        bill_to: The organisation on the Hub that pays.
        additional_headers: Further headers of every request.
        server_kwargs: The last two under the names of huggingface_hub's client, `bill_to` and `headers`.
        task: The pipeline task; langchain-huggingface chooses a route by it, which here follows from the class.
    """

    endpoint_url: SecretUrl = Field(validation_alias=AliasChoices("endpoint_url", "base_url", "inference_server_url"))
    token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("token", "huggingfacehub_api_token", "api_key")
    )
    repo_id: str | None = None
    provider: str | None = None
    bill_to: str | None = None
    additional_headers: SecretHeaders = Field(default=None, exclude=True, repr=False)
    server_kwargs: Annotated[dict[str, Any] | None, AfterValidator(_hidden)] = Field(
        default=None, exclude=True, repr=False
    )
    task: str | None = None

    _secret: ClassVar[tuple[str, ...]] = ("token", "additional_headers", "server_kwargs")
    _tasks: ClassVar[tuple[str, ...]] = ("text-generation", "text2text-generation", "conversational", "summarization")

    @model_validator(mode="before")
    @classmethod
    def _find_server(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        address = reveal(next((values[name] for name in _ADDRESSES if values.get(name)), None))
        model = values.get("model") or values.get("model_name") or values.get("model_id") or values.get("repo_id")
        if address or (isinstance(model, str) and model.startswith(_SCHEMES)):
            cls._check_address(values, str(address or model))
        if address is not None or not isinstance(model, str):
            return values
        if model.startswith(_SCHEMES):
            rest = {name: value for name, value in values.items() if value != model}
            return {**rest, "endpoint_url": model}
        return {**values, **cls._hosted(model, values.get("provider"))}

    @classmethod
    def _check_address(cls, values: dict[str, Any], address: str) -> None:
        """Refuse what says where a model is hosted, beside the address of a server of one's own."""
        repo, provider = values.get("repo_id"), values.get("provider")
        if address.startswith((ROUTER, HUB_MODELS)):
            return
        if isinstance(repo, str) and not repo.startswith(_SCHEMES):
            raise UsageError(f"repo_id={repo!r} and an address contradict; name a model that the server has as model=")
        if provider not in (None, "auto", "hf-inference"):
            raise UsageError(f"provider={provider!r} has no effect beside the address of a server; leave it out")

    @classmethod
    def _hosted(cls, model: str, provider: str | None) -> dict[str, Any]:
        """Return the arguments that reach a model by its id, through Hugging Face's router."""
        return {"endpoint_url": ROUTER, "model": routed(model, provider), "content_handler": "openai_chat"}

    @model_validator(mode="after")
    def _check_hub_arguments(self) -> Any:
        if self.task is not None and self.task not in self._tasks:
            raise UsageError(
                f"task={self.task!r} is not a task of {type(self).__name__}; known: {', '.join(self._tasks)}"
            )
        unknown = set(self.server_kwargs or ()) - {"bill_to", "headers"}
        if unknown:
            raise UsageError(f"server_kwargs={sorted(unknown)} cannot be passed on; known: bill_to, headers")
        return self

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Which arguments are secrets, and the environment variables that hold them when the object is loaded."""
        return {"token": "HF_TOKEN"}

    def _target(self) -> dict[str, Any]:
        token = None if self.token is None else self.token.get_secret_value()
        if headers := self._headers():
            return {"transport": Http(self.endpoint_url, token=token, headers=headers)}
        return {"url": reveal(self.endpoint_url), "token": token}

    def _headers(self) -> dict[str, str]:
        given = self.server_kwargs or {}
        headers = revealed({**(given.get("headers") or {}), **(self.additional_headers or {})})
        payer = self.bill_to or given.get("bill_to")
        # huggingface_hub inference/_client.py
        return {**headers, "X-HF-Bill-To": payer} if payer else headers

    @property
    def _endpoint_label(self) -> str:
        return shown_url(self.endpoint_url)

    @property
    def _where(self) -> dict[str, Any]:
        # Users of one address may have models of their own there, and what is not shown may choose one.
        shown, url = shown_url(self.endpoint_url), reveal(self.endpoint_url)
        hidden = {"token": self.token and self.token.get_secret_value(), "url": url, **self._headers()}
        known = {name: value for name, value in hidden.items() if value and value != shown}
        return {"endpoint_url": shown, **({"access": identity_of(known)} if known else {})}


class HuggingFaceSettings(GenerationFields):
    """Settings of langchain-huggingface that TGI knows, sent under these names.

    Args:
        model: A served model name (also `model_name`, `model_id`).
        do_sample: Sample, or take the most likely token each time.
        return_full_text: Put the prompt before the answer.
        truncate: Cut prompts to this many tokens.
        watermark: Mark the text as a model's.
        logit_bias: How much likelier tokens are made, by their numbers; of OpenAI's API.
    """

    model: str | None = Field(default=None, validation_alias=AliasChoices("model", "model_name", "model_id"))
    do_sample: bool | None = None
    return_full_text: bool | None = None
    truncate: int | None = Field(default=None, ge=1)
    watermark: bool | None = None
    logit_bias: dict[int, float] | None = None

    def _field_settings(self) -> dict[str, Any]:
        # The two that are off by default on every server are sent only where they are switched on.
        given = {
            "do_sample": self.do_sample,
            "return_full_text": self.return_full_text or None,
            "truncate": self.truncate,
            "watermark": self.watermark or None,
            # Keys of JSON are texts.
            "logit_bias": {str(token): bias for token, bias in (self.logit_bias or {}).items()} or None,
        }
        return super()._field_settings() | {name: value for name, value in given.items() if value is not None}

    def _identity(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in HuggingFaceSettings.__annotations__}
        return super()._identity() | {name: value for name, value in own.items() if value is not None}


class ChatHuggingFaceEndpoint(HuggingFaceFields, HuggingFaceSettings, EndpointChatModel):
    """A chat model on any HTTP server; without a `content_handler` OpenAI's request format is used.

    The arguments are those of `HuggingFaceFields`, `EndpointFields`, `GenerationFields` and `HuggingFaceSettings`, and
    `llm`, as langchain-huggingface writes it: a `HuggingFaceEndpoint`, whose server and settings are taken, except its
    format of texts. Arguments beside it win.

    Example:
        >>> model = ChatHuggingFaceEndpoint(endpoint_url="http://localhost:8000", model="Qwen/Qwen3-8B")
        >>> model.invoke("Why is the sky blue?").content  # doctest: +SKIP
        'Because air scatters blue light more than red.'
    """

    @model_validator(mode="before")
    @classmethod
    def _take_llm(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("llm") is None:
            return values
        given = dict(values)
        llm = given.pop("llm")
        if not isinstance(llm, HuggingFaceEndpoint):
            raise UsageError(f"llm={type(llm).__name__} is not sagewire's HuggingFaceEndpoint")
        own = {name: getattr(llm, name) for name in llm.model_fields_set if name not in _OF_TEXT}
        return {**own, **given}

    @property
    def _llm_type(self) -> str:
        return "huggingface_endpoint_chat"


class HuggingFaceEndpoint(HuggingFaceFields, HuggingFaceSettings, EndpointLLM):
    """A completion model on any HTTP server.

    The arguments are those of `HuggingFaceFields`, `EndpointFields`, `GenerationFields` and `HuggingFaceSettings`.

    Example:
        >>> llm = HuggingFaceEndpoint(endpoint_url="http://localhost:8080", content_handler="tgi")
        >>> llm.invoke("The sky is blue because")  # doctest: +SKIP
        ' air scatters blue light more than red.'
    """

    @property
    def _llm_type(self) -> str:
        return "huggingface_endpoint"


class HuggingFaceEndpointEmbeddings(HuggingFaceFields, EndpointEmbeddings):
    """Embeddings on any HTTP server; without a `content_handler` that of Text Embeddings Inference is used.

    The arguments are those of `HuggingFaceFields`, `EndpointFields` and `EndpointEmbeddings`.
    """

    _tasks: ClassVar[tuple[str, ...]] = ("feature-extraction", "sentence-similarity")

    @classmethod
    def _hosted(cls, model: str, provider: str | None) -> dict[str, Any]:
        if provider not in (None, "auto", "hf-inference"):
            raise UsageError(f"provider={provider!r} makes no embeddings here; leave it out, or give endpoint_url=")
        return {"endpoint_url": f"{HUB_MODELS}/{model}/pipeline/feature-extraction", "content_handler": HUB_INFERENCE}


class HuggingFaceRerank(HuggingFaceFields, EndpointRerank):
    """A reranker on any HTTP server; without a `content_handler` that of Text Embeddings Inference is used.

    The arguments are those of `HuggingFaceFields`, `EndpointFields` and `EndpointRerank`.
    """
