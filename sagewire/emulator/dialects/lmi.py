"""DJL's LMI containers: the rolling batch handler (`lmi`) and the asynchronous vLLM handler (`lmi_async`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from sagewire.emulator.dialects.base import Container, Dialect, Refusal, Route, begin, json_body, sse, streamed
from sagewire.emulator.dialects.openai_request import BadRequest, Settings, read_chat, read_completion
from sagewire.emulator.dialects.openai_response import (
    Style,
    chat_chunks,
    chat_document,
    completion_chunks,
    completion_document,
    generations,
)
from sagewire.emulator.engines.base import EngineFailure, Turn, sampling_of
from sagewire.emulator.generation import Answer, Generation, Token
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["Lmi", "LmiAsync", "LmiSse"]

JSON = dict[str, Any]
DEFAULT_NEW_TOKENS = 30
# The parameters that LMI's parsers know; the rolling batch takes anything else for an engine argument.
_FLOATS = ("temperature", "top_p", "repetition_penalty", "presence_penalty", "frequency_penalty")


def line(document: object) -> bytes:
    """Return one JSON line."""
    return orjson.dumps(document) + b"\n"


@dataclass(frozen=True, slots=True)
class _Asked:
    turn: Turn
    details: bool
    full_text: bool
    stream: bool
    keep_stop: bool
    keep_special: bool
    top_n: int


class Lmi(Dialect):
    """LMI 15 with its rolling batch handler: an object as answer, JSON lines as stream, `log_prob`."""

    image = "763104351884.dkr.ecr.{region}.amazonaws.com/djl-inference:0.33.0-lmi15.0.0-cu128"
    environment: ClassVar[Mapping[str, str]] = {
        "HF_MODEL_ID": "{model_id}",
        "OPTION_ROLLING_BATCH": "vllm",
        "OPTION_MAX_MODEL_LEN": "8192",
        "OPTION_ENABLE_AUTO_TOOL_CHOICE": "true",
        "OPTION_TOOL_CALL_PARSER": "llama3_json",
    }
    model_id = "meta-llama/Llama-3.1-8B-Instruct"
    stop_names: tuple[str, ...] = ("stop_sequences", "stop")

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the routes of the model server's front end (`InferenceRequestHandler.java`)."""
        return {
            ("POST", "/invocations"): self.invoke,
            ("POST", "/predictions/model"): self.invoke,
            ("POST", "/v1/chat/completions"): self.invoke,
            ("GET", "/ping"): lambda request, box: json_response(200, {"status": "Healthy"}),
        }

    def failure(self, failure: EngineFailure) -> Response:
        """Return the rolling batch's error object."""
        details = {"finish_reason": "error", "generated_tokens": 0, "tokens": []}
        document = {"generated_text": None, "error": failure.message, "code": failure.status, "details": details}
        return json_response(failure.status, document)

    def not_found(self, request: Request) -> Response:
        """Return the front end's error."""
        text = f"Requested resource is not found, please refer to API document: {request.path}"
        return json_response(404, {"code": 404, "type": "ResourceNotFoundException", "message": text})

    def invalid(self, message: str) -> Refusal:
        """Return the refusal of a request that cannot be parsed."""
        details = {"finish_reason": "error", "generated_tokens": None, "inputs": None, "tokens": None}
        return Refusal(json_response(400, {"generated_text": None, "error": message, "code": 400, "details": details}))

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer by the keys of the body: `messages` is a chat, anything else has to have `inputs`."""
        body = json_body(request, lambda text: self.invalid(f"Input parsing failed: {text}"))
        if isinstance(body, dict) and "messages" in body:
            return self.chat(body, container)
        return self.generate(body, container)

    def style(self, container: Container, settings: Settings) -> Style:
        """Return how the rolling batch's chat formatter writes: no useful model field, numbers as ids."""
        return Style(
            model=settings.turn.model or "lmi",
            created=int(container.clock()),
            id=f"chatcmpl-{int(container.clock() * 1000) % 10**10}",
            stop_field="",
            reasoning=("reasoning_content",) if container.environment.get("OPTION_REASONING_PARSER") else (),
            call_id=lambda index, name: f"call_{name}_{index}",
            finish=lambda reason, named: "eos_token" if reason == "stop" else reason,
        )

    def _settings(self, body: JSON) -> Settings:
        try:
            return read_chat(body)
        except BadRequest as bad:
            raise self.invalid(f"Input parsing failed: {bad.message}") from None

    def chat(self, body: JSON, container: Container) -> Response:
        """Answer a conversation."""
        settings = self._settings(body)
        runs = generations(container, settings)
        style = self.style(container, settings)
        if not settings.stream:
            document = chat_document(runs, settings, style)
            return json_response(200, {key: value for key, value in document.items() if key != "model"})
        return streamed("application/jsonlines", self._lines(chat_chunks(runs, settings, style)))

    def _lines(self, chunks: Iterator[JSON]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                yield line({key: value for key, value in chunk.items() if key != "model"})
        except EngineFailure as failure:
            yield line(self.last_error(failure))

    def last_error(self, failure: EngineFailure) -> JSON:
        """Return the line that reports a failure inside a stream."""
        token = {"id": -1, "text": "", "log_prob": -1, "special_token": True, "error_msg": failure.message}
        return {"token": token, "generated_text": "", "details": {"finish_reason": "error", "error": failure.message}}

    def _read(self, body: Any) -> _Asked:
        if not isinstance(body, dict) or not isinstance(body.get("inputs"), str):
            raise self.invalid("Input parsing failed: Missing 'inputs' in the request body")
        parameters = body.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise self.invalid("Input parsing failed: 'parameters' must be an object")
        for name in _FLOATS:
            if parameters.get(name) is not None and not isinstance(parameters[name], int | float):
                raise self.invalid(f"Input parsing failed: {name} must be a number")
        top_n = parameters.get("top_n_tokens") or 0
        if not isinstance(top_n, int):
            raise self.invalid("Input parsing failed: top_n_tokens must be a number")
        stops = [stop for name in self.stop_names for stop in _strings(parameters.get(name))]
        turn = Turn(
            prompt=body["inputs"],
            max_tokens=parameters.get("max_new_tokens") or DEFAULT_NEW_TOKENS,
            stop=tuple(dict.fromkeys(stops)),
            seed=parameters.get("seed"),
            temperature=parameters.get("temperature"),
            top_p=parameters.get("top_p"),
            json_schema=parameters.get("guided_json"),
            pattern=parameters.get("guided_regex"),
            model=body.get("adapters") or "",
            sampling=sampling_of(parameters),
            logprobs=bool(parameters.get("top_n_tokens")),
        )
        return _Asked(
            turn,
            details=bool(parameters.get("details")),
            full_text=bool(parameters.get("return_full_text")),
            stream=bool(body.get("stream")),
            keep_stop=bool(parameters.get("include_stop_str_in_output")),
            keep_special=parameters.get("skip_special_tokens") is False,
            top_n=top_n,
        )

    def generate(self, body: Any, container: Container) -> Response:
        """Answer a prompt."""
        asked = self._read(body)
        run = container.generation(
            asked.turn, keep_stop=asked.keep_stop, special="keep" if asked.keep_special else "drop"
        )
        if asked.stream:
            return self.stream(run, asked)
        return json_response(200, self.document(run.collect(), asked))

    def document(self, answer: Answer, asked: _Asked) -> Any:
        """Return a whole answer."""
        text = (asked.turn.prompt or "" if asked.full_text else "") + answer.text
        document: JSON = {"generated_text": text}
        if asked.details:
            tokens = [self.token(token) for token in answer.tokens]
            document["details"] = self.details(answer, asked) | {"tokens": tokens} | self.tops(answer.tokens, asked)
        return document

    def tops(self, tokens: Iterable[Token], asked: _Asked) -> JSON:
        """Return the most likely tokens of each step; the engines know but one (`output_formatter.py`)."""
        return {"top_tokens": [[self.token(token)] for token in tokens]} if asked.top_n > 0 else {}

    def token(self, token: Token) -> JSON:
        """Return one token of an answer."""
        return {"id": token.id, "text": token.text, "log_prob": token.known_logprob}

    def details(self, run: Generation | Answer, asked: _Asked) -> JSON:
        """Return why and after how many tokens an answer ended; vLLM's `stop` is reported as `eos_token`."""
        reason = "length" if run.finish == "length" else "eos_token"
        return {"finish_reason": reason, "generated_tokens": run.completion_tokens, "inputs": asked.turn.prompt}

    def stream(self, run: Generation, asked: _Asked) -> Response:
        """Return an answer as a stream."""
        return streamed("application/jsonlines", map(line, self.token_lines(run, asked)))

    def token_lines(self, run: Generation, asked: _Asked) -> Iterator[JSON]:
        """Return the lines of a streamed answer; the last one has the whole text."""
        said: list[Token] = []
        waiting: Token | None = None
        try:
            for event in begin(run):
                if isinstance(event, Token):
                    if waiting is not None:
                        yield {"token": self.token(waiting)}
                    said.append(event)
                    waiting = event
        except EngineFailure as failure:
            if waiting is not None:
                yield {"token": self.token(waiting)}
            yield self.last_error(failure)
            return
        prompt = asked.turn.prompt or "" if asked.full_text else ""
        text = prompt + "".join(token.text for token in said)
        last: JSON = {"token": self.token(waiting or Token("")), "generated_text": text}
        # The tokens themselves are not said again.
        yield last | ({"details": self.details(run, asked) | self.tops(said, asked)} if asked.details else {})


class LmiSse(Lmi):
    """LMI with `OPTION_TGI_COMPAT=true`: TGI's array, TGI's events, TGI's `logprob`."""

    environment: ClassVar[Mapping[str, str]] = {**Lmi.environment, "OPTION_TGI_COMPAT": "true"}

    def document(self, answer: Answer, asked: _Asked) -> Any:
        """Return an array, as TGI does."""
        return [super().document(answer, asked)]

    def token(self, token: Token) -> JSON:
        """Return one token under TGI's names."""
        return {"id": token.id, "text": token.text, "logprob": token.known_logprob}

    def stream(self, run: Generation, asked: _Asked) -> Response:
        """Return server-sent events."""
        return streamed("text/event-stream", (sse(item, space=False) for item in self.token_lines(run, asked)))


class LmiAsync(Lmi):
    """LMI 17 and later: vLLM behind DJL's asynchronous handler (`djl_python/lmi_vllm/vllm_async_service.py`)."""

    image = "763104351884.dkr.ecr.{region}.amazonaws.com/djl-inference:0.36.0-lmi18.0.0-cu128"
    environment: ClassVar[Mapping[str, str]] = {
        "HF_MODEL_ID": "{model_id}",
        "OPTION_ROLLING_BATCH": "disable",
        "OPTION_ASYNC_MODE": "true",
        "OPTION_ENTRYPOINT": "djl_python.lmi_vllm.vllm_async_service",
        "OPTION_MAX_MODEL_LEN": "8192",
        "OPTION_ENABLE_AUTO_TOOL_CHOICE": "true",
        "OPTION_TOOL_CALL_PARSER": "llama3_json",
    }
    # lmi_vllm/request_response_utils.py passes `stop_sequences` on to vLLM, which ignores it.
    stop_names: tuple[str, ...] = ("stop",)

    def failure(self, failure: EngineFailure) -> Response:
        """Return the handler's error: the engine's own words inside a Python repr."""
        return json_response(
            500, {"code": 500, "error": f"ErrorResponse(message={failure.message!r}, code={failure.status})"}
        )

    def invalid(self, message: str) -> Refusal:
        """Return the refusal of a request that cannot be parsed."""
        text = message if message.startswith("Input parsing failed") else f"Input parsing failed: {message}"
        return Refusal(json_response(424, {"code": 424, "error": text}))

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer by the keys of the body, in the handler's order."""
        body = json_body(request, self.invalid)
        if not isinstance(body, dict):
            raise self.invalid("the request body must be a JSON object")
        if "prompt" in body:
            return self.complete(body, container)
        if "inputs" in body:
            return self.generate(body, container)
        if "messages" in body:
            return self.chat(body, container)
        raise self.invalid("Missing 'prompt', 'inputs' or 'messages'")

    def _settings(self, body: JSON) -> Settings:
        try:
            return read_chat(body)
        except BadRequest as bad:
            raise Refusal(self.failure(EngineFailure(bad.message, 400))) from None

    def _check_model(self, model: str, container: Container) -> None:
        served = container.environment.get("OPTION_SERVED_MODEL_NAME") or "lmi"
        if model and model not in (served, *container.adapters):
            raise Refusal(self.failure(EngineFailure(f"The model `{model}` does not exist.", 404)))

    def style(self, container: Container, settings: Settings) -> Style:
        """Return vLLM's own style."""
        reasoning = ("reasoning",) if container.environment.get("OPTION_REASONING_PARSER") else ()
        return Style(model=settings.turn.model or "lmi", created=int(container.clock()), reasoning=reasoning)

    def chat(self, body: JSON, container: Container) -> Response:
        """Answer a conversation in vLLM's words, streamed as JSON lines without the prefix of an event."""
        settings = self._settings(body)
        self._check_model(settings.turn.model, container)
        runs = generations(container, settings)
        style = self.style(container, settings)
        if not settings.stream:
            return json_response(200, chat_document(runs, settings, style))
        return streamed("application/jsonlines", self._lines(chat_chunks(runs, settings, style)))

    def complete(self, body: JSON, container: Container) -> Response:
        """Answer an OpenAI text completion."""
        try:
            asked = read_completion(body)
        except BadRequest as bad:
            raise Refusal(self.failure(EngineFailure(bad.message, 400))) from None
        self._check_model(asked.model, container)
        pairs = [(settings, run) for settings in asked.prompts for run in generations(container, settings)]
        style = self.style(container, asked.prompts[0])
        if not asked.prompts[0].stream:
            return json_response(200, completion_document(pairs, style))
        return streamed("application/jsonlines", self._lines(completion_chunks(pairs, style)))

    def _lines(self, chunks: Iterator[JSON]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                yield line(chunk)
        except EngineFailure as failure:
            yield line({"error": {"message": failure.message, "type": "InternalServerError", "code": failure.status}})
        yield b"\n"  # what is left of `[DONE]`

    def document(self, answer: Answer, asked: _Asked) -> Any:
        """Return a whole answer; the finish reason is vLLM's stop reason, which nearly always is null."""
        text = (asked.turn.prompt or "" if asked.full_text else "") + answer.text
        document: JSON = {"generated_text": text}
        if asked.details:
            document["details"] = {
                "finish_reason": answer.stop,
                "generated_tokens": answer.completion_tokens,
                "seed": asked.turn.seed,
                "prefill": [],
                "tokens": [self.token(token) for token in answer.tokens],
            }
        return document

    def token(self, token: Token) -> JSON:
        """Return one token: `logprob` again, not `log_prob`."""
        return {"id": token.id, "text": token.text, "logprob": token.known_logprob}

    def details(self, run: Generation | Answer, asked: _Asked) -> JSON:
        """Return the details of a stream's end: vLLM's words, and one token too many."""
        return {
            "finish_reason": "length" if run.finish == "length" else "stop",
            "seed": asked.turn.seed,
            "generated_tokens": run.completion_tokens + 1,
            "input_length": run.prompt_tokens,
        }

    def stream(self, run: Generation, asked: _Asked) -> Response:
        """Return JSON lines, then the two blank lines that usage and `[DONE]` leave behind."""
        return streamed("application/jsonlines", self._token_bytes(run, asked))

    def _token_bytes(self, run: Generation, asked: _Asked) -> Iterator[bytes]:
        for item in self.token_lines(run, asked):
            # `index` is the choice's, not the token's: always 0.
            yield line({"index": 0, "generated_text": None, "details": None} | item)
        yield b"\n"
        yield b"\n"

    def last_error(self, failure: EngineFailure) -> JSON:
        """Return the line that reports a failure inside a stream."""
        return {"error": {"message": failure.message, "type": "InternalServerError", "code": failure.status}}


def _strings(value: Any) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else [item for item in value if isinstance(item, str) and item]
