"""SageMaker's own engines: Asynchronous Inference on the emulator, Batch Transform on moto and the emulator."""

import json
import os
import signal
import subprocess
import sys
import urllib.request

import boto3
import pytest

from sagewire import EndpointError, UnsupportedFeature, UsageError, bulk
from sagewire.emulator import EndpointSpec

moto_server = pytest.importorskip("moto.server")


def questions(count):
    return [{"id": number, "prompt": f"question {number}"} for number in range(count)]


def test_async_inference(models, write, read, tmp_path):
    rows = [*questions(40), "{bad"]
    options = {"poll": [0.01, 0.1]}
    report = bulk.run(
        write(rows), "sagemaker/deferred", tmp_path / "out.jsonl", engine="async-inference", engine_options=options
    )
    assert (report.rows, report.failed, report.complete) == (41, 1, True)
    assert [row.get("output") for row in read(report.output)][:40] == [f"question {number}" for number in range(40)]


def test_async_inference_puts_large_requests_into_s3(models, write, tmp_path):
    source = write([{"prompt": "x" * 200_000}])
    report = bulk.run(source, "sagemaker/deferred", tmp_path / "a.jsonl", engine="async-inference")
    assert report.failed == 1
    assert "upload_to" in next(iter(report.errors))
    options = {"upload_to": "s3://answers/in", "poll": [0.01, 0.1]}
    report = bulk.run(
        source, "sagemaker/deferred", tmp_path / "b.jsonl", engine="async-inference", engine_options=options
    )
    assert report.failed == 0


def test_async_inference_collects_after_a_kill_what_it_asked_for_before(models, write, read, tmp_path, until):
    models.add("queue", EndpointSpec("openai_chat", asynchronous="s3://answers/out", latency=5.0))
    output, tickets = tmp_path / "out.jsonl", tmp_path / "out.jsonl.bulk" / "tickets.jsonl"
    options = {"engine": "async-inference", "engine_options": {"poll": [0.05, 0.2]}, "dedup": False}
    arguments = (write([*questions(40), *questions(10)]), "sagemaker/queue", str(output))
    run = f"from sagewire import bulk; bulk.run(*{arguments!r}, **{options!r})"
    process = subprocess.Popen([sys.executable, "-c", run])
    until(lambda: process.poll() is not None or (tickets.exists() and tickets.read_text().count("at") >= 50), 60)
    process.kill()
    process.wait()
    report = bulk.run(*arguments, **options, resume=True)
    assert report.complete
    assert [row["output"] for row in read(output)] == [f"question {number}" for number in [*range(40), *range(10)]]
    assert len(models.calls) == 50
    assert not tickets.exists()


def test_an_endpoint_that_is_not_asynchronous_is_found_out_before_the_first_row(models, write, tmp_path):
    with pytest.raises(UnsupportedFeature, match="asynchronous inference"):
        bulk.run(write(questions(3)), "sagemaker/chat", tmp_path / "out.jsonl", engine="async-inference")
    assert models.calls == []


@pytest.fixture
def aws(models, monkeypatch):
    """moto's S3 and SageMaker; its transform jobs, which do nothing, are worked off by the emulator's container."""
    from moto.sagemaker.models import SageMakerModelBackend

    server = moto_server.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    for service in ("S3", "SAGEMAKER"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", url)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="transforms")
    create = SageMakerModelBackend.create_transform_job
    jobs = []

    def work(self, *args, **kwargs):
        jobs.append(kwargs)
        source = kwargs["transform_input"]["DataSource"]["S3DataSource"]["S3Uri"]
        target = kwargs["transform_output"]["S3OutputPath"]
        bucket, _, prefix = source.removeprefix("s3://").partition("/")
        for found in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
            lines = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read().splitlines()
            name = found["Key"].rpartition("/")[2]
            key = f"{target.removeprefix('s3://').partition('/')[2]}/{name}.out"
            s3.put_object(Bucket=bucket, Key=key, Body=b"".join(answer(line) + b"\n" for line in lines))
        return create(self, *args, **kwargs)

    def answer(line):
        address = f"{models.container_url('chat')}/invocations"
        headers = {"Content-Type": kwargs_type}
        request = urllib.request.Request(address, line, headers)
        with urllib.request.urlopen(request) as response:
            return response.read()

    kwargs_type = "application/json"
    monkeypatch.setattr(SageMakerModelBackend, "create_transform_job", work)
    yield jobs
    server.stop()


OPTIONS = {
    "s3_folder": "s3://transforms/work",
    "instance_type": "ml.g5.2xlarge",
    "model_name": "llama",
    "poll": 0.01,
    "shard_rows": 16,
}


def test_batch_transform(aws, write, read, tmp_path):
    rows = questions(50)
    rows[20] = "{bad"
    report = bulk.run(
        write(rows),
        "sagemaker/chat",
        tmp_path / "out.jsonl",
        engine="batch-transform",
        engine_options=OPTIONS,
        client_arguments={"handler": "openai_chat"},
        options={"max_tokens": 5},
    )
    assert (report.rows, report.failed, report.complete) == (50, 1, True)
    found = read(report.output)
    assert [row.get("output") for row in found] == [
        None if number == 20 else f"question {number}" for number in range(50)
    ]
    assert found[0]["prompt_tokens"] > 0
    [job] = aws
    assert job["model_name"] == "llama"
    assert job["transform_input"]["SplitType"] == "Line"


def test_ctrl_c_before_a_transform_job_begins_pays_for_none(aws, write, read, tmp_path, monkeypatch, until):
    from moto.s3.models import S3Backend

    put, uploads = S3Backend.put_object, []

    def interrupt(*args, **kwargs):
        uploads.append(kwargs)
        if len(uploads) == 2:
            taken = signal.getsignal(signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            # It has been noticed when the next one is to be the usual interrupt.
            until(lambda: signal.getsignal(signal.SIGINT) is not taken)
        return put(*args, **kwargs)

    monkeypatch.setattr(S3Backend, "put_object", interrupt)
    source, output = write(questions(160)), tmp_path / "out.jsonl"
    settings = {"engine": "batch-transform", "engine_options": OPTIONS, "client_arguments": {"handler": "openai_chat"}}
    report = bulk.run(source, "sagemaker/chat", output, **settings)
    assert (report.stopped, report.rows, aws) == ("interrupted (SIGINT)", 0, [])
    assert len(uploads) < 10
    assert boto3.client("s3").list_objects_v2(Bucket="transforms").get("KeyCount") == 0
    report = bulk.run(source, "sagemaker/chat", output, resume=True, **settings)
    assert (report.complete, report.rows, len(aws)) == (True, 160, 1)
    assert [row["output"] for row in read(output)] == [f"question {number}" for number in range(160)]


def test_ctrl_c_while_a_transform_job_runs_is_resumed_without_another(aws, write, read, tmp_path, monkeypatch):
    from moto.sagemaker.models import SageMakerModelBackend

    describe, asked = SageMakerModelBackend.describe_transform_job, []

    def running(*args, **kwargs):
        asked.append(kwargs)
        if len(asked) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return {**describe(*args, **kwargs), "TransformJobStatus": "InProgress"}

    monkeypatch.setattr(SageMakerModelBackend, "describe_transform_job", running)
    source, output = write(questions(40)), tmp_path / "out.jsonl"
    settings = {"engine": "batch-transform", "engine_options": OPTIONS, "client_arguments": {"handler": "openai_chat"}}
    report = bulk.run(source, "sagemaker/chat", output, **settings)
    assert report.stopped.startswith("interrupted (SIGINT); the transform job sagewire-")
    monkeypatch.setattr(SageMakerModelBackend, "describe_transform_job", describe)
    report = bulk.run(source, "sagemaker/chat", output, resume=True, **settings)
    assert (report.complete, report.rows, len(aws)) == (True, 40, 1)
    assert len(read(output)) == 40


def test_a_transform_job_that_fails_says_why(aws, write, tmp_path, monkeypatch):
    from moto.sagemaker.models import SageMakerModelBackend

    describe = SageMakerModelBackend.describe_transform_job
    failed = {"TransformJobStatus": "Failed", "FailureReason": "AlgorithmError: see job logs"}
    monkeypatch.setattr(
        SageMakerModelBackend, "describe_transform_job", lambda *args, **kwargs: {**describe(*args, **kwargs), **failed}
    )
    report = bulk.run(
        write(questions(3)),
        "sagemaker/chat",
        tmp_path / "out.jsonl",
        engine="batch-transform",
        engine_options=OPTIONS,
        client_arguments={"handler": "openai_chat"},
    )
    assert report.stopped.endswith("AlgorithmError: see job logs")
    monkeypatch.setattr(SageMakerModelBackend, "describe_transform_job", describe)
    report = bulk.run(
        write(questions(3)),
        "sagemaker/chat",
        tmp_path / "out2.jsonl",
        engine="batch-transform",
        engine_options=OPTIONS,
        client_arguments={"handler": "openai_chat"},
    )
    assert report.complete


def test_a_transform_job_is_resumed_by_its_output_alone(aws, write, tmp_path, monkeypatch):
    from moto.sagemaker.models import SageMakerModelBackend
    from typer.testing import CliRunner

    from sagewire.cli import app

    describe = SageMakerModelBackend.describe_transform_job
    stopped = {"TransformJobStatus": "Stopped"}
    monkeypatch.setattr(
        SageMakerModelBackend,
        "describe_transform_job",
        lambda *args, **kwargs: {**describe(*args, **kwargs), **stopped},
    )
    output = str(tmp_path / "out.jsonl")
    flags = [part for name, value in OPTIONS.items() for part in ("--engine-option", f"{name}={value}")]
    flags += ["--engine", "batch-transform", "--handler", "openai_chat"]
    arguments = ["bulk", "run", "-m", "sagemaker/chat", "-i", write(questions(3)), "-o", output, *flags]
    done = CliRunner().invoke(app, arguments)
    assert "has stopped" in done.output
    monkeypatch.setattr(SageMakerModelBackend, "describe_transform_job", describe)
    done = CliRunner().invoke(app, ["bulk", "resume", output])
    assert (done.exit_code, "3 rows, 0 failed" in done.output) == (0, True), done.output


@pytest.fixture
def refusing(aws, monkeypatch):
    """Transform jobs whose container refuses some texts; return the rows of each job that was created."""
    from moto.sagemaker.models import SageMakerModelBackend

    create, describe = SageMakerModelBackend.create_transform_job, SageMakerModelBackend.describe_transform_job
    jobs, bad, status = [], [], {}

    def work(self, *args, **kwargs):
        s3 = boto3.client("s3")
        prefix = kwargs["transform_input"]["DataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://transforms/")
        found = create(self, *args, **kwargs)
        asked = []
        for item in s3.list_objects_v2(Bucket="transforms", Prefix=prefix)["Contents"]:
            lines = s3.get_object(Bucket="transforms", Key=item["Key"])["Body"].read().splitlines()
            asked.append([json.loads(line)["messages"][0]["content"] for line in lines])
            if any(text in bad for text in asked[-1]):
                key = item["Key"].replace("/in/", "/out/") + ".out"
                s3.delete_object(Bucket="transforms", Key=key)
                status[kwargs["transform_job_name"]] = "ClientError: See job logs"
        jobs.append(asked)
        return found

    def look(self, *args, **kwargs):
        found = describe(self, *args, **kwargs)
        reason = status.get(found["TransformJobName"])
        return found if reason is None else {**found, "TransformJobStatus": "Failed", "FailureReason": reason}

    monkeypatch.setattr(SageMakerModelBackend, "create_transform_job", work)
    monkeypatch.setattr(SageMakerModelBackend, "describe_transform_job", look)
    return jobs, bad


TRANSFORM = {"engine": "batch-transform", "client_arguments": {"handler": "openai_chat"}}


@pytest.mark.parametrize("numbers", [[70], [0, 99], [40, 41, 42]])
def test_a_refused_row_is_found_and_all_others_are_kept(numbers, refusing, write, read, tmp_path):
    jobs, bad = refusing
    bad += [f"question {number}" for number in numbers]
    options = {**OPTIONS, "shard_rows": 10}
    report = bulk.run(
        write(questions(100)), "sagemaker/chat", tmp_path / "out.jsonl", engine_options=options, **TRANSFORM
    )
    assert (report.complete, report.rows, report.failed, report.stopped) == (True, 100, len(numbers), None)
    rows = read(report.output)
    assert [number for number, row in enumerate(rows) if row["error"]] == numbers
    assert all(row["output"] == f"question {number}" for number, row in enumerate(rows) if not row["error"])
    assert "ClientError: See job logs" in rows[numbers[0]]["error"]
    # What was answered is never asked again, so each job is about the bad files of the one before.
    sizes = [sum(map(len, job)) for job in jobs]
    assert sizes[0] == 100
    assert sizes[1] == 10 * len({number // 10 for number in numbers})
    assert not boto3.client("s3").list_objects_v2(Bucket="transforms").get("KeyCount")


def test_a_job_that_answers_nothing_is_not_repeated_for_ever(refusing, write, tmp_path):
    jobs, bad = refusing
    bad += [f"question {number}" for number in range(100)]
    source, output = write(questions(100)), tmp_path / "out.jsonl"
    report = bulk.run(source, "sagemaker/chat", output, engine_options=OPTIONS, **TRANSFORM)
    assert report.stopped.endswith("has failed: ClientError: See job logs")
    assert len(jobs) == 2
    bad.clear()
    report = bulk.run(source, "sagemaker/chat", output, engine_options=OPTIONS, resume=True, **TRANSFORM)
    assert (report.complete, report.failed, len(jobs)) == (True, 0, 3)


def test_a_job_that_was_created_before_a_crash_is_found_again(refusing, write, tmp_path, monkeypatch):
    from sagewire.bulk.engines.batch_transform import _Transform

    jobs, _ = refusing
    source, output = write(questions(20)), tmp_path / "out.jsonl"
    save = _Transform._save

    def crash(self, **changes):
        if changes.get("created"):
            raise KeyboardInterrupt
        save(self, **changes)

    monkeypatch.setattr(_Transform, "_save", crash)
    with pytest.raises(KeyboardInterrupt):
        bulk.run(source, "sagemaker/chat", output, engine_options=OPTIONS, **TRANSFORM)
    monkeypatch.setattr(_Transform, "_save", save)
    report = bulk.run(source, "sagemaker/chat", output, engine_options=OPTIONS, resume=True, **TRANSFORM)
    assert (report.complete, report.failed, len(jobs)) == (True, 0, 1)


def test_answers_that_are_gone_are_named(aws, write, tmp_path, monkeypatch):
    from moto.sagemaker.models import SageMakerModelBackend

    describe = SageMakerModelBackend.describe_transform_job

    def clean_up(*args, **kwargs):
        s3 = boto3.client("s3")
        for found in s3.list_objects_v2(Bucket="transforms")["Contents"]:
            s3.delete_object(Bucket="transforms", Key=found["Key"])
        return describe(*args, **kwargs)

    monkeypatch.setattr(SageMakerModelBackend, "describe_transform_job", clean_up)
    settings = {"engine": "batch-transform", "engine_options": OPTIONS, "client_arguments": {"handler": "openai_chat"}}
    with pytest.raises(EndpointError, match=r"answers s3://transforms/.*/out/000000\.jsonl\.out: "):
        bulk.run(write(questions(3)), "sagemaker/chat", tmp_path / "out.jsonl", **settings)


def test_a_transform_job_that_is_refused_is_no_traceback(models, write, tmp_path):
    """The emulator's control plane has no transform jobs."""
    options = {**OPTIONS, "s3_folder": "s3://answers/work"}
    settings = {"engine": "batch-transform", "engine_options": options, "client_arguments": {"handler": "openai_chat"}}
    with pytest.raises(EndpointError, match=r"the transform job: .*CreateTransformJob"):
        bulk.run(write(questions(3)), "sagemaker/chat", tmp_path / "out.jsonl", **settings)


def test_what_an_engine_needs_is_said(models, write, tmp_path):
    source = write(questions(1))
    with pytest.raises(UsageError, match="needs engine_options 's3_folder'"):
        bulk.run(source, "sagemaker/chat", tmp_path / "a.jsonl", engine="batch-transform")
    with pytest.raises(UsageError, match="did you mean 'upload_to'"):
        bulk.run(
            source, "sagemaker/chat", tmp_path / "b.jsonl", engine="async-inference", engine_options={"uplod_to": "x"}
        )
    with pytest.raises(UsageError, match="SageMaker's"):
        bulk.run(source, "http://localhost:1", tmp_path / "c.jsonl", engine="async-inference")
    with pytest.raises(UsageError, match="did you mean 'ray'"):
        bulk.run(source, "sagemaker/chat", tmp_path / "d.jsonl", engine="rya")
    for engine, name, value in [
        ("async-inference", "poll", "soon"),
        ("batch-transform", "poll", [1, 2]),
        ("batch-transform", "instance_count", 0),
        ("ray", "address", 5),
    ]:
        options = {"s3_folder": "s3://a/b", "instance_type": "ml.g5.2xlarge"} if engine == "batch-transform" else {}
        options[name] = value
        with pytest.raises(UsageError, match=f"engine option {name}="):
            bulk.run(source, "sagemaker/chat", tmp_path / "e.jsonl", engine=engine, engine_options=options)
    for name in ("max_errors", "budget_tokens", "deadline", "concurrency"):
        with pytest.raises(UsageError, match=f"{name}: a transform job"):
            bulk.run(
                source,
                "sagemaker/chat",
                tmp_path / "f.jsonl",
                engine="batch-transform",
                engine_options={"s3_folder": "s3://a/b", "instance_type": "ml.g5.2xlarge"},
                **{name: 5},
            )
    assert not list(tmp_path.glob("*.bulk"))
