"""S3 objects, by botocore: bucket addressing, redirects and regions are its business."""

from __future__ import annotations

import re
import threading
from contextlib import closing
from functools import partial
from typing import Any

from sagewire._forks import reset_in_child
from sagewire.aws.lookup_errors import credential_errors
from sagewire.aws.session import Session
from sagewire.errors import UsageError
from sagewire.http.limits import checked, response_too_large

__all__ = ["ObjectStore", "split_uri"]

_READ_SIZE = 1 << 20
# Each call that waits looks by itself, and bulk jobs have this many in flight.
_CONNECTIONS = 128
_URI = re.compile(r"s3://([^/]+)/(.*)", re.DOTALL)
# Without permission to list the bucket, S3 says 403 for an object that does not exist.
_ABSENT = frozenset({"NoSuchKey", "404", "NotFound", "403", "AccessDenied"})


def split_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of an `s3://bucket/key`."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise UsageError(f"{uri!r} is not an S3 address; it looks like s3://bucket/folder")
    return match[1], match[2]


class ObjectStore:
    """Reads and writes objects; safe to share between threads, and usable after a fork."""

    def __init__(self, session: Session, region: str, config: Any = None) -> None:
        self._session = session
        self._region = region
        self._config = config
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Leave the parent's connections alone."""
        self._client: Any = None
        self._lock = threading.Lock()

    def put(self, uri: str, data: bytes, content_type: str) -> None:
        """Write an object."""
        bucket, key = split_uri(uri)
        with credential_errors(f"writing {uri}"):
            self._s3().put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type)

    def get(self, uri: str, limit: int) -> tuple[bytes, str] | None:
        """Return an object and its content type; `None` if it does not exist or may not be read.

        Raises:
            ResponseTooLarge: It has more than `limit` bytes.
        """
        from botocore.exceptions import ClientError

        bucket, key = split_uri(uri)
        with credential_errors(f"reading {uri}"):
            try:
                answer = self._s3().get_object(Bucket=bucket, Key=key)
                with closing(answer["Body"]) as body:
                    if answer.get("ContentLength", 0) > limit:
                        raise response_too_large(limit, uri)
                    pieces = iter(partial(body.read, _READ_SIZE), b"")
                    return b"".join(checked(pieces, limit, uri)), answer.get("ContentType") or ""
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _ABSENT:
                    return None
                raise

    def delete(self, uri: str) -> None:
        """Delete an object."""
        bucket, key = split_uri(uri)
        with credential_errors(f"deleting {uri}"):
            self._s3().delete_object(Bucket=bucket, Key=key)

    def close(self) -> None:
        """Close the client's connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _s3(self) -> Any:
        from botocore.config import Config

        with self._lock:
            if self._client is None:
                config = Config(max_pool_connections=_CONNECTIONS).merge(self._config or Config())
                self._client = self._session.client("s3", region_name=self._region, config=config)
            return self._client
