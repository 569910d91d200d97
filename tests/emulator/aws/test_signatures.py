"""Signatures are judged by botocore's signer: what it signs is accepted, and any change afterwards is not."""

import datetime
import time

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from sagewire.emulator.aws.identity import Identities, IdentityError
from sagewire.emulator.aws.signatures import verify
from sagewire.emulator.http_values import Request

# botocore signs with the clock of the moment, and requests made when this file is loaded may wait for minutes.
IDENTITIES = Identities(time.time)
USER = IDENTITIES.user
URL = "http://127.0.0.1:1234"
SERVICES = ("sagemaker", "s3", "sts")

text = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="?#/\x7f"), min_size=1, max_size=8
)
quoted = st.lists(text, max_size=3).map(lambda parts: "".join(f"/{AWSRequestPath(part)}" for part in parts) or "/")
headers = st.dictionaries(
    st.sampled_from(["X-Amz-One", "X-Amz-Two", "Accept"]), st.from_regex(r"[!-~]( {0,3}[!-~]){0,8}", fullmatch=True)
)
pairs = st.lists(st.tuples(text, text), max_size=3)


def AWSRequestPath(part):
    from urllib.parse import quote

    return quote(part, safe="~")


def signed(
    method="POST",
    path="/",
    query="",
    body=b"",
    extra=None,
    *,
    service="sagemaker",
    region="us-east-1",
    credentials=None,
):
    """Return the request as botocore signs it and a server receives it."""
    keys = credentials or BotoCredentials(USER.access_key, USER.secret_key)
    target = path + (f"?{query}" if query else "")
    request = AWSRequest(method, URL + target, data=body, headers={"Host": "127.0.0.1:1234", **(extra or {})})
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, region)
    signer.add_auth(request)
    received = {name.lower(): value for name, value in request.headers.items()}
    return Request(method, target, received, body)


def signed_at(request):
    """Return the seconds since the epoch of the request's own date; now, where it has none."""
    written = request.headers.get("x-amz-date")
    if written is None:
        return time.time()
    try:
        return datetime.datetime.strptime(written, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC).timestamp()
    except ValueError:
        return time.time()


def check(request, **options):
    return verify(
        request, IDENTITIES, lambda: signed_at(request), **{"region": "us-east-1", "services": SERVICES, **options}
    )


@settings(max_examples=60, deadline=None)
@given(
    quoted,
    pairs,
    st.binary(max_size=40),
    headers,
    st.sampled_from(["GET", "POST", "PUT"]),
    st.sampled_from(["sagemaker", "s3"]),
)
def test_what_botocore_signs_is_accepted_and_a_changed_body_is_not(path, query, body, extra, method, service):
    from urllib.parse import quote

    # boto sends its query encoded, in the order it signs.
    encoded = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in query)
    request = signed(method, path, encoded, body, extra, service=service)
    assert check(request).arn == USER.arn
    with pytest.raises(IdentityError, match="does not match"):
        check(Request(method, request.target, request.headers, body + b"!"))


def test_the_path_the_query_and_signed_headers_are_covered():
    request = signed(path="/endpoints/a%20b/invocations", query="a=1", extra={"X-Amz-Target": "x"})
    assert check(request).account == USER.account
    changed = [
        Request("POST", "/endpoints/a%20c/invocations?a=1", request.headers),
        Request("POST", "/endpoints/a%20b/invocations?a=2", request.headers),
        Request("PUT", request.target, request.headers),
        Request("POST", request.target, {**request.headers, "x-amz-target": "y"}),
        Request("POST", request.target, {k: v for k, v in request.headers.items() if k != "x-amz-target"}),
    ]
    for other in changed:
        with pytest.raises(IdentityError) as error:
            check(other)
        assert (error.value.code, error.value.status) == ("InvalidSignatureException", 403)


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (Request("POST", "/"), "MissingAuthenticationTokenException", "Missing Authentication Token"),
        (Request("POST", "/", {"authorization": "Bearer x"}), "IncompleteSignatureException", "requires"),
        (
            Request("POST", "/", {"authorization": "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0"}),
            "IncompleteSignatureException",
            "5 slash",
        ),
        (
            signed(credentials=BotoCredentials("AKIAUNKNOWN", "x")),
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (signed(credentials=BotoCredentials(USER.access_key, "wrong")), "InvalidSignatureException", "does not match"),
        (
            signed(credentials=BotoCredentials(USER.access_key, USER.secret_key, "token")),
            "UnrecognizedClientException",
            "invalid",
        ),
        (signed(region="eu-west-1"), "InvalidSignatureException", "valid region"),
        (signed(service="lambda"), "InvalidSignatureException", "correct service"),
    ],
)
def test_refusals_have_the_words_of_aws(request_, code, words):
    with pytest.raises(IdentityError, match=words) as error:
        check(request_)
    assert error.value.code == code


def test_a_signature_is_good_for_five_minutes_either_way():
    request = signed()
    for minutes, words in ((6, "Signature expired"), (-6, "Signature not yet current")):
        with pytest.raises(IdentityError, match=words):
            verify(
                request,
                IDENTITIES,
                lambda minutes=minutes: signed_at(request) + 60 * minutes,
                region="us-east-1",
                services=SERVICES,
            )
    assert verify(request, IDENTITIES, lambda: signed_at(request) + 240, region="us-east-1", services=SERVICES)


def test_temporary_credentials_expire():
    clock = [time.time()]
    identities = Identities(lambda: clock[0])
    role = next(iter(identities.roles.values()))
    issued = identities.issue(role, "me", seconds=30)
    keys = BotoCredentials(issued.access_key, issued.secret_key, issued.session_token)
    request = signed(credentials=keys)
    assert verify(request, identities, time.time, region="us-east-1", services=SERVICES).account == role.account
    clock[0] += 31
    with pytest.raises(IdentityError) as error:
        verify(request, identities, time.time, region="us-east-1", services=SERVICES)
    assert error.value.code == "ExpiredTokenException"
    assert issued.secret_key not in repr(issued)
    assert issued.session_token not in repr(issued)
    assert datetime.datetime.fromtimestamp(issued.expires, datetime.UTC)
