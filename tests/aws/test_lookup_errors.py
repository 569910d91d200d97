"""botocore's exceptions as the kinds they are, with a cure."""

import pytest
from botocore import exceptions

from sagewire.aws.lookup_errors import translate
from sagewire.errors import AccessDenied, CredentialsExpired, EndpointError, PayloadTooLarge, Throttled


def refusal(code, status):
    metadata = {"HTTPStatusCode": status, "RequestId": "r"}
    return exceptions.ClientError({"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": metadata}, "PutObject")


@pytest.mark.parametrize(
    ("code", "status", "kind", "retry_safe"),
    [
        ("NoSuchBucket", 404, EndpointError, False),
        ("ValidationException", 400, EndpointError, False),
        ("PermanentRedirect", 301, EndpointError, False),
        ("EntityTooLarge", 400, PayloadTooLarge, False),
        ("AccessDenied", 403, AccessDenied, False),
        ("InvalidClientTokenId", 403, AccessDenied, False),
        ("UnrecognizedClientException", 400, AccessDenied, False),
        ("SomethingNew", 403, AccessDenied, False),
        ("ExpiredToken", 400, CredentialsExpired, False),
        ("Throttling", 400, Throttled, True),
        ("InternalError", 500, EndpointError, True),
    ],
)
def test_refusals(code, status, kind, retry_safe):
    error = translate(refusal(code, status))
    assert type(error) is kind
    assert (error.code, error.retry_safe) == (code, retry_safe)


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (refusal("UnrecognizedClientException", 403), "aws sts get-caller-identity"),
        (refusal("PermanentRedirect", 301), "another region"),
        (exceptions.EndpointConnectionError(endpoint_url="https://x.nowhere"), "region is right"),
        (exceptions.ConnectTimeoutError(endpoint_url="https://x"), "VPC endpoints"),
    ],
)
def test_raw_sentences_have_a_cure(error, cure):
    assert cure in str(translate(error, "reading x"))


@pytest.mark.parametrize(
    "error",
    [
        exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        exceptions.FlexibleChecksumError(error_msg="does not match"),
        exceptions.ReadTimeoutError(endpoint_url="https://x"),
        exceptions.ConnectionClosedError(endpoint_url="https://x"),
    ],
)
def test_what_broke_on_the_way_may_be_tried_again(error):
    assert translate(error).retry_safe
