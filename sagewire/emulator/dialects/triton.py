"""Triton Inference Server with TensorRT-LLM (`docs/protocol/extension_generate.md`): one mode per deployment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from sagewire.emulator.dialects.base import Container, Dialect, Refusal, Route, begin, json_body, sse, streamed
from sagewire.emulator.engines.base import EngineFailure, Turn
from sagewire.emulator.exchange import Request, Response, json_response
from sagewire.emulator.generation import Generation, Token

__all__ = ["Triton", "TritonLlmApi", "TritonStream"]

JSON = dict[str, Any]


def _refusal(message: str, status: int = 400) -> Refusal:
    return Refusal(json_response(status, {"error": message}))


class Triton(Dialect):
    """Triton in `generate` mode: `text_input` in, one `text_output` out, even where a stream is asked for."""

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
            text = "failed to parse the request JSON buffer: missing required property 'inputs'"
            return json_response(400, {"error": text})
        return self.answer(request, container, stream=mode == "generate_stream")

    def answer(self, request: Request, container: Container, *, stream: bool) -> Response:
        """Answer one generate request."""
        body = json_body(request, lambda text: _refusal(f"failed to parse the request JSON buffer: {text}"))
        turn = self._turn(body)
        run = Generation(container.engine, turn, limit=16)
        head: JSON = {"id": body["id"]} if "id" in body else {}
        head |= {
            "model_name": container.environment.get("SAGEMAKER_TRITON_DEFAULT_MODEL_NAME", "ensemble"),
            "model_version": "1",
        }
        if not stream:
            answer = run.collect()
            text = (turn.prompt or "" if self.echoes else "") + answer.text
            return json_response(200, head | {"text_output": text})
        return streamed("text/event-stream; charset=utf-8", self._events(run, head))

    def _turn(self, body: Any) -> Turn:
        text = body.get("text_input") if isinstance(body, dict) else None
        if not isinstance(text, str):
            raise _refusal("expected 1 inputs but got 0 inputs for model 'ensemble': missing 'text_input'")
        given: Mapping[str, Any] = {**(body.get("parameters") or {}), **body}
        stops = given.get("stop_words") or []
        if not isinstance(stops, list):
            stops = [stops]
        number = given.get(f"{self.prefix}max_tokens")
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise _refusal("unable to parse 'max_tokens': attempt to access JSON non-unsigned-integer")
        return Turn(
            prompt=text,
            max_tokens=number,
            stop=tuple(stop for stop in stops if stop),
            temperature=given.get(f"{self.prefix}temperature"),
            top_p=given.get(f"{self.prefix}top_p"),
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


class TritonLlmApi(Triton):
    """Triton with TensorRT-LLM's LLM-API backend: settings have a prefix, and the prompt comes back."""

    prefix = "sampling_param_"
    echoes = True
