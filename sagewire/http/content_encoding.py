"""Compressed answers, unpacked by urllib3's decoders; the same for both engines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["BodyDecoder", "EncodingError"]

# Compressed bytes unpacked at a time. Deflate packs about a thousand bytes into one, so a piece never has more than
# some 4 MB, whatever the server sends.
_SLICE = 4_096
_GZIP = ("gzip", "x-gzip")
_MAX_ENCODINGS = 5


class EncodingError(Exception):
    """A compressed body that is damaged, incomplete, or packed in an unknown way.

    Attributes:
        incomplete: All that is wrong with it is that the end is missing.
    """

    def __init__(self, reason: str, *, incomplete: bool = False) -> None:
        super().__init__(reason)
        self.incomplete = incomplete


class BodyDecoder:
    """A compressed body to the bytes inside.

    No request asks for compression, but some proxies compress all the same.

    Args:
        encodings: The `Content-Encoding` header, for example `gzip` or `deflate, gzip`.

    Raises:
        EncodingError: The header names an unknown encoding; by `feed`, the body is damaged; by `close`, it broke off.
    """

    def __init__(self, encodings: str) -> None:
        names = [name.strip().lower() for name in encodings.split(",") if name.strip()]
        if len(names) > _MAX_ENCODINGS:
            raise EncodingError(f"its body is packed {len(names)} times")
        # The encoding that was applied last comes off first.
        self._layers = [_decoder(name) for name in reversed(names) if name != "identity"]
        self._begun = False

    @classmethod
    def of(cls, encodings: str | None) -> BodyDecoder | None:
        """Return a decoder for a `Content-Encoding` header, `None` if the body is not compressed."""
        return cls(encodings) if encodings and encodings.strip().lower() != "identity" else None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` unpacks to, in pieces of limited size."""
        self._begun = self._begun or bool(data)
        return self._unpack(data, 0)

    def close(self) -> None:
        """Raise if the body broke off. An empty body passes: answers without content may name an encoding."""
        if self._begun and not all(_complete(layer) for layer in self._layers):
            raise EncodingError("its compressed body is incomplete", incomplete=True)

    def _unpack(self, data: bytes, layer: int) -> Iterator[bytes]:
        if layer == len(self._layers):
            if data:
                yield data
            return
        for start in range(0, len(data), _SLICE):
            try:
                piece = self._layers[layer].decompress(data[start : start + _SLICE])
            except Exception as error:
                # Each library behind urllib3's decoders has its own exceptions.
                raise EncodingError(f"its compressed body is damaged: {error}") from error
            yield from self._unpack(piece, layer + 1)


def _decoder(name: str) -> Any:
    from urllib3 import response

    if name in _GZIP:
        return response.GzipDecoder()
    if name == "deflate":
        return response.DeflateDecoder()
    # These exist only if the library for them is installed.
    kind = getattr(response, {"br": "BrotliDecoder", "zstd": "ZstdDecoder"}.get(name, ""), None)
    if kind is None:
        raise EncodingError(f"its body is packed as {name[:40]!r}, which was not asked for and cannot be unpacked here")
    return kind()


def _complete(decoder: Any) -> bool:
    inner: Any = getattr(decoder, "_obj", None)
    if isinstance(getattr(inner, "eof", None), bool):
        return bool(inner.eof) or _swallows_garbage(decoder)
    is_finished = getattr(inner, "is_finished", None)
    return bool(is_finished()) if callable(is_finished) else True


def _swallows_garbage(decoder: Any) -> bool:
    """Return whether the bytes after a complete gzip member are not gzip; all clients ignore such bytes."""
    from urllib3.response import GzipDecoderState

    return getattr(decoder, "_state", None) == GzipDecoderState.SWALLOW_DATA
