"""The engine of SageMaker Batch Transform: instances of its own, requests in, answers out.

A transform job is handed files with a request a line, sends each to the container, and writes a file with an answer a
line. One refused request fails the whole job (there are no retries by row), so this engine suits inputs that are known
to be good.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from sagewire.aws.lookup_errors import credential_errors
from sagewire.bulk.models import open_model, preflight
from sagewire.bulk.prepare import Prepared
from sagewire.bulk.rows import Answer, Record, Row
from sagewire.bulk.state.job_state import Done, PartWriter
from sagewire.bulk.tasks import RowError
from sagewire.bulk.worker import describe
from sagewire.errors import SagewireError, UsageError
from sagewire.transports.async_inference.s3_objects import split_uri

if TYPE_CHECKING:
    from sagewire.client.async_client import AsyncClient

__all__ = ["run_transform"]

_RUNNING = ("InProgress", "Stopping")
_SHARD_BYTES = 90 << 20
_RECORDS = 512


@dataclass(frozen=True, slots=True)
class _Options:
    s3_folder: str
    instance_type: str
    instance_count: int = 1
    model_name: str | None = None
    max_concurrent_transforms: int | None = None
    poll: float = 30.0
    shard_rows: int = 10_000


async def run_transform(prepared: Prepared, folder: Path, done: Done, **options: Any) -> str | None:
    """Do what is not done of pass 0 in a transform job; return why it ended early, `None` if it did not.

    A job that is running already, because an earlier run was ended while it waited, is waited for and collected.

    Args:
        prepared: The job.
        folder: The pass's folder.
        done: What earlier runs have done.
        **options: See `sagewire.bulk.engines`; `s3_folder` and `instance_type` are needed.
    """
    job = prepared.job
    client = open_model(job.model, job.client_arguments, job.task)
    try:
        await preflight(client, job.task)
        with credential_errors("the transform job"):
            return await _Transform(prepared, folder, client, _Options(**options)).run(done)
    finally:
        await client.close()


class _Transform:
    def __init__(self, prepared: Prepared, folder: Path, client: AsyncClient, options: _Options) -> None:
        self._prepared = prepared
        self._client = client
        self._options = options
        self._state = folder / "transform.json"
        self._parts = PartWriter(folder)
        self._content_type = "application/json"
        self._s3 = client.session().client("s3", region_name=client.session().region_name)
        self._control = client.control_client()

    async def run(self, done: Done) -> str | None:
        try:
            if not self._state.exists():
                shards = await asyncio.to_thread(self._upload, done)
                if not shards:
                    return None
                await asyncio.to_thread(self._create, shards)
            state = orjson.loads(self._state.read_bytes())
            failure = await self._watch(state["job"])
            if failure is not None:
                # The next run makes a new one.
                self._state.unlink()
                return failure
            await asyncio.to_thread(self._collect, state, done)
            self._state.unlink()
            return None
        finally:
            self._parts.close()

    def _upload(self, done: Done) -> list[dict[str, Any]]:
        """Write the requests that are to be made to S3; rows that cannot be asked have failed."""
        name = f"sagewire-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1_000_000:06d}"
        bucket, prefix = split_uri(self._options.s3_folder.rstrip("/") + "/")
        shards = []
        for number, (rows, lines) in enumerate(_shards(self._requests(done), self._options.shard_rows)):
            key = f"{prefix}{name}/in/{number:06d}.jsonl"
            with credential_errors(f"the transform job's requests s3://{bucket}/{key}"):
                self._s3.put_object(Bucket=bucket, Key=key, Body=b"\n".join(lines) + b"\n")
            shards.append({"name": name, "bucket": bucket, "key": key, "rows": rows})
        return shards

    def _requests(self, done: Done) -> Iterator[tuple[int, bytes]]:
        task = self._prepared.task
        for chunk in self._prepared.source.chunks(task.columns):
            bad = []
            for row in chunk.rows:
                if row.number in done:
                    continue
                try:
                    if row.values is None:
                        raise RowError(row.error or "the row cannot be read")
                    call, _ = task.wire(self._client, task.request(row.values))
                except (RowError, UsageError) as error:
                    bad.append(Record(row.number, Answer(error=str(error))))
                    continue
                self._content_type = call.content_type
                # A line is a request, and JSON may hold line ends only between its values.
                yield row.number, call.body.replace(b"\n", b" ")
            if bad:
                self._parts.append(bad)

    def _create(self, shards: Sequence[Mapping[str, Any]]) -> None:
        options = self._options
        name, bucket = shards[0]["name"], shards[0]["bucket"]
        folder = f"s3://{bucket}/{shards[0]['key'].rpartition('/in/')[0]}"
        more = (
            {"MaxConcurrentTransforms": options.max_concurrent_transforms} if options.max_concurrent_transforms else {}
        )
        self._control.create_transform_job(
            TransformJobName=name,
            ModelName=options.model_name or self._model_name(),
            BatchStrategy="SingleRecord",
            TransformInput={
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{folder}/in/"}},
                "ContentType": self._content_type,
                "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": f"{folder}/out", "Accept": "application/json", "AssembleWith": "Line"},
            TransformResources={"InstanceType": options.instance_type, "InstanceCount": options.instance_count},
            **more,
        )
        new = self._state.with_suffix(".new")
        new.write_bytes(orjson.dumps({"job": name, "shards": list(shards)}))
        new.replace(self._state)

    def _model_name(self) -> str:
        endpoint = self._control.describe_endpoint(EndpointName=self._client.target)
        config = self._control.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        name = config["ProductionVariants"][0].get("ModelName")
        if not name:
            raise UsageError("the endpoint hosts inference components and has no model of its own; give model_name")
        return str(name)

    async def _watch(self, name: str) -> str | None:
        """Wait for a job; return why it failed, `None` if it did not."""
        while True:
            found = await asyncio.to_thread(self._control.describe_transform_job, TransformJobName=name)
            status = found["TransformJobStatus"]
            if status == "Completed":
                return None
            if status not in _RUNNING:
                return (
                    f"the transform job {name} has {status.lower()}: {found.get('FailureReason') or 'no reason given'}"
                )
            await asyncio.sleep(self._options.poll)

    def _collect(self, state: Mapping[str, Any], done: Done) -> None:
        asked = self._prepared.source.chunks(self._prepared.task.columns)
        rows = (row for chunk in asked for row in chunk.rows)
        for shard in state["shards"]:
            key = shard["key"].replace("/in/", "/out/") + ".out"
            with credential_errors(f"the transform job's answers s3://{shard['bucket']}/{key}"):
                lines = self._s3.get_object(Bucket=shard["bucket"], Key=key)["Body"].iter_lines()
            numbers = iter(shard["rows"])
            while some := list(islice(lines, _RECORDS)):
                taken = list(islice(numbers, len(some)))
                if len(taken) != len(some):
                    raise SagewireError(f"s3://{shard['bucket']}/{key} has more lines than there were requests")
                records = [self._read(rows, number, line) for number, line in zip(taken, some, strict=True)]
                self._parts.append([record for record in records if record.row not in done])
            if next(numbers, None) is not None:
                raise SagewireError(f"s3://{shard['bucket']}/{key} has fewer lines than there were requests")

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


def _shards(requests: Iterator[tuple[int, bytes]], most: int) -> Iterator[tuple[list[int], list[bytes]]]:
    rows: list[int] = []
    lines: list[bytes] = []
    size = 0
    for row, line in requests:
        rows.append(row)
        lines.append(line)
        size += len(line)
        if len(rows) >= most or size >= _SHARD_BYTES:
            yield rows, lines
            rows, lines, size = [], [], 0
    if rows:
        yield rows, lines
