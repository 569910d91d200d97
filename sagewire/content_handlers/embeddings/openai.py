"""The OpenAI embeddings wire: vLLM's pooling models, TEI's `/v1/embeddings`, llama.cpp and many more."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sagewire.content_handlers.embeddings.base import JsonEmbeddingHandler
from sagewire.content_handlers.openai.chat import route_parameters
from sagewire.content_handlers.outcome import vector_usage
from sagewire.types import Embeddings, EmbedOptions

__all__ = ["OpenAiEmbeddingsHandler", "VllmPoolingHandler", "decode_float32"]


class OpenAiEmbeddingsHandler(JsonEmbeddingHandler):
    """OpenAI embeddings.

    Texts may be token numbers: vLLM, SGLang, TEI and llama.cpp take them, Infinity and Ollama do not.

    Args:
        encoding_format: `base64` asks for raw float32 values, a quarter of the bytes and a fraction of the work;
            answers in either form are read in any case. `None` sends nothing.
        route: For containers that take `route=/v1/...` as a custom attribute (vLLM images): the route.
        path: The path on servers behind a URL; default: `/v1/embeddings`.
    """

    name = "openai_embeddings"
    takes_extra = True
    takes_tokens = True
    path = "/v1/embeddings"
    max_texts = 128
    option_names: Mapping[str, str] = {"dimensions": "dimensions", "model": "model"}

    def __init__(
        self,
        *,
        encoding_format: Literal["float", "base64"] | None = None,
        route: str | None = None,
        path: str | None = None,
    ) -> None:
        self.encoding_format = encoding_format
        self.route = route
        if path is not None:
            self.path = path

    def payload(self, texts: Sequence[Any], options: EmbedOptions, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        payload: dict[str, Any] = {"input": list(texts)}
        if self.encoding_format is not None:
            payload["encoding_format"] = self.encoding_format
        return {**payload, **self.named_options(options)}

    def parameters(self) -> Mapping[str, str]:
        """Return the `route=` custom attribute if a route is set."""
        return route_parameters(self.route)

    def read(self, payload: Any, count: int, /) -> Embeddings:
        """Return the vectors in a parsed response, put into the order of their `index`."""
        if isinstance(payload, list):
            # llama.cpp's own `/embedding` sends the array alone.
            payload = {"data": payload}
        data = payload["data"]
        rows: list[Any] = [None] * len(data)
        for position, item in enumerate(data):
            index = item.get("index", position)
            if not 0 <= index < len(rows) or rows[index] is not None:
                raise ValueError(f"index {index} is out of range or there twice")
            vector = item["embedding"]
            if isinstance(vector, list) and len(vector) == 1 and isinstance(vector[0], list):
                # One vector for the text, in its own array (llama.cpp).
                vector = vector[0]
            rows[index] = decode_float32(vector) if isinstance(vector, str) else vector
        usage = payload.get("usage")
        return Embeddings(rows, vector_usage(usage) if usage else None, payload.get("model") or None)


class VllmPoolingHandler(OpenAiEmbeddingsHandler):
    """vLLM's pooling models: OpenAI embeddings as base64, with vLLM's names for truncation and normalisation.

    Whether texts are prefixed (`query: `) is up to the caller: vLLM adds nothing.

    Args:
        encoding_format: As for `OpenAiEmbeddingsHandler`, but `base64` by default.
        route: As for `OpenAiEmbeddingsHandler`.
    """

    name = "vllm_pooling"
    takes_extra = True
    option_names: Mapping[str, str] = {
        "dimensions": "dimensions",
        "model": "model",
        "truncate": "truncate_prompt_tokens",
        "normalize": "use_activation",
    }

    def __init__(
        self, *, encoding_format: Literal["float", "base64"] | None = "base64", route: str | None = None
    ) -> None:
        super().__init__(encoding_format=encoding_format, route=route)

    def named_options(self, options: EmbedOptions) -> dict[str, Any]:
        """Return the options under vLLM's names: it takes a number of tokens, -1 for the model's own limit."""
        named = super().named_options(options)
        if options.truncate is not None and "truncate_prompt_tokens" not in options.extra:
            del named["truncate_prompt_tokens"]
            # Texts that are too long are refused unless this is set.
            named.update({"truncate_prompt_tokens": -1} if options.truncate else {})
        return named


def decode_float32(text: str) -> array[float]:
    """Return the little-endian float32 values in a base64 text, without a Python object for each.

    Raises:
        ValueError: The text is not base64, or not a whole number of values.

    Example:
        >>> decode_float32("AACAPwAAAEA=")
        array('f', [1.0, 2.0])
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"no base64: {error}") from None
    values = array("f")
    values.frombytes(raw)
    if sys.byteorder == "big":
        values.byteswap()
    return values
