"""vLLM's own server, as the SageMaker and Hugging Face vLLM images run it (`vllm/entrypoints`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import orjson

from sagewire.emulator.dialects.base import Container, Dialect, Refusal, Route, json_body, sse, streamed
from sagewire.emulator.dialects.openai_request import BadRequest, Settings, read_chat, read_completion
from sagewire.emulator.dialects.openai_response import (
    Style,
    chat_chunks,
    chat_document,
    completion_chunks,
    completion_document,
    generations,
)
from sagewire.emulator.engines.base import EngineFailure, Turn
from sagewire.emulator.generation import Generation
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["OpenAiChat", "OpenAiCompletions", "Vllm", "error"]

DONE = b"data: [DONE]\n\n"
_ROUTE = re.compile(r"route=(/[^\s,]+)")
_NAMES = {400: "BadRequestError", 404: "NotFoundError", 422: "UnprocessableEntityError", 500: "InternalServerError"}


def error(status: int, message: str, param: str | None = None, kind: str | None = None) -> Response:
    """Return vLLM's error response (`entrypoints/openai/engine/protocol.py`, ErrorResponse)."""
    body = {"message": message, "type": kind or _NAMES.get(status, "BadRequestError"), "param": param, "code": status}
    return json_response(status, {"error": body})


class Vllm(Dialect):
    """vLLM: chat completions and text completions on one port, told apart by the body on `/invocations`."""

    image = "763104351884.dkr.ecr.{region}.amazonaws.com/vllm:0.27.1-gpu-py312-cu129-ubuntu22.04-sagemaker"
    environment: ClassVar[Mapping[str, str]] = {
        "SM_VLLM_MODEL": "{model_id}",
        "SM_VLLM_ENABLE_AUTO_TOOL_CHOICE": "true",
        "SM_VLLM_TOOL_CALL_PARSER": "hermes",
        "SM_VLLM_REASONING_PARSER": "qwen3",
        "SM_VLLM_MAX_MODEL_LEN": "32768",
    }
    model_id = "Qwen/Qwen3-8B"
    window_name = "SM_VLLM_MAX_MODEL_LEN"
    chat_template = True
    schemas: tuple[str, ...] = ("ChatCompletionRequest", "CompletionRequest")

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the routes of the API server."""
        return {
            ("POST", "/invocations"): self.invoke,
            ("POST", "/v1/chat/completions"): self.chat,
            ("POST", "/v1/completions"): self.complete,
            ("GET", "/v1/models"): self.models,
            ("POST", "/tokenize"): self.tokenize,
            ("GET", "/version"): lambda request, box: json_response(200, {"version": "0.27.1"}),
            **{(method, "/ping"): lambda request, box: Response(200) for method in ("GET", "POST")},
            ("GET", "/health"): lambda request, box: Response(200),
        }

    def failure(self, failure: EngineFailure) -> Response:
        """Return vLLM's error for an engine that failed."""
        return self.error(failure.status, failure.message)

    def error(self, status: int, message: str, param: str | None = None, kind: str | None = None) -> Response:
        """Return the server's error response."""
        return error(status, message, param, kind)

    def knows_model(self, model: str, container: Container) -> bool:
        """Return whether a model name is served."""
        return model in (self.served_name(container), *container.adapters)

    def served_name(self, container: Container) -> str:
        """Return the model name the server goes by."""
        return container.environment.get("SM_VLLM_SERVED_MODEL_NAME") or container.model_id

    def style(self, container: Container, settings: Settings) -> Style:
        """Return how this server writes its answers."""
        return Style(
            model=settings.turn.model or self.served_name(container),
            created=int(container.clock()),
            reasoning=self.reasoning_fields(container),
            message_extra={"refusal": None, "annotations": None, "audio": None, "function_call": None},
            extra={},
            usage_extra=lambda reasoning: {"prompt_tokens_details": None},
        )

    def reasoning_fields(self, container: Container) -> tuple[str, ...]:
        """Return the names of the reasoning field: none without a reasoning parser."""
        return ("reasoning",) if container.environment.get("SM_VLLM_REASONING_PARSER") else ()

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer `/invocations`: the first schema the body fits decides (`serve/sagemaker/api_router.py`)."""
        routed = _ROUTE.search(request.headers.get("x-amzn-sagemaker-custom-attributes", ""))
        if routed is not None and routed[1] != "/invocations":
            return self.handle(replace(request, target=routed[1]), container)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return self.error(400, "Unsupported Media Type: Only 'application/json' is allowed", kind="Bad Request")
        body = json_body(request, self._bad_json)
        for handler in self.handlers():
            try:
                return handler(body, container)
            except BadRequest as bad:
                if not bad.shape:
                    return self.error(400, bad.message, bad.param)
        return self.error(400, f"Cannot find suitable handler for request. Expected one of: {list(self.schemas)}")

    def handlers(self) -> tuple[Callable[[Any, Container], Response], ...]:
        """Return what `/invocations` tries, in order."""
        return (self._chat, self._complete)

    def _bad_json(self, message: str) -> Refusal:
        return Refusal(self.error(400, f"JSON decode error: {message}", kind="Bad Request"))

    def chat(self, request: Request, container: Container) -> Response:
        """Answer `/v1/chat/completions`."""
        return self._guard(self._chat, request, container)

    def complete(self, request: Request, container: Container) -> Response:
        """Answer `/v1/completions`."""
        return self._guard(self._complete, request, container)

    def _guard(self, handler: Callable[[Any, Container], Response], request: Request, container: Container) -> Response:
        try:
            return handler(json_body(request, self._bad_json), container)
        except BadRequest as bad:
            return self.error(400, bad.message, bad.param, kind="Bad Request" if bad.shape else None)

    def _chat(self, body: Any, container: Container) -> Response:
        settings = read_chat(body)
        self._check_model(settings.turn.model, container)
        if not self.chat_template:
            # vllm/entrypoints/chat_utils.py: what base models answer to messages.
            text = (
                "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat "
                "template if the tokenizer does not define one."
            )
            raise BadRequest(text, shape=False)
        if settings.turn.tools and settings.turn.tool_choice == "auto" and not self.auto_tools(container):
            text = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
            raise BadRequest(text, shape=False)
        limit = self._room(settings.turn, container)
        runs = generations(container, settings, limit)
        style = self.style(container, settings)
        if not settings.stream:
            return json_response(200, chat_document(runs, settings, style))
        return self.stream(chat_chunks(runs, settings, style))

    def auto_tools(self, container: Container) -> bool:
        """Return whether the server reads tool calls out of the model's text."""
        return container.flag("SM_VLLM_ENABLE_AUTO_TOOL_CHOICE") and bool(
            container.environment.get("SM_VLLM_TOOL_CALL_PARSER")
        )

    def _complete(self, body: Any, container: Container) -> Response:
        asked = read_completion(body)
        self._check_model(asked.model, container)
        runs: list[tuple[Settings, Generation]] = []
        for settings in asked.prompts:
            limit = self._room(settings.turn, container)
            runs += [(settings, run) for run in generations(container, settings, limit)]
        style = self.style(container, asked.prompts[0])
        if not asked.prompts[0].stream:
            return json_response(200, completion_document(runs, style))
        return self.stream(completion_chunks(runs, style))

    def stream(self, chunks: Iterator[dict[str, Any]]) -> Response:
        """Return a streamed answer; an engine that fails from now on is an event, for the status is already sent."""
        return streamed("text/event-stream; charset=utf-8", self._events(chunks))

    def _events(self, chunks: Iterator[dict[str, Any]]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                yield sse(chunk)
        except EngineFailure as failure:
            yield sse(self.stream_error(failure))
        yield DONE

    def stream_error(self, failure: EngineFailure) -> dict[str, Any]:
        """Return the event that reports a failure inside a stream."""
        body: dict[str, Any] = orjson.loads(self.error(failure.status, failure.message).data)
        return body

    def _check_model(self, model: str, container: Container) -> None:
        if model and not self.knows_model(model, container):
            raise Refusal(self.error(404, f"The model `{model}` does not exist.", "model"))

    def _room(self, turn: Turn, container: Container) -> int:
        window, prompt = container.number(self.window_name, 32768), container.prompt_tokens(turn)
        wanted = turn.max_tokens or 0
        if prompt + wanted > window or prompt >= window:
            # serving_engine.py, _validate_input
            text = (
                f"This model's maximum context length is {window} tokens. However, you requested {prompt + wanted} "
                f"tokens ({prompt} in the messages, {wanted} in the completion). Please reduce the length of the "
                "messages or completion."
            )
            raise BadRequest(text, "max_tokens" if wanted else None, shape=False)
        return window - prompt

    def models(self, request: Request, container: Container) -> Response:
        """Answer `/v1/models`."""
        window = container.number(self.window_name, 32768)
        card = {"object": "model", "created": int(container.clock()), "owned_by": "vllm", "max_model_len": window}
        names = [self.served_name(container), *sorted(container.adapters)]
        cards = [{"id": name, **card, "root": container.model_id, "parent": None} for name in names]
        return json_response(200, {"object": "list", "data": cards})

    def tokenize(self, request: Request, container: Container) -> Response:
        """Answer `/tokenize`."""
        body = json_body(request, self._bad_json)
        try:
            turn = read_chat(body).turn if "messages" in body else Turn(prompt=str(body.get("prompt", "")))
        except BadRequest as bad:
            return self.error(400, bad.message, bad.param)
        number = container.prompt_tokens(turn)
        window = container.number(self.window_name, 32768)
        return json_response(200, {"count": number, "max_model_len": window, "tokens": list(range(number))})


class OpenAiChat(Vllm):
    """A chat model behind vLLM."""


class OpenAiCompletions(Vllm):
    """A base model behind vLLM: it has no chat template, so only text completions work."""

    model_id = "meta-llama/Llama-3.1-8B"
    chat_template = False
    environment: ClassVar[Mapping[str, str]] = {"SM_VLLM_MODEL": "{model_id}", "SM_VLLM_MAX_MODEL_LEN": "32768"}
