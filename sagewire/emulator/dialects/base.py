"""Dialects: the HTTP surface of one serving container, from request bytes to response bytes."""

from __future__ import annotations

import itertools
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import orjson

from sagewire.emulator import vectors
from sagewire.emulator.engines.base import Engine, EngineFailure, Turn, VectorEngine
from sagewire.emulator.generation import Event, Generation, RawAnswer, prompt_tokens
from sagewire.emulator.http_values import Request, Response, Step, json_response
from sagewire.emulator.vocabulary import NO_SPECIAL_TOKENS, Vocabulary, vocabulary_of

__all__ = [
    "Container",
    "Dialect",
    "Refusal",
    "Route",
    "begin",
    "best",
    "flag",
    "json_body",
    "new_id",
    "sse",
    "streamed",
]

LONGEST_VECTOR = 8192


class Refusal(Exception):
    """A refusal by the container, with its response."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"HTTP {response.status}")
        self.response = response


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except EngineFailure as failure:
        raise Refusal(json_response(failure.status, {"error": failure.message})) from None


@dataclass(slots=True)
class Container:
    """A running container: a dialect with a model behind it.

    Args:
        name: The endpoint or inference component it serves.
        engine: The model.
        environment: The container's environment variables, the dialect's defaults included.
        model_id: The hub id of the model.
        clock: Seconds since the epoch.
        adapters: LoRA adapters that are loaded.
        dimensions: The length of embedding vectors.
    """

    name: str
    engine: Engine
    environment: Mapping[str, str]
    model_id: str
    clock: Callable[[], float]
    adapters: set[str] = field(default_factory=set)
    dimensions: int = 64

    @property
    def vocabulary(self) -> Vocabulary:
        """The special tokens of the model; none if a real server behind the emulator has dealt with them."""
        return NO_SPECIAL_TOKENS if getattr(self.engine, "counts_tokens", False) else vocabulary_of(self.model_id)

    def generation(
        self,
        turn: Turn,
        *,
        keep_stop: bool = False,
        limit: int | None = None,
        special: Literal["drop", "keep", "flag"] = "drop",
    ) -> Generation:
        """Return an answer of the model; the arguments are those of `Generation`."""
        return Generation(
            self.engine, turn, keep_stop=keep_stop, limit=limit, vocabulary=self.vocabulary, special=special
        )

    def prompt_tokens(self, turn: Turn) -> int:
        """Count the tokens of a request."""
        return prompt_tokens(turn, self.vocabulary)

    def refused_size(self, size: Any) -> str:
        """Return why vectors of a length cannot be made, as the end of a sentence; an empty string if they can.

        Hashed words fit vectors of any length, so only lengths that no model has are refused.
        """
        if size is None:
            return ""
        if isinstance(size, bool) or not isinstance(size, int):
            return f"must be a whole number, not {size!r:.40}"
        if size < 1:
            return "must be positive"
        most = max(self.dimensions, LONGEST_VECTOR)
        return "" if size <= most else f"must be at most {most}"

    def embed(self, texts: Sequence[str], size: int | None = None) -> list[list[float]]:
        """Return a vector per text: the model's own, if there is one, else hashed words.

        Raises:
            Refusal: The model behind the container makes no vectors.
        """
        if isinstance(self.engine, VectorEngine):
            with _refusing():
                return self.engine.embed(texts, size)
        return [vectors.embed(text, size or self.dimensions) for text in texts]

    def relevance(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return how well each text fits a query: the model's own score, if there is one, else shared words.

        Raises:
            Refusal: The model behind the container does not rerank.
        """
        if isinstance(self.engine, VectorEngine):
            with _refusing():
                return self.engine.relevance(query, texts)
        return [vectors.relevance(query, text) for text in texts]

    def token_vectors(self, texts: Sequence[str]) -> list[list[list[float]]]:
        """Return a vector per token of each text.

        Raises:
            Refusal: The model behind the container gives one vector per text only.
        """
        if isinstance(self.engine, VectorEngine):
            message = "an upstream server gives one vector per text, not one per token; use tei or openai_embeddings"
            raise Refusal(json_response(400, {"error": message}))
        return [vectors.token_vectors(text, self.dimensions) for text in texts]

    def flag(self, name: str) -> bool:
        """Return whether an environment variable is switched on."""
        return flag(self.environment.get(name, ""))

    def number(self, name: str, default: int) -> int:
        """Return an environment variable as a number."""
        return int(self.environment.get(name) or default)


Route = Callable[[Request, Container], Response]


class Dialect(ABC):
    """A serving container. Subclasses name its image and answer its routes.

    Attributes:
        image: The image URI, with `{region}` in it.
        environment: Environment variables of a usual deployment, with `{model_id}` in the values.
        model_id: The model of a deployment that does not name one.
        tags: Tags SageMaker's own tools put on such an endpoint.
        invocations: The container's own route that `/invocations` stands for, if any.
        model_package: The name of the marketplace package it is deployed from, instead of an image.
    """

    image: ClassVar[str] = ""
    environment: ClassVar[Mapping[str, str]] = {}
    model_id: ClassVar[str] = "sagewire/emulated-model"
    tags: ClassVar[Mapping[str, str]] = {}
    model_package: ClassVar[str] = ""

    def handle(self, request: Request, container: Container) -> Response:
        """Answer one request to the container; every failure is the container's own error response."""
        route = self.routes(container).get((request.method, request.path.rstrip("/") or "/"))
        try:
            if route is None:
                return self.not_found(request)
            return _started(route(request, container))
        except Refusal as refusal:
            return refusal.response
        except RawAnswer as answer:
            headers = {"Content-Type": answer.raw.content_type or "application/json"}
            return Response(answer.raw.status, headers, answer.raw.data)
        except EngineFailure as failure:
            return self.failure(failure)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            # A body may be malformed in more ways than anyone checks: real servers answer those with status 500, too.
            return self.failure(EngineFailure(f"{type(error).__name__}: {error}"))

    @abstractmethod
    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return what answers each method and path."""

    @abstractmethod
    def failure(self, failure: EngineFailure) -> Response:
        """Return the container's error response for a model that failed."""

    def not_found(self, request: Request) -> Response:
        """Return the container's answer to a path it does not serve."""
        return Response(404, {"Content-Type": "application/json"}, b'{"detail":"Not Found"}')


def _started(response: Response) -> Response:
    """Run a streamed answer up to its first piece: an engine may still answer in its own bytes."""
    if isinstance(response.body, bytes):
        return response
    steps = iter(response.body)
    first = next(steps, None)
    return replace(response, body=steps if first is None else itertools.chain([first], steps))


def flag(value: str) -> bool:
    """Return whether a setting's text means yes."""
    return value.strip().lower() in ("1", "true", "yes", "on")


def json_body(request: Request, refuse: Callable[[str], Refusal]) -> Any:
    """Return the request's body, parsed; `refuse` makes the container's own error for bad JSON."""
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise refuse(str(error)) from None


def sse(document: object, *, space: bool = True) -> bytes:
    """Return one server-sent event."""
    return (b"data: " if space else b"data:") + orjson.dumps(document) + b"\n\n"


def streamed(content_type: str, body: Iterable[Step], **headers: str) -> Response:
    """Return a streamed response."""
    return Response(200, {"Content-Type": content_type, **{k.replace("_", "-"): v for k, v in headers.items()}}, body)


def begin(generation: Generation) -> Iterator[Event]:
    """Run a generation up to its first event, so that failing before it can still change the status."""
    events = iter(generation)
    first = next(events, None)
    return events if first is None else itertools.chain([first], events)


def best(scores: Sequence[float], top_n: Any) -> list[tuple[int, float]]:
    """Return index and score of the best documents, all of them if `top_n` is missing or 0.

    Raises:
        ValueError: `top_n` is not such a number.
    """
    if top_n is not None and (isinstance(top_n, bool) or not isinstance(top_n, int) or top_n < 0):
        raise ValueError(f"top_n must be a positive whole number, not {top_n!r:.40}")
    return sorted(enumerate(scores), key=lambda item: (-item[1], item[0]))[: top_n or None]


def new_id() -> str:
    """Return a unique id."""
    return uuid.uuid4().hex
