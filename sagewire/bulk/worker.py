"""Asking the model about rows: attempts, waits, and whose fault it is when it does not work."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from sagewire.bulk.concurrency import Call, ConcurrencyController
from sagewire.bulk.job import Bounds, Job
from sagewire.bulk.rows import Answer, Record
from sagewire.bulk.tasks import Asked, Task
from sagewire.errors import (
    AccessDenied,
    EndpointError,
    EndpointNotFound,
    NotReady,
    PayloadTooLarge,
    SagewireError,
    Throttled,
    UnsupportedFeature,
    WireError,
)
from sagewire.transports.backoff import Backoff

if TYPE_CHECKING:
    from sagewire.client.async_client import AsyncClient

__all__ = ["Halted", "Question", "Unanswered", "Worker"]

_BACKOFF = Backoff(base=0.25, longest=20.0)


class Halted(Exception):
    """A stop of the job before these rows are done."""


class Unanswered(Exception):
    """A call without an answer, which need not be the rows' fault; `__cause__` has the reason."""


@dataclass(frozen=True, slots=True)
class Question:
    """A row on its way to the model.

    Args:
        row: The row's number.
        request: The request to send.
        key: The request's digest, if equal rows are sent once.
        line: The row's line in its file.
        path: Its file.
        values: Its columns.
        size: About how many bytes it holds.
    """

    row: int
    request: Any
    key: str | None = None
    line: int = 0
    path: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0


class Worker:
    """The calls of a job: questions in, records out.

    Args:
        job: The job.
        bounds: How patiently.
        task: The job's task.
        client: The client to call; its retries should be off.
        controller: When calls may begin.
    """

    def __init__(
        self, job: Job, bounds: Bounds, task: Task, client: AsyncClient, controller: ConcurrencyController
    ) -> None:
        self._job = job
        self._bounds = bounds
        self.task = task
        self.client = client
        self.controller = controller
        self.stopping = asyncio.Event()

    async def work(self, questions: Sequence[Question], call: Call | None = None) -> list[Record]:
        """Return a record for each question; a failure caused by a row is a record too.

        Args:
            questions: At most as many as the task takes in one call.
            call: The permission for the first call, if it was given already.

        Raises:
            Halted: The job is being stopped.
            Unanswered: The endpoint gave no answer after all attempts.
            AccessDenied: No row can be asked; so with `EndpointNotFound` and `UnsupportedFeature`.
        """
        try:
            answers, spent = await self._ask(questions, call)
        except (UnsupportedFeature, AccessDenied, EndpointNotFound):
            raise
        except SagewireError as error:
            if len(questions) > 1 and _may_be_one_of_them(error):
                # One text that is too long must not take the others with it.
                middle = len(questions) // 2
                return [*await self.work(questions[:middle]), *await self.work(questions[middle:])]
            if isinstance(error, EndpointError) and error.fault == "service" and not isinstance(error, PayloadTooLarge):
                raise Unanswered from error
            answers, spent = [Answer(error=describe(error))] * len(questions), (0, 0)
        shared = [spent, *[(0, 0)] * (len(questions) - 1)]
        return [
            Record(question.row, answer, tokens, question.key)
            for question, answer, tokens in zip(questions, answers, shared, strict=True)
        ]

    async def _ask(self, questions: Sequence[Question], call: Call | None) -> Asked:
        requests = [question.request for question in questions]
        prompt = completion = 0
        for left in range(self._job.schema_retries, -1, -1):
            answers, spent = await _Attempts(self, self._bounds, call).run(requests)
            call = None
            prompt, completion = prompt + spent[0], completion + spent[1]
            if answers[0].error is None or not left:
                break
        return answers, (prompt, completion)


class _Attempts:
    """The attempts of one call."""

    def __init__(self, worker: Worker, bounds: Bounds, call: Call | None) -> None:
        self._worker = worker
        self._controller = worker.controller
        self._bounds = bounds
        self._call = call
        self._failures = 0
        # A refused call may keep its place in flight while its row waits.
        self._holds_place = False

    async def run(self, requests: Sequence[Any]) -> Asked:
        retrying = AsyncRetrying(
            retry=retry_if_exception(_worth), wait=self._wait, stop=self._stop, sleep=self._nap, reraise=True
        )
        try:
            return await retrying(self._once, requests)
        finally:
            self._give_back()

    async def _once(self, requests: Sequence[Any]) -> Asked:
        self._give_back()
        call, self._call = self._call, None
        call = call or await self._controller.enter()
        if self._worker.stopping.is_set():
            self._controller.leave(call, failed=True, made=False)
            raise Halted
        refused, failed = False, True
        try:
            asked = await self._worker.task.ask(self._worker.client, requests)
            failed = False
            return asked
        except EndpointError as error:
            refused = _is_refusal(error)
            raise
        finally:
            self._holds_place = self._controller.leave(call, refused=refused, failed=failed, keep=True)

    def _give_back(self) -> None:
        if self._holds_place:
            self._holds_place = False
            self._controller.release()

    def _stop(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, EndpointError) and (_is_refusal(error) or isinstance(error, NotReady)):
            # Being told to wait does not count as a failure, however often.
            return (state.seconds_since_start or 0.0) + state.upcoming_sleep > self._bounds.patience
        self._failures += 1
        return self._failures >= self._bounds.attempts

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, EndpointError) else None
        # However long the server asks for: a job's patience bounds the whole.
        return _BACKOFF.seconds(state.attempt_number - 1, asked, longest_asked=math.inf)

    async def _nap(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._worker.stopping.wait(), seconds)
        except TimeoutError:
            return
        raise Halted


def describe(error: BaseException) -> str:
    """Return an error as a sentence for a column."""
    return f"{type(error).__name__}: {error}"


def _worth(error: BaseException) -> bool:
    return isinstance(error, WireError) or (isinstance(error, EndpointError) and error.retry_safe)


def _is_refusal(error: EndpointError) -> bool:
    return isinstance(error, Throttled) or error.status == 503


def _may_be_one_of_them(error: SagewireError) -> bool:
    return isinstance(error, PayloadTooLarge) or not isinstance(error, EndpointError) or error.fault != "service"
