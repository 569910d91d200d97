"""S3 in memory, addressed by path: buckets, objects, ranges, copies, listings and uploads in parts; the rest is 501."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from sagewire.emulator.aws.identity import Identities, IdentityError
from sagewire.emulator.aws.s3_values import (
    KEPT_HEADERS,
    MAX_KEYS,
    NAMESPACE,
    S3Error,
    StoredObject,
    check_digests,
    decode_chunks,
    encoded,
    list_page,
    timestamp,
    xml,
)
from sagewire.emulator.aws.signatures import verify, verify_query
from sagewire.emulator.http_values import Request, Response

__all__ = ["Storage", "StoredObject"]

_PATH = re.compile(r"/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)
_URI = re.compile(r"s3://([^/]+)/(.+)", re.DOTALL)
_CODES = {
    "UnrecognizedClientException": "InvalidAccessKeyId",
    "ExpiredTokenException": "ExpiredToken",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "MissingAuthenticationTokenException": "AccessDenied",
    "IncompleteSignatureException": "AuthorizationHeaderMalformed",
}
# Query parameters that name an operation which is not there.
_NOT_HERE = frozenset(
    """
    accelerate acl analytics attributes cors encryption inventory legal-hold lifecycle logging metrics notification
    object-lock ownershipControls policy policyStatus publicAccessBlock replication requestPayment restore retention
    select tagging torrent versionId versioning versions website
    """.split()  # noqa: SIM905 - a paragraph reads better than thirty quoted words
)
MAX_XML = 2 * 1024 * 1024


@dataclass
class _Upload:
    """An upload in parts that is not complete yet."""

    bucket: str
    key: str
    template: StoredObject
    parts: dict[int, bytes] = field(default_factory=dict)


class Storage:
    """All buckets and objects.

    Args:
        identities: The callers that are allowed.
        clock: Seconds since the epoch.
        region: The region signatures have to be for.
    """

    def __init__(self, identities: Identities, clock: Callable[[], float], region: str) -> None:
        self._identities = identities
        self._clock = clock
        self._region = region
        self._objects: dict[tuple[str, str], StoredObject] = {}
        self._buckets: dict[str, float] = {}
        self._uploads: dict[str, _Upload] = {}

    def put(self, uri: str, data: bytes, content_type: str, *, delay: float = 0.0) -> None:
        """Store an object under an `s3://` URI, in a new bucket if need be; it is visible after `delay` seconds."""
        match = _URI.fullmatch(uri)
        if match is None:
            raise ValueError(f"{uri!r} is not s3://bucket/key")
        self.add_bucket(match[1])
        self._objects[match[1], match[2]] = StoredObject(data, content_type, self._clock() + delay)

    def add_bucket(self, bucket: str) -> None:
        """Make a bucket, if it does not exist."""
        self._buckets.setdefault(bucket, self._clock())

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
            return self._answer(request)
        except S3Error as error:
            return error.response(request.method)
        except IdentityError as error:
            code = _CODES.get(error.code, error.code)
            return S3Error(error.status, code, error.message).response(request.method)

    def _answer(self, request: Request) -> Response:
        missing = sorted(_NOT_HERE & request.query.keys())
        # There are no tags, which the AWS CLI asks for before it copies.
        if missing and (request.method, missing) != ("GET", ["tagging"]):
            raise _not_implemented(f"the operation that '{missing[0]}' asks for")
        if request.path == "/" and request.method == "GET":
            return self._list_buckets()
        match = _PATH.fullmatch(request.path)
        if match is None:
            raise S3Error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        bucket, key = match[1], match[2]
        if not key:
            return self._bucket(request, bucket)
        self._check_bucket(bucket)
        if "uploads" in request.query or "uploadId" in request.query:
            return self._multipart(request, bucket, key)
        return self._object(request, bucket, key)

    # Buckets ----------------------------------------------------------------------------------------------------

    def _list_buckets(self) -> Response:
        inner = "".join(
            f"<Bucket><Name>{name}</Name><CreationDate>{timestamp(made)}</CreationDate></Bucket>"
            for name, made in sorted(self._buckets.items())
        )
        owner = f"<Owner><ID>{self._identities.user.account}</ID></Owner>"
        return xml(
            f'<ListAllMyBucketsResult xmlns="{NAMESPACE}">{owner}<Buckets>{inner}</Buckets></ListAllMyBucketsResult>'
        )

    def _check_bucket(self, bucket: str) -> None:
        if bucket not in self._buckets:
            raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)

    def _bucket(self, request: Request, bucket: str) -> Response:
        if request.method == "PUT":
            self.add_bucket(bucket)
            return Response(200, {"Location": f"/{bucket}"})
        self._check_bucket(bucket)
        if request.method == "HEAD":
            return Response(200, {"x-amz-bucket-region": self._region})
        if request.method == "DELETE":
            if any(name == bucket for name, _ in self._objects):
                raise S3Error(409, "BucketNotEmpty", "The bucket you tried to delete is not empty", BucketName=bucket)
            del self._buckets[bucket]
            return Response(204)
        if request.method == "POST" and "delete" in request.query:
            return self._delete_objects(request, bucket)
        if request.method != "GET":
            raise _not_implemented(f"{request.method} of a bucket")
        if "location" in request.query:
            named = "" if self._region == "us-east-1" else self._region
            return xml(f'<LocationConstraint xmlns="{NAMESPACE}">{named}</LocationConstraint>')
        if "uploads" in request.query:
            raise _not_implemented("ListMultipartUploads")
        return self._list_objects(request, bucket)

    def _list_objects(self, request: Request, bucket: str) -> Response:
        asked = request.query
        second = asked.get("list-type") == "2"
        limit = asked.get("max-keys", str(MAX_KEYS))
        if not limit.isdigit():
            raise S3Error(400, "InvalidArgument", "Provided max-keys not an integer or within integer range")
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        after = asked.get("continuation-token") or asked.get("start-after", "") if second else asked.get("marker", "")
        visible = {
            key: found
            for name, key in self._objects
            if name == bucket and (found := self._visible(bucket, key)) is not None
        }
        most = min(int(limit), MAX_KEYS)
        page = list_page(visible, prefix=prefix, delimiter=delimiter, after=after, limit=most)
        encoding = asked.get("encoding-type", "")
        inner = "".join(
            f"<Contents><Key>{encoded(key, encoding)}</Key><LastModified>{timestamp(visible[key].visible_from)}"
            f"</LastModified><ETag>{escape(visible[key].etag)}</ETag><Size>{len(visible[key].data)}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in page.keys
        ) + "".join(
            f"<CommonPrefixes><Prefix>{encoded(shared, encoding)}</Prefix></CommonPrefixes>" for shared in page.prefixes
        )
        # With no keys allowed there is nothing to go on from.
        following = page.last if most else None
        facts = f"<Name>{bucket}</Name><Prefix>{encoded(prefix, encoding)}</Prefix><MaxKeys>{limit}</MaxKeys>"
        facts += f"<IsTruncated>{'true' if following is not None else 'false'}</IsTruncated>"
        if delimiter:
            facts += f"<Delimiter>{encoded(delimiter, encoding)}</Delimiter>"
        if encoding:
            facts += f"<EncodingType>{encoding}</EncodingType>"
        if second:
            facts += f"<KeyCount>{len(page.keys) + len(page.prefixes)}</KeyCount>"
            if following is not None:
                facts += f"<NextContinuationToken>{escape(following)}</NextContinuationToken>"
        elif following is not None:
            facts += f"<NextMarker>{encoded(following, encoding)}</NextMarker>"
        return xml(f'<ListBucketResult xmlns="{NAMESPACE}">{facts}{inner}</ListBucketResult>')

    def _delete_objects(self, request: Request, bucket: str) -> Response:
        document = _parsed(request.body)
        quiet = document.findtext("{*}Quiet") == "true"
        done = []
        for one in document.findall("{*}Object"):
            key = one.findtext("{*}Key") or ""
            self._objects.pop((bucket, key), None)
            done.append(f"<Deleted><Key>{escape(key)}</Key></Deleted>")
        return xml(f'<DeleteResult xmlns="{NAMESPACE}">{"" if quiet else "".join(done)}</DeleteResult>')

    # Objects ----------------------------------------------------------------------------------------------------

    def _object(self, request: Request, bucket: str, key: str) -> Response:
        if request.method == "PUT":
            if "x-amz-copy-source" in request.headers:
                return self._copy(request, bucket, key)
            self._check_overwriting(request, bucket, key)
            made = self._received(request)
            self._objects[bucket, key] = made
            return Response(200, {"ETag": made.etag, "x-amz-request-id": uuid.uuid4().hex})
        if request.method == "DELETE":
            self._objects.pop((bucket, key), None)
            return Response(204, {"x-amz-request-id": uuid.uuid4().hex})
        if request.method not in ("GET", "HEAD"):
            raise _not_implemented(f"{request.method} of an object")
        found = self._visible(bucket, key)
        if found is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.", Key=key)
        if "tagging" in request.query:
            return xml(f'<Tagging xmlns="{NAMESPACE}"><TagSet></TagSet></Tagging>')
        return found.response(request.headers, head=request.method == "HEAD")

    def _check_overwriting(self, request: Request, bucket: str, key: str) -> None:
        """Obey the conditions under which an object may be written."""
        found = self._visible(bucket, key)
        wanted = request.headers.get("if-match")
        if wanted is not None and found is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.", Key=key)
        there = found is not None and request.headers.get("if-none-match") == "*"
        if there or (found is not None and wanted not in (None, found.etag)):
            raise S3Error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")

    def _received(self, request: Request) -> StoredObject:
        """Return the object of a request's body and headers."""
        headers = request.headers
        if headers.get("x-amz-tagging"):
            raise _not_implemented("tags of objects")
        kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
        kept |= {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
        # The framing of the body on the way is not a property of the object.
        if coding := kept.pop("content-encoding", ""):
            codings = [part for part in re.split(r"\s*,\s*", coding) if part and part != "aws-chunked"]
            kept |= {"content-encoding": ",".join(codings)} if codings else {}
        data = _content(request)
        content_type = headers.get("content-type", "binary/octet-stream")
        return StoredObject(data, content_type, self._clock(), kept)

    def _source(self, request: Request) -> StoredObject:
        """Return the object that a copy is made of."""
        source = unquote(request.headers["x-amz-copy-source"]).lstrip("/")
        from_bucket, _, from_key = source.partition("/")
        self._check_bucket(from_bucket)
        found = self._visible(from_bucket, from_key)
        if found is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.", Key=from_key)
        for name, wanted in request.headers.items():
            if name == "x-amz-copy-source-if-match" and wanted.strip('"') != found.etag.strip('"'):
                raise S3Error(
                    412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"
                )
            if name.startswith("x-amz-copy-source-if-") and not name.endswith("-if-match"):
                raise _not_implemented(name)
        return found

    def _copy(self, request: Request, bucket: str, key: str) -> Response:
        made = replace(self._source(request), visible_from=self._clock())
        if request.headers.get("x-amz-metadata-directive", "COPY").upper() == "REPLACE":
            told = self._received(replace(request, body=b""))
            made = replace(made, content_type=told.content_type, headers=told.headers)
        self._objects[bucket, key] = made
        when = timestamp(made.visible_from)
        return xml(
            f'<CopyObjectResult xmlns="{NAMESPACE}"><LastModified>{when}</LastModified><ETag>{escape(made.etag)}</ETag>'
            "</CopyObjectResult>"
        )

    # Uploads in parts -------------------------------------------------------------------------------------------

    def _multipart(self, request: Request, bucket: str, key: str) -> Response:
        if request.method == "POST" and "uploads" in request.query:
            upload_id = uuid.uuid4().hex
            self._uploads[upload_id] = _Upload(bucket, key, self._received(replace(request, body=b"")))
            return xml(
                f'<InitiateMultipartUploadResult xmlns="{NAMESPACE}"><Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>'
                f"<UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
            )
        upload_id = request.query.get("uploadId", "")
        upload = self._uploads.get(upload_id)
        if upload is None or (upload.bucket, upload.key) != (bucket, key):
            raise S3Error(404, "NoSuchUpload", "The specified multipart upload does not exist.", UploadId=upload_id)
        if request.method == "PUT":
            return self._put_part(request, upload)
        if request.method == "POST":
            return self._complete(request, upload, upload_id)
        if request.method == "DELETE":
            del self._uploads[upload_id]
            return Response(204)
        raise _not_implemented("ListParts")

    def _put_part(self, request: Request, upload: _Upload) -> Response:
        number = request.query.get("partNumber", "")
        if not number.isdigit() or not 1 <= int(number) <= 10_000:
            raise S3Error(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
        copied = "x-amz-copy-source" in request.headers
        data = self._part_of_source(request) if copied else _content(request)
        upload.parts[int(number)] = data
        tag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        if not copied:
            return Response(200, {"ETag": tag})
        when = timestamp(self._clock())
        return xml(
            f'<CopyPartResult xmlns="{NAMESPACE}"><LastModified>{when}</LastModified><ETag>{escape(tag)}</ETag>'
            "</CopyPartResult>"
        )

    def _part_of_source(self, request: Request) -> bytes:
        found, span = self._source(request), request.headers.get("x-amz-copy-source-range")
        if span is None:
            return found.data
        answer = found.response({"range": span}, head=False)
        if answer.status != 206:
            raise S3Error(
                400, "InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last"
            )
        return answer.data

    def _complete(self, request: Request, upload: _Upload, upload_id: str) -> Response:
        numbers = [int(part.findtext("{*}PartNumber") or 0) for part in _parsed(request.body).findall("{*}Part")]
        if not numbers or numbers != sorted(numbers) or any(number not in upload.parts for number in numbers):
            raise S3Error(400, "InvalidPart", "One or more of the specified parts could not be found.")
        self._check_overwriting(request, upload.bucket, upload.key)
        parts = [upload.parts[number] for number in numbers]
        digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
        tag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
        made = replace(upload.template, data=b"".join(parts), tag=tag, visible_from=self._clock())
        self._objects[upload.bucket, upload.key] = made
        del self._uploads[upload_id]
        return xml(
            f'<CompleteMultipartUploadResult xmlns="{NAMESPACE}"><Bucket>{upload.bucket}</Bucket>'
            f"<Key>{escape(upload.key)}</Key><ETag>{escape(made.etag)}</ETag></CompleteMultipartUploadResult>"
        )


def _content(request: Request) -> bytes:
    """Return a body, taken out of the chunks that AWS's clients put it in, with its checksums compared."""
    data = request.body
    if request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        data = decode_chunks(data, request.headers.get("x-amz-decoded-content-length"))
    check_digests(request.headers, data)
    return data


def _parsed(body: bytes) -> ElementTree.Element:
    # Entities could make much out of little; S3's documents have no document type.
    if len(body) > MAX_XML or b"<!DOCTYPE" in body:
        raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed")
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed") from None


def _not_implemented(what: str) -> S3Error:
    return S3Error(501, "NotImplemented", f"The emulator does not implement {what}.")
