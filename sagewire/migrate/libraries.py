"""What each library's names are called here: a table of modules, names, arguments and exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["EXCEPTIONS", "HANDLERS", "LITELLM", "LOCAL_MODELS", "MODULES", "NAMES", "SOURCES", "Successor"]

_LANGCHAIN = "sagewire.integrations.langchain"
_LLAMA_INDEX = "sagewire.integrations.llama_index"
_EASYLLM = "sagewire.integrations.easyllm"
LITELLM = "sagewire.integrations.litellm"

_NEWLINES = {"replace_newlines": "True"}
_DEFAULTS = (
    "the original sends temperature=0.8, top_p=0.95, typical_p=0.95 and max_new_tokens=512 unless told otherwise; here "
    "the server's own defaults hold, so name those you rely on"
)


@dataclass(frozen=True, slots=True)
class Successor:
    """The successor of a name.

    Args:
        module: The module to import it from.
        name: Its name there.
        arguments: Old argument -> new argument.
        added: Arguments that keep the original's behaviour, as source text; what a call gives itself wins.
        note: A remark for the reader of calls of it.
    """

    module: str
    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    added: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def _same(module: str, *names: str) -> dict[str, Successor]:
    return {name: Successor(module, name) for name in names}


_LLM = _same(_LANGCHAIN, "SagemakerEndpoint")
_LLM_HANDLERS = _same(_LANGCHAIN, "ContentHandlerBase", "LLMContentHandler")
_VECTORS = {"SagemakerEndpointEmbeddings": Successor(_LANGCHAIN, "SagemakerEndpointEmbeddings", added=_NEWLINES)}
_VECTOR_HANDLERS = _same(_LANGCHAIN, "ContentHandlerBase", "EmbeddingsContentHandler")
_PAIRS = _same(_LANGCHAIN, "SagemakerEndpointCrossEncoder")
_PAIR_HANDLERS = _same(_LANGCHAIN, "CrossEncoderContentHandler")
_CHAT = _same(_LANGCHAIN, "ChatSagemakerEndpoint", "ChatModelContentHandler", "ContentHandlerBase")
_HF_LLM = {"HuggingFaceEndpoint": Successor(_LANGCHAIN, "HuggingFaceEndpoint", note=_DEFAULTS)}
_HF_TGI = {"HuggingFaceTextGenInference": Successor(_LANGCHAIN, "HuggingFaceEndpoint", note=_DEFAULTS)}
_HF_CHAT = {"ChatHuggingFace": Successor(_LANGCHAIN, "ChatHuggingFaceEndpoint", arguments={"model_id": "model"})}
_HF_VECTORS = {
    "HuggingFaceEndpointEmbeddings": Successor(_LANGCHAIN, "HuggingFaceEndpointEmbeddings", added=_NEWLINES),
    "HuggingFaceHubEmbeddings": Successor(
        _LANGCHAIN, "HuggingFaceEndpointEmbeddings", arguments={"repo_id": "model"}, added=_NEWLINES
    ),
}
_INDEX_LLM = _same(_LLAMA_INDEX, "SageMakerLLM")
_INDEX_VECTORS = {"SageMakerEmbedding": Successor(_LLAMA_INDEX, "SageMakerEmbedding", added=_NEWLINES)}
_INDEX_HANDLERS = _same(_LLAMA_INDEX, "BaseIOHandler", "IOHandler")
# The two packages have classes of the same names with different methods.
_INDEX_VECTOR_HANDLERS = {
    "BaseIOHandler": Successor(_LLAMA_INDEX, "BaseEmbeddingIOHandler"),
    "IOHandler": Successor(_LLAMA_INDEX, "EmbeddingIOHandler"),
}
_ERRORS = (
    *("APIConnectionError", "APIError", "AuthenticationError", "BadGatewayError", "BadRequestError"),
    *("ContentPolicyViolationError", "ContextWindowExceededError", "InternalServerError", "InvalidRequestError"),
    *("NotFoundError", "PermissionDeniedError", "RateLimitError", "ServiceUnavailableError", "Timeout"),
    *("UnprocessableEntityError", "UnsupportedParamsError"),
)
_CALLS = (
    *("acompletion", "aembedding", "atext_completion", "completion", "custom_prompt_dict", "drop_params", "embedding"),
    *("num_retries", "register_prompt_template", "text_completion"),
)

# Old module -> its names -> their successors. Classes of langchain before 0.1 are in `langchain` itself.
MODULES: Mapping[str, Mapping[str, Successor]] = {
    "langchain": _LLM,
    "langchain.llms": {**_LLM, **_HF_LLM, **_HF_TGI},
    "langchain.llms.sagemaker_endpoint": {**_LLM, **_LLM_HANDLERS},
    "langchain.embeddings": {**_VECTORS, **_HF_VECTORS},
    "langchain.embeddings.sagemaker_endpoint": {**_VECTORS, **_VECTOR_HANDLERS},
    "langchain_community.llms": {**_LLM, **_HF_LLM, **_HF_TGI},
    "langchain_community.llms.sagemaker_endpoint": {**_LLM, **_LLM_HANDLERS},
    "langchain_community.llms.huggingface_endpoint": _HF_LLM,
    "langchain_community.llms.huggingface_text_gen_inference": _HF_TGI,
    "langchain_community.chat_models": _HF_CHAT,
    "langchain_community.chat_models.huggingface": _HF_CHAT,
    "langchain_community.embeddings": {**_VECTORS, **_HF_VECTORS},
    "langchain_community.embeddings.sagemaker_endpoint": {**_VECTORS, **_VECTOR_HANDLERS},
    "langchain_community.embeddings.huggingface_hub": _HF_VECTORS,
    "langchain_community.cross_encoders": _PAIRS,
    "langchain_community.cross_encoders.sagemaker_endpoint": {**_PAIRS, **_PAIR_HANDLERS},
    "langchain_aws": {**_LLM, **_same(_LANGCHAIN, "ChatSagemakerEndpoint")},
    "langchain_aws.llms": _LLM,
    "langchain_aws.llms.sagemaker_endpoint": {**_LLM, **_LLM_HANDLERS},
    "langchain_aws.chat_models": _same(_LANGCHAIN, "ChatSagemakerEndpoint"),
    "langchain_aws.chat_models.sagemaker_endpoint": _CHAT,
    "langchain_huggingface": {**_HF_LLM, **_HF_CHAT, **_HF_VECTORS},
    "langchain_huggingface.llms": _HF_LLM,
    "langchain_huggingface.llms.huggingface_endpoint": _HF_LLM,
    "langchain_huggingface.chat_models": _HF_CHAT,
    "langchain_huggingface.chat_models.huggingface": _HF_CHAT,
    "langchain_huggingface.embeddings": _HF_VECTORS,
    "langchain_huggingface.embeddings.huggingface_endpoint": _HF_VECTORS,
    "llama_index.llms": _INDEX_LLM,
    "llama_index.llms.sagemaker": _INDEX_LLM,
    "llama_index.llms.sagemaker_endpoint": _INDEX_LLM,
    "llama_index.llms.sagemaker_endpoint.base": _INDEX_LLM,
    "llama_index.llms.sagemaker_endpoint.utils": _INDEX_HANDLERS,
    "llama_index.llms.sagemaker_llm_endpoint": _INDEX_LLM,
    "llama_index.llms.sagemaker_llm_endpoint_utils": _INDEX_HANDLERS,
    "llama_index.embeddings": _INDEX_VECTORS,
    "llama_index.embeddings.sagemaker_endpoint": _INDEX_VECTORS,
    "llama_index.embeddings.sagemaker_endpoint.base": _INDEX_VECTORS,
    "llama_index.embeddings.sagemaker_endpoint.utils": _INDEX_VECTOR_HANDLERS,
    "llama_index.embeddings.sagemaker_embedding_endpoint": _INDEX_VECTORS,
    "llama_index.embeddings.sagemaker_embedding_endpoint_utils": _INDEX_VECTOR_HANDLERS,
    "easyllm.clients": _same(_EASYLLM, "huggingface", "sagemaker"),
    "easyllm.clients.huggingface": _same(f"{_EASYLLM}.huggingface", "ChatCompletion", "Completion", "Embedding"),
    "easyllm.clients.sagemaker": _same(f"{_EASYLLM}.sagemaker", "ChatCompletion", "Completion", "Embedding"),
    "easyllm": _same(_EASYLLM, "prompt_utils"),
    "easyllm.prompt_utils": _same(
        f"{_EASYLLM}.prompt_utils",
        *("PROMPT_MAPPING", "build_anthropic_prompt", "build_chatml_falcon_prompt", "build_chatml_hf_prompt"),
        *("build_chatml_starchat_prompt", "build_falcon_prompt", "build_llama2_prompt", "build_open_assistant_prompt"),
        *("build_stablebeluga_prompt", "build_vicuna_prompt", "build_wizardlm_prompt"),
        *("anthropic_stop_sequences", "chatml_falcon_stop_sequences", "chatml_starchat_stop_sequences"),
        *("falcon_stop_sequences", "llama2_stop_sequences", "open_assistant_stop_sequences"),
        *("stablebeluga_stop_sequences", "vicuna_stop_sequences", "wizardlm_stop_sequences"),
    ),
    "litellm": _same(LITELLM, *_CALLS, *_ERRORS),
    "litellm.exceptions": _same(f"{LITELLM}.exceptions", *_ERRORS),
}
NAMES: Mapping[str, Successor] = {
    f"{module}.{name}": successor for module, names in MODULES.items() for name, successor in names.items()
}
# Modules that are named as values: `litellm.completion`, `sagemaker.ChatCompletion`.
SOURCES: Mapping[str, str] = {
    "litellm": LITELLM,
    "easyllm.clients.huggingface": f"{_EASYLLM}.huggingface",
    "easyllm.clients.sagemaker": f"{_EASYLLM}.sagemaker",
    "easyllm.prompt_utils": f"{_EASYLLM}.prompt_utils",
}

HANDLERS = frozenset(
    {"LLMContentHandler", "ChatModelContentHandler", "EmbeddingsContentHandler", "CrossEncoderContentHandler"}
    | {"BaseIOHandler", "BaseEmbeddingIOHandler"}
)
# Classes that run a model in the program itself, which sagewire does not.
LOCAL_MODELS = frozenset({"HuggingFacePipeline", "HuggingFaceEmbeddings"})

# Exception, as it is imported -> the one to catch beside it. ValueError is what langchain-community raises.
EXCEPTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "botocore.exceptions.ClientError": ("EndpointError", ("langchain_aws", "langchain_community", "llama_index")),
    "botocore.exceptions.ReadTimeoutError": ("EndpointTimeout", ("langchain_aws", "llama_index")),
    "builtins.ValueError": ("SagewireError", ("langchain", "langchain_community")),
    "huggingface_hub.errors.HfHubHTTPError": ("EndpointError", ("langchain_huggingface",)),
    "huggingface_hub.utils.HfHubHTTPError": ("EndpointError", ("langchain_huggingface",)),
    "huggingface_hub.errors.InferenceTimeoutError": ("EndpointTimeout", ("langchain_huggingface",)),
    "huggingface_hub.InferenceTimeoutError": ("EndpointTimeout", ("langchain_huggingface",)),
}
