"""S3 as values: stored objects, byte ranges, pages of a listing, chunked bodies, and XML answers."""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from urllib.parse import quote
from xml.sax.saxutils import escape

from sagewire.emulator.http_values import Response

__all__ = ["NAMESPACE", "Page", "S3Error", "StoredObject", "decode_chunks", "list_page", "timestamp", "xml"]

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_KEYS = 1000
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
# Stored with an object and given back with it.
KEPT_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")


class S3Error(Exception):
    """An error of S3.

    Args:
        status: The HTTP status.
        code: S3's error code.
        message: S3's message.
        fields: Further elements of the error document.
    """

    def __init__(self, status: int, code: str, message: str, **fields: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.fields = fields

    def response(self, method: str) -> Response:
        """Return the error document; an answer to HEAD has no body."""
        if method == "HEAD":
            return Response(self.status, {"x-amz-request-id": uuid.uuid4().hex})
        more = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in self.fields.items())
        return xml(f"<Error><Code>{self.code}</Code><Message>{escape(str(self))}</Message>{more}</Error>", self.status)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object, visible from a certain moment on.

    Args:
        data: The bytes.
        content_type: The content type.
        visible_from: Seconds since the epoch.
        headers: The headers stored with it: user metadata, `Content-Encoding` and the like.
        tag: The entity tag of an object that was uploaded in parts, without quotation marks.
    """

    data: bytes
    content_type: str
    visible_from: float
    headers: Mapping[str, str] = field(default_factory=dict)
    tag: str = ""

    @property
    def etag(self) -> str:
        """The object's entity tag."""
        return f'"{self.tag or hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"'

    def response(self, request_headers: Mapping[str, str], *, head: bool) -> Response:
        """Return the answer to GET or HEAD, with `Range` and the conditional headers obeyed.

        Raises:
            S3Error: A precondition fails, or the range lies outside the object.
        """
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Type": self.content_type,
            "ETag": self.etag,
            "Last-Modified": formatdate(self.visible_from, usegmt=True),
            "x-amz-request-id": uuid.uuid4().hex,
            **self.headers,
        }
        if (wanted := request_headers.get("if-match")) is not None and wanted not in ("*", self.etag):
            raise S3Error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        if request_headers.get("if-none-match") in ("*", self.etag):
            return Response(304, headers)
        status, data = 200, self.data
        if (asked := request_headers.get("range")) is not None and (span := self._span(asked)) is not None:
            start, end = span
            status, data = 206, self.data[start:end]
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(self.data)}"
        if head:
            return Response(status, headers | {"Content-Length": str(len(data))})
        return Response(status, headers, data)

    def _span(self, text: str) -> tuple[int, int] | None:
        match = _RANGE.fullmatch(text)
        if match is None or not (match[1] or match[2]):
            # RFC 9110 has such a header ignored, and S3 does; so are several ranges at once.
            return None
        size = len(self.data)
        if match[1]:
            start, end = int(match[1]), min(int(match[2]) + 1 if match[2] else size, size)
        else:
            start, end = max(0, size - int(match[2])), size
        if start >= size or start >= end:
            raise S3Error(416, "InvalidRange", "The requested range is not satisfiable", ActualObjectSize=str(size))
        return start, end


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing.

    Args:
        keys: The keys.
        prefixes: The common prefixes.
        last: The last key or prefix, from which the next page goes on; `None` if this page is the last.
    """

    keys: list[str]
    prefixes: list[str]
    last: str | None


def list_page(keys: Iterable[str], *, prefix: str, delimiter: str, after: str, limit: int) -> Page:
    """Return a page of sorted keys as ListObjects makes it: what shares a prefix up to the delimiter counts once.

    Example:
        >>> list_page(["a/1", "a/2", "b"], prefix="", delimiter="/", after="", limit=2)
        Page(keys=['b'], prefixes=['a/'], last=None)
    """
    found: list[str] = []
    prefixes: list[str] = []
    last = after
    for key in sorted(keys):
        if not key.startswith(prefix) or key <= after:
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = key if cut < 0 else key[: cut + len(delimiter)]
        if cut >= 0 and (entry <= after or (prefixes and prefixes[-1] == entry)):
            continue
        if len(found) + len(prefixes) >= limit:
            return Page(found, prefixes, last)
        (found if cut < 0 else prefixes).append(entry)
        last = entry
    return Page(found, prefixes, None)


def encoded(text: str, encoding: str) -> str:
    """Return a key as it stands in a listing: percent-encoded if `encoding-type=url` asks for it."""
    return quote(text, safe="/") if encoding == "url" else escape(text)


def decode_chunks(body: bytes, size: str | None) -> bytes:
    """Return the content of an `aws-chunked` body; the chunks' own signatures are not checked.

    Raises:
        S3Error: It is not in chunks, or shorter than it says.
    """
    data = b"".join(_chunks(body))
    if size is not None and size != str(len(data)):
        raise S3Error(400, "IncompleteBody", "The request body terminated unexpectedly")
    return data


def _chunks(body: bytes) -> Iterator[bytes]:
    at = 0
    while True:
        line = body.find(b"\r\n", at)
        head = body[at : max(line, at)].partition(b";")[0].strip()
        if line < 0 or not re.fullmatch(rb"[0-9a-fA-F]{1,16}", head):
            raise S3Error(400, "IncompleteBody", "The request body terminated unexpectedly")
        length = int(head, 16)
        if length == 0:
            return
        yield body[line + 2 : line + 2 + length]
        at = line + 2 + length + 2


def check_digests(headers: Mapping[str, str], data: bytes) -> None:
    """Compare the checksums a caller sent with the data.

    Raises:
        S3Error: One differs.
    """
    sums: dict[str, Callable[[], bytes]] = {
        "content-md5": lambda: hashlib.md5(data, usedforsecurity=False).digest(),
        "x-amz-checksum-crc32": lambda: zlib.crc32(data).to_bytes(4, "big"),
        "x-amz-checksum-sha1": lambda: hashlib.sha1(data, usedforsecurity=False).digest(),
        "x-amz-checksum-sha256": lambda: hashlib.sha256(data).digest(),
    }
    for name, compute in sums.items():
        if (given := headers.get(name)) is not None and given != base64.b64encode(compute()).decode():
            raise S3Error(400, "BadDigest", f"The {name} you specified did not match what we received.")


def timestamp(seconds: float) -> str:
    """Return a time as S3's XML has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def xml(body: str, status: int = 200) -> Response:
    """Return an XML answer."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
    return Response(status, {"Content-Type": "application/xml", "x-amz-request-id": uuid.uuid4().hex}, text.encode())
