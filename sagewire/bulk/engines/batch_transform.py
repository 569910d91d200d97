"""The engine of SageMaker Batch Transform: its own instances, requests in, answers out.

A transform job is handed files with a request a line, sends each to the container, and writes a file with an answer a
line. A file with a refused request gets no answers, and the job is marked as failed; the answers of all other files are
kept, and the bad file is cut into halves until the row is found:
https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from sagewire.aws.lookup_errors import credential_errors
from sagewire.bulk.models import open_model, preflight
from sagewire.bulk.prepare import Prepared
from sagewire.bulk.rows import Answer, Record, Row
from sagewire.bulk.state.job_state import Done, PartWriter
from sagewire.bulk.stopping import StopSignal
from sagewire.bulk.tasks import RowError
from sagewire.bulk.worker import describe
from sagewire.errors import SagewireError, UsageError
from sagewire.http.abandonable import in_thread
from sagewire.transports.async_inference.s3_objects import split_uri

if TYPE_CHECKING:
    from sagewire.client.async_client import AsyncClient

__all__ = ["run_transform"]

_log = logging.getLogger("sagewire.bulk")

_RUNNING = ("InProgress", "Stopping")
_SHARD_BYTES = 90 << 20


@dataclass(frozen=True, slots=True)
class _Options:
    s3_folder: str
    instance_type: str
    instance_count: int = 1
    model_name: str | None = None
    max_concurrent_transforms: int | None = None
    poll: float = 30.0
    shard_rows: int = 10_000


async def run_transform(prepared: Prepared, folder: Path, done: Done, stop: StopSignal, **options: Any) -> str | None:
    """Do what is not done of pass 0 in transform jobs; return why it ended early, `None` if it did not.

    A job that is running already, because an earlier run was ended while it waited, is waited for and collected.

    Args:
        prepared: The job.
        folder: The pass's folder.
        done: The rows that earlier runs have done.
        stop: Ends the waiting.
        **options: See `sagewire.bulk.engines`; `s3_folder` and `instance_type` are needed.
    """
    job = prepared.job
    client = open_model(job.model, job.client_arguments, job.task)
    try:
        await preflight(client, job.task)
        with credential_errors("the transform job"):
            return await _Transform(prepared, folder, client, _Options(**options)).run(done, stop)
    finally:
        await client.close()


class _Transform:
    """The transform jobs of a pass, one after the other; their state is on disk before they begin."""

    def __init__(self, prepared: Prepared, folder: Path, client: AsyncClient, options: _Options) -> None:
        self._prepared = prepared
        self._client = client
        self._options = options
        self._folder = folder
        self._file = folder / "transform.json"
        self._parts = PartWriter(folder)
        self._s3 = client.session().client("s3", region_name=client.session().region_name)
        self._control = client.control_client()
        self._bucket, self._prefix = split_uri(options.s3_folder.rstrip("/") + "/")
        self._state: dict[str, Any] = {}
        self._resumed = False

    async def run(self, done: Done, stop: StopSignal) -> str | None:
        try:
            if self._file.exists():
                self._state = orjson.loads(self._file.read_bytes())
                self._resumed = True
            else:
                self._save(id=uuid.uuid4().hex[:12], round=0, left=None, shards=None, empty=0)
            while await in_thread(self._begin, done, stop):
                status, reason = await self._wait(stop)
                if status is None:
                    return reason
                if not await in_thread(self._collect, done, status, reason):
                    return f"the transform job {self._name} has {status.lower()}: {reason}"
            if stop.reason is not None:
                return stop.reason
            self._file.unlink()
            return None
        finally:
            self._parts.close()

    @property
    def _name(self) -> str:
        # The same name after a crash, so that a job that was created is found again and not paid for twice.
        return f"sagewire-{self._state['id']}-{self._state['round']:03d}"

    def _save(self, **changes: Any) -> None:
        self._state |= changes
        new = self._file.with_suffix(".new")
        new.write_bytes(orjson.dumps(self._state))
        new.replace(self._file)

    def _begin(self, done: Done, stop: StopSignal) -> bool:
        """Upload the requests that are to be made, and create the job; return whether there is any."""
        if self._state["shards"] is None:
            shards, content_type = self._upload(done, stop)
            if stop.reason is not None:
                # A job that has begun is paid for to its end.
                self._clean()
                return False
            if not shards:
                return False
            self._save(shards=shards, content_type=content_type, created=False)
        # A run that crashed may have created the job without having noted it down.
        resumed, self._resumed = self._resumed, False
        if not self._state["created"] and not (resumed and self._exists()):
            try:
                self._create()
            except Exception:
                if not self._exists():
                    # Refused: nothing of it stays behind.
                    self._clean()
                    self._file.unlink()
                    raise
        self._save(created=True)
        return True

    def _upload(self, done: Done, stop: StopSignal) -> tuple[list[dict[str, Any]], str]:
        """Write the requests that are to be made to S3; rows that cannot be asked have failed."""
        shards, content_type = [], "application/json"
        for number, (rows, lines, kind) in enumerate(_shards(self._requests(done), self._sizes())):
            if stop.reason is not None:
                break
            key = f"{self._prefix}{self._name}/in/{number:06d}.jsonl"
            with credential_errors(f"the transform job's requests s3://{self._bucket}/{key}"):
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=b"\n".join(lines) + b"\n")
            shards.append({"key": key, "rows": rows})
            content_type = kind
        return shards, content_type

    def _sizes(self) -> Iterator[int]:
        """Yield how many rows each file may have."""
        left = self._state["left"]
        return repeat(self._options.shard_rows) if left is None else iter([len(rows) for rows in left])

    def _requests(self, done: Done) -> Iterator[tuple[int, bytes, str]]:
        task, left = self._prepared.task, self._state["left"]
        wanted = None if left is None else {row for rows in left for row in rows}
        for chunk in self._prepared.source.chunks(task.columns):
            bad = []
            for row in chunk.rows:
                if row.number in done or (wanted is not None and row.number not in wanted):
                    continue
                try:
                    if row.values is None:
                        raise RowError(row.error or "the row cannot be read")
                    call, _ = task.wire(self._client, task.request(row.values))
                except (RowError, UsageError) as error:
                    bad.append(Record(row.number, Answer(error=str(error))))
                    continue
                # A line is a request, and JSON may hold line ends only between its values.
                yield row.number, call.body.replace(b"\n", b" "), call.content_type
            if bad:
                self._parts.append(bad)
                for record in bad:
                    done.add(record.row)

    def _create(self) -> None:
        options = self._options
        folder = f"s3://{self._bucket}/{self._prefix}{self._name}"
        more = (
            {"MaxConcurrentTransforms": options.max_concurrent_transforms} if options.max_concurrent_transforms else {}
        )
        self._control.create_transform_job(
            TransformJobName=self._name,
            ModelName=options.model_name or self._model_name(),
            BatchStrategy="SingleRecord",
            TransformInput={
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{folder}/in/"}},
                "ContentType": self._state["content_type"],
                "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": f"{folder}/out", "Accept": "application/json", "AssembleWith": "Line"},
            TransformResources={"InstanceType": options.instance_type, "InstanceCount": options.instance_count},
            **more,
        )

    def _exists(self) -> bool:
        try:
            self._control.describe_transform_job(TransformJobName=self._name)
        except Exception:
            return False
        return True

    def _model_name(self) -> str:
        endpoint = self._control.describe_endpoint(EndpointName=self._client.target)
        config = self._control.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        name = config["ProductionVariants"][0].get("ModelName")
        if not name:
            raise UsageError("the endpoint hosts inference components and has no model of its own; give model_name")
        return str(name)

    async def _wait(self, stop: StopSignal) -> tuple[str | None, str]:
        """Wait for the job; return its status and why, or no status and why the waiting ended."""
        while True:
            found = await in_thread(partial(self._control.describe_transform_job, TransformJobName=self._name))
            status = found["TransformJobStatus"]
            if status not in _RUNNING:
                return status, found.get("FailureReason") or "no reason given"
            if await stop.wait(self._options.poll):
                return None, f"{stop.reason}; the transform job {self._name} goes on, and resuming collects it"

    def _collect(self, done: Done, status: str, reason: str) -> bool:
        """Keep the answers of a job that has ended and prepare the next one; return whether to begin that now."""
        asked = self._prepared.source.chunks(self._prepared.task.columns)
        rows = (row for chunk in asked for row in chunk.rows)
        shards = self._state["shards"]
        missing = [shard["rows"] for shard in shards if not self._keep(shard, rows, done, status)]
        answered = len(missing) < len(shards)
        refused = status == "Failed" and (answered or reason.startswith("ClientError"))
        if refused:
            alone = [part[0] for part in missing if len(part) == 1]
            error = f"the transform job {self._name} failed at this row: {reason}"
            self._parts.append([Record(row, Answer(error=error)) for row in alone])
            for row in alone:
                done.add(row)
            missing = [half for part in missing if len(part) > 1 for half in _halves(part)]
        elif status == "Failed":
            missing = [half for part in missing for half in _halves(part)]
        self._clean()
        empty = 0 if answered else self._state["empty"] + 1
        self._save(round=self._state["round"] + 1, left=missing, shards=None, created=False, empty=empty)
        if not missing:
            # With all answers there, other problems are for the user to judge.
            return status == "Completed" or reason.startswith("ClientError")
        # Two jobs in succession without an answer: it is not the rows.
        return refused and empty < 2

    def _keep(self, shard: Mapping[str, Any], rows: Iterator[Row], done: Done, status: str) -> bool:
        """Write the answers of a file to disk; return whether there were any."""
        key = shard["key"].replace("/in/", "/out/") + ".out"
        location = f"s3://{self._bucket}/{key}"
        if status != "Completed" and not self._s3.list_objects_v2(Bucket=self._bucket, Prefix=key).get("KeyCount"):
            return False
        with credential_errors(f"the transform job's answers {location}"):
            lines = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].iter_lines()
        numbers = shard["rows"]
        new = self._folder / f"shard-{numbers[0]:012d}.new"
        count = 0
        with new.open("wb") as file:
            for line in lines:
                if count == len(numbers):
                    raise SagewireError(f"{location} has more lines than there were requests")
                record = self._read(rows, numbers[count], line)
                count += 1
                if record.row not in done:
                    file.write(record.to_json() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if count < len(numbers):
            raise SagewireError(f"{location} has fewer lines than there were requests")
        # As a whole or not at all, and in its own file, so that the rows of all files are in order.
        new.replace(new.with_suffix(".jsonl"))
        return True

    def _clean(self) -> None:
        """Delete the job's objects in S3."""
        try:
            pages = self._s3.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{self._name}/"):
                for found in page.get("Contents", ()):
                    self._s3.delete_object(Bucket=self._bucket, Key=found["Key"])
        except Exception as error:
            # They cost little, and the job does not depend on it.
            _log.warning("the objects of the transform job %s cannot be deleted: %s", self._name, error)

    def _read(self, rows: Iterator[Row], number: int, line: bytes) -> Record:
        # How an answer is read may depend on what was asked, so the rows are read once more beside the answers.
        row = next(row for row in rows if row.number == number)
        task = self._prepared.task
        try:
            _, read = task.wire(self._client, task.request(row.values or {}))
            [answer], spent = read(line)
        except SagewireError as error:
            return Record(number, Answer(error=describe(error)))
        return Record(number, answer, spent)


def _halves(rows: list[int]) -> list[list[int]]:
    middle = (len(rows) + 1) // 2
    return [half for half in (rows[:middle], rows[middle:]) if half]


def _shards(
    requests: Iterator[tuple[int, bytes, str]], sizes: Iterator[int]
) -> Iterator[tuple[list[int], list[bytes], str]]:
    rows: list[int] = []
    lines: list[bytes] = []
    size, most = 0, next(sizes, 1)
    for row, line, kind in requests:
        rows.append(row)
        lines.append(line)
        size += len(line)
        if len(rows) >= most or size >= _SHARD_BYTES:
            yield rows, lines, kind
            rows, lines, size, most = [], [], 0, next(sizes, 1)
    if rows:
        yield rows, lines, kind
