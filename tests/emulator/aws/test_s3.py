"""The emulator's S3, judged by boto3 and its transfer manager."""

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from sagewire.emulator import Emulator
from sagewire.emulator.aws.s3_values import list_page

from ..conftest import client_of


@pytest.fixture(scope="module")
def s3():
    with Emulator({}) as emulator:
        client = client_of(emulator, "s3")
        client.create_bucket(Bucket="here")
        yield client
        client.close()


def test_what_is_large_travels_in_parts_and_ranges(s3, tmp_path):
    data = bytes(range(256)) * 50_000
    (tmp_path / "up").write_bytes(data)
    s3.upload_file(str(tmp_path / "up"), "here", "big", ExtraArgs={"Metadata": {"of": "me"}, "ContentType": "text/x"})
    s3.download_file("here", "big", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data
    head = s3.head_object(Bucket="here", Key="big")
    assert (head["ContentLength"], head["Metadata"], head["ContentType"]) == (len(data), {"of": "me"}, "text/x")
    assert head["ETag"].endswith('-2"')


@pytest.mark.parametrize(
    ("asked", "part", "told"),
    [
        ("bytes=0-1", b"ab", "bytes 0-1/6"),
        ("bytes=4-", b"ef", "bytes 4-5/6"),
        ("bytes=-2", b"ef", "bytes 4-5/6"),
        ("bytes=2-99", b"cdef", "bytes 2-5/6"),
    ],
)
def test_a_range_is_a_part(s3, asked, part, told):
    s3.put_object(Bucket="here", Key="six", Body=b"abcdef")
    got = s3.get_object(Bucket="here", Key="six", Range=asked)
    assert (got["Body"].read(), got["ContentRange"]) == (part, told)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket="here", Key="six", Range="bytes=6-")
    assert error.value.response["Error"]["Code"] == "InvalidRange"


def test_a_copy_is_made_in_parts(s3):
    data = bytes(range(256)) * 50_000
    s3.put_object(Bucket="here", Key="source", Body=data)
    s3.copy({"Bucket": "here", "Key": "source"}, "here", "copied", Config=TransferConfig(multipart_threshold=8_000_000))
    assert s3.get_object(Bucket="here", Key="copied")["Body"].read() == data
    assert s3.head_object(Bucket="here", Key="copied")["ETag"].endswith('-2"')


def test_an_object_is_written_under_conditions(s3):
    s3.put_object(Bucket="here", Key="once", Body=b"first", IfNoneMatch="*")
    etag = s3.head_object(Bucket="here", Key="once")["ETag"]
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"other"'}):
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket="here", Key="once", Body=b"second", **condition)
        assert error.value.response["Error"]["Code"] == "PreconditionFailed"
    s3.put_object(Bucket="here", Key="once", Body=b"third", IfMatch=etag)
    assert s3.get_object(Bucket="here", Key="once")["Body"].read() == b"third"
    source = {"Bucket": "here", "Key": "once"}
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.copy_object(Bucket="here", Key="x", CopySource=source, CopySourceIfMatch=etag)


def test_copies_and_deletions_happen(s3):
    s3.put_object(Bucket="here", Key="a b/\u00fc+%", Body=b"x", Metadata={"kept": "yes"})
    s3.copy_object(Bucket="here", Key="copy", CopySource={"Bucket": "here", "Key": "a b/\u00fc+%"})
    assert s3.get_object(Bucket="here", Key="copy")["Metadata"] == {"kept": "yes"}
    told = s3.delete_objects(Bucket="here", Delete={"Objects": [{"Key": "copy"}, {"Key": "a b/\u00fc+%"}]})
    assert len(told["Deleted"]) == 2
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="here", Key="copy")
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.copy_object(Bucket="here", Key="again", CopySource="here/copy")


def test_buckets_are_made_listed_and_deleted(s3):
    s3.create_bucket(Bucket="for-a-while")
    assert "for-a-while" in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket="for-a-while", Key="k", Body=b"")
    with pytest.raises(ClientError, match="not empty"):
        s3.delete_bucket(Bucket="for-a-while")
    s3.delete_object(Bucket="for-a-while", Key="k")
    s3.delete_bucket(Bucket="for-a-while")
    for call in (
        lambda: s3.put_object(Bucket="for-a-while", Key="k", Body=b""),
        lambda: s3.list_objects_v2(Bucket="for-a-while"),
    ):
        with pytest.raises(s3.exceptions.NoSuchBucket):
            call()


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_listings_come_in_pages(s3, operation):
    s3.create_bucket(Bucket=f"pages-{operation.replace('_', '-')}")
    bucket = {"Bucket": f"pages-{operation.replace('_', '-')}"}
    for number in range(7):
        s3.put_object(**bucket, Key=f"d/{number}", Body=b"x")
    s3.put_object(**bucket, Key="top", Body=b"x")
    pages = s3.get_paginator(operation).paginate(**bucket, Prefix="d/", PaginationConfig={"PageSize": 3})
    keys = [[item["Key"] for item in page["Contents"]] for page in pages]
    assert keys == [["d/0", "d/1", "d/2"], ["d/3", "d/4", "d/5"], ["d/6"]]
    top = getattr(s3, operation)(**bucket, Delimiter="/")
    assert [item["Prefix"] for item in top["CommonPrefixes"]] == ["d/"]
    assert [(item["Key"], item["LastModified"].year > 2000) for item in top["Contents"]] == [("top", True)]


def test_conditions_and_checksums_count(s3):
    etag = s3.put_object(Bucket="here", Key="known", Body=b"x")["ETag"]
    for condition, status in (({"IfNoneMatch": etag}, 304), ({"IfMatch": '"other"'}, 412)):
        with pytest.raises(ClientError) as error:
            s3.get_object(Bucket="here", Key="known", **condition)
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    with pytest.raises(ClientError, match="did not match"):
        s3.put_object(Bucket="here", Key="known", Body=b"x", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")


def test_what_is_not_there_says_so(s3):
    for call in (
        lambda: s3.get_bucket_versioning(Bucket="here"),
        lambda: s3.put_object(Bucket="here", Key="tagged", Body=b"", Tagging="a=b"),
        lambda: s3.put_object_tagging(Bucket="here", Key="known", Tagging={"TagSet": []}),
        lambda: s3.put_bucket_policy(Bucket="here", Policy="{}"),
    ):
        with pytest.raises(ClientError, match="does not implement") as error:
            call()
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


@given(
    st.sets(st.text("ab/", min_size=1, max_size=6), max_size=20),
    st.text("ab/", max_size=2),
    st.sampled_from(["", "/", "b"]),
    st.integers(1, 5),
)
def test_pages_add_up_to_the_whole_listing(keys, prefix, delimiter, limit):
    whole = list_page(keys, prefix=prefix, delimiter=delimiter, after="", limit=1000)
    found, shared, after = [], [], ""
    while True:
        page = list_page(keys, prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        assert len(page.keys) + len(page.prefixes) <= limit
        found += page.keys
        shared += page.prefixes
        if page.last is None:
            break
        after = page.last
    assert (found, shared) == (whole.keys, whole.prefixes)
