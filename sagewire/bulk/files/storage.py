"""The storage of files: local paths and `s3://` addresses, read and written through pyarrow's file systems."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sagewire._extras import require
from sagewire.errors import UsageError, unknown_name
from sagewire.types.secret import reveal

__all__ = [
    "FORMATS",
    "SourceFile",
    "Storage",
    "absolute",
    "compression_of",
    "format_of",
    "is_remote",
    "is_tabbed",
    "sync_folder",
]

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
}
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
_WILDCARDS = "*?["


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of the input, as it was when the job began.

    Args:
        path: Its path or address.
        format: `jsonl`, `parquet` or `csv`.
        size: Bytes.
        changed: When it was changed last, in nanoseconds since the epoch.
    """

    path: str
    format: str
    size: int
    changed: int


def format_of(path: str) -> str:
    """Return the format a file name's extension stands for.

    Raises:
        UsageError: The extension is unknown, or the format is not compressed from outside.

    Example:
        >>> format_of("s3://bucket/in.ndjson.gz")
        'jsonl'
    """
    compression = compression_of(path)
    suffix = Path(Path(path).stem if compression else path).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"{path}: {unknown_name(suffix or '(none)', FORMATS, 'file extension')}")
    if compression and FORMATS[suffix] == "parquet":
        raise UsageError(f"{path}: Parquet files are compressed inside; decompress it with {compression}")
    return FORMATS[suffix]


def compression_of(path: str) -> str | None:
    """Return how a file is compressed, by its extension; `None` if it is not."""
    return COMPRESSIONS.get(Path(path).suffix.lower())


def is_tabbed(path: str) -> bool:
    """Return whether a file's name says that its cells are separated by tabs."""
    return Path(Path(path).stem if compression_of(path) else path).suffix.lower() in (".tsv", ".tab")


def is_remote(path: str) -> bool:
    """Return whether a path is an address in S3."""
    return path.startswith("s3://")


def sync_folder(path: Path) -> None:
    """Wait until the names in a local folder are on disk; Windows cannot be asked to, and writes them in order."""
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def absolute(path: str) -> str:
    """Return a path that means the same from every directory; addresses do as they are.

    Example:
        >>> absolute("s3://bucket/in.csv")
        's3://bucket/in.csv'
    """
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


@dataclass(frozen=True)
class Storage:
    """The access to files; can be pickled.

    Args:
        client_arguments: Credentials and region for S3, under `Client`'s names.
    """

    client_arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def files(self, source: str) -> list[SourceFile]:
        """Return the files of a source, in the order of their names.

        Raises:
            UsageError: The file does not exist, or a directory has no readable file.
        """
        from pyarrow.fs import FileSelector, FileType

        system, path = self._locate(source)
        [info] = system.get_file_info([path])
        if info.type == FileType.File:
            return [_source_file(info, source, format_of(source))]
        pattern = path if info.type == FileType.NotFound and any(sign in path for sign in _WILDCARDS) else None
        if pattern is not None:
            # The folder above the first wildcard.
            path = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0] or "/"
            [info] = system.get_file_info([path])
        if info.type != FileType.Directory:
            raise UsageError(f"there is no file or directory {source!r}")
        inside = system.get_file_info(
            FileSelector(path, recursive=pattern is None or "/" in pattern[len(path) :].strip("/"))
        )
        wanted = [one for one in inside if one.type == FileType.File and _is_data(one.path[len(path) :])]
        if pattern is not None:
            parts = pattern.split("/")
            wanted = [one for one in wanted if _matches(one.path.split("/"), parts)]
        found = [
            _source_file(one, self._name(source, path, one.path), format_of(one.path))
            for one in sorted(wanted, key=lambda one: str(one.path))
        ]
        if not found:
            raise UsageError(f"{source!r} holds no file with one of the extensions {', '.join(FORMATS)}")
        formats = sorted({one.format for one in found})
        if len(formats) > 1:
            raise UsageError(f"{source!r} mixes {' and '.join(formats)}; put one format into a directory")
        return found

    def open(self, path: str) -> Any:
        """Open a file for reading at any position."""
        system, inner = self._locate(path)
        return system.open_input_file(inner)

    def stream(self, path: str, compression: str | None) -> Any:
        """Open a file for reading from its start, decompressed."""
        system, inner = self._locate(path)
        return system.open_input_stream(inner, compression=compression)

    def create(self, path: str, compression: str | None = None) -> Any:
        """Open a file for writing; an older file is replaced once the new one is complete."""
        system, inner = self._locate(path)
        return system.open_output_stream(inner, compression=compression)

    def publish(self, written: str, path: str) -> None:
        """Move a complete local file to its destination, where it replaces an older one as a whole.

        Raises:
            OSError: It cannot be written; an older file is unchanged.
        """
        if not is_remote(path):
            with open(written, "rb") as file:
                os.fsync(file.fileno())
            target = absolute(path)
            os.replace(written, target)
            sync_folder(Path(target).parent)
            return
        from pyarrow.fs import LocalFileSystem, copy_files

        system, inner = self._locate(path)
        copy_files(written, inner, source_filesystem=LocalFileSystem(), destination_filesystem=system)

    def exists(self, path: str) -> bool:
        """Return whether there is a file or directory."""
        from pyarrow.fs import FileType

        system, inner = self._locate(path)
        [info] = system.get_file_info([inner])
        return bool(info.type != FileType.NotFound)

    def check_room(self, path: str) -> None:
        """Raise `UsageError` if the bucket or directory of a file to be written does not exist."""
        from pyarrow.fs import FileType

        system, inner = self._locate(path)
        place = inner.partition("/")[0] if path.startswith("s3://") else os.path.dirname(inner)
        # The permission to write to a bucket does not include that to look whether it exists.
        with suppress(OSError):
            [info] = system.get_file_info([place])
            if info.type != FileType.Directory:
                kind = "bucket" if path.startswith("s3://") else "directory"
                raise UsageError(f"{path} cannot be written: there is no {kind} {place!r}")

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""
        system, inner = self._locate(path)
        with suppress(FileNotFoundError):
            system.delete_file(inner)

    def _locate(self, path: str) -> tuple[Any, str]:
        fs = require("pyarrow.fs", "bulk")
        if path.startswith("s3://"):
            inner = path.removeprefix("s3://").rstrip("/")
            if not inner or inner.startswith("/") or "//" in inner:
                raise UsageError(f"{path!r} is not an S3 address that can be read and written; write s3://bucket/key")
            return self._s3(), inner
        if "://" in path:
            raise UsageError(f"{path!r}: only local paths and s3:// addresses can be read and written")
        return fs.LocalFileSystem(), absolute(path)

    def _s3(self) -> Any:
        # Made anew for each file: credentials of a session last an hour or so, and jobs last longer.
        from pyarrow.fs import S3FileSystem

        from sagewire.aws.session import as_session, named_session

        named = {name: reveal(value) for name, value in self.client_arguments.items() if name in _IDENTITY}
        region_name = named.get("region_name")
        session = as_session(named_session(**named), region_name=region_name)
        # botocore knows profiles, single sign-on and AWS_ENDPOINT_URL_S3; its client says what follows from them.
        client = session.client("s3", region_name=region_name)
        keys = session.get_credentials()
        frozen = keys.get_frozen_credentials() if keys is not None else None
        address = client.meta.endpoint_url
        own = None if ".amazonaws.com" in address else address
        client.close()
        return S3FileSystem(
            access_key=frozen.access_key if frozen else None,
            secret_key=frozen.secret_key if frozen else None,
            session_token=frozen.token if frozen else None,
            region=client.meta.region_name,
            endpoint_override=own,
        )

    @staticmethod
    def _name(source: str, root: str, path: str) -> str:
        return f"s3://{path}" if source.startswith("s3://") else path


_IDENTITY = (
    "region_name",
    "session",
    "profile_name",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
)


def _is_data(path: str) -> bool:
    # Spark and Hive keep books in files and folders of such names.
    # A work folder's records are not input either.
    hidden = any(part.startswith(("_", ".")) or part.endswith(".bulk") for part in path.strip("/").split("/"))
    name = Path(path).stem if compression_of(path) else path
    return not hidden and Path(name).suffix.lower() in FORMATS


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern; `**` stands for any number of folders."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(path[at:], pattern[1:]) for at in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


def _source_file(info: Any, name: str, format: str) -> SourceFile:
    return SourceFile(name, format, info.size, info.mtime_ns or 0)
