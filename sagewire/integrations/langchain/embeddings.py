"""Embeddings: `SagemakerEndpointEmbeddings`, and the base of embeddings on any endpoint of your own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.embeddings import Embeddings
from pydantic import AliasChoices, Field

from sagewire.content_handlers.embeddings import get_embedding_handler
from sagewire.errors import UsageError
from sagewire.integrations.langchain._custom import ContentHandlerBase
from sagewire.integrations.langchain._endpoint import EndpointFields, SagemakerFields
from sagewire.integrations.langchain._errors import model_errors

__all__ = ["EmbeddingsContentHandler", "EndpointEmbeddings", "SagemakerEndpointEmbeddings"]

_OPTIONS = ("dimensions", "truncate", "normalize", "model")


class EmbeddingsContentHandler(ContentHandlerBase[list[str], list[list[float]]]):
    """A content handler for `SagemakerEndpointEmbeddings`: texts in, vectors out.

    Example:
        >>> import json
        >>> class ContentHandler(EmbeddingsContentHandler):
        ...     content_type = "application/json"
        ...     accepts = "application/json"
        ...
        ...     def transform_input(self, texts, model_kwargs):
        ...         return json.dumps({"text_inputs": texts, **model_kwargs}).encode()
        ...
        ...     def transform_output(self, output):
        ...         return json.loads(output.read().decode("utf-8"))["embedding"]
    """


class EndpointEmbeddings(EndpointFields, Embeddings):
    """Embeddings on any endpoint; subclasses add its address.

    Texts are sent in batches the container takes, several at a time; the order is kept.

    Args:
        dimensions: Ask for shorter vectors, of models trained for that.
        truncate: Cut texts that are too long (`True`) or refuse them (`False`).
        normalize: Ask for vectors of length 1.
        model: A served model name (also `model_name`).
        query_prefix: Put before each query, for models that want one (`query: `).
        document_prefix: Put before each document (`passage: `).
        replace_newlines: Send line breaks as spaces, as langchain-community's class does: needed where an index was
            filled with its vectors.
        chunk_size: Maximum texts in one request, if that is less than the container takes.
        model_kwargs: More settings, sent as they are.
    """

    dimensions: int | None = Field(default=None, ge=1)
    truncate: bool | None = None
    normalize: bool | None = None
    model: str | None = Field(default=None, validation_alias=AliasChoices("model", "model_name"))
    query_prefix: str = ""
    document_prefix: str = ""
    replace_newlines: bool = False
    chunk_size: int | None = Field(default=None, ge=1)
    model_kwargs: dict[str, Any] | None = None

    def embed_documents(self, texts: list[str], chunk_size: int | None = None) -> list[list[float]]:
        """Return one vector per text, in the order of the texts.

        Args:
            texts: The texts.
            chunk_size: The most texts in one request, of this call.
        """
        vectors: list[list[float]] = []
        with model_errors():
            for part in self._parts(texts, chunk_size):
                vectors += self._clients.client.embed(part, input_type="document", **self._options()).vectors
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query."""
        if not isinstance(text, str):
            raise UsageError(f"embed_query takes one text, not {type(text).__name__}; for a list use embed_documents")
        with model_errors():
            return self._clients.client.embed(self._query(text), input_type="query", **self._options()).vectors[0]

    async def aembed_documents(self, texts: list[str], chunk_size: int | None = None) -> list[list[float]]:
        """Return one vector per text, in the order of the texts, natively async."""
        vectors: list[list[float]] = []
        with model_errors():
            for part in self._parts(texts, chunk_size):
                answer = await self._clients.twin.embed(part, input_type="document", **self._options())
                vectors += answer.vectors
        return vectors

    async def aembed_query(self, text: str) -> list[float]:
        """Return the vector of a query, natively async."""
        with model_errors():
            answer = await self._clients.twin.embed(self._query(text), input_type="query", **self._options())
            return answer.vectors[0]

    def _check_handler(self) -> None:
        get_embedding_handler(self.content_handler)

    def _options(self) -> dict[str, Any]:
        options = {name: value for name in _OPTIONS if (value := getattr(self, name)) is not None}
        # A handler of the user's own gets them under their own names either way.
        extra = dict(self.model_kwargs or {})
        options |= {name: extra.pop(name) for name in _OPTIONS if name in extra and name not in options}
        return {**options, "extra": extra}

    def _query(self, text: str) -> list[str]:
        return [self._clean(text, self.query_prefix)]

    def _parts(self, texts: Sequence[str], chunk_size: int | None) -> Iterator[list[str]]:
        if isinstance(texts, str):
            raise UsageError("embed_documents takes a list of texts; for one text use embed_query")
        cleaned = [self._clean(text, self.document_prefix) for text in texts]
        size = chunk_size if chunk_size is not None else self.chunk_size
        if size is not None and size < 1:
            raise UsageError(f"chunk_size={size} must be at least 1")
        step = size or max(1, len(cleaned))
        yield from (cleaned[start : start + step] for start in range(0, len(cleaned), step))

    def _clean(self, text: str, prefix: str) -> str:
        return prefix + (text.replace("\n", " ") if self.replace_newlines else text)


class SagemakerEndpointEmbeddings(SagemakerFields, EndpointEmbeddings):
    """Embeddings on a SageMaker endpoint, with the arguments of langchain-community's class of that name.

    The arguments are those of `SagemakerFields` (which endpoint, with whose credentials), `EndpointFields` and
    `EndpointEmbeddings`. `content_handler` is a name out of `EMBEDDING_HANDLERS`, or an `EmbeddingsContentHandler` of
    your own; without one the container is detected.

    Setup:
        Install `sagewire[langchain]`. Credentials and the region are found as boto3 finds them.

    Key init args - client params:
        `endpoint_name`, `region_name`, `session`, `content_handler`, `query_prefix`, `document_prefix`, `dimensions`.

    Instantiate:
        >>> embeddings = SagemakerEndpointEmbeddings(endpoint_name="my-bge", content_handler="tei")  # doctest: +SKIP

    Embed single text:
        >>> len(embeddings.embed_query("Why is the sky blue?"))  # doctest: +SKIP
        1024

    Embed multiple texts:
        >>> len(embeddings.embed_documents(["one", "two"]))  # doctest: +SKIP
        2

    Async:
        >>> vector = await embeddings.aembed_query("Why is the sky blue?")  # doctest: +SKIP
    """

    def _embedding_func(self, texts: list[str]) -> list[list[float]]:
        # Subclasses of the published class call it from an `embed_documents` of their own, once for each batch.
        return EndpointEmbeddings.embed_documents(self, texts, len(texts) or None)
