"""Triton Inference Server's generate extension, with TensorRT-LLM's names for settings.

Sources: triton-inference-server docs/protocol/extension_generate.md, tensorrtllm_backend docs/{model_config,llmapi}.md.
On SageMaker the container serves one mode per deployment: `SAGEMAKER_TRITON_INFERENCE_TYPE` must be `generate` or
`generate_stream`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sagewire.content_handlers.base import Capabilities, EventReader, JsonHandler
from sagewire.content_handlers.sampling import write_no_top_k
from sagewire.content_handlers.value_checks import as_text
from sagewire.types import Delta, MetadataDelta, Options, PromptRequest, TextDelta

__all__ = ["DEFAULT_MAX_TOKENS", "TritonHandler", "TritonLlmApiHandler"]

DEFAULT_MAX_TOKENS = 256

_NAMES = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
)


class TritonHandler(JsonHandler):
    """Triton with TensorRT-LLM's ensemble or BLS model.

    The server reports neither token counts nor the finish reason, and its streams have no end marker, so a
    stream cut between two events cannot be told from a complete one.

    Args:
        cumulative: The model sends the whole text so far in each event instead of the new piece (BLS models with
            `accumulate_tokens`).
        model: The model's name, for the path of a plain HTTP server.
        default_max_tokens: The value sent if `max_tokens` is not given, which TensorRT-LLM's models require
            (`max_tokens` is not optional in their config.pbtxt); `None` sends nothing.
    """

    name = "triton"
    speaks = "prompt"
    # TensorRT-LLM's preprocessing and vLLM tokenize with special tokens unless configured otherwise.
    adds_bos = True
    can = Capabilities()
    # Unless the model's configuration sets `exclude_input_in_output`, the answer begins with the prompt.
    echoes_prompt = True
    option_names: Mapping[str, str] = {**{name: name for name in _NAMES}, "stop": "stop_words"}
    takes_extra = True

    def __init__(
        self, *, cumulative: bool = False, model: str = "ensemble", default_max_tokens: int | None = DEFAULT_MAX_TOKENS
    ) -> None:
        self.cumulative = cumulative
        self.default_max_tokens = default_max_tokens
        self.path = f"/v2/models/{model}/generate"
        self.stream_path = f"/v2/models/{model}/generate_stream"

    def named_options(self, options: Options) -> dict[str, Any]:
        """Return the options under the model's names."""
        named = super().named_options(options)
        write_no_top_k(named, 0, self.option_names["top_k"])
        return named

    def payload(self, request: PromptRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        payload: dict[str, Any] = {"text_input": request.prompt, **self.named_options(request.options)}
        if self.default_max_tokens is not None:
            payload.setdefault("max_tokens", self.default_max_tokens)
        if request.stream:
            payload["stream"] = True
        return payload

    def read_reply(self, payload: Any, /) -> Iterator[Delta]:
        """Return the deltas of a whole response."""
        if payload.get("id") or payload.get("model_name"):
            yield MetadataDelta(payload.get("id") or None, payload.get("model_name") or None)
        for number, text in enumerate(_outputs(payload)):
            yield TextDelta(text, number)

    def event_reader(self) -> EventReader:
        """Return a fresh reader for one stream's events."""
        return _TritonReader(self.cumulative)


class TritonLlmApiHandler(TritonHandler):
    """Triton with TensorRT-LLM's newer LLM-API model, whose settings begin with `sampling_param_`."""

    name = "triton_llm_api"
    option_names: Mapping[str, str] = {
        **{name: f"sampling_param_{name}" for name in _NAMES},
        "stop": "sampling_param_stop",
    }

    def __init__(self, *, cumulative: bool = False, model: str = "tensorrt_llm") -> None:
        super().__init__(cumulative=cumulative, model=model, default_max_tokens=None)


class _TritonReader(EventReader):
    def __init__(self, cumulative: bool) -> None:
        self._cumulative = cumulative
        self._metadata: MetadataDelta | None = None
        self._seen: dict[int, str] = {}

    def read(self, event: Any) -> Iterable[Delta]:
        """Return the deltas in one event."""
        texts = _outputs(event)
        deltas: list[Delta] = []
        metadata = MetadataDelta(event.get("id") or None, event.get("model_name") or None)
        if metadata != self._metadata:
            self._metadata = metadata
            if metadata.id or metadata.model:
                deltas.append(metadata)
        for number, text in enumerate(texts):
            piece = self._new_part(number, text) if self._cumulative else text
            if piece:
                deltas.append(TextDelta(piece, number))
        self.finished = True
        return deltas

    def _new_part(self, number: int, text: str) -> str:
        before = self._seen.get(number, "")
        self._seen[number] = text
        if not text.startswith(before):
            raise ValueError("the text so far does not continue the earlier one")
        return text[len(before) :]


def _outputs(payload: Any) -> list[str]:
    # An array if beams or several sequences were requested.
    output = payload["text_output"]
    return [as_text(text) for text in output] if isinstance(output, list) else [as_text(output)]
