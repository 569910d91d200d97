"""`SageMakerEmbedding`: an embedding model on a SageMaker endpoint, in LlamaIndex."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr

from sagewire.content_handlers import get_embedding_handler
from sagewire.integrations.llama_index._connection import Connection, SageMakerConnection
from sagewire.types import InputType

__all__ = ["EndpointEmbedding", "SageMakerEmbedding"]

_OPTIONS = ("dimensions", "truncate", "normalize", "model")


class _Slots:
    """A limit on calls in flight, in each event loop for itself."""

    def __init__(self) -> None:
        self._semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    def __deepcopy__(self, memo: dict[int, Any]) -> _Slots:
        return _Slots()

    def here(self, number: int) -> asyncio.Semaphore:
        """Return the running loop's semaphore, of so many slots if it is new."""
        return self._semaphores.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(number))


class EndpointEmbedding(Connection, BaseEmbedding):
    """The behaviour shared by every embedding class here; see `SageMakerEmbedding`."""

    model_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Settings of every call, under sagewire's or the container's own names."
    )
    embed_batch_size: int = Field(
        default=1024,
        description="The most texts handed over at a time, which are sent as batches of the container's size.",
        gt=0,
        le=2048,
    )
    max_concurrency: int = Field(default=16, description="Asynchronous batches in flight at once.", gt=0)
    dimensions: int | None = Field(default=None, description="Ask for shorter vectors.", gt=0)
    truncate: bool | None = Field(default=None, description="Cut texts that are too long, or refuse them.")
    normalize: bool | None = Field(default=None, description="Ask for vectors of length 1.")
    query_instruction: str | None = Field(default="", description="Put before each query, for models that want it.")
    text_instruction: str | None = Field(default="", description="Put before each text, for models that want it.")
    replace_newlines: bool = Field(default=False, description="Send line breaks as spaces.")

    _slots: _Slots = PrivateAttr(default_factory=_Slots)
    _turns: _Slots = PrivateAttr(default_factory=_Slots)

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)
        if self.content_handler is not None:
            get_embedding_handler(self.content_handler)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._embed([self._clean(query, self.query_instruction)], "query")[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._embed([self._clean(text, self.text_instruction) for text in texts], "document")

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return (await self._aembed([self._clean(query, self.query_instruction)], "query"))[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await self._aembed([self._clean(text, self.text_instruction) for text in texts], "document")

    def _embed(self, texts: Sequence[str], input_type: InputType) -> list[list[float]]:
        return self._client.embed(texts, input_type=input_type, **self._options()).vectors

    async def _aembed(self, texts: Sequence[str], input_type: InputType) -> list[list[float]]:
        # LlamaIndex starts all batches of an index at once.
        if "embed_batch_size" not in self.model_fields_set and len(texts) > 1:
            # Those of the default size are many calls each, so that they take turns.
            async with self._turns.here(1):
                made = self._async_client.embed(
                    texts, input_type=input_type, max_concurrency=self.max_concurrency, **self._options()
                )
                return (await made).vectors
        async with self._slots.here(self.max_concurrency):
            return (await self._async_client.embed(texts, input_type=input_type, **self._options())).vectors

    def _options(self) -> dict[str, Any]:
        extra = dict(self.model_kwargs)
        options = {name: extra.pop(name) for name in _OPTIONS if name in extra}
        own = {"dimensions": self.dimensions, "truncate": self.truncate, "normalize": self.normalize}
        return {**options, **{name: value for name, value in own.items() if value is not None}, "extra": extra}

    def _clean(self, text: str, instruction: str | None) -> str:
        text = text.replace("\n", " ") if self.replace_newlines else text
        if not instruction:
            return text
        # LlamaIndex's classes put a space between the two, and models with an instruction expect one.
        return f"{instruction}{text}" if instruction[-1].isspace() else f"{instruction} {text}"


class SageMakerEmbedding(SageMakerConnection, EndpointEmbedding):
    """An embedding model on a SageMaker endpoint, under the name and arguments of LlamaIndex's own class.

    Synchronous and natively asynchronous. A batch the container finds too large is halved. Line breaks are sent as
    they are; `replace_newlines=True` sends spaces, as the published class always does, and is needed where an index was
    filled with its vectors.

    Args:
        endpoint_name: The endpoint's name; the other connection arguments are those of `SageMakerLLM`.
        content_handler: The request format: a name in `sagewire.content_handlers.EMBEDDING_HANDLERS`, a handler
            object, or one with `serialize_input` and `deserialize_output`. Default: detected.
        model_kwargs: Settings of every call.
        embed_batch_size: The most texts handed over at a time. The container's own batches may be smaller; several of
            them are in flight at once.
        max_concurrency: Asynchronous batches in flight at once.
        dimensions: Ask for shorter vectors, of models trained for that.
        truncate: Cut texts that are too long (`True`) or refuse them (`False`).
        normalize: Ask for vectors of length 1.
        query_instruction: Put before each query (`query: `).
        text_instruction: Put before each text (`passage: `).
        replace_newlines: Send line breaks as spaces.
        verbose: An argument of the published class; it has no effect there either.
        pydantic_program_mode: Another one.

    Raises:
        UsageError: An argument is unknown or contradicts another.

    Example:
        >>> model = SageMakerEmbedding("my-bge", content_handler="tei", aws_region_name="eu-west-1")
        >>> len(model.get_text_embedding("The sky is blue."))  # doctest: +SKIP
        1024
    """

    verbose: bool = False
    pydantic_program_mode: Any = Field(default=None, exclude=True, repr=False)

    def __init__(self, endpoint_name: str = "", **data: Any) -> None:
        super().__init__(endpoint_name=endpoint_name, **{"model_name": endpoint_name or "unknown", **data})

    @classmethod
    def class_name(cls) -> str:
        """Return the published class's name."""
        return "SageMakerEmbedding"
