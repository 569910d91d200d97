"""Images, audio, video and files, in the shapes of many programs, as parts of a message."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.types.content.left_out import note_left_out
from sagewire.types.conversation import ImagePart, MediaPart, TextPart

__all__ = ["decode_base64", "image_from_url", "media_part", "read_image", "read_media", "with_heading"]

_URLS = {"audio": "audio_url", "video": "video_url"}
_CURE = "Send its URL, or its bytes as base64, or its content as text."
# The formats of OpenAI's `input_audio` that differ from the media type's word.
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "x-m4a": "m4a", "x-flac": "flac"}
_DEFAULTS = {"audio": "audio/wav", "video": "video/mp4", "file": "application/pdf"}
# The words for files in Bedrock's Converse API that are not the second half of their media type.
_CONVERSE_TYPES = {
    "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "csv": "text/csv", "html": "text/html",
    "doc": "application/msword", "xls": "application/vnd.ms-excel",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "mkv": "video/x-matroska", "mov": "video/quicktime", "three_gp": "video/3gpp", "flv": "video/x-flv",
}  # fmt: skip
_AS_THEY_ARE = ("input_audio", "audio_url", "video_url", "file")


def read_image(block: Mapping[str, Any]) -> ImagePart:
    """Return the image in a block of type `image`, `image_url` or `input_image`.

    Raises:
        UnsupportedFeature: It holds neither bytes nor a URL.
        UsageError: Its data are not base64.
    """
    kind = block.get("type")
    if kind in ("image_url", "input_image"):
        image = block.get("image_url")
        note_left_out(block, "image_url", "detail")
        fields = image if isinstance(image, Mapping) else {"url": image, "detail": block.get("detail")}
    else:
        fields = _source(block, "image")
    url, detail = fields.get("url"), fields.get("detail")
    if isinstance(url, str) and url:
        return image_from_url(url, detail)
    found = _bytes_of(fields, "an image's data")
    if found is not None:
        data, mime = found
        return ImagePart(data=data, media_type=mime or "image/png", detail=detail)
    raise UnsupportedFeature(
        f"an image given by {_place(fields)}", "a message", "Give its URL, or its bytes as base64."
    )


def read_media(block: Mapping[str, Any]) -> MediaPart | ImagePart | TextPart:
    """Return a part for a block that holds audio, a video or a file.

    Raises:
        UnsupportedFeature: It holds neither bytes nor a URL nor the id of a file.
    """
    kind = str(block.get("type"))
    if kind in _AS_THEY_ARE and isinstance(block.get(kind), Mapping | str) and block[kind]:
        note_left_out(block, kind)
        value = block[kind]
        return MediaPart(kind, {"url": value} if isinstance(value, str) else dict(value))
    fields = _source(block, kind)
    text = _text_of(block, fields)
    if text is not None:
        return TextPart(text)
    mime = _media_type(fields)
    kind = {"document": "file", "input_file": "file", "media": str(mime).partition("/")[0]}.get(kind, kind)
    if kind not in ("audio", "video", "image"):
        kind = "file"
    found = _bytes_of(fields, f"the data of a block of type '{kind}'")
    if found is not None:
        return media_part(kind, found[0], found[1] or mime, _name(block, fields))
    url = next((url for name in _URL_NAMES if isinstance(url := fields.get(name), str) and url), None)
    if url:
        return _by_url(kind, url, _name(block, fields))
    file_id = fields.get("file_id") or (fields.get("id") if fields.get("source_type") == "id" else None)
    if kind == "file" and file_id:
        return MediaPart("file", {"file_id": file_id})
    raise UnsupportedFeature(f"a content block of type '{kind}' with {_place(fields)}", "a message", _CURE)


_URL_NAMES = ("url", "file_uri", "file_url")


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


def image_from_url(url: str, detail: str | None = None) -> ImagePart:
    """Return an image part; a `data:` URL is taken apart so that every wire can carry it its own way."""
    if not _is_data(url):
        return ImagePart(url=url, detail=detail)
    data, mime = _data_url(url, "an image's")
    return ImagePart(data=data, media_type=mime or "image/png", detail=detail)


def decode_base64(text: str, what: str) -> bytes:
    """Return the bytes of base64 text, with or without line breaks and padding.

    Args:
        text: The text.
        what: The name of the text, for the error's message.

    Raises:
        UsageError: It is not base64.
    """
    plain = "".join(text.split()).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"{what} is not valid base64: {error}") from None


def _source(block: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return the fields that say where a medium is: Anthropic's `source`, Bedrock's value, or the block itself."""
    value = block.get(kind)
    if isinstance(value, str):
        # `{"type": "video", "video": "https://..."}`, as transformers' chat templates take it.
        return {"url": value}
    if isinstance(value, Mapping):
        source = value.get("source")
        return {**value, **source} if isinstance(source, Mapping) else value
    source = block.get("source")
    return source if isinstance(source, Mapping) else block


def _bytes_of(fields: Mapping[str, Any], what: str) -> tuple[bytes, str | None] | None:
    """Return the bytes that a block holds and their media type, if it tells."""
    mime = _media_type(fields)
    # LangChain's standard name, then that of its older blocks and of Anthropic's source, OpenAI's file, and Bedrock's.
    for name in ("base64", "data", "file_data", "bytes"):
        value = fields.get(name)
        if isinstance(value, bytes | bytearray | memoryview) and value:
            return bytes(value), mime
        if isinstance(value, str) and value:
            if not _is_data(value):
                return decode_base64(value, what), mime
            data, told = _data_url(value, what)
            return data, mime or told
    return None


def _text_of(block: Mapping[str, Any], fields: Mapping[str, Any]) -> str | None:
    """Return the text of a document that is given as text, with its title and what is said about it."""
    kind = fields.get("type")
    text: Any = None
    if kind == "text":
        text = fields.get("data")
    elif fields.get("source_type") == "text" or (kind is None and "text" in fields):
        text = fields.get("text")
    elif kind in (None, "content") and isinstance(fields.get("content"), list | str):
        text = _texts(fields["content"])
    return with_heading(text, block, fields) if isinstance(text, str) else None


def _texts(content: list[Any] | str) -> str:
    if isinstance(content, str):
        return content
    texts = [item.get("text") if isinstance(item, Mapping) else None for item in content]
    if not all(isinstance(text, str) for text in texts):
        raise UnsupportedFeature("a document of blocks that are not text", "a message", _CURE)
    return "".join(map(str, texts))


def with_heading(text: str, *places: Mapping[str, Any]) -> str:
    """Return a document's text below its title and its context, which models were shown elsewhere, too."""
    found = []
    for name in ("title", "name", "context"):
        found += [value for where in places if isinstance(value := where.get(name), str) and value][:1]
    return "\n".join([*found, text])


def _media_type(fields: Mapping[str, Any]) -> str | None:
    for name in ("mime_type", "media_type", "mimeType"):
        if isinstance(fields.get(name), str):
            return str(fields[name])
    word = fields.get("format")
    if not isinstance(word, str) or "bytes" not in fields:
        return None
    if word in _CONVERSE_TYPES:
        return _CONVERSE_TYPES[word]
    return word if "/" in word else f"{'image' if word in ('png', 'jpeg', 'gif', 'webp') else 'video'}/{word}"


def _name(block: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    extras = block.get("extras")
    places = (block, extras if isinstance(extras, Mapping) else {}, fields)
    return next((str(where[name]) for name in ("filename", "title", "name") for where in places if where.get(name)), "")


def _place(fields: Mapping[str, Any]) -> str:
    if isinstance(fields.get("s3Location"), Mapping):
        return "its place in S3"
    return "a file's id" if fields.get("file_id") or fields.get("id") else "neither data nor URL"


def _by_url(kind: str, url: str, name: str) -> MediaPart | ImagePart:
    if kind == "image":
        return image_from_url(url)
    if kind in _URLS:
        return MediaPart(_URLS[kind], {"url": url})
    if _is_data(url):
        data, mime = _data_url(url, "a file's")
        return media_part("file", data, mime, name)
    # OpenAI's chat API takes files by their bytes or id; fetching it here would mean fetching for the server.
    raise UnsupportedFeature(
        "a file given by its URL", "OpenAI's chat format", "Load it, and send its bytes as base64."
    )


def _is_data(url: str) -> bool:
    return url[:5].lower() == "data:"


def _data_url(url: str, whose: str) -> tuple[bytes, str | None]:
    header, comma, payload = url[5:].partition(",")
    media_type, *parameters = header.split(";")
    if not comma:
        raise UsageError(f"{whose} data: URL needs a comma before its data, like 'data:image/png;base64,...'")
    # RFC 2397: parameters (`;charset=utf-8`, `;name=a.png`) may stand before the word `base64`.
    if parameters[-1:] and parameters[-1].strip().lower() == "base64":
        data = decode_base64(unquote(payload), f"{whose} data: URL")
    else:
        data = unquote_to_bytes(payload)
    return data, media_type.strip() or None
