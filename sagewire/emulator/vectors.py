"""Embeddings without a model: hashed words and character triples, so that similar texts have near vectors."""

from __future__ import annotations

import base64
import math
import re
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache

from sagewire.emulator import tokens

__all__ = ["as_base64", "embed", "normalized", "relevance", "token_vectors"]

_WORD = re.compile(r"[^\W_]+")
_DULL = frozenset(
    """
    a an and are as at be by do does for from how in is it of on or that the this to was what when where which who why
    with
    """.split()  # noqa: SIM905 - a paragraph reads better than thirty quoted words
)
WORD_WEIGHT = 1.0
TRIPLE_WEIGHT = 0.35
DULL_WEIGHT = 0.05


@lru_cache(maxsize=65536)
def _slot(feature: str, dimensions: int) -> tuple[int, float]:
    # The hash's low bits choose the position, its top bit the sign, so that collisions cancel out on average.
    code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
    return code % dimensions, 1.0 if code & 0x80000000 else -1.0


def _add(vector: list[float], feature: str, weight: float) -> None:
    position, sign = _slot(feature, len(vector))
    vector[position] += sign * weight


def normalized(vector: Sequence[float]) -> list[float]:
    """Return the vector with length one; one of length one, or of nothing but zeros, as it is.

    Example:
        >>> normalized([3.0, 4.0])
        [0.6, 0.8]
    """
    length = math.sqrt(sum(x * x for x in vector))
    return list(vector) if not length or math.isclose(length, 1.0, rel_tol=1e-6) else [x / length for x in vector]


def embed(text: str, dimensions: int) -> list[float]:
    """Return a vector of length one; the same text always has the same.

    Example:
        >>> round(sum(x * x for x in embed("hello", 8)), 6)
        1.0
    """
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.lower()):
        if word in _DULL:
            _add(vector, word, DULL_WEIGHT)
            continue
        _add(vector, word, WORD_WEIGHT)
        padded = f"^{word}$"
        for start in range(len(padded) - 2):
            _add(vector, padded[start : start + 3], TRIPLE_WEIGHT)
    length = math.sqrt(sum(x * x for x in vector))
    if length == 0.0:
        # A text without words still has a direction.
        _add(vector, f"no words: {text}", 1.0)
        return vector
    return [x / length for x in vector]


def token_vectors(text: str, dimensions: int) -> list[list[float]]:
    """Return one vector per token, special tokens at both ends, as feature extraction does."""
    return [embed(piece, dimensions) for piece in ("[CLS]", *tokens.pieces(text), "[SEP]")]


def relevance(query: str, document: str) -> float:
    """Return how well a document fits a query, between 0 and 1."""
    query_words, document_words = _features(query), _features(document)
    if not query_words or not document_words:
        return 0.0
    shared = sum(1.0 if word in document_words else _near(word, document_words) for word in query_words)
    return round(min(0.999, 0.001 + shared / len(query_words) * (0.9 + 0.1 / (1 + len(document_words)))), 6)


def _features(text: str) -> set[str]:
    return {word for word in _WORD.findall(text.lower()) if word not in _DULL}


def _near(word: str, others: set[str]) -> float:
    stem = word[: max(4, len(word) - 3)]
    return 0.6 if len(word) >= 4 and any(other.startswith(stem) for other in others) else 0.0


def as_base64(vector: Sequence[float]) -> str:
    """Return a vector as OpenAI's base64: little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
