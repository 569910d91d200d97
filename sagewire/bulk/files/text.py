"""Text files as UTF-8: decompressed, and decoded from the encoding that was named or is certain."""

from __future__ import annotations

import codecs
import csv
import logging
import re
from typing import Any, Self

from sagewire.bulk.files.storage import SourceFile, Storage, compression_of, is_tabbed
from sagewire.errors import UsageError

__all__ = ["READ_BYTES", "TextFile", "check_encoding", "delimiter_of"]

_log = logging.getLogger("sagewire.bulk")

READ_BYTES = 1 << 20
_UTF8 = "utf-8"
_MARKS = {codecs.BOM_UTF8: _UTF8, codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
_MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# The characters of Western European texts beside ASCII. Cyrillic or Greek text in its own encoding has long runs of
# such bytes, and damaged UTF-8 has bytes of other kinds.
_WESTERN = "ÄÖÜäöüßÀÁÂÇÈÉÊËÌÍÎÏÑÒÓÔÕÙÚÛàáâçèéêëìíîïñòóôõùúûÅåÆæØøŒœ€£§°«»¡¿·©®™ªº‘’“”–—… \xa0"
_WESTERN_BYTES = re.escape(_WESTERN.encode("cp1252"))
_IS_WESTERN = re.compile(rb"(?:[\x00-\x7f]++|[%s]{1,2}(?![\x80-\xff]))*+" % _WESTERN_BYTES)
_DELIMITERS = ",;\t|"
_SNIFFED_ROWS = 20


def check_encoding(encoding: str) -> str:
    """Return the usual name of an encoding.

    Raises:
        UsageError: The encoding is unknown.
    """
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)
    except (LookupError, TypeError):
        raise UsageError(f"encoding={encoding!r} is not a text encoding; write utf-8, utf-16 or cp1252") from None
    return name


class TextFile:
    """An open text file, as bytes of UTF-8; a context manager.

    Args:
        storage: Opens the file.
        file: The file.
        encoding: Its encoding; `None` finds it out: UTF-8, UTF-16 or UTF-32, and for CSV Windows' Western European one.

    Attributes:
        seekable: Whether reading can begin anywhere; otherwise it begins at the start.
    """

    def __init__(self, storage: Storage, file: SourceFile, encoding: str | None = None) -> None:
        compression = compression_of(file.path)
        self._path = file.path
        self._stream: Any = storage.open(file.path) if compression is None else storage.stream(file.path, compression)
        self._start: bytes = self._stream.read(READ_BYTES)
        self._encoding = encoding or _found_encoding(self._start, file)
        self.seekable = compression is None and self._encoding == _UTF8
        if self._encoding != _UTF8:
            import pyarrow as pa

            # The codec's own mark is read anew from the beginning.
            self._stream.close()
            plain = storage.stream(file.path, compression)
            self._stream = pa.transcoding_input_stream(plain, self._encoding, _UTF8)
            self._start = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        """Return the next bytes, none at the end.

        Raises:
            UsageError: The file is not in its encoding.
        """
        if self._start:
            found, self._start = self._start, b""
            return found
        return self._read(size)

    def peek(self) -> bytes:
        """Return the next bytes without going on."""
        if not self._start:
            self._start = self._read(READ_BYTES)
        return self._start

    def seek(self, offset: int) -> None:
        """Go to a byte of a file that is seekable."""
        self._start = b""
        self._stream.seek(offset)

    def _read(self, size: int) -> bytes:
        try:
            return bytes(self._stream.read(size))
        except UnicodeError as error:
            raise UsageError(
                f"{self._path} is not in the encoding {self._encoding} ({error}); name the right one with encoding"
            ) from None


def _found_encoding(start: bytes, file: SourceFile) -> str:
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    some = start[:256]
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(some) > 3 and not any(some[first::2]) and all(some[1 - first :: 2]):
            return encoding
    if file.format != "csv" or _is_utf8(start) or not _IS_WESTERN.fullmatch(start):
        return _UTF8
    _log.warning(
        "%s is not UTF-8 and is read as cp1252 (Western European); name another encoding if it is not", file.path
    )
    return "cp1252"


def _is_utf8(start: bytes) -> bool:
    try:
        # The bytes read may end in the middle of a character.
        codecs.getincrementaldecoder(_UTF8)().decode(start)
    except UnicodeDecodeError:
        return False
    return True


def delimiter_of(text: TextFile, file: SourceFile) -> str:
    """Return what separates the cells of a table: tabs by the name of the file, else what gives rows of one length."""
    if is_tabbed(file.path):
        return "\t"
    start = text.peek()[: 1 << 16]
    lines = start.removeprefix(codecs.BOM_UTF8).decode(_UTF8, "replace").splitlines(keepends=True)
    if len(start) == 1 << 16:
        lines = lines[:-1]
    regular = [one for one in _DELIMITERS if _is_regular(lines, one)]
    return regular[0] if "," in regular or len(regular) == 1 else ","


def _is_regular(lines: list[str], delimiter: str) -> bool:
    """Return whether a delimiter gives the first rows of a table one length, of more than one cell."""
    lengths = []
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            if row:
                lengths.append(len(row))
            if len(lengths) > _SNIFFED_ROWS:
                break
    except csv.Error:
        return False
    # The last one may have been cut off.
    lengths = lengths[:-1] if len(lengths) > _SNIFFED_ROWS else lengths
    return len(set(lengths)) == 1 and lengths[0] > 1
