"""Asynchronous inference and the objects it needs, through boto3."""

import json
import time
import urllib.error
import urllib.request

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sagewire.emulator import EndpointSpec

from ..conftest import CONFIG, client_of

BODY = json.dumps({"inputs": "hi", "parameters": {"return_full_text": False}})


@pytest.fixture(scope="module")
def clock():
    return [0.0]


@pytest.fixture(scope="module")
def judge(make_judge, clock):
    endpoints = {
        "batch": EndpointSpec("tgi", "echo", asynchronous="s3://answers/here/", latency=50.0),
        "live": "tgi:echo",
    }
    return make_judge(endpoints, clock=lambda: time.time() + clock[0])


@pytest.fixture(scope="module")
def s3(judge):
    # Without a version, boto3 still presigns the way it did before Signature Version 4.
    client = client_of(judge.emulator, "s3", config=CONFIG.merge(Config(signature_version="s3v4")))
    client.create_bucket(Bucket="questions")
    return client


def fetch(s3, uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return s3.get_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize("key", ["in.json", "a b/ü+%.json"])
def test_the_answer_appears_in_s3_when_it_is_ready(judge, s3, clock, key):
    s3.put_object(Bucket="questions", Key=key, Body=BODY, ContentType="application/json")
    # The tests may run in any order and process: the question must be there whatever the other key is.
    s3.put_object(Bucket="questions", Key="in.json", Body=BODY, ContentType="application/json")
    answer = judge.client.invoke_endpoint_async(
        EndpointName="batch", InputLocation="s3://questions/in.json", ContentType="application/json", InferenceId="me"
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["InferenceId"] == "me"
    assert answer["OutputLocation"].startswith("s3://answers/here/")
    with pytest.raises(s3.exceptions.NoSuchKey):
        fetch(s3, answer["OutputLocation"])
    clock[0] += 51
    try:
        stored = fetch(s3, answer["OutputLocation"])
        assert json.loads(stored["Body"].read()) == [{"generated_text": "hi"}]
    finally:
        clock[0] -= 51
    assert stored["ContentType"] == "application/json"


def test_a_failure_has_a_place_of_its_own(judge, s3, clock):
    answer = judge.client.invoke_endpoint_async(EndpointName="batch", Body=b"{}", ContentType="application/json")
    lost = judge.client.invoke_endpoint_async(EndpointName="batch", InputLocation="s3://questions/nothing")
    clock[0] += 51
    try:
        assert fetch(s3, answer["FailureLocation"])["Body"].read().startswith(b"Failed to deserialize")
        assert b"does not exist" in fetch(s3, lost["FailureLocation"])["Body"].read()
        with pytest.raises(s3.exceptions.NoSuchKey):
            fetch(s3, answer["OutputLocation"])
    finally:
        clock[0] -= 51


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"EndpointName": "live", "Body": BODY}, "not configured for asynchronous inference"),
        ({"EndpointName": "nobody", "Body": BODY}, "not found"),
        ({"EndpointName": "batch"}, "Exactly one of Body and InputLocation"),
        ({"EndpointName": "batch", "Body": BODY, "InputLocation": "s3://a/b"}, "Exactly one of Body and InputLocation"),
        ({"EndpointName": "batch", "Body": "x" * 128_001}, "must not be larger than 128000"),
        ({"EndpointName": "batch", "Body": BODY, "RequestTTLSeconds": 59}, "between 60 and 21600"),
        ({"EndpointName": "batch", "Body": BODY, "InvocationTimeoutSeconds": 3601}, "between 1 and 3600"),
    ],
)
def test_wrong_requests_are_refused(judge, options, words):
    with pytest.raises(ClientError, match=words) as error:
        judge.client.invoke_endpoint_async(**options)
    assert error.value.response["Error"]["Code"] == "ValidationError"


def test_an_asynchronous_endpoint_takes_nothing_else(judge):
    with pytest.raises(ClientError, match="asynchronous invocations only"):
        judge.invoke("batch", BODY.encode())


def test_objects_are_kept_listed_and_deleted(judge, s3):
    s3.create_bucket(Bucket="things")
    for key in ("a/1", "a/2 & 3", "b"):
        s3.put_object(Bucket="things", Key=key, Body=key.encode())
    listed = s3.list_objects_v2(Bucket="things", Prefix="a/")
    assert [(item["Key"], item["Size"]) for item in listed["Contents"]] == [("a/1", 3), ("a/2 & 3", 7)]
    head = s3.head_object(Bucket="things", Key="b")
    assert head["ContentLength"] == 1
    assert s3.head_bucket(Bucket="things")["ResponseMetadata"]["HTTPStatusCode"] == 200
    s3.delete_object(Bucket="things", Key="b")
    with pytest.raises(ClientError) as error:
        s3.head_object(Bucket="things", Key="b")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="nothing")


def test_a_presigned_url_is_enough_until_it_ends(judge, s3, clock):
    s3.put_object(Bucket="things", Key="shared", Body=b"!")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "things", "Key": "shared"}, ExpiresIn=60)
    with urllib.request.urlopen(url) as response:
        assert response.read() == b"!"
    clock[0] += 61
    try:
        with pytest.raises(urllib.error.HTTPError) as error, urllib.request.urlopen(url):
            pass
    finally:
        clock[0] -= 61
    with error.value as answer:
        assert answer.code == 403
