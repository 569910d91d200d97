"""The `upstream` engine: it forwards to any OpenAI-compatible server, so that SageMaker code meets a real model."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from sagewire.emulator.engines.base import (
    SAMPLING,
    Call,
    Counts,
    EngineFailure,
    Piece,
    Stop,
    Text,
    Thinking,
    Turn,
)
from sagewire.emulator.tokens import TokenPrompt
from sagewire.errors import UsageError, WireError, excerpt
from sagewire.streaming.base import Decoder
from sagewire.streaming.jsonlines import JsonDocumentsDecoder
from sagewire.streaming.sse import SseDecoder
from sagewire.types import MediaPart, Message, Part, TextPart, Tool

__all__ = ["Upstream"]

_log = logging.getLogger("sagewire.emulator")
CONNECT_SECONDS = 5.0
READ_SECONDS = 300.0
JSON = dict[str, Any]
# `owned_by` in Ollama's list of models, and its own API beside OpenAI's.
OLLAMA, OLLAMA_OWN = "library", "ollama"
_OLLAMA_NAMES = {"max_tokens": "num_predict"}
_OPENAI_SAMPLING = {name: name for name in ("frequency_penalty", "presence_penalty", "logit_bias", "reasoning_effort")}
_ALL_SAMPLING = {name: name for name in SAMPLING}
# Settings of vLLM and SGLang that others lack.
_VLLM_SAMPLING = {
    name: name
    for name in (
        *(name for name in SAMPLING if name != "typical_p"),
        *("logit_bias", "min_tokens", "ignore_eos", "stop_token_ids", "bad_words", "allowed_token_ids"),
        *("length_penalty", "use_beam_search", "truncate_prompt_tokens", "chat_template", "chat_template_kwargs"),
        *("continue_final_message", "documents", "reasoning_effort", "thinking_token_budget", "mm_processor_kwargs"),
        *("include_stop_str_in_output", "add_special_tokens", "skip_special_tokens", "add_generation_prompt"),
        "include_reasoning",
    )
} | {"truncate": "truncate_prompt_tokens"}
_NUMBERED = "texts that are token numbers cannot be passed on to an upstream model; send text"
# Servers without this switch have no other way than the one that is asked for by default.
_HINTS = frozenset({"skip_special_tokens"})
# Server -> the settings it knows, and what it calls them.
_SAMPLING: dict[str, dict[str, str]] = {
    "vllm": _VLLM_SAMPLING,
    "sglang": _VLLM_SAMPLING,
    "llamacpp": _ALL_SAMPLING
    | {"repetition_penalty": "repeat_penalty"}
    | {name: name for name in ("logit_bias", "ignore_eos", "chat_template_kwargs")},
    OLLAMA: _OPENAI_SAMPLING | {"logit_bias": ""},
    OLLAMA_OWN: _ALL_SAMPLING | {"repetition_penalty": "repeat_penalty"},
}


class Upstream:
    """An engine that forwards to another server: Ollama, llama.cpp, vLLM, or any other with OpenAI's API.

    Features the server lacks are refused with status 400, never made up: log probabilities, and settings,
    schemas and vectors that its API has no field for. Prompts are continued as they are: Ollama, whose completions
    route writes them into a chat template, is asked on its own route.

    Args:
        base_url: The server's base URL with its version, for example `http://127.0.0.1:11434/v1`.
        model: The model name to ask for; `None` takes the first one the server lists.
        api_key: The server's key; `None` reads `OPENAI_API_KEY`.
    """

    blocking = True
    counts_tokens = True

    def __init__(self, base_url: str, model: str | None = None, api_key: str | None = None) -> None:
        import urllib3

        if not base_url.startswith(("http://", "https://")):
            raise UsageError(f"upstream={base_url!r} is not an HTTP URL; write upstream=http://127.0.0.1:11434/v1")
        self._url = base_url.rstrip("/")
        self._model = model
        self._owner: str | None = None
        self._key = api_key or os.environ.get("OPENAI_API_KEY", "none")
        self._pool = urllib3.PoolManager(maxsize=64, retries=False)
        self._timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)

    def __repr__(self) -> str:
        return f"Upstream({self._url!r}, model={self._model!r})"

    def generate(self, turn: Turn, /) -> Iterator[Piece]:
        """Yield the server's answer as it arrives."""
        if turn.logprobs:
            raise EngineFailure("log probabilities of an upstream model cannot be passed on; leave them out", 400)
        if isinstance(turn.prompt, TokenPrompt):
            raise EngineFailure(_NUMBERED, 400)
        if turn.choices or turn.pattern:
            raise EngineFailure("an upstream server cannot be held to choices or a pattern; use a JSON schema", 400)
        server = self._server()
        if turn.prompt is not None and server == OLLAMA:
            yield from self._continue_with_ollama(turn)
            return
        if turn.prompt is None:
            path, body = "/chat/completions", self._chat_body(turn, server)
        else:
            path, body = "/completions", {"prompt": turn.prompt} | self._completion_schema(turn, server)
        body |= self._settings(turn) | self._sampling(turn, server)
        body |= {"model": self._model, "stream": True, "stream_options": {"include_usage": True}}
        yield from _Reader().read(self._events(path, body))

    def embed(self, texts: Sequence[str], size: int | None, /) -> list[list[float]]:
        """Return the server's vectors."""
        if any(isinstance(text, TokenPrompt) for text in texts):
            raise EngineFailure(_NUMBERED, 400)
        self._server()
        body: JSON = {"model": self._model, "input": list(texts)} | ({"dimensions": size} if size else {})
        found = self._whole("/embeddings", body, "embeddings")
        try:
            rows = [item["embedding"] for item in sorted(found["data"], key=lambda item: item.get("index", 0))]
        except (KeyError, TypeError, AttributeError):
            rows = []
        if size and any(len(row) != size for row in rows):
            raise EngineFailure(f"the upstream server does not make vectors of {size} numbers; leave the size out", 400)
        if len(rows) != len(texts):
            raise EngineFailure(f"the upstream server answered {len(rows)} vectors for {len(texts)} texts", 502)
        return rows

    def relevance(self, query: str, texts: Sequence[str], /) -> list[float]:
        """Return the server's scores."""
        self._server()
        found = self._whole("/rerank", {"model": self._model, "query": query, "documents": list(texts)}, "reranking")
        try:
            scores = {item["index"]: float(item["relevance_score"]) for item in found["results"]}
            return [scores[index] for index in range(len(texts))]
        except (KeyError, TypeError, ValueError):
            raise EngineFailure("the upstream server's ranking does not cover every text", 502) from None

    def _whole(self, path: str, body: JSON, what: str) -> Any:
        try:
            return orjson.loads(self._request("POST", path, body).data)
        except orjson.JSONDecodeError:
            raise EngineFailure(f"the upstream server's answer to {what} is not JSON", 502) from None

    def _settings(self, turn: Turn) -> JSON:
        wanted = {
            "max_tokens": turn.max_tokens,
            "stop": list(turn.stop) or None,
            # Several answers with one seed would be one answer several times.
            "seed": None if turn.seed is None else turn.seed + turn.choice,
            "temperature": turn.temperature,
            "top_p": turn.top_p,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def _sampling(self, turn: Turn, server: str) -> JSON:
        names = _SAMPLING.get(server, _OPENAI_SAMPLING)
        settings = {name: value for name, value in turn.sampling.items() if name in names or name not in _HINTS}
        if server == "llamacpp" and "reasoning_effort" in settings:
            # Its templates read it there.
            effort = {"reasoning_effort": settings.pop("reasoning_effort")}
            settings["chat_template_kwargs"] = {**effort, **settings.get("chat_template_kwargs", {})}
        missing = [name for name in settings if not names.get(name)]
        if missing:
            raise EngineFailure(f"the upstream server has no field for {', '.join(missing)}; leave them out", 400)
        return {names[name]: value for name, value in settings.items()}

    def _chat_body(self, turn: Turn, server: str) -> JSON:
        thinks = server in ("vllm", "sglang", "llamacpp")
        body: JSON = {"messages": [_message(message, thinks) for message in turn.messages]}
        if turn.tools:
            named = turn.tool_choice not in ("auto", "none", "required")
            choice: Any = {"type": "function", "function": {"name": turn.tool_choice}} if named else turn.tool_choice
            body |= {"tools": [_tool(tool) for tool in turn.tools], "tool_choice": choice}
            body |= {} if turn.parallel_tool_calls else {"parallel_tool_calls": False}
        return body | _response_format(turn)

    def _completion_schema(self, turn: Turn, server: str) -> JSON:
        if turn.json_schema is None:
            return {}
        if server == "llamacpp":
            # Its completions ignore `response_format`.
            return {"json_schema": dict(turn.json_schema)}
        if server in ("vllm", "sglang"):
            return _response_format(turn)
        raise EngineFailure(
            "the upstream server's completions cannot be held to a JSON schema; use a chat container", 400
        )

    def _continue_with_ollama(self, turn: Turn) -> Iterator[Piece]:
        """Continue a prompt as it is: Ollama's completions route writes it into the model's chat template."""
        options = {_OLLAMA_NAMES.get(name, name): value for name, value in self._settings(turn).items()}
        body: JSON = {"model": self._model, "prompt": turn.prompt, "raw": True, "stream": True}
        body["options"] = options | self._sampling(turn, OLLAMA_OWN)
        if turn.json_schema is not None:
            body["format"] = dict(turn.json_schema)
        for event in self._events("/api/generate", body, JsonDocumentsDecoder()):
            if event.get("response"):
                yield Text(event["response"])
            if event.get("done"):
                yield Counts(int(event.get("prompt_eval_count") or 0), int(event.get("eval_count") or 0))
                if event.get("done_reason") == "length":
                    yield Stop("length")

    def _server(self) -> str:
        """Return the kind of server, from its list of models, and remember a model's name."""
        if self._owner is None:
            try:
                models = orjson.loads(self._request("GET", "/models", None).data)["data"]
                names = [str(model["id"]) for model in models]
                self._owner = str(models[0].get("owned_by", "")) if models else ""
            except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
                names, self._owner = [], ""
            except EngineFailure:
                if self._model is None:
                    raise
                names, self._owner = [], ""
            if self._model is None and not names:
                self._owner = None
                raise EngineFailure(f"the upstream server at {self._url} lists no models; name one", 502)
            self._model = self._model or names[0]
        return self._owner

    def _request(self, method: str, path: str, body: JSON | None) -> Any:
        import urllib3

        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            response = self._pool.request(
                method,
                (self._url.removesuffix("/v1") if path.startswith("/api/") else self._url) + path,
                body=None if body is None else orjson.dumps(body),
                headers=headers,
                preload_content=False,
                timeout=self._timeout,
            )
        except urllib3.exceptions.HTTPError as error:
            raise EngineFailure(f"no answer from the upstream server at {self._url}: {error}", 502) from None
        if response.status >= 400:
            text = excerpt(response.read(2000))
            response.release_conn()
            hint = "" if response.status != 404 or "/v1" in self._url else " (its base URL usually ends with /v1)"
            raise EngineFailure(f"the upstream server answered {response.status}{hint}: {text}", response.status)
        return response

    def _events(self, path: str, body: JSON, decoder: Decoder[bytes, Any] | None = None) -> Iterator[JSON]:
        import urllib3

        response, decoder = self._request("POST", path, body), decoder or SseDecoder()
        try:
            for data in response.stream(65536, decode_content=True):
                yield from map(_parse, (event for event in decoder.feed(data) if event != b"[DONE]"))
            yield from map(_parse, (event for event in decoder.close() if event != b"[DONE]"))
        except (urllib3.exceptions.HTTPError, WireError) as error:
            raise EngineFailure(f"the upstream server's stream broke: {error}", 502) from None
        finally:
            response.close()


def _response_format(turn: Turn) -> JSON:
    if turn.json_schema is None:
        return {}
    schema = {"name": "answer", **turn.schema_fields, "schema": dict(turn.json_schema)}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _parse(event: Any) -> JSON:
    try:
        document = orjson.loads(event) if isinstance(event, bytes) else event
    except orjson.JSONDecodeError:
        raise EngineFailure(f"the upstream server sent an event that is not JSON: {excerpt(event)}", 502) from None
    if isinstance(document, dict) and document.get("error"):
        error = document["error"]
        text = error.get("message") if isinstance(error, dict) else error
        raise EngineFailure(f"the upstream server failed: {text}", 502)
    return document if isinstance(document, dict) else {}


class _Reader:
    """A reader of chunks as pieces: calls are held back until they are complete."""

    def __init__(self) -> None:
        self._calls: list[JSON] = []
        self._by_index: dict[int | None, JSON] = {}

    def read(self, chunks: Iterator[JSON]) -> Iterator[Piece]:
        usage, reason = None, None
        for chunk in chunks:
            usage = chunk.get("usage") or usage
            for choice in chunk.get("choices") or ():
                delta = choice.get("delta") or choice.get("message") or {}
                reason = choice.get("finish_reason") or reason
                if thinking := delta.get("reasoning") or delta.get("reasoning_content"):
                    yield Thinking(thinking)
                if text := delta.get("content") or delta.get("refusal") or choice.get("text"):
                    yield Text(text)
                for part in delta.get("tool_calls") or ():
                    self._add(part)
        for call in self._calls:
            yield Call(call["name"], call["arguments"] or "{}", call["id"])
        if not usage:
            _log.warning("the upstream server did not count tokens: the counts of this answer are the emulator's own")
        else:
            yield Counts(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
        if reason in ("length", "content_filter"):
            yield Stop(reason)

    def _add(self, part: JSON) -> None:
        function = part.get("function") or {}
        name, index = function.get("name") or "", part.get("index")
        call = self._by_index.get(index)
        if call is None or _begins_anew(call, part.get("id"), name, index):
            call = self._by_index[index] = {"id": None, "name": "", "arguments": ""}
            self._calls.append(call)
        call["id"] = part.get("id") or call["id"]
        if name != call["name"]:
            call["name"] += name
        arguments = function.get("arguments") or ""
        call["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments)


def _begins_anew(call: JSON, call_id: str | None, name: str, index: int | None) -> bool:
    """Return whether a piece begins another call: Ollama gives all calls one index, and other servers give none."""
    if call_id and call["id"]:
        return bool(call_id != call["id"])
    if not (name and call["name"]):
        return False
    return _is_whole(call["arguments"]) or (index is None and name != call["name"])


def _is_whole(arguments: str) -> bool:
    try:
        json.loads(arguments)
    except ValueError:
        return False
    return True


def _tool(tool: Tool) -> JSON:
    function: JSON = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _part(part: Part) -> JSON:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, MediaPart):
        return {"type": part.kind, part.kind: dict(part.value)}
    detail = {} if part.detail is None else {"detail": part.detail}
    return {"type": "image_url", "image_url": {"url": part.as_url(), **detail}}


def _message(message: Message, thinks: bool) -> JSON:
    content: Any = message.content
    if not isinstance(content, str):
        content = [_part(part) for part in content]
    body: JSON = {"role": message.role, "content": content}
    if message.tool_calls:
        body["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if thinks and message.thinking:
        # The second is the newer name.
        body |= {"reasoning_content": message.thinking, "reasoning": message.thinking}
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        body["name"] = message.name
    return body
