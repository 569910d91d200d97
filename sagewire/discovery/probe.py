"""Detects a container's handler by trying: tiny requests, and the way it answers or refuses them.

For callers who may invoke an endpoint but not describe it. It costs one or two generations of a single token, so it is
done only if the caller allows it. The containers' answers to a body they do not know: vLLM
entrypoints/serve/sagemaker/api_router.py, text-generation-inference router/src/lib.rs, text-embeddings-inference
router/src/http/types.rs, djl_python/lmi_vllm, sagemaker-huggingface-inference-toolkit handler_service.py,
triton-inference-server src/http_server.cc, the scripts of JumpStart's text2text and embedding models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from sagewire.discovery.container_rules import ContainerProfile
from sagewire.errors import EndpointError, ModelError, UsageError

__all__ = ["Try", "probe"]

Try = Callable[[bytes], bytes]
"""Sends a body and returns the answer's; raises `EndpointError`."""

_CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
_COMPLETION = {"prompt": "hi", "max_tokens": 1}
# TGI and LMI know all of these parameters; pipelines refuse `details`, and only text-generation knows the last.
_GENERATE = {"inputs": "hi", "parameters": {"max_new_tokens": 1, "details": True, "return_full_text": False}}
_REASON = ("it was tried out",)
# A field of a pipeline's answer, or a word of its refusal of bare text (transformers 4.57) -> the task's handler.
_PIPELINES = {
    "summary_text": "hf_summarization",
    "translation_text": "hf_translation",
    "entity": "hf_token_classification",
    "label": "hf_classification",
}
_PIPELINE_REFUSALS = {
    "SquadExample": "hf_question_answering",
    "mask_token": "hf_fill_mask",
    "'NoneType' has no len()": "hf_zero_shot",
}


def probe(send: Try, target: str) -> ContainerProfile:
    """Return a container's profile from its answers to a few tiny requests.

    Args:
        send: Sends a JSON body to the container.
        target: Name of the server, for the error message.

    Raises:
        UsageError: No answer was one that sagewire knows.
        EndpointError: The endpoint cannot be called at all.
    """
    answer, refusal = _attempt(send, _CHAT)
    profile = _of_chat(send, answer, refusal) or _of_others(send, refusal)
    if profile is None:
        raise UsageError(
            f"'{target}' answers in no format that sagewire knows; name its handler, for example "
            "handler='openai_chat' (`sagewire handlers` lists them)"
        )
    return profile


def _of_chat(send: Try, answer: Any, refusal: str) -> ContainerProfile | None:
    """Read the answer to a conversation; pooling models and base models of vLLM are asked once more."""
    if isinstance(answer, dict) and "choices" in answer:
        if answer.get("id") == "":
            # TGI leaves the id empty (router/src/server.rs).
            return ContainerProfile("TGI", chat="tgi_chat", reasons=_REASON)
        return ContainerProfile("an OpenAI-compatible server", chat="openai_chat", reasons=_REASON)
    # vLLM's embedders take conversations too.
    pools = isinstance(answer, dict) and "data" in answer
    if pools or "Cannot find suitable handler" in refusal:
        if not pools:
            answer, _ = _attempt(send, {"input": ["hi"]})
            pools = isinstance(answer, dict) and "data" in answer
        if pools:
            return ContainerProfile(
                "a vLLM pooling server", embed="openai_embeddings", rerank="vllm_rerank", reasons=_REASON
            )
        return ContainerProfile("a vLLM scoring server", rerank="vllm_rerank", reasons=_REASON)
    if "chat template" in refusal:
        answer, _ = _attempt(send, _COMPLETION)
        if isinstance(answer, dict) and "choices" in answer:
            return ContainerProfile("a base model", complete="openai_completions", reasons=_REASON)
    return None


def _of_others(send: Try, refusal: str) -> ContainerProfile | None:
    """Try the containers that know no conversations, told apart by how they refused one where they can be."""
    if "accept_eula" in refusal:
        # Which of the two it is would only be seen with the licence accepted, which is for the caller to do.
        return ContainerProfile(
            "JumpStart Llama 2", chat="jumpstart_dialog", complete="jumpstart_llama2", tools=False, reasons=_REASON
        )
    if "Unable to parse 'inputs'" in refusal:
        return ContainerProfile(
            "Triton", complete="triton_infer", embed="triton_embedding", tools=False, reasons=_REASON
        )
    if "text_inputs" not in refusal:
        answer, refusal = ("", refusal) if "`texts`" in refusal else _attempt(send, _GENERATE)
        if "`query`" in refusal or "`texts`" in refusal:
            return ContainerProfile("a TEI reranker", rerank="tei_rerank", reasons=_REASON)
        found = _of_generate(answer) or _of_pipeline(send, refusal)
        if found is not None:
            return found
    return _of_text_input(_attempt(send, {"text_inputs": "hi"})[0]) or _of_text_input(
        _attempt(send, {"text_input": "hi", "max_tokens": 1})[0]
    )


def _of_pipeline(send: Try, refusal: str) -> ContainerProfile | None:
    """Tell the tasks of Hugging Face's inference toolkit apart."""
    name = None
    if "`model_kwargs`" in refusal:
        # transformers/generation/utils.py lists unused arguments.
        name = "hf_text2text" if "return_full_text" in refusal else "hf_pipeline"
    if name is None or name == "hf_text2text":
        answer, refusal = _attempt(send, {"inputs": "hi"})
        fields = answer[0] if isinstance(answer, list) and answer else answer
        said = {**fields} if isinstance(fields, dict) else {}
        name = next((task for field, task in _PIPELINES.items() if field in said), name)
        if answer == []:
            # No entity in it.
            name = "hf_token_classification"
        if not said and refusal:
            name = next((task for words, task in _PIPELINE_REFUSALS.items() if words in refusal), None)
        vectors = None if said else _of_generate(answer)
        if vectors is not None:
            return vectors
    if name is None:
        return None
    return ContainerProfile("HF inference toolkit", chat=name, complete=name, tools=False, reasons=_REASON)


def _of_text_input(answer: Any) -> ContainerProfile | None:
    """JumpStart's scripts answer to `text_inputs`, Triton to `text_input`."""
    name = None
    if isinstance(answer, dict) and "embedding" in answer:
        return ContainerProfile("a JumpStart script", embed="jumpstart_embedding", reasons=_REASON)
    if isinstance(answer, dict) and "text_output" in answer:
        return ContainerProfile("Triton", chat="triton", complete="triton", tools=False, reasons=_REASON)
    if isinstance(answer, dict) and "generated_texts" in answer:
        name = "jumpstart_text2text"
    elif isinstance(answer, list) and answer:
        name = "jumpstart_textgeneration"
    if name is None:
        return None
    return ContainerProfile("a JumpStart script", chat=name, complete=name, tools=False, reasons=_REASON)


def _attempt(send: Try, body: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the parsed answer, or `None` and the words of the container's refusal."""
    try:
        # Triton deployed for generate_stream answers with events whatever is asked.
        return orjson.loads(send(orjson.dumps(body)).removeprefix(b"data:").partition(b"\n\n")[0]), ""
    except ModelError as error:
        return None, error.original_message or error.message
    except EndpointError as error:
        # A plain HTTP server refuses without SageMaker's wrapping; anything but 4xx means it cannot be called.
        if error.status is None or not 400 <= error.status < 500 or error.status in (401, 403, 429):
            raise
        return None, error.message
    except orjson.JSONDecodeError:
        return None, ""


def _of_generate(answer: Any) -> ContainerProfile | None:
    """TGI answers with an array, LMI with an object, embedders with numbers in one to three levels."""
    if isinstance(answer, dict) and "generated_text" in answer:
        return ContainerProfile("LMI", chat="lmi", complete="lmi", tools=False, reasons=_REASON)
    depth, first = 0, answer
    while isinstance(first, list) and first and depth < 4:
        depth, first = depth + 1, first[0]
    if isinstance(first, dict) and "generated_text" in first:
        return ContainerProfile("TGI", chat="tgi", complete="tgi", tools=False, reasons=_REASON)
    name = {1: "lmi_embedding", 2: "tei", 3: "hf_feature_extraction"}.get(depth)
    if isinstance(first, float | int) and name:
        return ContainerProfile("an embedder", embed=name, reasons=_REASON)
    return None
