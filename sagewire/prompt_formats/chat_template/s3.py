"""A model's files in a folder on S3, read with the caller's credentials."""

from __future__ import annotations

from typing import Any

from sagewire.aws.lookup_errors import credential_errors
from sagewire.aws.session import as_session
from sagewire.errors import AccessDenied, UsageError

__all__ = ["S3Folder"]

ARCHIVES = (".tar.gz", ".tgz", ".gz", ".tar", ".zip")
ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
# Without permission to list the bucket, S3 says so of a file that is not there, too.
DENIED = frozenset({"AccessDenied", "403", "Forbidden", "AllAccessDisabled"})


class S3Folder:
    """Reads the files of one folder.

    Args:
        uri: `s3://bucket/folder`.
        client: A boto3 or botocore client for S3; without, one with the credentials that boto3 would find.
        most_bytes: Larger files are refused.

    Raises:
        UsageError: The address is not that of a folder.
    """

    def __init__(self, uri: str, client: Any, most_bytes: int) -> None:
        self._uri = uri
        self._bucket, _, folder = uri.removeprefix("s3://").partition("/")
        if not self._bucket or folder.endswith(ARCHIVES):
            raise UsageError(
                f"{uri!r} is not a folder on S3. Unpack the model there, and give the folder as s3://bucket/folder."
            )
        self._folder = folder.rstrip("/") + "/" if folder else ""
        self._client = client
        self._most_bytes = most_bytes
        self.denied = ""

    def read(self, name: str) -> str | None:
        """Return the text of a file; `None` if it is not there, or may not be read (`denied` then says so).

        Raises:
            UsageError: S3 cannot be reached or fails, or the file is too large or not UTF-8.
            AccessDenied: The credentials are missing or wrong.
        """
        with credential_errors(f"reading the model's files in {self._uri}"):
            data = self._get(self._folder + name)
        try:
            return None if data is None else data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"{name} in {self._uri!r} is not UTF-8: {error.reason}.") from None

    def require_access(self) -> None:
        """Raise `AccessDenied` if a file may not be read."""
        if self.denied:
            raise AccessDenied(
                f"The model's files in {self._uri!r} may not be read: {self.denied}. Allow s3:GetObject on them and "
                "s3:ListBucket on the bucket, or name a folder with a copy of them.",
                code="AccessDenied",
                fault="client",
            )

    def _get(self, key: str) -> bytes | None:
        from botocore.exceptions import ClientError

        if self._client is None:
            self._client = as_session().client("s3")
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code in DENIED:
                self.denied = str(error.response.get("Error", {}).get("Message"))
                return None
            if code in ABSENT:
                return None
            raise
        if answer["ContentLength"] > self._most_bytes:
            raise UsageError(f"{key!r} in {self._uri!r} is larger than {self._most_bytes} bytes.")
        data: bytes = answer["Body"].read()
        return data
