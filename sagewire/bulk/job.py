"""The description of a job (`Job`), its bounds (`Bounds`) and the result of a run (`Report`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypedDict

from sagewire._short_repr import ShortRepr
from sagewire.bulk.files.storage import format_of
from sagewire.bulk.files.text import check_encoding
from sagewire.errors import UsageError, unknown_name
from sagewire.http.secret_urls import check_login, hide_url
from sagewire.types.secret import hide

__all__ = ["Bounds", "Job", "JobSettings", "Report", "split_settings"]

_SECRETS = ("token", "aws_access_key_id", "aws_secret_access_key", "aws_session_token")


@dataclass(frozen=True, slots=True)
class Job:
    """A job; everything here decides what the output holds.

    Args:
        source: A JSON lines, Parquet or CSV file, a directory of such files, or an `s3://` address of either.
        model: An endpoint's name, `huggingface/ID-OR-URL`, a server's URL, or a `Client` or `AsyncClient`. A URL with a
            key in its query is kept as a `Secret`, and never stored.
        output: The file to write; its extension determines the format.
        task: `chat`, `complete`, `embed` or `rerank`.
        column: The column with the text; default `prompt`, for embeddings `text`, for rerank `documents`. A chat
            column may hold lists of messages.
        template: Instead of `column`: text with column names in braces.
        system: System text of every chat.
        query: The query of every row of rerank.
        query_column: Instead of `query`: the column it is in.
        schema: A JSON schema that every output must match.
        schema_mode: How the model hears of the schema: `server` (the server enforces it), `prompt` (it is written into
            the system text) or `check` (not at all).
        schema_retries: Number of further requests for an output that does not match.
        options: Generation settings (`max_tokens`, ...), or those of `embed` or `rerank`.
        client_arguments: Arguments of `Client` that belong to the model's name: `region_name`, `session`, `handler`...
        prefix: Prefix of the names of added columns.
        thinking: Keep the model's reasoning in its own column.
        dedup: Send identical rows once; `None` for yes, unless the temperature is above 0.
        batch_size: Texts per call for embeddings; default 32.
        encoding: Encoding of JSON lines and CSV files; `None` detects UTF-8, UTF-16, UTF-32 and, for CSV, cp1252.
        delimiter: Separator of the cells of CSV files; `None` detects commas, semicolons, tabs and bars.
    """

    source: str
    model: Any
    output: str
    task: str = "chat"
    column: str | None = None
    template: str | None = None
    system: str | None = None
    query: str | None = None
    query_column: str = "query"
    schema: Mapping[str, Any] | None = None
    schema_mode: Literal["server", "prompt", "check"] = "server"
    schema_retries: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    client_arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    prefix: str = ""
    thinking: bool = False
    dedup: bool | None = None
    batch_size: int | None = None
    encoding: str | None = None
    delimiter: str | None = None

    def __post_init__(self) -> None:
        hidden = {name: hide(value) if name in _SECRETS else value for name, value in self.client_arguments.items()}
        object.__setattr__(self, "client_arguments", hidden)
        if isinstance(self.model, str) and self.model and "/" not in self.model:
            # An endpoint's name alone, as everywhere else.
            object.__setattr__(self, "model", f"sagemaker/{self.model}")
        if isinstance(self.model, str) and "://" in self.model:
            check_login(self.model)
            object.__setattr__(self, "model", hide_url(self.model))
        format_of(self.output)
        if self.schema_mode not in ("server", "prompt", "check"):
            raise UsageError(f"schema_mode={self.schema_mode!r} must be 'server', 'prompt' or 'check'")
        if self.schema_retries < 0 or (self.batch_size is not None and self.batch_size < 1):
            raise UsageError("schema_retries must be 0 or more, and batch_size 1 or more")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise UsageError(f"delimiter={self.delimiter!r} must be one character, and no quote or line end")
        if self.encoding is not None:
            check_encoding(self.encoding)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a run: calls in flight, and when to stop. A resumed run counts from zero.

    Args:
        concurrency: Calls in flight; `None` finds the best number.
        max_concurrency: Largest number of calls in flight to try.
        max_errors: Stop when more rows than this have failed.
        budget_tokens: Stop before more tokens than this, read and written, are spent; uncounted tokens are estimated
            at four characters a token.
        deadline: Seconds after which no more calls begin.
        attempts: Maximum number of calls for a row that fails.
        patience: Seconds for which a row waits for an endpoint that throttles or is not ready.
    """

    concurrency: int | None = None
    max_concurrency: int = 256
    max_errors: int | None = None
    budget_tokens: int | None = None
    deadline: float | None = None
    attempts: int = 4
    patience: float = 900.0

    def __post_init__(self) -> None:
        for name in ("concurrency", "max_concurrency", "budget_tokens", "deadline", "attempts"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name}={value!r} must be more than 0")
        if self.max_errors is not None and self.max_errors < 0:
            raise UsageError(f"max_errors={self.max_errors!r} must be 0 or more")

    def reason(self, name: str) -> str:
        """Return why a job stops that has reached one of its bounds."""
        if name == "deadline":
            return f"the deadline of {self.deadline:g} s has passed"
        if name == "max_errors":
            return f"more than {self.max_errors} rows have failed"
        return f"the budget of {self.budget_tokens:,} tokens is spent"

    def reached(self, stopped: str | None) -> str | None:
        """Return the name of the bound that has stopped a job, if one has."""
        names = [name for name in ("deadline", "max_errors", "budget_tokens") if getattr(self, name) is not None]
        return next((name for name in names if stopped and stopped.startswith(self.reason(name))), None)


class JobSettings(TypedDict, total=False):
    """The settings of a job as keyword arguments; see `Job` and `Bounds`."""

    task: Literal["chat", "complete", "embed", "rerank"]
    column: str | None
    template: str | None
    system: str | None
    query: str | None
    query_column: str
    schema: Mapping[str, Any] | None
    schema_mode: Literal["server", "prompt", "check"]
    schema_retries: int
    options: Mapping[str, Any]
    client_arguments: Mapping[str, Any]
    prefix: str
    thinking: bool
    dedup: bool | None
    batch_size: int | None
    encoding: str | None
    delimiter: str | None
    concurrency: int | None
    max_concurrency: int
    max_errors: int | None
    budget_tokens: int | None
    deadline: float | None
    attempts: int
    patience: float


def split_settings(source: str, model: Any, output: str, settings: Mapping[str, Any]) -> tuple[Job, Bounds]:
    """Return the job and its bounds out of keyword arguments.

    Raises:
        UsageError: A name is unknown, or a value is wrong.
    """
    bounds = {one.name for one in fields(Bounds)}
    known = {one.name for one in fields(Job)} | bounds
    for name in settings:
        if name not in known:
            raise UsageError(unknown_name(name, known, "setting"))
    job = {name: value for name, value in settings.items() if name not in bounds}
    return Job(str(source), model, str(output), **job), Bounds(
        **{name: value for name, value in settings.items() if name in bounds}
    )


@dataclass(frozen=True, slots=True, repr=False)
class Report(ShortRepr):
    """The result of a run.

    Args:
        rows: Rows done since the job began, those of earlier runs included.
        failed: How many of them failed.
        done_before: Rows that earlier runs had done.
        reused: Rows of this run whose answer was that of an equal row.
        malformed: Rows of this run that could not be read.
        calls: Calls of this run, retries included.
        throttled: How many of them the endpoint refused as too many.
        prompt_tokens: Tokens read in this run, as far as the server said.
        completion_tokens: Tokens written in this run, likewise.
        estimated_tokens: Tokens of this run that the server did not count, estimated at four characters each.
        seconds: How long this run took.
        concurrency: The number of calls in flight it ended with.
        complete: Whether every row is done and the output is written.
        stopped: Why not, in a sentence.
        output: The file that was written, if it was.
        dead_letter: The file with the rows that failed, if there are any.
        errors: The most frequent errors with their counts.
        notes: Settings that could not be met: a concurrency that could not be reached, for instance.
    """

    rows: int
    failed: int = 0
    done_before: int = 0
    reused: int = 0
    malformed: int = 0
    calls: int = 0
    throttled: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated_tokens: int = 0
    seconds: float = 0.0
    concurrency: int = 0
    complete: bool = False
    stopped: str | None = None
    output: str | None = None
    dead_letter: str | None = None
    errors: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
