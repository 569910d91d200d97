"""Triton Inference Server with TensorRT-LLM (`docs/protocol/extension_generate.md`): one mode per deployment.

The tensors of `infer` are those of tensorrtllm_backend all_models/inflight_batcher_llm/ensemble/config.pbtxt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from sagewire.emulator.dialects.base import Container, Dialect, Route, begin, json_body, sse, streamed
from sagewire.emulator.dialects.kserve import missing_inputs, output_tensor, read_inputs, refusal, wanted_outputs
from sagewire.emulator.engines.base import EngineFailure, Turn, sampling_of
from sagewire.emulator.generation import Generation, Token
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["Triton", "TritonEmbedding", "TritonInfer", "TritonLlmApi", "TritonStream"]

JSON = dict[str, Any]
_ENSEMBLE = {
    **dict.fromkeys(("text_input", "stop_words", "bad_words", "embedding_bias_words"), "BYTES"),
    **dict.fromkeys(("max_tokens", "min_tokens", "end_id", "pad_id", "top_k", "beam_width"), "INT32"),
    **dict.fromkeys(("num_return_sequences",), "INT32"),
    **dict.fromkeys(("temperature", "top_p", "length_penalty", "repetition_penalty"), "FP32"),
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "embedding_bias_weights"), "FP32"),
    **dict.fromkeys(("seed", "lora_task_id"), "UINT64"),
    **dict.fromkeys(("return_log_probs", "stream"), "BOOL"),
}


class Triton(Dialect):
    """Triton in `generate` mode: `text_input` in, one `text_output` out, even if a stream is requested."""

    image = "763104351884.dkr.ecr.{region}.amazonaws.com/sagemaker-tritonserver:24.09-py3"
    environment: ClassVar[Mapping[str, str]] = {
        "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "ensemble",
        "SAGEMAKER_TRITON_INFERENCE_TYPE": "generate",
    }
    model_id = "meta-llama/Llama-3.1-8B-Instruct"
    prefix = ""
    echoes = False

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the server's routes."""
        model = container.environment.get("SAGEMAKER_TRITON_DEFAULT_MODEL_NAME", "ensemble")
        ready = Response(200)
        return {
            ("POST", "/invocations"): self.invoke,
            ("POST", f"/v2/models/{model}/infer"): self.infer,
            ("POST", f"/v2/models/{model}/generate"): lambda request, box: self.answer(request, box, stream=False),
            ("POST", f"/v2/models/{model}/generate_stream"): lambda request, box: self.answer(
                request, box, stream=True
            ),
            ("GET", "/v2/health/ready"): lambda request, box: ready,
            ("GET", "/ping"): lambda request, box: ready,
        }

    def failure(self, failure: EngineFailure) -> Response:
        """Return the server's error."""
        return json_response(failure.status, {"error": failure.message})

    def not_found(self, request: Request) -> Response:
        """Return the server's answer to an unknown model."""
        return json_response(404, {"error": "Request for unknown model: not found"})

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer `/invocations` in the deployment's mode."""
        mode = container.environment.get("SAGEMAKER_TRITON_INFERENCE_TYPE", "infer")
        if mode == "infer":
            return self.infer(request, container)
        return self.answer(request, container, stream=mode == "generate_stream")

    def infer(self, request: Request, container: Container) -> Response:
        """Answer one KServe v2 request."""
        if "binary" in request.headers.get("content-type", ""):
            raise refusal("the emulator reads tensors as JSON only, not as binary data")
        body = json_body(request, lambda text: refusal(f"failed to parse the request JSON buffer: {text}"))
        head = self._head(body, container)
        outputs = wanted_outputs(body, head["model_name"], self.outputs(body, head["model_name"], container))
        return json_response(200, head | {"outputs": outputs})

    def outputs(self, body: Any, model: str, container: Container) -> list[JSON]:
        """Return the model's output tensors."""
        given = read_inputs(body, model, _ENSEMBLE, ("text_input", "max_tokens"))
        texts = []
        for text in given["text_input"]:
            turn = Turn(
                prompt=text,
                max_tokens=int(given["max_tokens"][0]),
                stop=tuple(stop for stop in given.get("stop_words", ()) if stop),
                temperature=next(iter(given.get("temperature", ())), None),
                top_p=next(iter(given.get("top_p", ())), None),
            )
            said = container.generation(turn).collect().text
            texts.append(f"{text if self.echoes else ''}{said}")
        return [
            output_tensor("cum_log_probs", "FP32", [len(texts), 1], [0.0] * len(texts)),
            output_tensor("text_output", "BYTES", [len(texts), 1], texts),
        ]

    def _head(self, body: Any, container: Container) -> JSON:
        head: JSON = {"id": body["id"]} if isinstance(body, dict) and "id" in body else {}
        name = container.environment.get("SAGEMAKER_TRITON_DEFAULT_MODEL_NAME", "ensemble")
        return head | {"model_name": name, "model_version": "1"}

    def answer(self, request: Request, container: Container, *, stream: bool) -> Response:
        """Answer one generate request."""
        body = json_body(request, lambda text: refusal(f"failed to parse the request JSON buffer: {text}"))
        turn = self._turn(body)
        run = container.generation(turn, limit=16)
        head = self._head(body, container)
        if not stream:
            answer = run.collect()
            text = (turn.prompt or "" if self.echoes else "") + answer.text
            return json_response(200, head | {"text_output": text})
        return streamed("text/event-stream; charset=utf-8", self._events(run, head))

    def _turn(self, body: Any) -> Turn:
        text = body.get("text_input") if isinstance(body, dict) else None
        if not isinstance(text, str):
            needed = ["text_input"] if self.prefix else ["text_input", "max_tokens"]
            raise missing_inputs("ensemble", [], needed, (len(needed), len(_ENSEMBLE)))
        given: Mapping[str, Any] = {**(body.get("parameters") or {}), **body}
        stops = given.get("stop_words") or []
        if not isinstance(stops, list):
            stops = [stops]
        number = given.get(f"{self.prefix}max_tokens")
        if number is None and not self.prefix:
            raise missing_inputs("ensemble", ["text_input"], ["max_tokens"], (2, len(_ENSEMBLE)))
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise refusal("unable to parse 'max_tokens': attempt to access JSON non-unsigned-integer")
        return Turn(
            prompt=text,
            max_tokens=number,
            stop=tuple(stop for stop in stops if stop),
            temperature=given.get(f"{self.prefix}temperature"),
            top_p=given.get(f"{self.prefix}top_p"),
            sampling=sampling_of({name.removeprefix(self.prefix): value for name, value in given.items()}),
            seed=given.get(f"{self.prefix}seed"),
        )

    def _events(self, run: Generation, head: JSON) -> Iterator[bytes]:
        try:
            for event in begin(run):
                if isinstance(event, Token):
                    yield sse(head | {"sequence_end": False, "sequence_id": 0, "text_output": event.text})
        except EngineFailure as failure:
            yield sse({"error": failure.message})


class TritonStream(Triton):
    """Triton in `generate_stream` mode: every answer is a stream of events."""

    environment: ClassVar[Mapping[str, str]] = {
        **Triton.environment,
        "SAGEMAKER_TRITON_INFERENCE_TYPE": "generate_stream",
    }


class TritonInfer(Triton):
    """Triton as its SageMaker image starts: tensors in, tensors out; the prompt comes back, as it does by default."""

    environment: ClassVar[Mapping[str, str]] = {"SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "ensemble"}
    echoes = True


class TritonEmbedding(TritonInfer):
    """An embedding model with its tokenizer behind Triton."""

    model_id = "sentence-transformers/all-MiniLM-L6-v2"

    def outputs(self, body: Any, model: str, container: Container) -> list[JSON]:
        """Return a vector per text."""
        texts = read_inputs(body, model, {"text_input": "BYTES"}, ("text_input",))["text_input"]
        rows = container.embed(texts)
        return [
            output_tensor("embeddings", "FP32", [len(rows), len(rows[0])], [value for row in rows for value in row])
        ]


class TritonLlmApi(Triton):
    """Triton with TensorRT-LLM's LLM-API backend: settings have a prefix, and the prompt comes back."""

    prefix = "sampling_param_"
    echoes = True
