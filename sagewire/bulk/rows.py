"""The values that flow through a job: rows of the input, and the records of their answers."""

from __future__ import annotations

import base64
import json
import math
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

__all__ = ["CHUNK_ROWS", "Answer", "Chunk", "Record", "Row", "dump_json", "load_json", "plain_json"]

CHUNK_ROWS = 512
# Integers of 64 bits have up to 19 digits; orjson reads longer ones as floats, and so with other digits.
_LONG_NUMBER = re.compile(rb"\d{19}")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the input.

    Args:
        number: Its position in the whole input, from 0.
        line: Its line in its file (CSV and JSON lines) or its row there (Parquet), from 1.
        path: The file.
        values: Its columns; `None` if the row cannot be read.
        error: Why it cannot be read.
        size: About how many bytes it holds.
    """

    number: int
    line: int
    path: str
    values: Mapping[str, Any] | None
    error: str | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of one file.

    Args:
        rows: The rows.
        batch: The same rows as an Arrow record batch with all columns, of Parquet files read whole.
    """

    rows: Sequence[Row]
    batch: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a row.

    Args:
        output: The text, parsed JSON, ranking or vector (`array("f")`); `None` if it is missing.
        finish_reason: Why generation ended.
        prompt_tokens: Tokens read for this row, if the server counts.
        completion_tokens: Tokens written for this row, if the server counts.
        error: The reason if the output is missing or invalid.
        thinking: The model's reasoning, if it is kept.
    """

    output: Any = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    thinking: str | None = None

    def without_cost(self) -> Answer:
        """Return the answer for an equal row, which has cost nothing."""
        prompt = None if self.prompt_tokens is None else 0
        completion = None if self.completion_tokens is None else 0
        return replace(self, prompt_tokens=prompt, completion_tokens=completion)


@dataclass(frozen=True, slots=True)
class Record:
    """A line of a part file.

    Args:
        row: The row's number.
        answer: Its result.
        spent: Tokens read and written by the calls that this record stands for; rows answered together share one.
        key: The digest of the row's question; equal questions have equal keys.
    """

    row: int
    answer: Answer
    spent: tuple[int, int] = (0, 0)
    key: str | None = None

    def to_json(self) -> bytes:
        """Return the record as a line without its end."""
        answer = self.answer
        line: dict[str, Any] = {"row": self.row}
        if isinstance(answer.output, array):
            # A quarter of the size of written-out numbers, and exact.
            line["vector"] = base64.b64encode(answer.output.tobytes()).decode()
        elif answer.output is not None:
            line["output"] = answer.output
        for name in ("finish_reason", "prompt_tokens", "completion_tokens", "error", "thinking"):
            if (value := getattr(answer, name)) is not None:
                line[name] = value
        if self.spent != (0, 0):
            line["spent"] = self.spent
        if self.key is not None:
            line["key"] = self.key
        return dump_json(line)

    @classmethod
    def from_json(cls, line: bytes) -> Record:
        """Return the record in a line.

        Raises:
            ValueError: The line is not a record, for example because a crash cut it off.
        """
        found = load_json(line)
        if not isinstance(found, dict) or not isinstance(found.get("row"), int):
            raise ValueError("no record")
        output = found.get("output")
        if "vector" in found:
            output = array("f")
            output.frombytes(base64.b64decode(found["vector"]))
        answer = Answer(
            output,
            found.get("finish_reason"),
            found.get("prompt_tokens"),
            found.get("completion_tokens"),
            found.get("error"),
            found.get("thinking"),
        )
        prompt, completion = found.get("spent", (0, 0))
        return cls(found["row"], answer, (prompt, completion), found.get("key"))


def load_json(data: bytes | str) -> Any:
    """Return the value of a JSON text, with integers of any length.

    Raises:
        ValueError: It is not valid JSON; an `orjson.JSONDecodeError`.

    Example:
        >>> load_json('{"id": 123456789012345678901234567890}')
        {'id': 123456789012345678901234567890}
    """
    found = orjson.loads(data)
    if _LONG_NUMBER.search(data if isinstance(data, bytes) else data.encode()):
        return json.loads(data)
    return found


def dump_json(value: Any) -> bytes:
    """Return a value as JSON; values of other types become text."""
    try:
        return orjson.dumps(value, default=plain_json)
    except TypeError:
        # Integers of more than 64 bits, keys that are not text, and halves of surrogate pairs (which stay escaped).
        return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _plain(value: Any) -> Any:
    """Return a value as the standard library's `json` takes it."""
    if isinstance(value, Mapping):
        return {name if isinstance(name, str) else str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    try:
        # Dates as orjson writes them everywhere else.
        return orjson.loads(orjson.dumps(value))
    except TypeError:
        return _plain(plain_json(value))


def plain_json(value: Any) -> Any:
    """Return a value of another type as one JSON has: `orjson`'s `default`."""
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, array):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    # Decimal, timedelta and whatever else Parquet holds.
    return str(value)
