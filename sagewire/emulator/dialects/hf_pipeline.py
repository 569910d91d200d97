"""Hugging Face's inference toolkit behind multi-model-server (`handler_service.py`, `decoder_encoder.py`)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from sagewire.emulator.dialects.base import Container, Dialect, Route
from sagewire.emulator.dialects.hf_tasks import TASKS, PipelineError
from sagewire.emulator.engines.base import EngineFailure
from sagewire.emulator.http_values import Request, Response

__all__ = ["HfPipeline", "mms_error", "pipeline"]


# Gson, which multi-model-server writes with, escapes what could be HTML.
_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&='"})


def mms_error(message: str, status: int = 400) -> Response:
    """Return multi-model-server's error: pretty-printed, HTML-escaped, and called internal even if it is not."""
    text = json.dumps(message, ensure_ascii=False).translate(_ESCAPES)
    body = f'{{\n  "code": {status},\n  "type": "InternalServerException",\n  "message": {text}\n}}\n'
    return Response(status, {"Content-Type": "application/json"}, body.encode("utf-8", "replace"))


class HfPipeline(Dialect):
    """One pipeline, by `HF_TASK`; it never streams."""

    image = (
        "763104351884.dkr.ecr.{region}.amazonaws.com/huggingface-pytorch-inference:"
        "2.6.0-transformers4.49.0-gpu-py312-cu124-ubuntu22.04"
    )
    environment: ClassVar[Mapping[str, str]] = {"HF_MODEL_ID": "{model_id}", "HF_TASK": "text-generation"}
    model_id = "openai-community/gpt2"

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the server's routes."""
        return {
            ("POST", "/invocations"): self.invoke,
            ("POST", "/"): self.invoke,
            ("GET", "/ping"): lambda request, box: Response(200),
        }

    def failure(self, failure: EngineFailure) -> Response:
        """Return the server's error, always 400."""
        return mms_error(failure.message)

    def invoke(self, request: Request, container: Container) -> Response:
        """Run the pipeline."""
        try:
            data = self._decode(request)
            if not isinstance(data, dict):
                raise PipelineError(f"the request must be an object, not {type(data).__name__}")
            inputs = data.get("inputs", data)
            parameters = data.get("parameters") or {} if "inputs" in data else {}
            if not isinstance(parameters, dict):
                raise PipelineError(f"pipeline() argument after ** must be a mapping, not {type(parameters).__name__}")
            task = container.environment.get("HF_TASK", "text-generation")
            known = "translation" if task.startswith("translation_") else task
            if known not in TASKS:
                raise PipelineError(f"Unknown task {task}, available tasks are {sorted(TASKS)}")
            result = TASKS[known](inputs, parameters, container)
        except PipelineError as error:
            return mms_error(str(error))
        accept = request.headers.get("accept", "application/json").partition(";")[0].strip()
        if accept not in ("*/*", "application/json", "application/*", ""):
            return mms_error(_unsupported(accept))
        return Response(200, {"Content-Type": "application/json"}, orjson.dumps(result))

    def _decode(self, request: Request) -> Any:
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
        if kind == "application/json":
            try:
                # In the words of Python's own parser, which the toolkit uses.
                return json.loads(request.body)
            except (ValueError, RecursionError) as error:
                raise PipelineError(str(error)) from None
        if kind == "text/csv":
            rows = list(csv.DictReader(io.StringIO(request.body.decode("utf-8", "replace"))))
            if rows and {"question", "context"} <= rows[0].keys():
                return {"inputs": dict(rows[0])}
            if rows and "inputs" in rows[0]:
                return {"inputs": [row["inputs"] for row in rows]}
            raise PipelineError(
                "You need to provide the correct CSV with Header columns to use it with the inference toolkit."
            )
        raise PipelineError(_unsupported(kind))


def _unsupported(media_type: str) -> str:
    # sagemaker_inference/errors.py, UnsupportedFormatError; its line breaks and spelling included.
    return (
        f"Content type {media_type} is not supported by this framework.\n\n"
        f"{' ' * 12}Please implement input_fn to to deserialize the request data or an output_fn to\n"
        f"{' ' * 12}serialize the response. For more information, see the SageMaker Python SDK README."
    )


def pipeline(task: str, model_id: str) -> type[HfPipeline]:
    """Return the toolkit with one task."""
    environment = {**HfPipeline.environment, "HF_TASK": task}
    name = "".join(part.capitalize() for part in task.split("-"))
    document = f"The inference toolkit with `HF_TASK={task}`."
    return type(f"Hf{name}", (HfPipeline,), {"environment": environment, "model_id": model_id, "__doc__": document})
