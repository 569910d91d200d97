"""Text Generation Inference (`router/src/{lib,server,validation}.rs`): generate, with all it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sagewire.emulator.dialects.base import Container, Dialect, Refusal, Route, begin, json_body, sse, streamed
from sagewire.emulator.dialects.tgi_chat import chat, complete
from sagewire.emulator.dialects.tgi_parameters import MAX_STOPS, check, invalid, plain_refusal
from sagewire.emulator.engines.base import EngineFailure, Turn, sampling_of
from sagewire.emulator.generation import Answer, Event, Generation, Token
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["Tgi", "Tgi1", "TgiChat", "error"]

REGISTRY = "763104351884.dkr.ecr.{region}.amazonaws.com/huggingface-pytorch-tgi-inference"
NO_SHAPE = "Failed to deserialize the JSON body into the target type"
EOS = Token("</s>", "special")
# After the text of another server, which tells no log probabilities.
_EOS_ELSEWHERE = Token("</s>", "special", measured=False)
# Settings that only TGI's own model server has.
_OF_TGI = ("truncate", "watermark", "decoder_input_details")
EOS_ID = 2


def error(status: int, message: str, kind: str) -> Response:
    """Return the router's error response."""
    return json_response(status, {"error": message, "error_type": kind})


@dataclass(frozen=True, slots=True)
class GenerateBody:
    """A checked generate request."""

    turn: Turn
    details: bool
    full_text: bool
    stream: bool
    top_n: int


class Tgi(Dialect):
    """TGI 3: `/invocations` takes `inputs`, `messages` and `prompt`."""

    image = f"{REGISTRY}:2.7.0-tgi3.3.6-gpu-py311-cu124-ubuntu22.04"
    environment: ClassVar[Mapping[str, str]] = {
        "HF_MODEL_ID": "{model_id}",
        "SM_NUM_GPUS": "1",
        "MAX_INPUT_TOKENS": "7680",
        "MAX_TOTAL_TOKENS": "8192",
    }
    model_id = "mistralai/Mistral-7B-Instruct-v0.3"
    version = "3.3.6"
    default_new_tokens: int | None = None
    event_space = True

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the router's routes."""
        return {
            ("POST", "/invocations"): self.invoke,
            ("POST", "/"): lambda request, box: self._generate(request, box, compat=True),
            ("POST", "/generate"): lambda request, box: self._generate(request, box, stream=False),
            ("POST", "/generate_stream"): lambda request, box: self._generate(request, box, stream=True),
            ("POST", "/v1/chat/completions"): lambda request, box: chat(self._json(request), box, self.version),
            ("POST", "/v1/completions"): lambda request, box: complete(self._json(request), box, self.version),
            ("GET", "/info"): self.info,
            ("GET", "/v1/models"): self.models,
            ("GET", "/health"): lambda request, box: Response(200),
            ("GET", "/ping"): lambda request, box: Response(200),
        }

    def failure(self, failure: EngineFailure) -> Response:
        """Return the router's error for a model server that failed."""
        return error(424, f"Request failed during generation: {failure.message}", "generation")

    def not_found(self, request: Request) -> Response:
        """Return axum's bare 404."""
        return Response(404)

    def _json(self, request: Request) -> Any:
        if "json" not in request.headers.get("content-type", ""):
            raise plain_refusal("Expected request with `Content-Type: application/json`", 415)
        return json_body(request, lambda text: plain_refusal(f"Failed to parse the request body as JSON: {text}", 400))

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer `/invocations`: an untagged enum, tried in order (`sagemaker.rs`)."""
        body = self._json(request)
        if isinstance(body, dict) and "inputs" in body:
            return self._generate(request, container, compat=True)
        if isinstance(body, dict) and "messages" in body:
            return chat(body, container, self.version)
        if isinstance(body, dict) and "prompt" in body:
            return complete(body, container, self.version)
        raise plain_refusal(f"{NO_SHAPE}: data did not match any variant of untagged enum SagemakerRequest")

    def _generate(
        self, request: Request, container: Container, *, compat: bool = False, stream: bool | None = None
    ) -> Response:
        body = self._json(request)
        if not isinstance(body, dict) or not isinstance(body.get("inputs"), str):
            raise plain_refusal(f"{NO_SHAPE}: missing field `inputs`")
        streaming = bool(body.get("stream")) if stream is None else stream
        try:
            asked = self._read(body, container, streaming, echo_by_default=compat)
        except Refusal as refusal:
            if not streaming:
                raise
            # A stream has status 200 before anything is checked.
            return streamed("text/event-stream", [b"data:" + refusal.response.data + b"\n\n"], X_Accel_Buffering="no")
        run = container.generation(asked.turn, keep_stop=True, special="flag")
        if streaming:
            return streamed("text/event-stream", self._events(run, asked), X_Accel_Buffering="no")
        answer = run.collect()
        document = self._document(answer, asked)
        counts = {"x_prompt_tokens": str(answer.prompt_tokens), "x_generated_tokens": str(answer.completion_tokens)}
        return json_response(200, [document] if compat else document, **counts)

    def _read(self, body: Mapping[str, Any], container: Container, stream: bool, echo_by_default: bool) -> GenerateBody:
        given = body.get("parameters")
        if given is not None and not isinstance(given, dict):
            raise plain_refusal(f"{NO_SHAPE}: parameters: invalid type")
        parameters = given or {}
        check(parameters, stream)
        grammar = parameters.get("grammar") or {}
        window, longest = container.number("MAX_TOTAL_TOKENS", 8192), container.number("MAX_INPUT_TOKENS", 7680)
        turn = Turn(prompt=body["inputs"])
        used = container.prompt_tokens(turn)
        if not body["inputs"]:
            raise invalid("`inputs` cannot be empty")
        if used > longest:
            raise invalid(f"`inputs` must have less than {longest} tokens. Given: {used}")
        new = parameters.get("max_new_tokens") or self.default_new_tokens or window - used
        if used + new > window:
            raise invalid(
                f"`inputs` tokens + `max_new_tokens` must be <= {window}. "
                f"Given: {used} `inputs` tokens and {new} `max_new_tokens`"
            )
        turn = Turn(
            prompt=body["inputs"],
            max_tokens=new,
            stop=tuple(parameters.get("stop") or ()),
            seed=parameters.get("seed"),
            temperature=_temperature(parameters),
            top_p=parameters.get("top_p"),
            json_schema=grammar.get("value") if grammar.get("type") in ("json", "json_schema") else None,
            pattern=grammar.get("value") if grammar.get("type") == "regex" else None,
            model=parameters.get("adapter_id") or "",
            sampling=sampling_of(parameters) | _of_tgi(parameters),
            logprobs=bool(parameters.get("top_n_tokens")),
        )
        full_text = parameters.get("return_full_text")
        return GenerateBody(
            turn,
            details=bool(parameters.get("details")),
            full_text=echo_by_default if full_text is None else bool(full_text),
            stream=stream,
            top_n=parameters.get("top_n_tokens") or 0,
        )

    def _details(self, run: Generation | Answer, asked: GenerateBody) -> dict[str, Any]:
        reason = "length" if run.finish == "length" else "stop_sequence" if run.stop is not None else "eos_token"
        return {"finish_reason": reason, "generated_tokens": run.completion_tokens, "seed": asked.turn.seed}

    def _document(self, answer: Answer, asked: GenerateBody) -> dict[str, Any]:
        prompt = asked.turn.prompt or "" if asked.full_text else ""
        document: dict[str, Any] = {"generated_text": prompt + answer.text}
        if asked.details:
            tokens = [_token(token) for token in answer.tokens]
            if answer.finish != "length" and answer.stop is None:
                tokens.append(_token(_end(all(token.measured for token in answer.tokens))))
            document["details"] = self._details(answer, asked) | {
                "prefill": [],
                "tokens": tokens,
                "best_of_sequences": None,
                "top_tokens": [[token] for token in tokens] if asked.top_n else None,
            }
        return document

    def _events(self, run: Generation, asked: GenerateBody) -> Iterator[bytes]:
        try:
            yield from self._token_events(run, begin(run), asked)
        except EngineFailure as failure:
            text = f"Request failed during generation: {failure.message}"
            yield sse({"error": text, "error_type": "generation"}, space=self.event_space)

    def _token_events(self, run: Generation, events: Iterator[Event], asked: GenerateBody) -> Iterator[bytes]:
        index, said = 0, []
        waiting: Token | None = None
        try:
            for event in events:
                if not isinstance(event, Token):
                    continue
                if waiting is not None:
                    index += 1
                    yield self._event(index, waiting, None, None, asked)
                said += [event.text] if event.kind == "text" else []
                waiting = event
        except EngineFailure:
            if waiting is not None:
                yield self._event(index + 1, waiting, None, None, asked)
            raise
        # The last event has the whole text; after a natural end it is the end-of-sequence token's.
        if run.finish != "length" and run.stop is None:
            if waiting is not None:
                index += 1
                yield self._event(index, waiting, None, None, asked)
            waiting = _end(run.measured)
        prompt = asked.turn.prompt or "" if asked.full_text else ""
        details = self._details(run, asked) | {"input_length": run.prompt_tokens} if asked.details else None
        yield self._event(index + 1, waiting or _end(run.measured), prompt + "".join(said), details, asked)

    def _event(
        self, index: int, token: Token, text: str | None, details: dict[str, Any] | None, asked: GenerateBody
    ) -> bytes:
        document: dict[str, Any] = {"index": index, "token": _token(token)}
        if asked.top_n:
            document["top_tokens"] = [_token(token)]
        return sse(document | {"generated_text": text, "details": details}, space=self.event_space)

    def info(self, request: Request, container: Container) -> Response:
        """Answer `/info`."""
        document = {
            "model_id": container.model_id,
            "model_sha": None,
            "model_pipeline_tag": "text-generation",
            "max_concurrent_requests": 128,
            "max_best_of": 2,
            "max_stop_sequences": MAX_STOPS,
            "max_input_tokens": container.number("MAX_INPUT_TOKENS", 7680),
            "max_total_tokens": container.number("MAX_TOTAL_TOKENS", 8192),
            "validation_workers": 2,
            "max_client_batch_size": 4,
            "router": "text-generation-router",
            "version": self.version,
            "sha": None,
            "docker_label": None,
        }
        return json_response(200, document)

    def models(self, request: Request, container: Container) -> Response:
        """Answer `/v1/models`."""
        card = {"id": container.model_id, "object": "model", "created": 0, "owned_by": container.model_id}
        return json_response(200, {"object": "list", "data": [card]})


class Tgi1(Tgi):
    """TGI 1.4: one schema per deployment, a hundred new tokens by default, events without a space."""

    image = f"{REGISTRY}:2.1.1-tgi1.4.0-gpu-py310-cu121-ubuntu20.04"
    version = "1.4.0"
    default_new_tokens = 100
    event_space = False

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer `/invocations` by `MESSAGES_API_ENABLED`."""
        if not container.flag("MESSAGES_API_ENABLED"):
            return self._generate(request, container, compat=True)
        body = self._json(request)
        if not isinstance(body, dict) or "messages" not in body:
            raise plain_refusal(f"{NO_SHAPE}: missing field `messages`")
        return chat(body, container, self.version)


class TgiChat(Tgi1):
    """TGI 1.4 with `MESSAGES_API_ENABLED`: messages only."""

    environment: ClassVar[Mapping[str, str]] = {**Tgi.environment, "MESSAGES_API_ENABLED": "true"}


def _token(token: Token) -> dict[str, Any]:
    number = EOS_ID if token is EOS or token is _EOS_ELSEWHERE else token.id
    return {"id": number, "text": token.text, "logprob": token.known_logprob, "special": token.kind == "special"}


def _end(measured: bool) -> Token:
    return EOS if measured else _EOS_ELSEWHERE


def _temperature(parameters: Mapping[str, Any]) -> float | None:
    """Return the temperature: a request that asks for no sampling in any way is answered greedily."""
    given = parameters.get("temperature")
    asked = parameters.get("do_sample") or given not in (None, 1.0)
    asked = asked or any(parameters.get(name) is not None for name in ("top_k", "top_p", "typical_p"))
    return given if asked else 0


def _of_tgi(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that only TGI's own model server knows, for other servers to refuse."""
    found = {name: parameters[name] for name in _OF_TGI if parameters.get(name)}
    return found | ({"best_of": parameters["best_of"]} if (parameters.get("best_of") or 1) > 1 else {})
