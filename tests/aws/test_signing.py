import base64
import hashlib
import pickle
from datetime import UTC, datetime, timedelta, timezone
from unittest import mock

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from sagewire.aws.bearer import bearer_token
from sagewire.aws.credentials import Credentials
from sagewire.aws.signing import Signer, canonical_path, canonical_query
from sagewire.errors import UsageError
from sagewire.http.origin import host_header

KEYS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SUITE_TIME = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOST = "https://example.amazonaws.com"
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# AWS's published signing test suite (awslabs/aws-c-auth, tests/aws-signing-test-suite/v4), header-signed-request.txt.
PUBLISHED = {
    "get-vanilla": ("GET", "/", {}, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "get-utf8": ("GET", "/ሴ", {}, b"", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    "get-space-normalized": (
        "GET",
        "/example space/",
        {},
        b"",
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    "get-slashes-normalized": (
        "GET",
        "//example//",
        {},
        b"",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    "get-relative-relative-normalized": (
        "GET",
        "/example1/example2/../..",
        {},
        b"",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    "get-header-value-trim": (
        "GET",
        "/",
        {"My-Header1": " value1", "My-Header2": ' "a   b   c"'},
        b"",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "get-header-key-duplicate": (
        "GET",
        "/",
        {"My-Header1": "value2,value2,value1"},
        b"",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    "get-vanilla-query-order-key-case": (
        "GET",
        "/?Param2=value2&Param1=value1",
        {},
        b"",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-empty-query-key": (
        "GET",
        "/?Param1=value1",
        {},
        b"",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
    "get-vanilla-query-unreserved": (
        "GET",
        f"/?{UNRESERVED}={UNRESERVED}",
        {},
        b"",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    "get-vanilla-utf8-query": (
        "GET",
        "/?%E1%88%B4=bar",
        {},
        b"",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    "post-vanilla": ("POST", "/", {}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    "post-x-www-form-urlencoded": (
        "POST",
        "/",
        {
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": "13",
            "x-amz-content-sha256": "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
        },
        b"Param1=value1",
        "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_case(name):
    method, path, headers, body, signature = PUBLISHED[name]
    signed = Signer("service", "us-east-1").sign(method, HOST + path, headers, body, Credentials(*KEYS), SUITE_TIME)
    assert signed["Authorization"].endswith(f"Signature={signature}")


def test_published_case_with_session_token():
    token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
    credentials = Credentials(*KEYS, token)
    signed = Signer("service", "us-east-1").sign("GET", HOST + "/", {}, b"", credentials, SUITE_TIME)
    assert signed["X-Amz-Security-Token"] == token
    assert signed["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date;x-amz-security-token, "
        "Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"
    )


def botocore_headers(auth_class, service, region, keys, method, url, headers, body, now):
    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    with (
        mock.patch("botocore.auth.get_current_datetime", return_value=now),
        mock.patch("botocore.compat.get_current_datetime", return_value=now),
    ):
        auth_class(BotocoreCredentials(*keys), service, region).add_auth(request)
    return dict(request.headers)


printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
segment = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="?#/\\"), max_size=8)
paths = st.lists(st.one_of(segment, st.sampled_from(["..", ".", "", "%E1%88%B4", "a b", "~_-", "..."]))).map("/".join)
queries = st.lists(st.tuples(st.sampled_from(["a", "b", "B", "a-b", "%C3%A9"]), st.sampled_from(["", "1", "2", "%20"])))
names = st.sampled_from(
    [
        "Content-Type",
        "X-Amzn-SageMaker-Accept",
        "Accept",
        "User-Agent",
        "X-Amzn-Trace-Id",
        "Expect",
        "x-a",
        "X-B",
        "X-Amz-Meta-Z",
    ]
)
hosts = st.sampled_from(
    ["https://h.example", "http://h.example:80", "https://H.Example:8443", "http://127.0.0.1:1", "http://[::1]:99"]
)


@given(
    hosts,
    paths,
    queries,
    st.dictionaries(names, printable),
    st.binary(max_size=200),
    st.one_of(st.none(), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)),
    st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1)),
)
@settings(max_examples=300, deadline=None)
def test_signs_like_botocore(host, path, query, headers, body, token, now):
    url = f"{host}/{path}" + ("?" + "&".join(f"{k}={v}" for k, v in query) if query else "")
    keys = ("AKID", "s3cr/t+é", token)
    expected = botocore_headers(SigV4Auth, "sagemaker", "eu-west-1", keys, "POST", url, headers, body, now)
    signed = Signer("sagemaker", "eu-west-1").sign("POST", url, headers, body, Credentials(*keys), now)
    assert {name: expected[name] for name in signed} == signed


@given(paths, st.binary(max_size=50))
@settings(max_examples=50, deadline=None)
def test_signs_s3_like_botocore(path, body):
    url = f"https://bucket.s3.amazonaws.com/{path}"
    expected = botocore_headers(S3SigV4Auth, "s3", "us-east-1", KEYS, "PUT", url, {}, body, NOW)
    signed = Signer("s3", "us-east-1").sign("PUT", url, {}, body, Credentials(*KEYS), NOW)
    assert {name: expected[name] for name in signed} == signed


def test_the_cached_key_follows_the_day_and_the_secret():
    shared = Signer("sagemaker", "us-east-1")

    def sign(signer, secret, now):
        return signer.sign("POST", HOST + "/x", {}, b"", Credentials("AKID", secret), now)

    for secret, now in [("one", NOW), ("one", SUITE_TIME), ("two", SUITE_TIME), ("one", NOW)]:
        assert sign(shared, secret, now) == sign(Signer("sagemaker", "us-east-1"), secret, now)


def test_aware_times_are_signed_in_utc():
    plus_two = NOW.astimezone(timezone(timedelta(hours=2)))
    signer, credentials = Signer("sagemaker", "us-east-1"), Credentials(*KEYS)
    assert signer.sign("GET", HOST, {}, b"", credentials, plus_two) == signer.sign(
        "GET", HOST, {}, b"", credentials, NOW
    )


def test_bearer_token_is_the_documented_one():
    token = bearer_token(Credentials(*KEYS), "us-west-2", expires=900, now=NOW)
    assert len(token) == 454
    assert hashlib.sha256(token.encode()).hexdigest() == (
        "3afb977d5d6bb0bb762047ff30006fa0e4902a40a46f1478034651c6c9a03884"
    )


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), st.integers(1, 43200))
@settings(max_examples=30, deadline=None)
def test_bearer_token_with_session_token_is_botocores_presigned_url(session_token, expires):
    keys = (*KEYS, session_token)
    token = bearer_token(Credentials(*keys), "us-west-2", expires=expires, now=NOW)
    request = AWSRequest("POST", "https://sagemaker.amazonaws.com/", params={"Action": "CallWithBearerToken"})
    with (
        mock.patch("botocore.auth.get_current_datetime", return_value=NOW),
        mock.patch("botocore.compat.get_current_datetime", return_value=NOW),
    ):
        SigV4QueryAuth(BotocoreCredentials(*keys), "sagemaker", "us-west-2", expires).add_auth(request)
    decoded = base64.b64decode(token.removeprefix("sagemaker-api-key-")).decode()
    assert decoded == request.url.removeprefix("https://") + "&Version=1"


@pytest.mark.parametrize("expires", [0, -1, 43_201])
def test_bearer_token_refuses_impossible_lifetimes(expires):
    with pytest.raises(UsageError, match="43200"):
        bearer_token(Credentials(*KEYS), "us-west-2", expires=expires)


@pytest.mark.parametrize(
    ("path", "canonical"),
    [("", "/"), ("/", "/"), ("/a/", "/a/"), ("/a%2Fb", "/a%252Fb"), ("/../..", "/"), ("/a/./b//c", "/a/b/c")],
)
def test_canonical_path(path, canonical):
    assert canonical_path(path) == canonical


def test_canonical_query_sorts_names_before_values():
    assert canonical_query("b=1&a=2&a=1&a") == "a=&a=1&a=2&b=1"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.example:443/x", "a.example"),
        ("http://a.example:443/x", "a.example:443"),
        ("http://[2001:DB8::1]:8080/", "[2001:db8::1]:8080"),
    ],
)
def test_host_header(url, host):
    assert host_header(url) == host


def test_credentials_keep_their_secrets():
    credentials = Credentials("AKID", "the-secret", "the-token")
    assert "the-secret" not in repr(credentials)
    assert "the-token" not in repr(credentials)
    with pytest.raises(UsageError, match="profile"):
        pickle.dumps(credentials)
