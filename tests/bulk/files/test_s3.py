"""Input and output in S3, against moto."""

import json

import boto3
import pytest

from sagewire import UsageError, bulk

moto_server = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def moto_url():
    server = moto_server.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(models, moto_url, monkeypatch, tmp_path):
    # The model is the emulator's, the bucket is moto's: boto3's variable for one service.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto_url)
    monkeypatch.chdir(tmp_path)
    s3 = boto3.client("s3", "us-east-1", endpoint_url=moto_url)
    s3.create_bucket(Bucket="rows")
    yield s3
    for found in s3.list_objects_v2(Bucket="rows").get("Contents", []):
        s3.delete_object(Bucket="rows", Key=found["Key"])


def put(s3, key, rows):
    s3.put_object(Bucket="rows", Key=key, Body="".join(json.dumps(row) + "\n" for row in rows).encode())


def test_from_a_prefix_to_an_object(bucket, tmp_path):
    put(bucket, "in/1.jsonl", [{"prompt": f"one {number}"} for number in range(20)])
    put(bucket, "in/2.jsonl", [{"prompt": "two"}, {"prompt": None}])
    report = bulk.run("s3://rows/in", "sagemaker/chat", "s3://rows/out/o.jsonl")
    assert (report.rows, report.failed, report.complete) == (22, 1, True)
    body = bucket.get_object(Bucket="rows", Key="out/o.jsonl")["Body"].read()
    assert [json.loads(line)["output"] for line in body.splitlines()][19:21] == ["one 19", "two"]
    letters = bucket.get_object(Bucket="rows", Key="out/o.failed.jsonl")["Body"].read()
    assert json.loads(letters)["file"] == "s3://rows/in/2.jsonl"
    assert (tmp_path / "o.jsonl.bulk" / "manifest.json").exists()


def test_parquet_there_and_back(bucket):
    put(bucket, "in.jsonl", [{"text": "one"}, {"text": "two"}])
    report = bulk.run("s3://rows/in.jsonl", "sagemaker/tei", "s3://rows/v.parquet", task="embed")
    assert report.complete
    report = bulk.run("s3://rows/v.parquet", "sagemaker/chat", "local.csv", column="text", prefix="chat_")
    assert report.complete


def test_a_bucket_that_is_not_there_is_an_error_before_the_first_call(bucket, models):
    put(bucket, "in.jsonl", [{"prompt": "one"}])
    with pytest.raises(UsageError, match="there is no bucket 'nobody'"):
        bulk.run("s3://rows/in.jsonl", "sagemaker/chat", "s3://nobody/out/o.jsonl")
    for address in ("s3:///o.jsonl", "s3://rows//o.jsonl"):
        with pytest.raises(UsageError, match="not an S3 address"):
            bulk.run("s3://rows/in.jsonl", "sagemaker/chat", address)
    assert models.calls == []


def test_what_is_not_there_is_an_error(bucket):
    with pytest.raises(UsageError, match="no file or directory"):
        bulk.run("s3://rows/nothing.jsonl", "sagemaker/chat", "out.jsonl")
    with pytest.raises(UsageError, match="s3://"):
        bulk.run("gs://rows/nothing.jsonl", "sagemaker/chat", "out.jsonl")


def test_dead_letters_in_s3_go_when_all_is_mended(bucket, models):
    from sagewire.emulator import EndpointSpec

    put(bucket, "in.jsonl", [{"prompt": "one"}])
    models.add("moody", EndpointSpec("openai_chat", engine="echo", faults=["container_error:400"]))
    assert bulk.run("s3://rows/in.jsonl", "sagemaker/moody", "s3://rows/o.jsonl").failed == 1
    models.add("moody", EndpointSpec("openai_chat", engine="echo"))
    report = bulk.run("s3://rows/in.jsonl", "sagemaker/moody", "s3://rows/o.jsonl", retry=True)
    assert (report.complete, report.failed) == (True, 0)
    keys = [found["Key"] for found in bucket.list_objects_v2(Bucket="rows")["Contents"]]
    assert keys == ["in.jsonl", "o.jsonl"]


def test_an_output_that_fails_leaves_the_object_that_was_there(bucket, monkeypatch):
    put(bucket, "in.jsonl", [{"prompt": f"one {number}"} for number in range(1200)])
    bucket.put_object(Bucket="rows", Key="o.jsonl", Body=b"last week's")

    def broken(self, chunk, answers):
        self._stream.write(b"half of it")
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("sagewire.bulk.files.output._JsonlWriter.write", broken)
        report = bulk.run("s3://rows/in.jsonl", "sagemaker/chat", "s3://rows/o.jsonl", overwrite=True)
    assert report.stopped == "the output cannot be written: the disk is full; resume to write it"
    assert bucket.get_object(Bucket="rows", Key="o.jsonl")["Body"].read() == b"last week's"
    report = bulk.run("s3://rows/in.jsonl", "sagemaker/chat", "s3://rows/o.jsonl", resume=True)
    assert (report.complete, report.calls) == (True, 0)
    assert bucket.get_object(Bucket="rows", Key="o.jsonl")["Body"].read().count(b"\n") == 1200


def test_two_outputs_of_one_name_do_not_share_a_job(bucket):
    put(bucket, "in.jsonl", [{"prompt": "one"}])
    assert bulk.run("s3://rows/in.jsonl", "sagemaker/chat", "s3://rows/a/o.jsonl").complete
    with pytest.raises(UsageError, match=r"output was 's3://rows/a/o\.jsonl'"):
        bulk.run("s3://rows/in.jsonl", "sagemaker/chat", "s3://rows/b/o.jsonl", overwrite=True)
    assert bulk.run("s3://rows/in.jsonl", "sagemaker/chat", "s3://rows/b/o.jsonl", work_dir="b").complete
