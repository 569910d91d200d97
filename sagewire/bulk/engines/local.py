"""The engine of one machine: rows in, calls in flight, records on disk; asyncio throughout."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from sagewire.bulk.concurrency import Call, ConcurrencyController
from sagewire.bulk.files.dead_letters import append_letters
from sagewire.bulk.job import Bounds
from sagewire.bulk.progress import Progress
from sagewire.bulk.rows import Answer, Chunk, Record, Row
from sagewire.bulk.state.answer_index import Index
from sagewire.bulk.state.job_state import WINDOW_ROWS, Done, Parts, RecordLocation
from sagewire.bulk.stopping import STOP_PATIENCE
from sagewire.bulk.tasks import RowError, Task
from sagewire.bulk.worker import Halted, Question, Unanswered, Worker, describe
from sagewire.errors import AccessDenied, EndpointNotFound, SagewireError
from sagewire.http.abandonable import in_thread

__all__ = ["LocalEngine"]

_log = logging.getLogger("sagewire.bulk")

_WINDOW_BYTES = 64 << 20
# After this many calls in succession without an answer it is checked whether the endpoint still answers at all.
_LOST_AFTER = 3

# Seconds that a cancelled job waits for the disk to take what was answered.
_CANCELLED_PATIENCE = 2.0


class LocalEngine:
    """The engine of one pass.

    Args:
        worker: Asks the model.
        task: The job's task.
        controller: When calls may begin.
        bounds: When to stop.
        parts: The destination of records.
        progress: Counts.
        index: Finds answers to equal rows; `None` to ask about every row.
        reserved: Names of columns that are added, and so must not be in a row.
        letters: The file for rows that fail, if there is one.
        watch: Called with the progress after each write.
        reread: Reads the input from a row on, to find a row that an earlier run has answered.

    Attributes:
        progress: Counts.
        stopped: Why it has stopped, if it has.
        spent_up: Whether that is because the budget is spent.
    """

    def __init__(
        self,
        worker: Worker,
        task: Task,
        controller: ConcurrencyController,
        bounds: Bounds,
        parts: Parts,
        progress: Progress,
        *,
        index: Index | None = None,
        reserved: Sequence[str] = (),
        letters: Path | None = None,
        watch: Callable[[Progress], None] | None = None,
        reread: Callable[[int], Iterator[Chunk]] | None = None,
    ) -> None:
        self._worker = worker
        self._task = task
        self._controller = controller
        self._bounds = bounds
        self._reserved = frozenset(reserved)
        self.progress = progress
        self._watch = watch
        self._reread = reread
        self._answered_before: int | None = None
        self._letters = letters
        self._done = Done()
        self._parts = parts
        self._index = index
        self._followers: dict[str, list[Question]] = {}
        # Answers on their way to the disk, which the index does not have yet.
        self._fresh: dict[str, Answer] = {}
        self._batch: list[Question] = []
        self._finished: list[tuple[Record, Question]] = []
        # Questions without an answer, why, and when that was known.
        self._silent: list[tuple[Sequence[Question], BaseException, float]] = []
        # A question that was answered in this run; asked again, it tells whether the endpoint still answers.
        self._answerable: Question | None = None
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._ending = False
        self._bytes = 0
        self._feeder: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._fatal: BaseException | None = None
        self._giving_up: asyncio.TimerHandle | None = None
        self.stopped: str | None = None
        self.spent_up = False

    def recover(self, records: Iterable[Record]) -> int:
        """Take in what earlier runs have done; return the first row that is not done."""
        for record in records:
            self._done.add(record.row)
            self.progress.before(record)
            if record.answer.error is None:
                self._answered_before = record.row
        return self._done.below

    def begin(self, first: int, done: Iterable[int]) -> None:
        """Begin in the middle of the input, with some of the rows from there on done already."""
        self._done = Done(first)
        for row in done:
            self._done.add(row)

    def stop(self, reason: str) -> None:
        """Begin no more calls; those in flight are waited for."""
        if self.stopped is None:
            self.stopped = reason
            self.progress.stopping, self.progress.in_flight = reason, len(self._calls)
            _log.info("stopping: %s; %d calls in flight are waited for", reason, len(self._calls))
            self._giving_up = asyncio.get_running_loop().call_later(STOP_PATIENCE, self._give_up)
            self._tell()
        self._worker.stopping.set()
        if self._feeder is not None:
            self._feeder.cancel()

    def _give_up(self) -> None:
        """Leave calls that are still not answered: their rows are sent again when the job goes on."""
        for task in self._calls:
            task.cancel()

    async def run(self, chunks: Iterator[Chunk]) -> None:
        """Work off the rows until there are none left or `stop` is called.

        Raises:
            SagewireError: No row can be sent; earlier answers are on disk.
        """
        writer = asyncio.create_task(self._write_out())
        self._feeder = asyncio.create_task(self._feed(chunks))
        loop = asyncio.get_running_loop()
        timer = None
        if self._bounds.deadline is not None:
            timer = loop.call_later(self._bounds.deadline, self.stop, self._bounds.reason("deadline"))
        patience: float | None = None
        try:
            await self._watch_over(self._feeder, writer)
        except asyncio.CancelledError:
            patience = _CANCELLED_PATIENCE
            raise
        finally:
            for each in (timer, self._giving_up):
                if each is not None:
                    each.cancel()
            for task in [self._feeder, *self._calls]:
                task.cancel()
            self._ending = True
            self._wake.set()
            await asyncio.wait({writer}, timeout=patience)
            if writer.done():
                self._writer_ended(writer)
                self._parts.close()
            else:
                # Closing would wait for the thread that writes. Rows that are not on disk are asked again.
                _log.warning("the disk did not take the last answers within %g s; they are lost", patience)
                writer.cancel()
            if self._index is not None:
                self._index.close()
        if self._fatal is not None:
            raise self._fatal

    async def _watch_over(self, feeder: asyncio.Task[None], writer: asyncio.Task[None]) -> None:
        """Wait until all rows are done, or one of the tasks has ended early."""
        await asyncio.wait({feeder, writer}, return_when=asyncio.FIRST_COMPLETED)
        if writer.done():
            self._writer_ended(writer)
            await asyncio.wait({feeder})
        if not feeder.cancelled() and (error := feeder.exception()) is not None:
            if isinstance(error, OSError):
                self.stop(f"the input cannot be read any more: {error}")
            else:
                self._fail(error)
        while self._calls:
            await asyncio.wait({writer, *self._calls}, return_when=asyncio.FIRST_COMPLETED)
            if writer.done():
                self._writer_ended(writer)
                # Calls that ended together with the writer are in the set no more.
                if self._calls:
                    await asyncio.wait(self._calls)

    def _writer_ended(self, writer: asyncio.Task[None]) -> None:
        """Stop everything: what is answered from now on cannot be kept."""
        if not writer.cancelled() and (error := writer.exception()) is not None:
            self._fail(error)
        for task in self._calls:
            task.cancel()

    def _fail(self, error: BaseException) -> None:
        self._fatal = self._fatal or error
        self.stop(describe(error))

    async def _feed(self, chunks: Iterator[Chunk]) -> None:
        while (chunk := await in_thread(next, chunks, None)) is not None:
            for row in chunk.rows:
                if row.number not in self._done:
                    await self._room(row.number)
                    await self._take(row)
        await self._dispatch()
        while self._calls:
            await asyncio.wait(self._calls)
        await self._resolve_silence()

    async def _take(self, row: Row) -> None:
        try:
            question = self._question(row)
        except RowError as error:
            self.progress.malformed += row.error is not None
            self._finish(
                [Record(row.number, Answer(error=str(error)))],
                [Question(row.number, None, None, row.line, row.path, row.values or {})],
            )
            return
        if question.key is not None and self._index is not None:
            known = self._fresh.get(question.key) or self._index.find(question.key)
            if known is not None:
                self._reuse(question, known)
                return
            if (waiting := self._followers.get(question.key)) is not None:
                waiting.append(question)
                return
            self._followers[question.key] = []
        self._batch.append(question)
        if len(self._batch) >= self._task.batch:
            await self._dispatch()

    def _question(self, row: Row) -> Question:
        if row.values is None:
            raise RowError(row.error or "the row cannot be read")
        if not self._reserved.isdisjoint(row.values):
            name = next(name for name in row.values if name in self._reserved)
            raise RowError(
                f"line {row.line}: the row has a column {name!r} already; give a prefix for the added columns"
            )
        request = self._task.request(row.values)
        key = self._task.key(request) if self._index is not None else None
        self._bytes += row.size
        return Question(row.number, request, key, row.line, row.path, row.values, row.size)

    async def _room(self, row: int) -> None:
        """Wait until a row is near enough to those not done yet, and memory holds it."""
        while row - self._done.below >= WINDOW_ROWS or self._bytes >= _WINDOW_BYTES:
            if self._batch:
                await self._dispatch()
                continue
            if self._silent and not self._calls:
                # Rows without an answer keep the window from moving, and no other call will tell the reason.
                if not self._can_check and row - self._done.below < 2 * WINDOW_ROWS:
                    # This row's call will.
                    return
                await self._resolve_silence()
                continue
            self._changed.clear()
            await self._changed.wait()

    async def _dispatch(self) -> None:
        if not self._batch:
            return
        if len(self._silent) >= _LOST_AFTER + (0 if self._can_check else len(self._calls)):
            await self._resolve_silence()
        while not self.progress.affords(self._bounds.budget_tokens, self._controller.in_flight):
            if not self._calls:
                self.spent_up = True
                about = " (as estimated, because the server does not count)" if self.progress.estimated_tokens else ""
                self.stop(self._bounds.reason("budget_tokens") + about)
            self._changed.clear()
            await self._changed.wait()
        call = await self._controller.enter()
        questions, self._batch = self._batch, []
        task = asyncio.create_task(self._call(questions, call))
        self._calls.add(task)
        task.add_done_callback(self._ended)

    async def _call(self, questions: Sequence[Question], call: Call) -> None:
        began = time.monotonic()
        try:
            records = await self._worker.work(questions, call)
        except Halted:
            return
        except Unanswered as error:
            self._silent.append((questions, error.__cause__ or error, time.monotonic()))
            return
        except SagewireError as error:
            if isinstance(error, AccessDenied | EndpointNotFound):
                # Permissions may change in the middle of a job; finished rows stay finished.
                self.stop(describe(error))
                return
            self._fail(error)
            return
        except Exception as error:
            self._fail(error)
            return
        self.progress.answered(records, [question.request for question in questions])
        self._answerable = questions[0]
        self._fail_silent(began)
        self._finish(records, questions)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._changed.set()

    async def _resolve_silence(self) -> None:
        """Find out whether rows without an answer have failed, or the endpoint is lost, and stop if it is."""
        if not self._silent:
            return
        began = time.monotonic()
        question = self._answerable or await self._answered_earlier()
        if question is not None and await self._still_answers(question):
            self._fail_silent(began)
        elif self._silent:
            self.stop(f"the endpoint gives no answers any more: {describe(self._silent[-1][1])}")

    @property
    def _can_check(self) -> bool:
        """Whether there is a question whose answer would tell that the endpoint still answers."""
        return self._answerable is not None or (self._reread is not None and self._answered_before is not None)

    async def _answered_earlier(self) -> Question | None:
        """Return a question that an earlier run has answered, if there is one."""
        if self._reread is None or self._answered_before is None:
            return None
        chunk = await in_thread(next, self._reread(self._answered_before), None)
        row = chunk.rows[0] if chunk is not None else None
        if row is None or row.values is None:
            return None
        return Question(row.number, self._task.request(row.values), None, row.line, row.path, row.values)

    async def _still_answers(self, question: Question) -> bool:
        """Ask a question again that was answered before."""
        try:
            records = await self._worker.work([question])
        except (Halted, Unanswered):
            return False
        except SagewireError as error:
            self.stop(describe(error))
            return False
        self.progress.answered(records, [question.request])
        return True

    def _fail_silent(self, since: float) -> None:
        """Fail the rows that got no answer before a call began that was answered.

        An answer to an earlier call says nothing: the endpoint may have been lost since.
        """
        if self.stopped is not None:
            # Or it came back after it was given up; then they are asked again by the next run.
            return
        failed = [one for one in self._silent if one[2] <= since]
        self._silent = [one for one in self._silent if one[2] > since]
        for questions, error, _ in failed:
            records = [Record(question.row, Answer(error=describe(error)), key=question.key) for question in questions]
            self._finish(records, questions)

    def _reuse(self, question: Question, known: Answer) -> None:
        self.progress.reused += 1
        self._finish([Record(question.row, known.without_cost(), key=question.key)], [question])

    def _finish(self, records: Sequence[Record], questions: Sequence[Question]) -> None:
        self._finished += zip(records, questions, strict=True)
        for record in records:
            if record.key is None:
                continue
            if record.answer.error is None:
                self._fresh[record.key] = record.answer
            for question in self._followers.pop(record.key, ()):
                self._reuse(question, record.answer)
        self._wake.set()

    async def _write_out(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            finished, self._finished = self._finished, []
            if finished:
                records = [record for record, _ in finished]
                try:
                    # A disk that hung for so long that it was not waited for: the file is closed when it is back.
                    places = await in_thread(self._parts.append, records, discard=lambda _: self._parts.close())
                except OSError as error:
                    self._disk_failed(error)
                    return
                self._count(finished, places)
            if self._ending and not self._finished:
                return

    def _count(self, finished: Sequence[tuple[Record, Question]], places: Sequence[RecordLocation]) -> None:
        if self._index is not None:
            self._index.add([record for record, _ in finished], places)
            for record, _ in finished:
                if record.key is not None:
                    self._fresh.pop(record.key, None)
        for record, question in finished:
            self._done.add(record.row)
            self._bytes -= question.size
            self.progress.done(record)
        failed = [(record, question) for record, question in finished if record.answer.error is not None]
        if failed and self._letters is not None:
            append_letters(self._letters, [(one.path, one.line, record, one.values) for record, one in failed])
        limit = self._bounds.max_errors
        if limit is not None and self.progress.failed > limit:
            self.stop(self._bounds.reason("max_errors"))
        self._changed.set()
        self.progress.concurrency = self._controller.limit
        self._tell()

    def _tell(self) -> None:
        """Call the caller's function, if there is one. Its mistake ends the job; answers are kept all the same."""
        if (watch := self._watch) is None:
            return
        try:
            watch(self.progress)
        except Exception as error:
            self._watch = None
            self._fail(error)

    def _disk_failed(self, error: OSError) -> None:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        self.stop(f"{'the disk is full' if full else 'the disk fails'}: {error.strerror or error}")
        # Their answers could not be kept.
        for task in self._calls:
            task.cancel()
