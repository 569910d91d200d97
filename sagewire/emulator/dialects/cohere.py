"""Cohere's marketplace containers (`cohere_aws/client.py`): chat, generate, embed and rerank."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import orjson

from sagewire.emulator import tokens
from sagewire.emulator.dialects.base import Container, Dialect, Refusal, Route, begin, best, json_body, new_id, streamed
from sagewire.emulator.engines.base import EngineFailure, Turn, sampling_of
from sagewire.emulator.generation import CallStart, CallToken, Generation, Token
from sagewire.emulator.http_values import Request, Response, json_response
from sagewire.types import Message, Role, Tool

__all__ = ["Cohere", "CohereEmbed", "CohereRerank"]

JSON = dict[str, Any]
_ROLES: dict[str, Role] = {"USER": "user", "CHATBOT": "assistant", "SYSTEM": "system", "TOOL": "tool"}
_KINDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def _refusal(message: str, status: int = 400) -> Refusal:
    return Refusal(json_response(status, {"message": message}))


def _streams(request: Request, body: JSON) -> bool:
    # One of the vendor's clients deletes `stream` and relies on the API it calls.
    forwarded = request.headers.get("x-amzn-sagemaker-forwarded-api") == "InvokeEndpointWithResponseStream"
    return forwarded or body.get("stream") is True


class _Marketplace(Dialect):
    """The base of all Cohere containers."""

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the container's routes."""
        return {
            ("POST", "/invocations"): self.invoke,
            ("GET", "/ping"): lambda request, box: Response(200),
        }

    def failure(self, failure: EngineFailure) -> Response:
        """Return the container's error."""
        return json_response(failure.status, {"message": failure.message})

    @abstractmethod
    def invoke(self, request: Request, container: Container) -> Response:
        """Answer `/invocations`."""

    def body(self, request: Request) -> JSON:
        """Return the request's body, an object."""
        body = json_body(request, lambda text: _refusal(f"invalid request: {text}"))
        if not isinstance(body, dict):
            raise _refusal("invalid request: an object is expected")
        return body


class Cohere(_Marketplace):
    """Command: chat, and the older generate, told apart by the body."""

    model_package = "cohere-command-r-plus-v2"
    model_id = "cohere-command-r-plus"

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the container's routes, and the paths of Cohere's own API."""
        return {
            **super().routes(container),
            ("POST", "/v1/chat"): self.invoke,
            ("POST", "/v1/generate"): self.invoke,
        }

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer a chat or a generate request."""
        body = self.body(request)
        if isinstance(body.get("message"), str):
            return self._chat(request, body, container)
        if isinstance(body.get("prompt"), str):
            return self._generate(request, body, container)
        raise _refusal("invalid request: message must be specified")

    def _settings(self, body: JSON) -> JSON:
        number = body.get("max_tokens")
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise _refusal("invalid request: max_tokens must be greater than or equal to 1")
        if (p := body.get("p")) is not None and not 0 < p < 1:
            raise _refusal("invalid request: p must be between 0 and 1")
        stops = tuple(body.get("stop_sequences") or ())
        return {
            "max_tokens": number,
            "stop": stops,
            "temperature": body.get("temperature"),
            "top_p": body.get("p"),
            "seed": body.get("seed"),
            "sampling": sampling_of(body),
        }

    def _chat(self, request: Request, body: JSON, container: Container) -> Response:
        history = tuple(_message(item) for item in body.get("chat_history") or ())
        preamble = (Message("system", body["preamble"]),) if body.get("preamble") else ()
        documents = tuple(Message("system", _document_text(item)) for item in body.get("documents") or ())
        last = (Message("user", body["message"]),) if body["message"] else ()
        results = tuple(_results(body))
        turn = Turn(
            messages=(*preamble, *documents, *history, *last, *results),
            tools=tuple(_tools(body)),
            **self._settings(body),
        )
        run = Generation(container.engine, turn)
        if _streams(request, body):
            return streamed("application/stream+json", map(_line, self._chat_events(run, turn)))
        answer = run.collect()
        calls = [{"name": call.name, "parameters": orjson.loads(call.arguments)} for call in answer.calls]
        return json_response(200, _reply(run, answer.text, calls, turn))

    def _chat_events(self, run: Generation, turn: Turn) -> Iterator[JSON]:
        said: list[str] = []
        calls: list[tuple[str, list[str]]] = []
        yield {"is_finished": False, "event_type": "stream-start", "generation_id": new_id()}
        try:
            for event in begin(run):
                if isinstance(event, Token):
                    said.append(event.text)
                    yield {"is_finished": False, "event_type": "text-generation", "text": event.text}
                elif isinstance(event, CallStart):
                    calls.append((event.name, []))
                elif isinstance(event, CallToken):
                    calls[-1][1].append(event.text)
        except EngineFailure as failure:
            yield {"is_finished": True, "event_type": "stream-end", "finish_reason": "ERROR", "error": failure.message}
            return
        made = [{"name": name, "parameters": orjson.loads("".join(parts))} for name, parts in calls]
        if made:
            yield {"is_finished": False, "event_type": "tool-calls-generation", "tool_calls": made}
        reply = _reply(run, "".join(said), made, turn)
        end = {"is_finished": True, "event_type": "stream-end", "finish_reason": reply["finish_reason"]}
        yield end | {"response": reply}

    def _generate(self, request: Request, body: JSON, container: Container) -> Response:
        number = body.get("num_generations") or 1
        turns = [Turn(prompt=body["prompt"], choice=choice, **self._settings(body)) for choice in range(number)]
        runs = [Generation(container.engine, turn, limit=20) for turn in turns]
        if _streams(request, body):
            return streamed("application/stream+json", map(_line, self._generate_events(runs[0])))
        generations = []
        for run in runs:
            answer = run.collect()
            generations.append({"id": new_id(), "text": answer.text, "finish_reason": _finish(run)})
        document = {"id": new_id(), "generations": generations, "prompt": body["prompt"], "meta": _meta(runs)}
        return json_response(200, document)

    def _generate_events(self, run: Generation) -> Iterator[JSON]:
        said: list[str] = []
        try:
            for event in begin(run):
                if isinstance(event, Token):
                    said.append(event.text)
                    yield {"index": 0, "text": event.text, "is_finished": False}
        except EngineFailure as failure:
            yield {"is_finished": True, "finish_reason": "ERROR", "error": failure.message}
            return
        generations = [{"id": new_id(), "text": "".join(said), "finish_reason": _finish(run)}]
        response = {"id": new_id(), "generations": generations, "meta": _meta([run])}
        yield {"is_finished": True, "finish_reason": _finish(run), "response": response}


class CohereEmbed(_Marketplace):
    """Embed, version 3: `input_type` is required."""

    model_package = "cohere-embed-english-v3-7"
    model_id = "cohere-embed-english-v3"
    types: ClassVar[tuple[str, ...]] = ("float", "int8", "uint8", "binary", "ubinary")

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer an embed request."""
        body = self.body(request)
        texts, kinds = body.get("texts"), body.get("embedding_types")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise _refusal("invalid request: texts must be a non-empty list of strings")
        if len(texts) > 96:
            raise _refusal(f"invalid request: total number of texts must be at most 96 - received {len(texts)}")
        if body.get("input_type") is None:
            raise _refusal("invalid request: valid input_type must be provided with the provided model")
        for kind in kinds or ():
            if kind not in self.types:
                raise _refusal(f"invalid request: embedding type {kind!r} is not supported")
        size = body.get("output_dimension")
        if problem := container.refused_size(size):
            raise _refusal(f"invalid request: output_dimension {problem}")
        rows = container.embed(texts, size)
        typed = {kind: [_as_type(row, kind) for row in rows] for kind in kinds or ()}
        billed = {"input_tokens": sum(map(tokens.count, texts))}
        document: JSON = {"id": new_id(), "texts": texts, "embeddings": typed or rows}
        document["response_type"] = "embeddings_by_type" if kinds else "embeddings_floats"
        return json_response(200, document | {"meta": {"api_version": {"version": "1"}, "billed_units": billed}})


class CohereRerank(_Marketplace):
    """Rerank, version 3."""

    model_package = "cohere-rerank-english-v3-0"
    model_id = "cohere-rerank-english-v3"

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer a rerank request."""
        body = self.body(request)
        query, documents = body.get("query"), body.get("documents")
        if not isinstance(query, str) or not query:
            raise _refusal("invalid request: query must be specified")
        if not isinstance(documents, list) or not documents:
            raise _refusal("invalid request: list of documents must not be empty")
        texts = [_document_text(item) for item in documents]
        try:
            ranked = best(container.relevance(query, texts), body.get("top_n"))
        except ValueError as error:
            raise _refusal(f"invalid request: {error}") from None
        results: list[JSON] = [{"index": index, "relevance_score": score} for index, score in ranked]
        if body.get("return_documents"):
            for result in results:
                result["document"] = {"text": texts[result["index"]]}
        meta = {"api_version": {"version": str(body.get("api_version") or 1)}, "billed_units": {"search_units": 1}}
        return json_response(200, {"id": new_id(), "results": results, "meta": meta})


def _line(document: JSON) -> bytes:
    return orjson.dumps(document) + b"\n"


def _finish(run: Generation) -> str:
    return "MAX_TOKENS" if run.finish == "length" else "STOP_SEQUENCE" if run.stop is not None else "COMPLETE"


def _meta(runs: list[Generation]) -> JSON:
    counts = {
        "input_tokens": runs[0].prompt_tokens,
        "output_tokens": sum(run.completion_tokens for run in runs),
    }
    return {"api_version": {"version": "1"}, "billed_units": counts, "tokens": counts}


def _reply(run: Generation, text: str, calls: list[JSON], turn: Turn) -> JSON:
    names = {role: name for name, role in _ROLES.items()}
    history = [
        {"role": names[message.role], "message": message.content}
        for message in turn.messages
        if message.role in ("user", "assistant")
    ]
    reply: JSON = {
        "response_id": new_id(),
        "generation_id": new_id(),
        "text": text,
        "chat_history": [*history, {"role": "CHATBOT", "message": text}],
        "finish_reason": _finish(run),
        "meta": _meta([run]),
    }
    return reply | ({"tool_calls": calls} if calls else {})


def _message(item: Any) -> Message:
    role = _ROLES.get(str(item.get("role", "")).upper()) if isinstance(item, dict) else None
    if role is None:
        raise _refusal("invalid request: chat_history needs a role of USER, CHATBOT, SYSTEM or TOOL")
    return Message(role, str(item.get("message") or ""))


def _document_text(item: Any) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, dict):
        raise _refusal("invalid request: documents must be strings or objects")
    return str(item["text"]) if "text" in item else "\n".join(f"{key}: {value}" for key, value in item.items())


def _tools(body: JSON) -> Iterator[Tool]:
    for tool in body.get("tools") or ():
        given = tool.get("parameter_definitions") or {}
        properties = {
            name: {"type": _KINDS.get(str(value.get("type")), "string"), "description": value.get("description", "")}
            for name, value in given.items()
        }
        required = [name for name, value in given.items() if value.get("required")]
        schema = {"type": "object", "properties": properties, "required": required}
        yield Tool(str(tool.get("name")), str(tool.get("description") or ""), schema)


def _results(body: JSON) -> Iterator[Message]:
    for result in body.get("tool_results") or ():
        outputs = result.get("outputs") or []
        name = (result.get("call") or {}).get("name")
        yield Message("tool", "\n".join(_document_text(output) for output in outputs), name=name)


def _as_type(row: list[float], kind: str) -> list[Any]:
    if kind == "float":
        return list(row)
    if kind in ("int8", "uint8"):
        return [round(value * 127) + (128 if kind == "uint8" else 0) for value in row]
    # Eight signs to a byte; the signed form is shifted.
    packed = []
    for start in range(0, len(row), 8):
        byte = sum(1 << (7 - position) for position, value in enumerate(row[start : start + 8]) if value > 0)
        packed.append(byte - 128 if kind == "binary" else byte)
    return packed
