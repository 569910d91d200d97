"""Content handlers: the request and response formats of serving containers.

`HANDLERS` lists those for text generation, `EMBEDDING_HANDLERS` and `RERANK_HANDLERS` those for vectors and relevance.
Wherever sagewire takes `handler=` or `content_handler=` it accepts a name from one; the name of a handler that another
package offers (an entry point in the group `sagewire.content_handlers`); `package.module:Name`; a handler object; or an
object written for LangChain (`transform_input`, `transform_output`) or LlamaIndex (`serialize_input`,
`deserialize_output`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sagewire._names import missing
from sagewire.content_handlers.ai21 import JambaHandler, Jurassic2Handler
from sagewire.content_handlers.base import Capabilities, ContentHandler, EventReader, JsonHandler, map_options
from sagewire.content_handlers.cohere import CohereGenerateHandler, CohereHandler
from sagewire.content_handlers.custom import LangChainHandler, LlamaIndexHandler
from sagewire.content_handlers.embeddings import EMBEDDING_HANDLERS, EmbeddingHandler, get_embedding_handler
from sagewire.content_handlers.huggingface.tgi import TgiHandler
from sagewire.content_handlers.huggingface.tgi_chat import TgiChatHandler
from sagewire.content_handlers.huggingface.toolkit import HfPipelineHandler
from sagewire.content_handlers.jumpstart.dialog import JumpStartDialogHandler, JumpStartLlama2Handler
from sagewire.content_handlers.jumpstart.text import (
    JumpStartText2TextHandler,
    JumpStartTextGenerationHandler,
    JumpStartTextHandler,
)
from sagewire.content_handlers.lmi.chat import LmiChatHandler
from sagewire.content_handlers.lmi.generate import LmiHandler
from sagewire.content_handlers.openai.chat import OpenAiChatHandler
from sagewire.content_handlers.openai.completions import OpenAiCompletionsHandler
from sagewire.content_handlers.openai.llamacpp import LlamaCppCompletionsHandler, LlamaCppHandler
from sagewire.content_handlers.openai.mistral import MistralHandler
from sagewire.content_handlers.openai.nova import NovaHandler
from sagewire.content_handlers.openai.sglang import SglangHandler
from sagewire.content_handlers.registry import check_any, known_names, load_named, pick, register
from sagewire.content_handlers.rerank import RERANK_HANDLERS, RerankHandler, get_rerank_handler
from sagewire.content_handlers.triton.generate import TritonHandler, TritonLlmApiHandler
from sagewire.content_handlers.triton.infer import TritonInferHandler

__all__ = [
    "EMBEDDING_HANDLERS",
    "HANDLERS",
    "RERANK_HANDLERS",
    "Capabilities",
    "CohereGenerateHandler",
    "CohereHandler",
    "ContentHandler",
    "EmbeddingHandler",
    "EventReader",
    "HfPipelineHandler",
    "JambaHandler",
    "JsonHandler",
    "JumpStartDialogHandler",
    "JumpStartLlama2Handler",
    "JumpStartText2TextHandler",
    "JumpStartTextGenerationHandler",
    "JumpStartTextHandler",
    "Jurassic2Handler",
    "LangChainHandler",
    "LlamaCppCompletionsHandler",
    "LlamaCppHandler",
    "LlamaIndexHandler",
    "LmiChatHandler",
    "LmiHandler",
    "MistralHandler",
    "NovaHandler",
    "OpenAiChatHandler",
    "OpenAiCompletionsHandler",
    "RerankHandler",
    "SglangHandler",
    "TgiChatHandler",
    "TgiHandler",
    "TritonHandler",
    "TritonInferHandler",
    "TritonLlmApiHandler",
    "find_handler",
    "get_embedding_handler",
    "get_handler",
    "get_rerank_handler",
    "handler_names",
    "map_options",
]

# Name to the handler's factory; the names are those of the request formats.
HANDLERS: dict[str, Callable[[], ContentHandler]] = register(
    ContentHandler,
    {
        "ai21_j2": Jurassic2Handler,
        "ai21_jamba": JambaHandler,
        "cohere": CohereHandler,
        "cohere_generate": CohereGenerateHandler,
        "hf_classification": partial(HfPipelineHandler, "text-classification"),
        "hf_fill_mask": partial(HfPipelineHandler, "fill-mask"),
        "hf_pipeline": HfPipelineHandler,
        "hf_question_answering": partial(HfPipelineHandler, "question-answering"),
        "hf_summarization": partial(HfPipelineHandler, "summarization"),
        "hf_text2text": partial(HfPipelineHandler, "text2text-generation"),
        "hf_token_classification": partial(HfPipelineHandler, "token-classification"),
        "hf_translation": partial(HfPipelineHandler, "translation"),
        "hf_zero_shot": partial(HfPipelineHandler, "zero-shot-classification"),
        "jumpstart_dialog": JumpStartDialogHandler,
        "jumpstart_llama2": JumpStartLlama2Handler,
        "jumpstart_text2text": JumpStartText2TextHandler,
        "jumpstart_textgeneration": JumpStartTextGenerationHandler,
        "jumpstart_xtext": JumpStartTextHandler,
        "llamacpp": LlamaCppHandler,
        "llamacpp_completions": LlamaCppCompletionsHandler,
        "lmi": LmiHandler,
        "lmi_chat": LmiChatHandler,
        "mistral": MistralHandler,
        "nova": NovaHandler,
        "openai_chat": OpenAiChatHandler,
        "openai_completions": OpenAiCompletionsHandler,
        "sglang": SglangHandler,
        "tgi": TgiHandler,
        "tgi_chat": TgiChatHandler,
        "triton": TritonHandler,
        "triton_infer": TritonInferHandler,
        "triton_llm_api": TritonLlmApiHandler,
    },
)


_STYLES: dict[tuple[str, ...], Callable[[Any], ContentHandler]] = {
    ("transform_input", "transform_output"): LangChainHandler,
    ("serialize_input", "deserialize_output"): LlamaIndexHandler,
}


def handler_names() -> list[str]:
    """Return the names of all handlers, of every kind and those of plug-ins too, sorted."""
    return known_names()


def find_handler(name: str) -> ContentHandler | EmbeddingHandler | RerankHandler:
    """Return the handler of a name, of whichever kind it is.

    Raises:
        UsageError: The name is unknown, or its handler cannot be loaded.

    Example:
        >>> find_handler("tei")
        TeiHandler()
    """
    if name in EMBEDDING_HANDLERS:
        return get_embedding_handler(name)
    if name in RERANK_HANDLERS:
        return get_rerank_handler(name)
    if name not in HANDLERS:
        found = load_named(name, HANDLERS, "handler")
        found = found() if isinstance(found, type) else found
        if isinstance(found, EmbeddingHandler | RerankHandler):
            return found
        return get_handler(found)
    return get_handler(name)


def check_handler_argument(handler: Any) -> None:
    """Check that a client's `handler=` names a handler of any kind, or is one; nothing is loaded for it.

    Raises:
        UsageError: The name is unknown, or the object is not a handler; the message lists the close ones.
    """
    check_any(handler, tuple(_STYLES))


def get_handler(handler: Any) -> ContentHandler:
    """Return the handler that is meant.

    Args:
        handler: A name in `HANDLERS` or of a plug-in, `package.module:Name`, a `ContentHandler` or a class of it, or an
            object (or class) in the style of LangChain's `LLMContentHandler` or LlamaIndex's `BaseIOHandler`.

    Raises:
        UsageError: The name is unknown, or the object is not a handler.

    Example:
        >>> get_handler("tgi")
        TgiHandler()
    """
    return pick(handler, ContentHandler, HANDLERS, _STYLES, "handler")


if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
