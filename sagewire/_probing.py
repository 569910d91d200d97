"""Telling what a container speaks by trying: tiny requests, and the way it answers or refuses them.

For callers who may invoke an endpoint but not describe it. It costs one or two generations of a single token, so it is
done only where the caller allows it. What the containers say to a body they do not know: vLLM
entrypoints/serve/sagemaker/api_router.py, text-generation-inference router/src/lib.rs, text-embeddings-inference
router/src/http/types.rs, djl_python/lmi_vllm, sagemaker-huggingface-inference-toolkit handler_service.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from sagewire.aws.recognise import Dialect
from sagewire.errors import EndpointError, ModelError, UsageError

__all__ = ["Try", "probe"]

Try = Callable[[bytes], bytes]
"""Sends a body and returns the answer's; raises `EndpointError`."""

_CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
_GENERATE = {"inputs": "hi", "parameters": {"max_new_tokens": 1}}
_REASON = ("it was tried out",)


def probe(send: Try, target: str) -> Dialect:
    """Return what a container speaks, from its answers to at most three tiny requests.

    Args:
        send: Sends a JSON body to the container.
        target: Who is being asked, for the error message.

    Raises:
        UsageError: No answer was one that sagewire knows.
        EndpointError: The endpoint cannot be called at all.
    """
    answer, refusal = _attempt(send, _CHAT)
    if isinstance(answer, dict) and "choices" in answer:
        return Dialect("an OpenAI-compatible server", chat="openai_chat", reasons=_REASON)
    if isinstance(answer, dict) and "data" in answer:
        # vLLM's embedders take conversations too.
        return Dialect("a vLLM pooling server", embed="openai_embeddings", rerank="vllm_rerank", reasons=_REASON)
    if "Cannot find suitable handler" in refusal:
        answer, _ = _attempt(send, {"input": ["hi"]})
        if isinstance(answer, dict) and "data" in answer:
            return Dialect("a vLLM pooling server", embed="openai_embeddings", rerank="vllm_rerank", reasons=_REASON)
        return Dialect("a vLLM scoring server", rerank="vllm_rerank", reasons=_REASON)
    if "`texts`" in refusal:
        return Dialect("a TEI reranker", rerank="tei_rerank", reasons=_REASON)
    answer, refusal = _attempt(send, _GENERATE)
    dialect = _of_generate(answer)
    if dialect is not None:
        return dialect
    if "`query`" in refusal or "`texts`" in refusal:
        return Dialect("a TEI reranker", rerank="tei_rerank", reasons=_REASON)
    raise UsageError(
        f"'{target}' answers in none of the ways sagewire knows; name what it speaks, for example "
        "handler='openai_chat' (`sagewire handlers` lists them)"
    )


def _attempt(send: Try, body: dict[str, Any]) -> tuple[Any, str]:
    """Return the parsed answer, or `None` and the words of the container's refusal."""
    try:
        return orjson.loads(send(orjson.dumps(body))), ""
    except ModelError as error:
        return None, error.original_message or error.message
    except EndpointError as error:
        # A plain HTTP server refuses without SageMaker's wrapping; anything but 4xx means it cannot be called.
        if error.status is None or not 400 <= error.status < 500 or error.status in (401, 403, 429):
            raise
        return None, error.message
    except orjson.JSONDecodeError:
        return None, ""


def _of_generate(answer: Any) -> Dialect | None:
    """TGI and pipelines answer with an array, LMI with an object, embedders with numbers in one to three levels."""
    if isinstance(answer, dict) and "generated_text" in answer:
        return Dialect("LMI", chat="lmi", complete="lmi", tools=False, reasons=_REASON)
    depth, first = 0, answer
    while isinstance(first, list) and first and depth < 4:
        depth, first = depth + 1, first[0]
    if isinstance(first, dict) and "generated_text" in first:
        return Dialect("TGI or a Hugging Face pipeline", chat="tgi", complete="tgi", tools=False, reasons=_REASON)
    if isinstance(first, float | int) and depth:
        name = {1: "lmi_embedding", 2: "tei", 3: "hf_feature_extraction"}[depth]
        return Dialect("an embedder", embed=name, reasons=_REASON)
    return None
