"""Audio, video and files, in the shapes of OpenAI, LangChain, Anthropic and Google, as parts of a message."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from sagewire.errors import UnsupportedFeature
from sagewire.types import ImagePart, MediaPart, TextPart
from sagewire.types.openai_shape import decode_base64

__all__ = ["media_part", "read_media"]

_URLS = {"audio": "audio_url", "video": "video_url"}
_CURE = "Send its URL, or its bytes as base64, or its content as text."
# The formats of OpenAI's `input_audio` that differ from the media type's word.
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "x-m4a": "m4a", "x-flac": "flac"}
_DEFAULTS = {"audio": "audio/wav", "video": "video/mp4", "file": "application/pdf"}


def read_media(block: Mapping[str, Any]) -> MediaPart | ImagePart | TextPart:
    """Return a part for a content block that holds audio, a video or a file.

    Raises:
        UnsupportedFeature: It holds neither bytes nor a URL nor the id of a file.
    """
    kind = str(block.get("type"))
    if kind in ("input_audio", "audio_url", "video_url", "file") and block.get(kind):
        value = block[kind]
        return MediaPart(kind, {"url": value} if isinstance(value, str) else dict(value))
    source = block.get("source")
    fields = source if isinstance(source, Mapping) else block
    if isinstance(source, Mapping) and source.get("type") == "text":
        return TextPart(str(source.get("data") or ""))
    mime = fields.get("mime_type") or fields.get("media_type")
    kind = {"document": "file", "input_file": "file", "media": str(mime).partition("/")[0]}.get(kind, kind)
    url = fields.get("url") or fields.get("file_uri") or fields.get("file_url")
    # LangChain's standard name, then that of its older blocks, of Anthropic's source and of OpenAI's file.
    encoded = fields.get("base64") or fields.get("data") or fields.get("file_data")
    extras = block.get("extras")
    name = next(
        (where["filename"] for where in (block, extras) if isinstance(where, Mapping) and "filename" in where), ""
    )
    if isinstance(encoded, str) and encoded.startswith("data:"):
        header, _, encoded = encoded.partition(",")
        mime = mime or header[5:].partition(";")[0]
    if isinstance(encoded, str) and encoded:
        return media_part(kind, decode_base64(encoded, f"the data of a block of type '{kind}'"), mime, name)
    if isinstance(url, str) and url:
        return _by_url(kind, url)
    file_id = fields.get("file_id") or (fields.get("id") if fields.get("source_type") == "id" else None)
    if kind == "file" and file_id:
        return MediaPart("file", {"file_id": file_id})
    raise UnsupportedFeature(f"a content block of type '{kind}' without data or URL", "a message", _CURE)


def media_part(kind: str, data: bytes, mime: str | None = None, name: str = "") -> MediaPart | ImagePart:
    """Return a part that holds bytes.

    Args:
        kind: `audio`, `video`, `image` or `file`.
        data: The bytes.
        mime: Their media type.
        name: The file's name; OpenAI requires one.
    """
    if kind == "image":
        return ImagePart(data=data, media_type=mime or "image/png")
    mime = mime or _DEFAULTS.get(kind, "application/octet-stream")
    encoded = base64.b64encode(data).decode("ascii")
    if kind == "audio":
        word = mime.partition(";")[0].rpartition("/")[2].lower()
        return MediaPart("input_audio", {"data": encoded, "format": _AUDIO_FORMATS.get(word, word)})
    if kind == "video":
        return MediaPart("video_url", {"url": f"data:{mime};base64,{encoded}"})
    name = name or f"file.{mime.rpartition('/')[2]}"
    return MediaPart("file", {"file_data": f"data:{mime};base64,{encoded}", "filename": name})


def _by_url(kind: str, url: str) -> MediaPart | ImagePart:
    if kind == "image":
        return ImagePart(url=url)
    if kind in _URLS:
        return MediaPart(_URLS[kind], {"url": url})
    # OpenAI's chat API takes files by their bytes or id; fetching it here would mean fetching for the server.
    raise UnsupportedFeature(
        "a file given by its URL", "OpenAI's chat format", "Load it, and send its bytes as base64."
    )
