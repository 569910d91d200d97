"""Embeddings from Triton Inference Server's `infer`: texts as a BYTES tensor in, a tensor of numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.content_handlers.embeddings.base import JsonEmbeddingHandler
from sagewire.content_handlers.triton.tensors import flat, read_tensor
from sagewire.types import Embeddings, EmbedOptions

__all__ = ["TritonEmbeddingHandler"]


class TritonEmbeddingHandler(JsonEmbeddingHandler):
    """An embedding model behind Triton that tokenizes itself; `extra` goes into the request along with the tensors.

    Args:
        input: The name of the tensor that takes the texts, one row each.
        output: The name of the tensor that holds a vector per row; `None` if it is the model's only output.
        model: The model's name, for the path of a plain HTTP server.
    """

    name = "triton_embedding"
    takes_extra = True
    option_names: Mapping[str, str] = {}

    def __init__(
        self,
        *,
        input: str = "text_input",
        output: str | None = None,
        model: str = "ensemble",
    ) -> None:
        self.input = input
        self.output = output
        self.path = f"/v2/models/{model}/infer"

    def payload(self, texts: Sequence[str], options: EmbedOptions, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        given = {"name": self.input, "shape": [len(texts), 1], "datatype": "BYTES", "data": list(texts)}
        payload: dict[str, Any] = {"inputs": [given]}
        if self.output is not None:
            payload["outputs"] = [{"name": self.output}]
        return {**payload, **self.named_options(options)}

    def read(self, payload: Any, count: int, /) -> Embeddings:
        """Return the rows of the output tensor."""
        found = read_tensor(payload, self.output, self.name)
        rows, *rest = found["shape"]
        values = list(flat(found["data"]))
        # [texts, dimensions], or with dimensions of one between: [texts, 1, dimensions].
        width = max(rest)
        if [size for size in rest if size != 1] != ([width] if width != 1 else []) or rows * width != len(values):
            raise ValueError(f"shape {found['shape']} is not that of a vector per text")
        return Embeddings([values[start : start + width] for start in range(0, len(values), width)])
