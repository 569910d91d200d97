"""Enough of S3 for asynchronous inference: objects in memory, addressed by path."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from xml.sax.saxutils import escape

from sagewire.emulator.aws.identity import Identities, IdentityError
from sagewire.emulator.aws.signatures import verify, verify_query
from sagewire.emulator.http_values import Request, Response

__all__ = ["Storage", "StoredObject"]

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_PATH = re.compile(r"/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)
_URI = re.compile(r"s3://([^/]+)/(.+)", re.DOTALL)
_CODES = {
    "UnrecognizedClientException": "InvalidAccessKeyId",
    "ExpiredTokenException": "ExpiredToken",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "MissingAuthenticationTokenException": "AccessDenied",
    "IncompleteSignatureException": "AuthorizationHeaderMalformed",
}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object, visible from a certain moment on."""

    data: bytes
    content_type: str
    visible_from: float

    @property
    def etag(self) -> str:
        """The object's entity tag."""
        return f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"'


class Storage:
    """All buckets; a bucket exists as soon as something is in it.

    Args:
        identities: Who may call.
        clock: Seconds since the epoch.
        region: The region signatures have to be for.
    """

    def __init__(self, identities: Identities, clock: Callable[[], float], region: str) -> None:
        self._identities = identities
        self._clock = clock
        self._region = region
        self._objects: dict[tuple[str, str], StoredObject] = {}
        self._buckets: set[str] = set()

    def put(self, uri: str, data: bytes, content_type: str, *, delay: float = 0.0) -> None:
        """Store an object under an `s3://` URI; it can be seen after `delay` seconds."""
        match = _URI.fullmatch(uri)
        if match is None:
            raise ValueError(f"{uri!r} is no s3://bucket/key")
        self._buckets.add(match[1])
        self._objects[match[1], match[2]] = StoredObject(data, content_type, self._clock() + delay)

    def get(self, uri: str) -> StoredObject | None:
        """Return an object, `None` if it is not there, or not yet."""
        match = _URI.fullmatch(uri)
        return self._visible(match[1], match[2]) if match else None

    def _visible(self, bucket: str, key: str) -> StoredObject | None:
        found = self._objects.get((bucket, key))
        return found if found is not None and found.visible_from <= self._clock() else None

    def handle(self, request: Request) -> Response:
        """Answer one S3 request."""
        try:
            if "X-Amz-Signature" in request.query:
                verify_query(request, self._identities, self._clock)
            else:
                verify(request, self._identities, self._clock, region=self._region, services=("s3",))
            match = _PATH.fullmatch(request.path)
            if match is None:
                return _error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
            bucket, key = match[1], match[2]
            return self._object(request, bucket, key) if key else self._bucket(request, bucket)
        except IdentityError as error:
            return _error(error.status, _CODES.get(error.code, error.code), error.message)

    def _object(self, request: Request, bucket: str, key: str) -> Response:
        if request.method == "PUT":
            if request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
                return _error(501, "NotImplemented", "The emulator does not decode aws-chunked bodies.")
            content_type = request.headers.get("content-type", "binary/octet-stream")
            self.put(f"s3://{bucket}/{key}", request.body, content_type)
            return Response(200, {"ETag": self._objects[bucket, key].etag, "x-amz-request-id": uuid.uuid4().hex})
        if request.method == "DELETE":
            self._objects.pop((bucket, key), None)
            return Response(204)
        if request.method not in ("GET", "HEAD"):
            return _error(501, "NotImplemented", "A header you provided implies functionality that is not implemented.")
        found = self._visible(bucket, key)
        if found is None:
            missing = _error(404, "NoSuchKey", "The specified key does not exist.", Key=key)
            return missing if request.method == "GET" else Response(404)
        headers = {
            "Content-Type": found.content_type,
            "ETag": found.etag,
            "Last-Modified": formatdate(found.visible_from, usegmt=True),
        }
        if request.method == "HEAD":
            return Response(200, headers | {"Content-Length": str(len(found.data))})
        return Response(200, headers, found.data)

    def _bucket(self, request: Request, bucket: str) -> Response:
        if request.method == "PUT":
            self._buckets.add(bucket)
            return Response(200, {"Location": f"/{bucket}"})
        if bucket not in self._buckets:
            missing = _error(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)
            return missing if request.method == "GET" else Response(404)
        if request.method == "HEAD":
            return Response(200, {"x-amz-bucket-region": self._region})
        prefix = request.query.get("prefix", "")
        keys = sorted(key for name, key in self._objects if name == bucket and key.startswith(prefix))
        items = [(key, found) for key in keys if (found := self._visible(bucket, key)) is not None]
        inner = "".join(
            f"<Contents><Key>{escape(key)}</Key><ETag>{escape(found.etag)}</ETag><Size>{len(found.data)}</Size></Contents>"
            for key, found in items
        )
        return _xml(
            200,
            f'<ListBucketResult xmlns="{NAMESPACE}"><Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix>'
            f"<KeyCount>{len(items)}</KeyCount><IsTruncated>false</IsTruncated>{inner}</ListBucketResult>",
        )


def _error(status: int, code: str, message: str, **fields: str) -> Response:
    more = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    return _xml(status, f"<Error><Code>{code}</Code><Message>{escape(message)}</Message>{more}</Error>")


def _xml(status: int, body: str) -> Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
    return Response(status, {"Content-Type": "application/xml", "x-amz-request-id": uuid.uuid4().hex}, text.encode())
