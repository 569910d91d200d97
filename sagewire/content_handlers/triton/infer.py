"""Triton Inference Server's `infer`, the default of its SageMaker images: tensors in, tensors out, never streamed.

The names of tensors belong to the model. The defaults are those of TensorRT-LLM's ensemble and BLS models
(tensorrtllm_backend all_models/inflight_batcher_llm/ensemble/config.pbtxt), which can be served this way when they
are not decoupled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sagewire.content_handlers.base import Capabilities, JsonHandler
from sagewire.content_handlers.sampling import write_no_top_k
from sagewire.content_handlers.triton.generate import DEFAULT_MAX_TOKENS, TritonHandler
from sagewire.content_handlers.triton.tensors import flat, read_tensor, tensor
from sagewire.content_handlers.value_checks import as_text
from sagewire.types import Delta, MetadataDelta, PromptRequest, TextDelta

__all__ = ["TritonInferHandler"]

_DATATYPES: Mapping[str, str] = {
    "bad_words": "BYTES",
    "beam_width": "INT32",
    "embedding_bias_weights": "FP32",
    "embedding_bias_words": "BYTES",
    "end_id": "INT32",
    "frequency_penalty": "FP32",
    "length_penalty": "FP32",
    "lora_task_id": "UINT64",
    "max_tokens": "INT32",
    "min_tokens": "INT32",
    "num_return_sequences": "INT32",
    "pad_id": "INT32",
    "presence_penalty": "FP32",
    "repetition_penalty": "FP32",
    "return_log_probs": "BOOL",
    "seed": "UINT64",
    "stop_words": "BYTES",
    "temperature": "FP32",
    "top_k": "INT32",
    "top_p": "FP32",
}


class TritonInferHandler(JsonHandler):
    """Triton serving a text model as tensors (`SAGEMAKER_TRITON_INFERENCE_TYPE=infer`).

    Whatever is in `extra` becomes an input tensor of that name: a value, a list of values, or a whole tensor as a
    mapping of `datatype`, `shape` and `data`. The server reports neither token counts nor the finish reason.

    Args:
        input: The name of the tensor that takes the prompt.
        output: The name of the tensor that holds the text.
        batched: The model has a batch dimension (`max_batch_size` of 1 or more).
        model: The model's name, for the path of a plain HTTP server.
        default_max_tokens: The value sent if `max_tokens` is not given, which TensorRT-LLM's models require;
            `None` for models that have no such input.

    Example:
        >>> from sagewire.types import Options, PromptRequest
        >>> TritonInferHandler().payload(PromptRequest("Once", Options(max_tokens=5)))["inputs"][1]
        {'name': 'max_tokens', 'shape': [1, 1], 'datatype': 'INT32', 'data': [5]}
    """

    name = "triton_infer"
    speaks = "prompt"
    can = Capabilities(streaming=False)
    # Unless the model's configuration sets `exclude_input_in_output`, the answer begins with the prompt.
    echoes_prompt = True
    option_names: Mapping[str, str] = TritonHandler.option_names
    takes_extra = True

    def __init__(
        self,
        *,
        input: str = "text_input",
        output: str = "text_output",
        batched: bool = True,
        model: str = "ensemble",
        default_max_tokens: int | None = DEFAULT_MAX_TOKENS,
    ) -> None:
        self.input = input
        self.output = output
        self.default_max_tokens = default_max_tokens
        self.batched = batched
        self.path = f"/v2/models/{model}/infer"

    def payload(self, request: PromptRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        values = {self.input: request.prompt, **self.named_options(request.options)}
        write_no_top_k(values, 0)
        if self.default_max_tokens is not None:
            values.setdefault("max_tokens", self.default_max_tokens)
        inputs = [tensor(name, value, _DATATYPES.get(name), batched=self.batched) for name, value in values.items()]
        return {"inputs": inputs, "outputs": [{"name": self.output}]}

    def read_reply(self, payload: Any, /) -> Iterator[Delta]:
        """Return the deltas of a whole response; several texts are several answers."""
        texts = [as_text(text) for text in flat(read_tensor(payload, self.output, self.name)["data"])]
        if not texts:
            raise ValueError("an empty tensor is not an answer")
        if payload.get("id") or payload.get("model_name"):
            yield MetadataDelta(payload.get("id") or None, payload.get("model_name") or None)
        for number, text in enumerate(texts):
            yield TextDelta(text, number)
