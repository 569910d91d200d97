"""Embedding handlers: texts in, bytes out; bytes in, verified vectors out."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from sagewire.content_handlers.base import not_understood, parse_json
from sagewire.content_handlers.error_bodies import ErrorBody, find_fault
from sagewire.errors import SagewireError, UnsupportedFeature, UsageError, WireError
from sagewire.types import Embeddings, EmbedOptions, Usage

__all__ = ["SEND_TEXT", "EmbeddingHandler", "JsonEmbeddingHandler", "join_embeddings", "verified"]

SEND_TEXT = "Send text (LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)."

# Below SageMaker's request limit (6 291 456 bytes) with room for the JSON around the texts.
_DEFAULT_MAX_BYTES = 5_000_000


class EmbeddingHandler(ABC):
    """One container's wire format for embeddings.

    Attributes:
        name: The handler's key in `EMBEDDING_HANDLERS`.
        content_type: The media type of request bodies.
        accept: The media type of the `Accept` header.
        path: The path of this wire on a plain HTTP server.
        option_names: Which of `dimensions`, `truncate`, `normalize` and `model` the wire has, and its names for them.
            A call that gives another is refused before the handler is called; `model` is left out.
        takes_extra: Settings in `EmbedOptions.extra` are passed to the server under their own names.
        takes_tokens: A text may also be a list of the numbers of its tokens; without it, these are refused before the
            handler is called.
        max_texts: The most texts in one call.
        max_bytes: The most bytes of texts in one call, JSON escapes included.
    """

    name: str = "custom"
    content_type: str = "application/json"
    accept: str = "application/json"
    path: str = ""
    option_names: Mapping[str, str] = {}
    takes_extra: bool = False
    takes_tokens: bool = False
    max_texts: int = 32
    max_bytes: int = _DEFAULT_MAX_BYTES

    @abstractmethod
    def transform_input(self, texts: Sequence[Any], options: EmbedOptions, /) -> bytes:
        """Return the request body.

        Args:
            texts: The texts of one call: strings, or lists of token numbers if the handler has `takes_tokens`.
            options: The settings of the call; only those that the handler declares.
        """

    @abstractmethod
    def transform_output(self, body: bytes, /, count: int) -> Embeddings:
        """Return the vectors in a response body.

        Args:
            body: The body.
            count: How many texts were sent; any other number of vectors is an error.

        Raises:
            WireError: The body is not such an answer, vectors are missing or of different lengths, or a number in them
                is not finite.
            ModelError: The body is an error object.
        """

    @property
    def one_text_per_call(self) -> bool:
        """Whether each text needs its own call."""
        return self.max_texts == 1

    def read_error(self, payload: Any, /) -> ErrorBody | None:
        """Return the container's error if `payload` is an error body; see `ContentHandler.read_error`."""
        return find_fault(payload)

    def parameters(self) -> Mapping[str, str]:
        """Return InvokeEndpoint parameters this wire needs; empty by default."""
        return {}

    def batches(self, texts: Sequence[Any]) -> Iterator[list[Any]]:
        """Yield the texts in batches that keep both limits, in order; a text over `max_bytes` goes alone.

        Raises:
            UnsupportedFeature: They are token numbers, which the wire does not take.
            UsageError: They are neither strings nor lists of token numbers, or some of both.
        """
        _check_texts(texts, self)
        batch: list[Any] = []
        size = 0
        for text in texts:
            length = len(_dumps(text, self.name)) + 1
            if batch and (len(batch) >= self.max_texts or size + length > self.max_bytes):
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += length
        if batch:
            yield batch

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class JsonEmbeddingHandler(EmbeddingHandler):
    """A handler whose container takes a JSON object and answers with JSON.

    `read` may index into its argument as if it were well formed; see `JsonHandler` for malformed answers.
    """

    @abstractmethod
    def payload(self, texts: Sequence[Any], options: EmbedOptions, /) -> Mapping[str, Any]:
        """Return the request as a JSON object; see `transform_input`."""

    @abstractmethod
    def read(self, payload: Any, count: int, /) -> Embeddings:
        """Return the vectors in a parsed response, in the order of the texts; they are verified afterwards."""

    def transform_input(self, texts: Sequence[Any], options: EmbedOptions, /) -> bytes:
        """Return `payload` as JSON."""
        _check_texts(texts, self)
        return _dumps(self.payload(texts, options), self.name)

    def transform_output(self, body: bytes, /, count: int) -> Embeddings:
        """Return the verified vectors in a response body."""
        payload = parse_json(body, self.name)
        error_body = self.read_error(payload)
        if error_body is not None:
            raise error_body.as_model_error()
        try:
            embeddings = self.read(payload, count)
            return verified(embeddings, count, self.name)
        except SagewireError:
            raise
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise not_understood(body, self.name) from error

    def named_options(self, options: EmbedOptions) -> dict[str, Any]:
        """Return the options under the wire's names, then `extra`."""
        values = {wire_name: getattr(options, name) for name, wire_name in self.option_names.items()}
        return {**{name: value for name, value in values.items() if value is not None}, **options.extra}


def verified(embeddings: Embeddings, count: int, handler: str) -> Embeddings:
    """Return `embeddings` if it has `count` vectors, of one length, of finite numbers; else raise `WireError`."""
    rows = embeddings.rows
    if len(rows) != count:
        raise WireError(f"embedding handler '{handler}' sent {count} texts and got {len(rows)} vectors")
    dimensions = embeddings.dimensions
    for number, row in enumerate(rows):
        if not isinstance(row, list | array):
            raise TypeError(f"a vector is {type(row).__name__}")
        if len(row) != dimensions or not dimensions:
            raise WireError(
                f"embedding handler '{handler}' got vectors of different lengths: "
                f"{dimensions} numbers for text 0, {len(row)} for text {number}"
            )
        if not _is_finite(row):
            raise WireError(f"embedding handler '{handler}' got a vector with NaN or infinity for text {number}")
    return embeddings


def join_embeddings(parts: Iterable[Embeddings], handler: str) -> Embeddings:
    """Return the vectors of several calls as one value, token counts summed if every call has them.

    Raises:
        WireError: The calls gave vectors of different lengths.
    """
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    rows: list[Sequence[float]] = [row for part in parts for row in part.rows]
    lengths = sorted({part.dimensions for part in parts if part.rows})
    if len(lengths) > 1:
        raise WireError(f"embedding handler '{handler}' got vectors of different lengths from call to call: {lengths}")
    counts = [part.usage.prompt_tokens if part.usage else None for part in parts]
    known = [count for count in counts if count is not None]
    usage = Usage(prompt_tokens=sum(known)) if parts and len(known) == len(counts) else None
    last = parts[-1] if parts else Embeddings()
    return replace(last, rows=rows, usage=usage)


def _check_texts(texts: Sequence[Any], handler: EmbeddingHandler) -> None:
    # The letters of a string would be embedded one by one.
    if isinstance(texts, str):
        raise UsageError("texts must be a list of strings; for one text write [text]")
    if all(isinstance(text, str) for text in texts):
        return
    if not all(isinstance(text, list) for text in texts):
        raise UsageError("texts must be a list of strings, or of lists of token numbers; for one text write [text]")
    if not handler.takes_tokens:
        raise UnsupportedFeature("texts as token numbers", f"embedding handler '{handler.name}'", SEND_TEXT)


def _is_finite(row: Sequence[float]) -> bool:
    # The sum of finite numbers is finite unless they are huge; it is the fastest look at all of them. Text or null
    # among them is a TypeError.
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(row, array):
        return bool(numpy.isfinite(numpy.frombuffer(row, dtype=numpy.float32)).all())
    return math.isfinite(sum(row)) or all(map(math.isfinite, row))


def _dumps(value: Any, handler: str) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        raise UnsupportedFeature(f"this request as JSON ({error})", f"embedding handler '{handler}'") from None
