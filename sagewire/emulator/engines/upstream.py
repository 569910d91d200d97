"""The `upstream` engine: it forwards to any OpenAI-compatible server, so that SageMaker code meets a real model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import orjson

from sagewire.emulator.engines.base import Call, Counts, EngineFailure, Piece, Stop, Text, Thinking, Turn
from sagewire.errors import UsageError, WireError, excerpt
from sagewire.streaming.sse import SseDecoder
from sagewire.types import Message, TextPart, Tool

__all__ = ["Upstream"]

CONNECT_SECONDS = 5.0
READ_SECONDS = 300.0
JSON = dict[str, Any]


class Upstream:
    """Answers with what another server answers: Ollama, llama.cpp, vLLM, or any other that speaks OpenAI's API.

    Args:
        base_url: The server's base URL with its version, for example `http://127.0.0.1:11434/v1`.
        model: The model name to ask for; `None` takes the first one the server lists.
        api_key: The server's key; `None` reads `OPENAI_API_KEY`.
    """

    blocking = True

    def __init__(self, base_url: str, model: str | None = None, api_key: str | None = None) -> None:
        import urllib3

        if not base_url.startswith(("http://", "https://")):
            raise UsageError(f"upstream={base_url!r} is no http URL; write upstream=http://127.0.0.1:11434/v1")
        self._url = base_url.rstrip("/")
        self._model = model
        self._key = api_key or os.environ.get("OPENAI_API_KEY", "none")
        self._pool = urllib3.PoolManager(maxsize=64, retries=False)
        self._timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)

    def __repr__(self) -> str:
        return f"Upstream({self._url!r}, model={self._model!r})"

    def generate(self, turn: Turn, /) -> Iterator[Piece]:
        """Yield the server's answer as it arrives."""
        if turn.prompt is None:
            path, body = "/chat/completions", self._chat_body(turn)
        else:
            path, body = "/completions", {"prompt": turn.prompt} | self._settings(turn)
        body |= {"model": self._model or self._first_model(), "stream": True, "stream_options": {"include_usage": True}}
        yield from _Reader().read(self._events(path, body))

    def _settings(self, turn: Turn) -> JSON:
        wanted = {
            "max_tokens": turn.max_tokens,
            "stop": list(turn.stop) or None,
            "seed": turn.seed,
            "temperature": turn.temperature,
            "top_p": turn.top_p,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def _chat_body(self, turn: Turn) -> JSON:
        body: JSON = {"messages": [_message(message) for message in turn.messages]} | self._settings(turn)
        if turn.tools:
            named = turn.tool_choice not in ("auto", "none", "required")
            choice: Any = {"type": "function", "function": {"name": turn.tool_choice}} if named else turn.tool_choice
            body |= {"tools": [_tool(tool) for tool in turn.tools], "tool_choice": choice}
        if turn.json_schema is not None:
            schema = {"name": "answer", "schema": dict(turn.json_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _first_model(self) -> str:
        try:
            document = orjson.loads(self._request("GET", "/models", None).data)
            self._model = str(document["data"][0]["id"])
        except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
            raise EngineFailure(f"the upstream server at {self._url} lists no models; name one", 502) from None
        return self._model

    def _request(self, method: str, path: str, body: JSON | None) -> Any:
        import urllib3

        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            response = self._pool.request(
                method,
                self._url + path,
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
            raise EngineFailure(f"the upstream server answered {response.status}: {text}", response.status)
        return response

    def _events(self, path: str, body: JSON) -> Iterator[JSON]:
        import urllib3

        response, decoder = self._request("POST", path, body), SseDecoder()
        try:
            for data in response.stream(65536, decode_content=True):
                yield from map(_parse, (event for event in decoder.feed(data) if event != b"[DONE]"))
            yield from map(_parse, (event for event in decoder.close() if event != b"[DONE]"))
        except (urllib3.exceptions.HTTPError, WireError) as error:
            raise EngineFailure(f"the upstream server's stream broke: {error}", 502) from None
        finally:
            response.close()


def _parse(event: bytes) -> JSON:
    try:
        document = orjson.loads(event)
    except orjson.JSONDecodeError:
        raise EngineFailure(f"the upstream server sent an event that is not JSON: {excerpt(event)}", 502) from None
    if isinstance(document, dict) and document.get("error"):
        error = document["error"]
        text = error.get("message") if isinstance(error, dict) else error
        raise EngineFailure(f"the upstream server failed: {text}", 502)
    return document if isinstance(document, dict) else {}


class _Reader:
    """Turns chunks into pieces: calls are held back until they are complete."""

    def __init__(self) -> None:
        self._calls: dict[int, JSON] = {}

    def read(self, chunks: Iterator[JSON]) -> Iterator[Piece]:
        usage, reason = None, None
        for chunk in chunks:
            usage = chunk.get("usage") or usage
            for choice in chunk.get("choices") or ():
                delta = choice.get("delta") or {}
                reason = choice.get("finish_reason") or reason
                if thinking := delta.get("reasoning") or delta.get("reasoning_content"):
                    yield Thinking(thinking)
                if text := delta.get("content") or choice.get("text"):
                    yield Text(text)
                for part in delta.get("tool_calls") or ():
                    self._add(part)
        for _, call in sorted(self._calls.items()):
            yield Call(call["name"], call["arguments"] or "{}", call["id"])
        if usage:
            yield Counts(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
        if reason == "length":
            yield Stop(reason)

    def _add(self, part: JSON) -> None:
        call = self._calls.setdefault(int(part.get("index") or 0), {"id": None, "name": "", "arguments": ""})
        function = part.get("function") or {}
        call["id"] = part.get("id") or call["id"]
        call["name"] += function.get("name") or ""
        arguments = function.get("arguments") or ""
        call["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments)


def _tool(tool: Tool) -> JSON:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _message(message: Message) -> JSON:
    content: Any = message.content
    if not isinstance(content, str):
        content = [
            {"type": "text", "text": part.text}
            if isinstance(part, TextPart)
            else {"type": "image_url", "image_url": {"url": part.as_url()}}
            for part in content
        ]
    body: JSON = {"role": message.role, "content": content}
    if message.tool_calls:
        body["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        body["name"] = message.name
    return body
