"""Text Embeddings Inference (`router/src/http/{server,types}.rs`): `/invocations` is one route, by the model's kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson

from sagewire.emulator import tokens, vectors
from sagewire.emulator.dialects.base import Container, Dialect, Refusal, Route, json_body
from sagewire.emulator.engines.base import EngineFailure, VectorEngine
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["Tei", "TeiClassify", "TeiRerank"]

VERSION = "1.9.2"
PAYLOAD_LIMIT = 2_000_000
MAX_INPUT = 8192


def _error(status: int, message: str, kind: str) -> Response:
    return json_response(status, {"error": message, "error_type": kind})


class Tei(Dialect):
    """TEI with an embedding model."""

    image = "683313688378.dkr.ecr.{region}.amazonaws.com/tei:2.0.1-tei1.9.2-gpu-py310-cu122-ubuntu22.04"
    environment: ClassVar[Mapping[str, str]] = {"HF_MODEL_ID": "{model_id}", "MAX_CLIENT_BATCH_SIZE": "32"}
    model_id = "BAAI/bge-small-en-v1.5"
    kind: ClassVar[Mapping[str, Any]] = {"embedding": {"pooling": "cls"}}

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the router's routes."""
        routes: dict[tuple[str, str], Route] = {
            ("POST", "/invocations"): self.main,
            ("POST", "/"): self.main,
            ("GET", "/info"): self.info,
            ("GET", "/health"): lambda request, box: Response(200),
            ("GET", "/ping"): lambda request, box: Response(200),
        }
        own = {name: route for (_, name), route in self.model_routes().items()}
        # Routes of other kinds of models exist, and say so.
        for path in ("/embed", "/embed_all", "/rerank", "/predict", "/similarity", "/v1/embeddings"):
            routes[("POST", path)] = own.get(path, self._not_this_model)
        return routes

    def model_routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the routes of this kind of model; the first is the one behind `/invocations`."""
        return {
            ("POST", "/embed"): self.embed,
            ("POST", "/embed_all"): self.embed_all,
            ("POST", "/similarity"): self.similarity,
            ("POST", "/v1/embeddings"): self.openai,
        }

    def main(self, request: Request, container: Container) -> Response:
        """Answer `/invocations`."""
        if container.environment.get("TASK") == "sentence-similarity":
            return self.similarity(request, container)
        return next(iter(self.model_routes().values()))(request, container)

    def failure(self, failure: EngineFailure) -> Response:
        """Return the router's error for a backend that failed."""
        return _error(424, failure.message, "Backend")

    def _not_this_model(self, request: Request, container: Container) -> Response:
        return _error(424, f"model is not of the kind that {request.path} needs", "Backend")

    def body(self, request: Request) -> dict[str, Any]:
        """Return the request's body, an object."""
        if len(request.body) > PAYLOAD_LIMIT:
            raise Refusal(Response(413, {"Content-Type": "text/plain"}, b"length limit exceeded"))
        body = json_body(request, lambda text: _plain(f"Failed to parse the request body as JSON: {text}", 400))
        if not isinstance(body, dict):
            raise _plain("Failed to deserialize the JSON body into the target type: invalid type")
        return body

    def embed_body(self, request: Request) -> dict[str, Any]:
        """Return the body of a request for vectors."""
        body = self.body(request)
        if (name := body.get("prompt_name")) is not None:
            # Prompts come with a model's files, and neither the emulator nor a server behind it has these.
            raise Refusal(
                _error(422, f"`prompt_name` {name!r}: no prompts were found in the model's files", "Validation")
            )
        return body

    def inputs(self, given: Any, container: Container, truncate: Any) -> list[str]:
        """Return the texts of a request, checked."""
        texts = _texts(given)
        if texts is None:
            raise _plain("Failed to deserialize the JSON body into the target type: missing field `inputs`")
        self.check_batch(texts, container)
        for text in texts:
            if not text:
                raise Refusal(_error(413, "`inputs` cannot be empty", "Validation"))
            if (number := tokens.count(text)) > MAX_INPUT and truncate is False:
                text = f"`inputs` must have less than {MAX_INPUT} tokens. Given: {number}"
                raise Refusal(_error(413, text, "Validation"))
        return texts

    def check_batch(self, texts: Sequence[Any], container: Container) -> None:
        """Refuse batches that are empty or too large."""
        most = container.number("MAX_CLIENT_BATCH_SIZE", 32)
        if not texts:
            raise Refusal(_error(400, "`inputs` cannot be empty", "Empty"))
        if len(texts) > most:
            text = f"batch size {len(texts)} > maximum allowed batch size {most}"
            raise Refusal(_error(422, text, "Validation"))

    def size(self, body: Mapping[str, Any], container: Container) -> int | None:
        """Return the length of vectors that is asked for, checked."""
        size = body.get("dimensions")
        problem = container.refused_size(size)
        if problem and type(size) is not int:
            raise _plain(f"Failed to deserialize the JSON body into the target type: dimensions {problem}")
        if problem:
            raise Refusal(_error(422, f"`dimensions` {problem}", "Validation"))
        return size

    def embed(self, request: Request, container: Container) -> Response:
        """Answer `/embed`: always a list of lists."""
        body = self.embed_body(request)
        texts = self.inputs(body.get("inputs"), container, body.get("truncate"))
        rows = container.embed(texts, self.size(body, container))
        if body.get("normalize", True):
            rows = [vectors.normalized(row) for row in rows]
        elif not isinstance(container.engine, VectorEngine):
            rows = [[3.0 * x for x in row] for row in rows]
        headers = {"Content-Type": "application/json", "x-compute-tokens": str(sum(map(tokens.count, texts)))}
        return Response(200, headers, orjson.dumps(rows))

    def embed_all(self, request: Request, container: Container) -> Response:
        """Answer `/embed_all`: one vector per token."""
        body = self.embed_body(request)
        texts = self.inputs(body.get("inputs"), container, body.get("truncate"))
        return json_response(200, container.token_vectors(texts))

    def similarity(self, request: Request, container: Container) -> Response:
        """Answer `/similarity`: one number per sentence."""
        given = self.embed_body(request).get("inputs")
        if not isinstance(given, dict) or not isinstance(given.get("source_sentence"), str):
            raise _plain("Failed to deserialize the JSON body into the target type: missing field `source_sentence`")
        rows = container.embed([given["source_sentence"], *(given.get("sentences") or ())])
        source, *others = map(vectors.normalized, rows)
        return json_response(200, [sum(x * y for x, y in zip(source, other, strict=True)) for other in others])

    def openai(self, request: Request, container: Container) -> Response:
        """Answer `/v1/embeddings`."""
        body = self.body(request)
        texts = _texts(body.get("input"))
        if not texts:
            return json_response(422, {"message": "input cannot be empty", "code": 422, "type": "validation"})
        most = container.number("MAX_CLIENT_BATCH_SIZE", 32)
        if len(texts) > most:
            text = f"batch size {len(texts)} > maximum allowed batch size {most}"
            return json_response(422, {"message": text, "code": 422, "type": "validation"})
        packed = body.get("encoding_format") == "base64"
        rows = container.embed(texts, self.size(body, container))
        data = [
            {"object": "embedding", "embedding": vectors.as_base64(row) if packed else row, "index": index}
            for index, row in enumerate(rows)
        ]
        number = sum(map(tokens.count, texts))
        usage = {"prompt_tokens": number, "total_tokens": number}
        model = body.get("model") or container.model_id
        return json_response(200, {"object": "list", "data": data, "model": model, "usage": usage})

    def info(self, request: Request, container: Container) -> Response:
        """Answer `/info`."""
        document = {
            "model_id": container.model_id,
            "model_sha": None,
            "model_dtype": "float16",
            "model_type": self.kind,
            "max_concurrent_requests": 512,
            "max_input_length": MAX_INPUT,
            "max_batch_tokens": 16384,
            "max_client_batch_size": container.number("MAX_CLIENT_BATCH_SIZE", 32),
            "auto_truncate": True,
            "version": VERSION,
        }
        return json_response(200, document)


class TeiRerank(Tei):
    """TEI with a reranker."""

    model_id = "BAAI/bge-reranker-base"
    kind: ClassVar[Mapping[str, Any]] = {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}

    def model_routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the routes of a reranker."""
        return {("POST", "/rerank"): self.rerank}

    def rerank(self, request: Request, container: Container) -> Response:
        """Answer `/rerank`: sorted by score."""
        body = self.body(request)
        query, texts = body.get("query"), body.get("texts")
        if not isinstance(query, str) or not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
            raise _plain("Failed to deserialize the JSON body into the target type: missing field `texts`")
        if not texts:
            raise Refusal(_error(400, "`texts` cannot be empty", "Empty"))
        self.check_batch(texts, container)
        found = list(enumerate(container.relevance(query, texts)))
        ranked: list[dict[str, Any]] = [
            {"index": index, "score": 10 * score - 5 if body.get("raw_scores") else score}
            for index, score in sorted(found, key=lambda item: (-item[1], item[0]))
        ]
        if body.get("return_text"):
            for item in ranked:
                item["text"] = texts[item["index"]]
        return json_response(200, ranked)


class TeiClassify(Tei):
    """TEI with a classifier."""

    model_id = "SamLowe/roberta-base-go_emotions"
    kind: ClassVar[Mapping[str, Any]] = {"classifier": {"id2label": {"0": "POSITIVE", "1": "NEGATIVE"}}}

    def model_routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the routes of a classifier."""
        return {("POST", "/predict"): self.predict}

    def predict(self, request: Request, container: Container) -> Response:
        """Answer `/predict`."""
        given = self.body(request).get("inputs")
        if isinstance(given, str):
            return json_response(200, _labels(given))
        if not isinstance(given, list):
            raise _plain("Failed to deserialize the JSON body into the target type: missing field `inputs`")
        self.check_batch(given, container)
        if all(isinstance(item, str) for item in given):
            return json_response(200, _labels(" ".join(given)))
        if not all(isinstance(item, list) and all(isinstance(text, str) for text in item) for item in given):
            raise _plain("Failed to deserialize the JSON body into the target type: inputs: invalid type")
        return json_response(200, [_labels(" ".join(item)) for item in given])


def _texts(given: Any) -> list[str] | None:
    """Return texts, also those that are given as token numbers; `None` if it is neither."""
    if given == []:
        return []
    try:
        return list(tokens.texts_of(given))
    except ValueError:
        return None


def _labels(text: str) -> list[dict[str, Any]]:
    positive = 0.5 + 0.4 * (vectors.relevance("good great love happy", text) - vectors.relevance("bad sad hate", text))
    scores = {"POSITIVE": round(positive, 6), "NEGATIVE": round(1 - positive, 6)}
    return [{"score": score, "label": label} for label, score in sorted(scores.items(), key=lambda item: -item[1])]


def _plain(message: str, status: int = 422) -> Refusal:
    return Refusal(Response(status, {"Content-Type": "text/plain; charset=utf-8"}, message.encode()))
