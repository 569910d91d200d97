"""What a tool returned: content blocks, or data of its own, which may look like blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sagewire.types.content.blocks import as_json, read_content
from sagewire.types.content.untyped import typed
from sagewire.types.conversation import ImagePart, MediaPart, Part, TextPart

__all__ = ["read_result"]

_PARTS = (str, TextPart, ImagePart, MediaPart)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_TEXTS = frozenset({"text", "input_text", "output_text"})
_FILES = frozenset({"file", "input_file", "document"})
_MEDIA = _FILES | {
    "image", "image_url", "input_image", "audio", "input_audio", "audio_url", "video", "video_url", "media",
}  # fmt: skip
_CACHE_POINTS = frozenset({"cachePoint", "cache_point"})
# Results as other providers keep them, inside a tool's message. The message has the call's id itself.
_RESULTS = frozenset({"tool_result", "function_call_output", "custom_tool_call_output"})
_OF_RESULTS = frozenset({"content", "output", "tool_use_id", "tool_call_id", "call_id", "id", "is_error", "status"})
# Where blocks hold their medium: by its address or id, as bytes or base64, or one level below.
_ADDRESSES = frozenset({"url", "file_uri", "file_url"})
_BYTES = frozenset({"base64", "data", "file_data", "bytes"})
_FORMATS = frozenset({"mime_type", "media_type", "mimeType", "format", "source_type"})
_NAMES = ("filename", "title", "name")
# Keys of `annotations`, `citations` and `extras` that say nothing about the content.
_MARKS = frozenset({"audience", "priority", "lastModified", "enabled", "cache_control", "signature"})


def read_result(content: Any) -> str | tuple[Part, ...]:
    """Return what a tool returned: content blocks as parts, and anything else as JSON.

    Data are not taken apart. A record is a block only if it has what its `type` promises and nothing that would be
    lost; a list without blocks is one JSON text.

    Example:
        >>> read_result([{"type": "search_result", "title": "Bergen", "snippet": "It rains."}])
        '[{"type": "search_result", "title": "Bergen", "snippet": "It rains."}]'
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Iterable) or isinstance(content, Mapping | bytes):
        return as_json(content)
    items = list(content)
    if not items or not all(isinstance(item, str) for item in items):
        read = [_block(item) for item in items]
        if all(block is None or isinstance(block, str) for block in read):
            return as_json(items)
        items = [piece for item, block in zip(items, read, strict=True) for piece in _pieces(item, block)]
    return read_content(items).body


def _block(item: Any) -> Any:
    """Return an item if it is a text, a part or a block, without its wrapping; `None` for data."""
    if isinstance(item, _PARTS):
        return item
    kind = item.get("type") if isinstance(item, Mapping) else None
    if not isinstance(kind, str):
        return None
    if kind == "non_standard":
        value = item.get("value")
        return _block(typed(value)) if isinstance(value, Mapping) and not _rest(item, {"value"}) else None
    if kind in _MEDIA:
        whole = _holds_medium(item, kind) and (_holds_bytes(item, kind) or not _rest_of_medium(item, kind))
    else:
        whole = _is_whole(item, kind)
    return item if whole else None


def _pieces(item: Any, block: Any) -> Iterator[Any]:
    if block is None:
        yield as_json(item)
    elif isinstance(block, _PARTS):
        yield block
    elif block["type"] in _RESULTS:
        inner = read_result(block.get("content", block.get("output")))
        yield from ([inner] if inner else []) if isinstance(inner, str) else inner
    elif block["type"] in _MEDIA and (rest := _rest_of_medium(block, block["type"])):
        # Bytes are no text for a model; what is told beside them is.
        yield as_json(rest)
        yield {name: value for name, value in block.items() if name not in rest or _is_inner(name, block["type"])}
    else:
        yield block


def _is_whole(block: Mapping[str, Any], kind: str) -> bool:
    """Whether a block has what its type promises, and nothing that would be lost."""
    text, content = block.get("text"), block.get("content")
    if kind in _TEXTS:
        return isinstance(text, str) and not _rest(block, {"text"})
    if kind == "guard_content":
        inner = text.get("text") if isinstance(text, Mapping) and not text.keys() - {"text", "qualifiers"} else text
        return isinstance(inner, str) and not _rest(block, {"text"})
    if kind == "json":
        return "json" in block and not _rest(block, {"json"})
    if kind == "text-plain":
        held = [name for name in ("text", "base64") if isinstance(block.get(name), str)]
        return len(held) == 1 and not _rest(block, {*held, "mime_type"}, {"title", "name", "context"})
    if kind == "search_result":
        return _are_texts(content) and not _rest(block, {"content"}, {"title", "name", "source"})
    if kind == "citations_content":
        inner = block.get("citations_content", block)
        found = isinstance(inner, Mapping) and _are_texts(inner.get("content")) and not _rest(inner, {"content"})
        return found and (inner is block or not _rest(block, {"citations_content"}))
    if kind in _RESULTS:
        return ("content" in block) != ("output" in block) and not _rest(block, _OF_RESULTS)
    return kind in _CACHE_POINTS and not _rest(block, {"ttl"})


def _are_texts(content: Any) -> bool:
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(isinstance(item, str) or _is_text(item) for item in content)


def _is_text(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("type", "text") == "text" and _is_whole(item, "text")


def _rest(
    block: Mapping[str, Any], carried: set[str] | frozenset[str], headings: set[str] | frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return the fields that would be lost; headings are carried if they are texts."""
    return {
        name: value
        for name, value in block.items()
        if name not in carried and not (name in headings and isinstance(value, str)) and not _is_hint(name, value)
    }


def _is_hint(name: str, value: Any) -> bool:
    """Whether a field is for programs on the way, and not for the model."""
    if value is None or name in ("type", "cache_control", "_meta"):
        return True
    if name == "id":
        return isinstance(value, str) and value.startswith("lc_")
    of_marks = isinstance(value, Mapping) and value.keys() <= _MARKS
    return name in ("annotations", "citations", "extras") and (not value or of_marks)


def _is_inner(name: str, kind: str) -> bool:
    return name in ("source", "image_url", kind)


def _holds_medium(fields: Mapping[str, Any], kind: str, *, inner: bool = False) -> bool:
    return any(value and _is_medium(name, value, fields, kind, inner) for name, value in fields.items())


def _is_medium(name: str, value: Any, fields: Mapping[str, Any], kind: str, inner: bool) -> bool:
    if name == "text":
        return isinstance(value, str) and (inner or fields.get("source_type") == "text")
    if name == "content":
        return inner and _are_texts(value)
    if isinstance(value, Mapping):
        return (inner and name == "s3Location") or (_is_inner(name, kind) and _holds_medium(value, kind, inner=True))
    if name in _BYTES:
        # `data` is a word of many records: of a medium only if its format stands beside it.
        told = inner or name != "data" or any(fields.get(key) for key in _FORMATS)
        return told and isinstance(value, str | bytes | bytearray | memoryview)
    if name in ("file_id", "id"):
        return isinstance(value, str) and (name == "file_id" or fields.get("source_type") == "id")
    is_address = name in _ADDRESSES or (_is_inner(name, kind) and name != "source")
    return is_address and isinstance(value, str) and bool(_URL.match(value))


def _holds_bytes(fields: Mapping[str, Any], kind: str) -> bool:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            found = _is_inner(name, kind) and _holds_bytes(value, kind)
        else:
            in_url = isinstance(value, str) and value[:5].lower() == "data:"
            found = bool(value) and (name in _BYTES or (in_url and (name in _ADDRESSES or _is_inner(name, kind))))
        if found:
            return True
    return False


def _rest_of_medium(fields: Mapping[str, Any], kind: str, *, inner: bool = False) -> dict[str, Any]:
    """Return the fields beside a medium, and one level below, that would be lost."""
    headings = {*_FORMATS, "detail"}
    if kind == "document":
        headings |= {"title", "name", "context"}
    elif kind in _FILES:
        headings |= {*[name for name in _NAMES if fields.get(name)][:1]}
    # Bytes are taken before an address.
    has_bytes = any(_is_medium(name, fields.get(name) or None, fields, kind, inner) for name in _BYTES)
    rest = {}
    for name, value in _rest(fields, set(), headings).items():
        lost = value
        if isinstance(value, Mapping) and _is_inner(name, kind):
            lost = _rest_of_medium(value, kind, inner=True)
        elif _is_medium(name, value, fields, kind, inner):
            lost = value if has_bytes and name in _ADDRESSES else None
        elif name == "extras" and kind in _FILES and isinstance(value, Mapping) and value.keys() <= {*_NAMES}:
            lost = None
        if lost is not None and lost != {}:
            rest[name] = lost
    return rest
