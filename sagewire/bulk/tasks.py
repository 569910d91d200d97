"""The tasks of a model for a row: a chat, a completion, a vector or a ranking."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from sagewire.bulk.rows import Answer, dump_json
from sagewire.bulk.structured import SchemaCheck
from sagewire.bulk.templates import Template
from sagewire.errors import UnsupportedFeature, UsageError, unknown_name
from sagewire.transports.base import Body
from sagewire.types import (
    ChatRequest,
    Embeddings,
    EmbedOptions,
    Invocation,
    Options,
    PromptRequest,
    Reply,
    ResponseInfo,
    Usage,
    make_options,
)

if TYPE_CHECKING:
    from sagewire.bulk.job import Job
    from sagewire.client.async_client import AsyncClient

__all__ = ["TASKS", "Asked", "RowError", "Task", "make_task"]

Asked = tuple[list[Answer], tuple[int, int]]
"""The answers to some requests, and the tokens read and written for all of them."""


class RowError(ValueError):
    """A row that cannot be sent; the message has the reason."""


class Task(ABC):
    """One kind of question.

    Args:
        job: The job.
    """

    default_column: ClassVar[str] = "prompt"
    default_batch: ClassVar[int] = 1

    def __init__(self, job: Job) -> None:
        if job.column is not None and job.template is not None:
            raise UsageError("give either a column or a template")
        self.column = job.column or self.default_column
        self.template = Template(job.template) if job.template is not None else None
        self.batch = job.batch_size or self.default_batch

    @property
    def columns(self) -> list[str]:
        """The columns a row must have."""
        return self.template.columns if self.template is not None else [self.column]

    @abstractmethod
    def request(self, values: Mapping[str, Any]) -> Any:
        """Return what to ask for a row, as JSON has it.

        Raises:
            RowError: The row lacks something.
        """

    @abstractmethod
    async def ask(self, client: AsyncClient, requests: Sequence[Any]) -> Asked:
        """Ask for up to `batch` rows in one call, and return an answer for each."""

    def wire(self, client: AsyncClient, request: Any) -> tuple[Invocation, Callable[[bytes], Asked]]:
        """Return a request as bytes, and what reads the answer to it; for engines that carry bytes themselves.

        Raises:
            UnsupportedFeature: The task takes more than one call a row.
        """
        raise UnsupportedFeature("one call a row", f"task {type(self).__name__}", "Use the local engine.")

    def key(self, request: Any) -> str:
        """Return a digest of a request; equal requests of a job have equal digests."""
        return blake2b(dump_json(request), digest_size=16).hexdigest()

    def _text(self, values: Mapping[str, Any]) -> str:
        if self.template is not None:
            try:
                return self.template.fill(values)
            except KeyError as error:
                raise RowError(f"column {error} is missing or null") from None
        return _string(values, self.column)


class _Generation(Task):
    """The base of chat and completion."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        if self.batch != 1:
            raise UsageError("batch_size is for embeddings; generation sends one row a call")
        self.thinking = job.thinking
        self.check = SchemaCheck(job.schema) if job.schema is not None else None
        options = make_options(**job.options)
        if (options.n or 1) != 1:
            raise UsageError("n: a row has one output; repeat the rows for more answers each")
        self._constrain = self.check is not None and job.schema_mode == "server"
        self._instruct = self.check is not None and job.schema_mode == "prompt"
        if self._constrain and self.check is not None:
            if options.response_format is not None:
                raise UsageError("give either a schema or response_format")
            options = make_options(options, response_format=self.check.response_format)
        self.options = options
        self._arguments: dict[str, Any] = {**options.given(), **({"extra": options.extra} if options.extra else {})}

    async def ask(self, client: AsyncClient, requests: Sequence[Any]) -> Asked:
        """Ask once."""
        return self._asked(await self._reply(client, requests[0]))

    def wire(self, client: AsyncClient, request: Any) -> tuple[Invocation, Callable[[bytes], Asked]]:
        """Return a request as bytes, and what reads the answer to it."""
        exchange = client._prepare(self._typed(client, request), None)
        return exchange.invocation, lambda data: self._asked(exchange.read_whole(data, ResponseInfo()))

    def _asked(self, reply: Reply) -> Asked:
        usage = reply.usage or Usage()
        output: Any = reply.text
        error = None
        if self.check is not None:
            value, error = self.check.read(reply.text)
            output = value if error is None else reply.text
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        thinking = reply.thinking if self.thinking else None
        answer = Answer(output, reply.finish_reason, prompt, completion, error, thinking)
        return [answer], (prompt or 0, completion or 0)

    @abstractmethod
    async def _reply(self, client: AsyncClient, request: Any) -> Reply: ...

    @abstractmethod
    def _typed(self, client: AsyncClient, request: Any) -> ChatRequest | PromptRequest: ...


class ChatTask(_Generation):
    """A conversation: a text column is one user message, a column of message lists is sent as it is."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        parts = [job.system or "", self.check.instruction if self._instruct and self.check else ""]
        self._system = "\n\n".join(part for part in parts if part)

    def request(self, values: Mapping[str, Any]) -> Any:
        """Return the messages."""
        opening = [{"role": "system", "content": self._system}] if self._system else []
        value = None if self.template is not None else values.get(self.column)
        if isinstance(value, list):
            if not value or not all(isinstance(turn, dict) and "role" in turn for turn in value):
                raise RowError(f"column '{self.column}' holds a list, but not of messages with a role")
            # Parquet gives every message all fields that any of them has.
            turns = [{name: part for name, part in turn.items() if part is not None} for turn in value]
            return [*opening, *turns]
        return [*opening, {"role": "user", "content": self._text(values)}]

    async def _reply(self, client: AsyncClient, request: Any) -> Reply:
        return await client.chat(request, **self._arguments)

    def _typed(self, client: AsyncClient, request: Any) -> ChatRequest:
        return client._chat(request, None, None, None, self._arguments, False)


class CompleteTask(_Generation):
    """A text to be continued."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        if job.system:
            raise UsageError("system: a completion takes no system text; write it into the template, or use chat")
        if self._instruct:
            raise UsageError("schema_mode='prompt' is for chat; write the instruction into the template")

    def request(self, values: Mapping[str, Any]) -> Any:
        """Return the text."""
        return self._text(values)

    async def _reply(self, client: AsyncClient, request: Any) -> Reply:
        return await client.complete(request, **self._arguments)

    def _typed(self, client: AsyncClient, request: Any) -> PromptRequest:
        return client._complete(request, self._arguments, False)


class EmbedTask(Task):
    """A vector for a text; texts go in batches."""

    default_column = "text"
    default_batch = 32

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        _refuse(job, "embed", "system", "schema", "thinking")
        _check_options(job.options, ("input_type", "dimensions", "truncate", "normalize", "model", "extra"))
        self.options = EmbedOptions(**job.options)
        self._arguments = dict(job.options)

    def request(self, values: Mapping[str, Any]) -> Any:
        """Return the text."""
        return self._text(values)

    async def ask(self, client: AsyncClient, requests: Sequence[Any]) -> Asked:
        """Embed the texts."""
        return self._asked(await client.embed(requests, **self._arguments))

    def wire(self, client: AsyncClient, request: Any) -> tuple[Invocation, Callable[[bytes], Asked]]:
        """Return a text as its own request, and what reads its vector."""
        work = client._embedding([request], self.options, None)
        batch = next(iter(work.batches()))
        return work.invocation(batch), lambda data: self._asked(work.read(batch, Body(data, ResponseInfo())))

    def _asked(self, found: Embeddings) -> Asked:
        tokens = found.usage.prompt_tokens if found.usage else None
        # The server counts the batch; a row's share of it is known only if it was alone.
        own = tokens if len(found) == 1 else None
        vectors = [row if isinstance(row, array) and row.typecode == "f" else array("f", row) for row in found.rows]
        return [Answer(vector, prompt_tokens=own) for vector in vectors], (tokens or 0, 0)


class RerankTask(Task):
    """Documents in order of their relevance to a query; both are columns, or the query is the same for all rows."""

    default_column = "documents"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        _refuse(job, "rerank", "system", "schema", "thinking", "template")
        if self.batch != 1:
            raise UsageError("batch_size is for embeddings; a row of rerank is one call")
        _check_options(job.options, ("top_n", "extra"))
        self._arguments = dict(job.options)
        self._query = job.query
        self._query_column = job.query_column

    @property
    def columns(self) -> list[str]:
        """The documents' column, and the query's."""
        return [self.column] if self._query is not None else [self._query_column, self.column]

    def request(self, values: Mapping[str, Any]) -> Any:
        """Return the query and the documents."""
        query = self._query if self._query is not None else _string(values, self._query_column)
        documents = values.get(self.column)
        if isinstance(documents, str):
            # CSV has no lists.
            try:
                documents = orjson.loads(documents)
            except orjson.JSONDecodeError:
                raise RowError(f"column '{self.column}' holds a text that is not a JSON list of texts") from None
        if not isinstance(documents, list) or not all(isinstance(text, str) for text in documents):
            raise RowError(f"column '{self.column}' must hold a list of texts")
        return [query, documents]

    async def ask(self, client: AsyncClient, requests: Sequence[Any]) -> Asked:
        """Rank the documents."""
        query, documents = requests[0]
        ranking = await client.rerank(query, documents, **self._arguments)
        tokens = ranking.usage.prompt_tokens if ranking.usage else None
        places = [{"index": one.index, "score": one.score} for one in ranking]
        return [Answer(places, prompt_tokens=tokens)], (tokens or 0, 0)


TASKS: dict[str, type[Task]] = {"chat": ChatTask, "complete": CompleteTask, "embed": EmbedTask, "rerank": RerankTask}


def make_task(job: Job) -> Task:
    """Return the task of a job.

    Raises:
        UsageError: Something about it is wrong.
    """
    if job.task not in TASKS:
        raise UsageError(unknown_name(job.task, TASKS, "task"))
    if job.task != "rerank" and job.query is not None:
        raise UsageError("query is for task='rerank'; leave it out")
    return TASKS[job.task](job)


def temperature_of(task: Task) -> float | None:
    """Return the sampling temperature asked for, if any."""
    options = getattr(task, "options", None)
    return options.temperature if isinstance(options, Options) else None


def _string(values: Mapping[str, Any], column: str) -> str:
    value = values.get(column)
    if value is None:
        raise RowError(f"column '{column}' is {'null' if column in values else 'missing'}")
    if not isinstance(value, str):
        raise RowError(f"column '{column}' holds {type(value).__name__}, not text; a template turns it into text")
    return value


def _refuse(job: Job, task: str, *names: str) -> None:
    for name in names:
        if getattr(job, name):
            raise UsageError(f"{name} has no effect on {task}; leave it out")


def _check_options(options: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in options:
        if name not in known:
            raise UsageError(unknown_name(name, known, "option"))
