"""Hugging Face's inference toolkit: transformers pipelines behind `{"inputs": ..., "parameters": {...}}`.

Source: sagemaker-huggingface-inference-toolkit handler_service.py; the shapes of answers are the pipelines' own. The
toolkit does not support streaming or stop strings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from sagewire.content_handlers.base import Capabilities, JsonHandler
from sagewire.content_handlers.sampling import drop_greedy_leftovers, is_zero, set_do_sample, write_no_top_k
from sagewire.content_handlers.value_checks import as_text
from sagewire.errors import UsageError
from sagewire.types import Delta, MetadataDelta, PromptRequest, TextDelta

__all__ = ["PIPELINE_TASKS", "HfPipelineHandler"]

_GENERATION_NAMES = {
    "max_tokens": "max_new_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repetition_penalty": "repetition_penalty",
    "n": "num_return_sequences",
}


# Task -> the handler's key in HANDLERS, if it has its own.
_NAMES = {
    "fill-mask": "hf_fill_mask",
    "question-answering": "hf_question_answering",
    "summarization": "hf_summarization",
    "text-classification": "hf_classification",
    "text2text-generation": "hf_text2text",
    "token-classification": "hf_token_classification",
    "translation": "hf_translation",
    "zero-shot-classification": "hf_zero_shot",
}


class HfPipelineHandler(JsonHandler):
    """One pipeline task of the toolkit. The prompt is the pipeline's input.

    For tasks that generate, the reply's text is the generated text. For the others it is the answer in its shortest
    form (the answer, the best label, the filled-in sentence; for token classification the whole result as JSON), and
    the whole result is in `extra["result"]`. `question-answering` takes the passage as `extra={"context": ...}`,
    `zero-shot-classification` its labels as `extra={"candidate_labels": [...]}`; everything else in `extra` goes into
    `parameters`.

    Args:
        task: The pipeline task, as in the container's `HF_TASK`.

    Raises:
        UsageError: The task is not one of `PIPELINE_TASKS`.

    Example:
        >>> from sagewire.types import PromptRequest
        >>> HfPipelineHandler("summarization").payload(PromptRequest("A long text"))
        {'inputs': 'A long text', 'parameters': {}}
    """

    name = "hf_pipeline"
    speaks = "prompt"
    path = "/"
    can = Capabilities(streaming=False, n=True)
    cures: Mapping[str, str] = {
        "response_format": "A pipeline cannot be held to a schema: make it a tool (method='function_calling', or "
        "ToolStrategy(Schema) in LangChain's agents), or ask for JSON in the prompt.",
    }
    option_names: Mapping[str, str] = _GENERATION_NAMES
    takes_extra = True

    def __init__(self, task: str = "text-generation") -> None:
        self.task = "translation" if task.startswith("translation_") else task
        if self.task not in PIPELINE_TASKS:
            raise UsageError(f"unknown pipeline task {task!r}; known: {', '.join(sorted(PIPELINE_TASKS))}")
        self.name = _NAMES.get(self.task, self.name)
        self.generates = self.task in _TEXT_FIELDS
        # transformers from 4.43 on (https://github.com/huggingface/transformers/pull/31747).
        self.adds_bos = self.task == "text-generation"
        if not self.generates:
            self.can = Capabilities(streaming=False)
            self.option_names = {}

    def __repr__(self) -> str:
        return f"HfPipelineHandler({self.task!r})"

    def payload(self, request: PromptRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        settings = self.named_options(request.options)
        if self.generates:
            _repair(settings)
            if self.task == "text-generation":
                # The pipeline repeats the prompt unless `return_full_text` is false. Then the answer's start is the
                # model's own: "1, 2, 3" is a whole answer to "1".
                settings.setdefault("return_full_text", False)
        return {"inputs": self._inputs(request, settings), "parameters": settings}

    def _inputs(self, request: PromptRequest, settings: dict[str, Any]) -> Any:
        if self.task == "zero-shot-classification" and "candidate_labels" not in settings:
            raise UsageError("zero-shot-classification needs extra={'candidate_labels': [...]}")
        if self.task != "question-answering":
            return request.prompt
        if "context" not in settings:
            raise UsageError("question-answering needs the passage to search: extra={'context': '...'}")
        return {"question": request.prompt, "context": settings.pop("context")}

    def read_reply(self, payload: Any, /) -> Iterator[Delta]:
        """Return the deltas of a whole response."""
        return PIPELINE_TASKS[self.task](payload)


def _repair(settings: dict[str, Any]) -> None:
    # transformers refuses -1: "has to be a strictly positive integer"; 0 switches its default of 50 off.
    write_no_top_k(settings, 0)
    if is_zero(settings.get("temperature")):
        # transformers refuses temperature=0: "has to be a strictly positive float".
        drop_greedy_leftovers(settings)
    if settings.get("num_return_sequences", 1) != 1:
        # Several answers exist only when sampling (or with num_beams, which the user has to set).
        settings.setdefault("do_sample", True)
    set_do_sample(settings)


_TEXT_FIELDS = {
    "text-generation": "generated_text",
    "text2text-generation": "generated_text",
    "summarization": "summary_text",
    "translation": "translation_text",
}


def _read_generated(payload: Any, field: str) -> Iterator[Delta]:
    answers = payload if isinstance(payload, list) else [payload]
    if answers and isinstance(answers[0], list):
        # The pipeline returns these for a list of inputs.
        answers = answers[0]
    if not answers:
        raise ValueError("an empty array is not an answer")
    for number, answer in enumerate(answers):
        text = answer[field]
        if isinstance(text, list):
            # Newer transformers answer a chat with the chat, the answer being its last message.
            text = text[-1]["content"]
        yield TextDelta(as_text(text), number)


def _generated(field: str) -> Callable[[Any], Iterator[Delta]]:
    return lambda payload: _read_generated(payload, field)


def _read_labels(payload: Any) -> Iterator[Delta]:
    results = payload
    while isinstance(results, list) and results and isinstance(results[0], list):
        # With top_k the labels of each input are their own list.
        results = results[0]
    best = max(results, key=lambda result: result["score"])
    yield MetadataDelta(extra={"result": results})
    yield TextDelta(as_text(best["label"]))


def _read_zero_shot(payload: Any) -> Iterator[Delta]:
    result = payload[0] if isinstance(payload, list) else payload
    yield MetadataDelta(extra={"result": result})
    yield TextDelta(as_text(result["labels"][0]))


def _read_answer(payload: Any) -> Iterator[Delta]:
    results = payload if isinstance(payload, list) else [payload]
    yield MetadataDelta(extra={"result": payload})
    yield TextDelta(as_text(results[0]["answer"]))


def _read_filled(payload: Any) -> Iterator[Delta]:
    results = payload
    while isinstance(results, list) and results and isinstance(results[0], list):
        # One list per mask.
        results = results[0]
    yield MetadataDelta(extra={"result": payload})
    yield TextDelta(as_text(results[0]["sequence"]))


def _read_tokens(payload: Any) -> Iterator[Delta]:
    if not isinstance(payload, list) or any(not isinstance(token, dict | list) for token in payload):
        raise TypeError("expected an array of tokens")
    yield MetadataDelta(extra={"result": payload})
    yield TextDelta(orjson.dumps(payload).decode())


PIPELINE_TASKS: Mapping[str, Callable[[Any], Iterator[Delta]]] = {
    **{task: _generated(field) for task, field in _TEXT_FIELDS.items()},
    "fill-mask": _read_filled,
    "question-answering": _read_answer,
    "text-classification": _read_labels,
    "token-classification": _read_tokens,
    "zero-shot-classification": _read_zero_shot,
}
