"""An estimate of a job from a sample: rows, tokens, time and concurrency."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Unpack

from sagewire.bulk.concurrency import ConcurrencyController
from sagewire.bulk.job import JobSettings
from sagewire.bulk.models import open_model, preflight
from sagewire.bulk.prepare import Prepared, prepare
from sagewire.bulk.progress import estimated_tokens, uncounted
from sagewire.bulk.tasks import RowError
from sagewire.bulk.worker import Question, Unanswered, Worker
from sagewire.errors import SagewireError
from sagewire.http.abandonable import in_thread

__all__ = ["Plan", "aplan", "plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """An estimate of a job.

    Args:
        rows: Rows of the input, about.
        sampled: Rows that were looked at.
        asked: How many of them the model was asked about.
        failed: How many of those failed.
        malformed: How many of the sample cannot be asked.
        equal: The share of the sample that repeats another row of it.
        prompt_tokens: Tokens to be read in all, estimated.
        completion_tokens: Tokens to be written in all, estimated.
        measured: Whether tokens and time come from answers, rather than from the number of characters; tokens that the
            server does not count are estimated all the same.
        concurrency: Calls in flight that the sample ended with.
        seconds: How long it would take; `None` if nothing was sent.
        errors: The errors in the sample.
    """

    rows: int
    sampled: int
    asked: int = 0
    failed: int = 0
    malformed: int = 0
    equal: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    measured: bool = False
    concurrency: int | None = None
    seconds: float | None = None
    errors: tuple[str, ...] = ()


async def aplan(source: str, model: Any, output: str, *, sample: int = 64, **settings: Unpack[JobSettings]) -> Plan:
    """Estimate a job; see `plan`."""
    prepared = await in_thread(prepare, source, model, output, settings)
    rows = await in_thread(prepared.source.count)
    looked = await in_thread(_look, prepared, max(sample, 1000))
    if not looked.questions or not sample:
        return _guess(prepared, rows, looked)
    return await _measure(prepared, rows, looked, looked.questions[:sample])


def plan(source: str, model: Any, output: str, *, sample: int = 64, **settings: Unpack[JobSettings]) -> Plan:
    """Estimate rows, tokens and time of a job by asking about a few of its rows.

    Args:
        source: As for `run`.
        model: As for `run`.
        output: As for `run`; nothing is written.
        sample: Rows the model is asked about; 0 asks nothing, and tokens are guessed from the number of characters.
        **settings: As for `run`.

    Raises:
        UsageError: As for `run`.
    """
    return asyncio.run(aplan(source, model, output, sample=sample, **settings))


@dataclass(slots=True)
class _Sample:
    questions: list[Question]
    sampled: int = 0
    malformed: int = 0
    equal: float = 0.0
    tokens: int = 0


def _look(prepared: Prepared, most: int) -> _Sample:
    """Read the first rows; later ones are taken to be like them."""
    found = _Sample([])
    keys: set[str] = set()
    for chunk in prepared.source.chunks(prepared.task.columns):
        for row in chunk.rows:
            if found.sampled >= most:
                break
            found.sampled += 1
            try:
                if row.values is None:
                    raise RowError
                request = prepared.task.request(row.values)
            except RowError:
                found.malformed += 1
                continue
            key = prepared.task.key(request)
            if prepared.dedup and key in keys:
                found.equal += 1
                continue
            keys.add(key)
            found.tokens += estimated_tokens(request)
            found.questions.append(Question(row.number, request))
        if found.sampled >= most:
            break
    found.equal = found.equal / found.sampled if found.sampled else 0.0
    return found


def _guess(prepared: Prepared, rows: int, looked: _Sample) -> Plan:
    each = looked.tokens / max(1, looked.sampled)
    most = prepared.job.options.get("max_tokens")
    generates = prepared.job.task in ("chat", "complete")
    share = len(looked.questions) / max(1, looked.sampled)
    completion = round(rows * share * most) if generates and most else (None if generates else 0)
    return Plan(
        rows,
        looked.sampled,
        malformed=looked.malformed,
        equal=looked.equal,
        prompt_tokens=round(rows * each),
        completion_tokens=completion,
    )


async def _measure(prepared: Prepared, rows: int, looked: _Sample, questions: list[Question]) -> Plan:
    job, task, bounds = prepared.job, prepared.task, prepared.bounds
    client = open_model(job.model, job.client_arguments, job.task)
    controller = ConcurrencyController(bounds.concurrency, most=bounds.max_concurrency)
    worker = Worker(job, bounds, task, client, controller)
    errors: list[str] = []

    async def ask(some: list[Question]) -> tuple[int, int]:
        try:
            records = await worker.work(some)
        except Unanswered as error:
            errors.append(str(error.__cause__))
            return 0, 0
        errors.extend(record.answer.error for record in records if record.answer.error is not None)
        prompt, completion = (sum(record.spent[at] for record in records) for at in (0, 1))
        # Some servers count nothing, or only what they write.
        guess = uncounted([question.request for question in some], records)
        return (prompt, completion) if prompt else (guess, completion)

    try:
        await preflight(client, job.task)
        # The first call opens connections, so its time does not count; its tokens do.
        first = await ask(questions[: task.batch])
        started = time.monotonic()
        rest = questions[task.batch :]
        batches = [rest[at : at + task.batch] for at in range(0, len(rest), task.batch)]
        tokens = [first, *await asyncio.gather(*map(ask, batches))]
        elapsed = time.monotonic() - started
    finally:
        if client is not job.model:
            await client.close()
    to_ask = rows * len(looked.questions) / looked.sampled
    prompt, completion = (sum(one[at] for one in tokens) for at in (0, 1))
    if len(errors) >= len(questions):
        raise SagewireError(f"no row of the sample was answered: {errors[0]}")
    return Plan(
        rows,
        looked.sampled,
        asked=len(questions),
        failed=len(errors),
        malformed=looked.malformed,
        equal=looked.equal,
        prompt_tokens=round(prompt / len(questions) * to_ask),
        completion_tokens=round(completion / len(questions) * to_ask),
        measured=True,
        concurrency=controller.limit,
        seconds=elapsed / len(rest) * to_ask if rest else None,
        errors=tuple(dict.fromkeys(errors))[:5],
    )
