"""vLLM with a pooling model (`entrypoints/pooling/*/protocol.py`), and LMI's embedding containers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson

from sagewire.emulator import tokens, vectors
from sagewire.emulator.dialects.base import Container, Dialect, Refusal, Route, best, json_body, new_id
from sagewire.emulator.dialects.openai_request import BadRequest, read_messages, texts_of
from sagewire.emulator.dialects.vllm import Vllm
from sagewire.emulator.engines.base import EngineFailure, text_of
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["LmiEmbedding", "LmiRerank", "LmiVllmEmbedding", "VllmPooling", "VllmRerank"]

JSON = dict[str, Any]


class VllmPooling(Vllm):
    """vLLM with an embedding model: `input` on `/invocations`."""

    environment: ClassVar[Mapping[str, str]] = {
        "SM_VLLM_MODEL": "{model_id}",
        "SM_VLLM_RUNNER": "pooling",
        "SM_VLLM_MAX_MODEL_LEN": "8192",
    }
    model_id = "BAAI/bge-m3"
    schemas: tuple[str, ...] = ("EmbeddingRequest", "RerankRequest", "ScoreRequest", "PoolingRequest")

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the routes of a pooling server."""
        generation = ("/v1/chat/completions", "/v1/completions")
        routes = {key: route for key, route in super().routes(container).items() if key[1] not in generation}
        return routes | {
            ("POST", "/v1/embeddings"): self._route(self._embed),
            ("POST", "/rerank"): self._route(self._rerank),
            ("POST", "/v1/rerank"): self._route(self._rerank),
            ("POST", "/score"): self._route(self._score),
        }

    def _route(self, handler: Callable[[Any, Container], Response]) -> Route:
        return lambda request, container: self._guard(handler, request, container)

    def handlers(self) -> tuple[Callable[[Any, Container], Response], ...]:
        """Return what `/invocations` tries, in order."""
        return (self._embed, self._rerank, self._score)

    def _embed(self, body: Any, container: Container) -> Response:
        texts = _inputs(body)
        if "normalize" in body:
            raise BadRequest("normalize is no longer supported, use use_activation instead", "normalize", shape=False)
        self._check_model(body.get("model") or "", container)
        kind = body.get("encoding_format") or "float"
        if kind not in ("float", "base64"):
            raise BadRequest("Input should be 'float' or 'base64'", "encoding_format")
        size = body.get("dimensions")
        if problem := container.refused_size(size):
            raise BadRequest(f"dimensions {problem}", "dimensions", shape=False)
        window = container.number(self.window_name, 8192)
        for text in texts:
            if (number := tokens.count(text)) > window and not body.get("truncate_prompt_tokens"):
                text = f"This model's maximum context length is {window} tokens. However, you requested {number} tokens"
                raise BadRequest(text, "input", shape=False)
        rows = container.embed(texts, size)
        data = [
            {"index": index, "object": "embedding", "embedding": vectors.as_base64(row) if kind == "base64" else row}
            for index, row in enumerate(rows)
        ]
        document = {"id": f"embd-{new_id()}", "object": "list", "created": int(container.clock())}
        document |= {"model": body.get("model") or self.served_name(container), "data": data, "usage": _usage(texts)}
        return json_response(200, document)

    def _rerank(self, body: Any, container: Container) -> Response:
        query, documents = (body.get("query"), body.get("documents")) if isinstance(body, dict) else (None, None)
        if not isinstance(query, str) or not isinstance(documents, list) or not documents:
            raise BadRequest("Field required", "documents")
        texts = [item if isinstance(item, str) else str(item.get("text", "")) for item in documents]
        try:
            ranked = best(container.relevance(query, texts), body.get("top_n"))
        except ValueError as error:
            raise BadRequest(str(error), "top_n", shape=False) from None
        results = [
            {"index": index, "document": {"text": texts[index]}, "relevance_score": score} for index, score in ranked
        ]
        document = {"id": f"rerank-{new_id()}", "model": body.get("model") or self.served_name(container)}
        return json_response(200, document | {"usage": _usage([query, *texts]), "results": results})

    def _score(self, body: Any, container: Container) -> Response:
        pairs = (("queries", "documents"), ("text_1", "text_2"), ("data_1", "data_2"), ("queries", "items"))
        names = next((pair for pair in pairs if isinstance(body, dict) and set(pair) <= body.keys()), None)
        if names is None:
            raise BadRequest("Field required", "text_1")
        left, right = (body[name] if isinstance(body[name], list) else [body[name]] for name in names)
        left = left * len(right) if len(left) == 1 else left
        if len(left) != len(right):
            raise BadRequest("Input lengths must be either 1:1, 1:N or N:N", shape=False)
        data = [
            {"index": index, "object": "score", "score": container.relevance(str(a), [str(b)])[0]}
            for index, (a, b) in enumerate(zip(left, right, strict=True))
        ]
        document = {"id": f"score-{new_id()}", "object": "list", "created": int(container.clock())}
        return json_response(
            200, document | {"model": self.served_name(container), "data": data, "usage": _usage(right)}
        )


class VllmRerank(VllmPooling):
    """vLLM with a cross-encoder: `query` and `documents` on `/invocations`."""

    model_id = "BAAI/bge-reranker-v2-m3"
    environment: ClassVar[Mapping[str, str]] = {**VllmPooling.environment, "SM_VLLM_TASK": "score"}
    schemas: tuple[str, ...] = ("RerankRequest", "ScoreRequest")

    def handlers(self) -> tuple[Callable[[Any, Container], Response], ...]:
        """Return what `/invocations` tries, in order."""
        return (self._rerank, self._score)


def _inputs(body: Any) -> list[str]:
    if not isinstance(body, dict):
        raise BadRequest("Field required", "input")
    if "messages" in body:
        return ["\n".join(text_of(message) for message in read_messages(body["messages"]))]
    if not body.get("input"):
        raise BadRequest("Field required", "input")
    return texts_of(body["input"], "input")


def _usage(texts: list[Any]) -> JSON:
    number = sum(tokens.count(text if isinstance(text, str) else str(text)) for text in texts)
    return {"prompt_tokens": number, "total_tokens": number, "completion_tokens": 0, "prompt_tokens_details": None}


class LmiEmbedding(Dialect):
    """LMI's OnnxRuntime engine: a string gives one flat vector, a list a list of vectors."""

    image = "763104351884.dkr.ecr.{region}.amazonaws.com/djl-inference:0.33.0-cpu-full"
    environment: ClassVar[Mapping[str, str]] = {
        "HF_MODEL_ID": "{model_id}",
        "OPTION_ENGINE": "OnnxRuntime",
        "OPTION_TASK": "text-embedding",
        "SERVING_BATCH_SIZE": "32",
    }
    model_id = "BAAI/bge-base-en-v1.5"

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the routes of the model server's front end."""
        return {
            ("POST", "/invocations"): self.invoke,
            ("POST", "/predictions/model"): self.invoke,
            ("GET", "/ping"): lambda request, box: json_response(200, {"status": "Healthy"}),
        }

    def failure(self, failure: EngineFailure) -> Response:
        """Return the front end's error."""
        return json_response(500, {"code": 500, "type": "InternalServerException", "message": failure.message})

    def refusal(self, message: str) -> Refusal:
        """Return the refusal of a request that cannot be translated."""
        return Refusal(json_response(400, {"code": 400, "type": "TranslateException", "message": message}))

    def texts(self, request: Request) -> tuple[list[str], bool]:
        """Return the texts of a request, and whether there was one only."""
        body = json_body(request, self.refusal)
        given = body.get("inputs") if isinstance(body, dict) else None
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise self.refusal('Missing "inputs" in json.')
        return texts, isinstance(given, str)

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer `/invocations`."""
        texts, single = self.texts(request)
        rows = container.embed(texts)
        return Response(200, {"Content-Type": "application/json"}, orjson.dumps(rows[0] if single else rows))


class LmiVllmEmbedding(LmiEmbedding):
    """LMI's vLLM handler with an embedding model: always a list of vectors."""

    image = "763104351884.dkr.ecr.{region}.amazonaws.com/djl-inference:0.36.0-lmi18.0.0-cu128"
    environment: ClassVar[Mapping[str, str]] = {
        "HF_MODEL_ID": "{model_id}",
        "OPTION_TASK": "text_embedding",
        "OPTION_ENTRYPOINT": "djl_python.lmi_vllm.vllm_async_service",
        "OPTION_ASYNC_MODE": "true",
    }

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer `/invocations`."""
        texts, _ = self.texts(request)
        rows = container.embed(texts)
        return Response(200, {"Content-Type": "application/json"}, orjson.dumps(rows))


class LmiRerank(LmiEmbedding):
    """LMI's OnnxRuntime engine with a cross-encoder: pairs joined by the separator tokens, a score for each."""

    model_id = "BAAI/bge-reranker-base"
    environment: ClassVar[Mapping[str, str]] = {
        **LmiEmbedding.environment,
        "OPTION_TASK": "text_classification",
        "OPTION_TRANSLATORFACTORY": "ai.djl.huggingface.translator.CrossEncoderTranslatorFactory",
    }

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer `/invocations`."""
        texts, single = self.texts(request)
        pairs = [text.partition("</s></s>") for text in texts]
        scores = [container.relevance(query, [document])[0] for query, _, document in pairs]
        return json_response(200, scores[0] if single else scores)
