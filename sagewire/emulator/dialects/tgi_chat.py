"""The chat and completion routes of Text Generation Inference, with their quirks (`router/src/{chat,server}.rs`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from sagewire.emulator.dialects.base import Container, Refusal, begin, sse, streamed
from sagewire.emulator.dialects.openai_request import BadRequest, Settings, read_chat, read_completion
from sagewire.emulator.dialects.tgi_parameters import invalid, plain_refusal
from sagewire.emulator.engines.base import EngineFailure
from sagewire.emulator.generation import Answer, CallStart, CallToken, Event, Generation, Token
from sagewire.emulator.http_values import Response, json_response

__all__ = ["chat", "complete"]

DONE = b"data: [DONE]\n\n"
JSON = dict[str, Any]


def _shape(message: str) -> Refusal:
    return plain_refusal(f"Failed to deserialize the JSON body into the target type: {message}")


def _check(body: Mapping[str, Any]) -> None:
    if isinstance(body.get("stop"), str):
        raise _shape("stop: invalid type: string, expected a sequence")
    if (top := body.get("top_logprobs")) is not None and not 0 <= top <= 5:
        raise invalid(f"`top_n_tokens` must be >= 0 and <= 5. Given: {top}")
    if (top_p := body.get("top_p")) is not None and not 0 < top_p < 1:
        raise invalid("`top_p` must be > 0.0 and < 1.0")
    if body.get("response_format") and body.get("tools"):
        raise invalid("Grammar and tools are mutually exclusive", "grammar_not_supported")


def _normal(body: Mapping[str, Any]) -> JSON:
    """Return the body as OpenAI would write it: TGI's own forms of `tool_choice` and `response_format` undone."""
    normal = {key: value for key, value in body.items() if key not in ("n", "stream_options", "logit_bias")}
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        normal["tool_choice"] = {"type": "function", "function": {"name": choice}}
    if not body.get("tools"):
        # TGI ignores a choice without tools, and takes an empty list for none.
        normal.pop("tool_choice", None)
        normal.pop("tools", None)
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in ("json", "json_object", "json_schema", "regex"):
        value = wanted.get("value", wanted.get("json_schema"))
        normal.pop("response_format")
        if wanted["type"] == "regex":
            normal["guided_regex"] = value
        elif isinstance(value, dict):
            normal["guided_json"] = value.get("schema", value)
        else:
            raise _shape("response_format: missing field `value`")
    return normal


def _base(container: Container, version: str, kind: str) -> JSON:
    return {
        "object": kind,
        "id": "",
        "created": int(container.clock()),
        "model": container.model_id,
        "system_fingerprint": f"{version}-native",
    }


def _reason(run: Generation | Answer) -> str:
    # Only eos_token is translated; tool calls end with `stop`, too.
    return "length" if run.finish == "length" else "stop_sequence" if run.stop is not None else "stop"


def _usage(run: Generation | Answer) -> JSON:
    total = run.prompt_tokens + run.completion_tokens
    return {"prompt_tokens": run.prompt_tokens, "completion_tokens": run.completion_tokens, "total_tokens": total}


def chat(body: Any, container: Container, version: str) -> Response:
    """Answer `/v1/chat/completions`."""
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        raise _shape("missing field `messages`")
    streaming = body.get("stream") is True
    try:
        _check(body)
        settings = _settings(body)
        window, used = container.number("MAX_TOTAL_TOKENS", 8192), _used(settings, container)
    except Refusal as refusal:
        if not streaming or refusal.response.headers["Content-Type"] != "application/json":
            raise
        return _stream([_stream_error(refusal.response), DONE])
    run = container.generation(settings.turn, keep_stop=True, limit=window - used, special="flag")
    if streaming:
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return _stream(_chat_events(run, settings, _base(container, version, "chat.completion.chunk"), usage))
    return json_response(
        200, _chat_document(run.collect(), settings, _base(container, version, "chat.completion"), version)
    )


def _settings(body: JSON) -> Settings:
    try:
        return read_chat(_normal(body))
    except BadRequest as bad:
        if bad.shape:
            raise _shape(f"{bad.param}: {bad.message}") from None
        raise invalid(bad.message) from None


def _used(settings: Settings, container: Container) -> int:
    run = container.generation(settings.turn)
    window, longest = container.number("MAX_TOTAL_TOKENS", 8192), container.number("MAX_INPUT_TOKENS", 7680)
    wanted = settings.turn.max_tokens or 0
    if run.prompt_tokens > longest:
        raise invalid(f"`inputs` must have less than {longest} tokens. Given: {run.prompt_tokens}")
    if run.prompt_tokens + wanted > window:
        text = (
            f"`inputs` tokens + `max_new_tokens` must be <= {window}. "
            f"Given: {run.prompt_tokens} `inputs` tokens and {wanted} `max_new_tokens`"
        )
        raise invalid(text)
    return run.prompt_tokens


def _stream(events: Iterator[bytes] | list[bytes]) -> Response:
    return streamed("text/event-stream", events, X_Accel_Buffering="no")


def _stream_error(response: Response) -> bytes:
    document = orjson.loads(response.data)
    return sse({"error": {"message": document["error"], "http_status_code": response.status}})


def _chat_document(answer: Answer, settings: Settings, base: JSON, version: str) -> JSON:
    text = f"<think>\n{answer.thinking}\n</think>\n\n{answer.text}" if answer.thinking else answer.text
    message: JSON = {"role": "assistant", "content": text}
    if answer.calls:
        message = {
            "role": "assistant",
            "tool_calls": [_call(call.name, call.arguments, version) for call in answer.calls],
        }
    logprobs = {"content": [{"token": t.text, "logprob": t.logprob, "top_logprobs": []} for t in answer.tokens]}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": logprobs if settings.logprobs else None,
        "finish_reason": _reason(answer),
    }
    return base | {"choices": [choice], "usage": _usage(answer)}


def _call(name: str, arguments: str, version: str) -> JSON:
    # An object before 3.2.0 (commit 622908de), and always the same id.
    old = tuple(map(int, version.split("."))) < (3, 2, 0)
    value = orjson.loads(arguments) if old else arguments
    return {"id": "0", "type": "function", "function": {"description": None, "name": name, "arguments": value}}


def _chat_events(run: Generation, settings: Settings, base: JSON, usage: bool) -> Iterator[bytes]:
    def chunk(delta: JSON, reason: str | None = None, token: Token | None = None) -> bytes:
        entry = {"token": token.text, "logprob": token.logprob, "top_logprobs": []} if token else None
        logprobs = {"content": [entry]} if settings.logprobs and entry else None
        choice = {"index": 0, "delta": {"role": "assistant"} | delta, "logprobs": logprobs, "finish_reason": reason}
        return sse(base | {"choices": [choice], "usage": None})

    thinking = False
    try:
        for event in begin(run):
            if isinstance(event, Token):
                if event.kind == "special":
                    continue
                tags = (
                    ("<think>\n" if event.kind == "thinking" else "\n</think>\n\n")
                    if thinking != (event.kind == "thinking")
                    else ""
                )
                thinking = event.kind == "thinking"
                yield chunk({"content": tags + event.text}, token=event)
            else:
                yield chunk({"tool_calls": [_call_delta(event)]})
        yield chunk({"content": ""}, _reason(run))
        if usage:
            yield sse(base | {"choices": [], "usage": _usage(run)})
    except EngineFailure as failure:
        text = f"Request failed during generation: {failure.message}"
        yield sse({"error": {"message": text, "http_status_code": 424}})
    yield DONE


def _call_delta(event: Event) -> JSON:
    name = event.name if isinstance(event, CallStart) else None
    arguments = event.text if isinstance(event, CallToken) else ""
    return {"index": 0, "id": "0", "type": "function", "function": {"name": name, "arguments": arguments}}


def complete(body: Any, container: Container, version: str) -> Response:
    """Answer `/v1/completions`."""
    if not isinstance(body, dict) or "prompt" not in body:
        raise _shape("missing field `prompt`")
    if body.get("suffix") is not None:
        raise invalid("Suffix is not supported and can be achieved by preprocessing the prompt.")
    _check(body)
    try:
        asked = read_completion(body, default_max_tokens=100)
    except BadRequest as bad:
        raise invalid(bad.message) from None
    runs = [container.generation(settings.turn, keep_stop=True, special="flag") for settings in asked.prompts]
    base = _base(container, version, "text_completion")
    if asked.prompts[0].stream:
        return _stream(_completion_events(runs, base))
    answers = [run.collect() for run in runs]
    choices = [
        {"index": number, "text": answer.text, "logprobs": None, "finish_reason": _reason(answer)}
        for number, answer in enumerate(answers)
    ]
    usage = [_usage(answer) for answer in answers]
    return json_response(
        200, base | {"choices": choices, "usage": {key: sum(u[key] for u in usage) for key in usage[0]}}
    )


def _completion_events(runs: list[Generation], base: JSON) -> Iterator[bytes]:
    def chunk(number: int, text: str, reason: str, usage: JSON | None = None) -> bytes:
        choice = {"index": number, "text": text, "logprobs": None, "finish_reason": reason}
        return sse(base | {"choices": [choice], "usage": usage})

    try:
        for number, run in enumerate(runs):
            for event in begin(run):
                if isinstance(event, Token) and event.kind != "special":
                    yield chunk(number, event.text, "")
            yield chunk(number, "", _reason(run), _usage(run))
    except EngineFailure as failure:
        yield sse(
            {"error": {"message": f"Request failed during generation: {failure.message}", "http_status_code": 424}}
        )
    yield DONE
