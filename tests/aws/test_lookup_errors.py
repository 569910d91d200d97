"""botocore's exceptions as the kinds they are, with a cure."""

import asyncio
import json
import traceback

import pytest
from botocore import exceptions
from typer.testing import CliRunner

from sagewire import AsyncClient, Client
from sagewire.aws.lookup_errors import translate
from sagewire.cli import app
from sagewire.errors import (
    AccessDenied,
    CredentialsExpired,
    EndpointError,
    PayloadTooLarge,
    SagewireError,
    Throttled,
    UsageError,
)

from ..cases import each


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


PROFILES = """
[profile fails]
credential_process = /bin/false
[profile prints]
credential_process = /bin/echo {"SecretAccessKey": "hidden-key"} and more
[profile lost]
role_arn = arn:aws:iam::111111111111:role/x
source_profile = nowhere
[profile sso]
sso_session = x
sso_account_id = 1
sso_role_name = r
[sso-session x]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1
[profile token]
role_arn = arn:aws:iam::111111111111:role/x
web_identity_token_file = /nowhere/token
[profile half]
aws_access_key_id = AKIDEXAMPLE
"""
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hidden-key"}
WRONG = [
    ({"AWS_PROFILE": "fails"}, AccessDenied, "by hand to see why"),
    ({"AWS_PROFILE": "prints"}, AccessDenied, "did not print JSON"),
    ({"AWS_PROFILE": "lost"}, UsageError, "check the AWS config"),
    ({"AWS_PROFILE": "sso"}, CredentialsExpired, "aws sso login"),
    ({"AWS_PROFILE": "token"}, AccessDenied, "/nowhere/token cannot be used: No such file"),
    ({"AWS_PROFILE": "half"}, AccessDenied, "go together"),
    ({"AWS_PROFILE": "nobody"}, UsageError, "list-profiles"),
    ({"AWS_CONFIG_FILE": "/proc/self/status", "AWS_PROFILE": "x"}, UsageError, "check the AWS config"),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/x"}, AccessDenied, "does not answer"),
    ({**KEYS, "AWS_ENDPOINT_URL": "nonsense"}, UsageError, "AWS_ENDPOINT_URL"),
    ({**KEYS, "HTTPS_PROXY": "http://me:hidden-key@127.0.0.1:9"}, EndpointError, "proxy"),
]


@pytest.fixture
def configured(clean_environment, monkeypatch, tmp_path):
    (tmp_path / "config").write_text(PROFILES)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)


@each(("variables", "kind", "cure"), WRONG)
def test_what_is_configured_wrong_is_told_by_a_call(configured, variables, kind, cure):
    async def ask():
        async with AsyncClient("e", handler="openai_chat", retries=1) as client:
            await client.chat("Hi")

    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        for call in (Client("e", handler="openai_chat", retries=1).chat, lambda _: asyncio.run(ask())):
            with pytest.raises(SagewireError) as caught:
                call("Hi")
            assert isinstance(caught.value, kind)
            assert cure in str(caught.value) or kind is EndpointError
            shown = [repr(vars(each)) for each in (caught.value, caught.value.__cause__) if each is not None]
            assert "hidden-key" not in "".join([*traceback.format_exception(caught.value), *shown])


# Each looks up all regions, which takes its time.
@each(("variables", "kind", "cure"), [WRONG[number] for number in (1, 4, 6, 9)])
def test_what_is_configured_wrong_is_told_by_doctor(configured, variables, kind, cure):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        found = CliRunner().invoke(app, ["doctor", "--json"])
    checks = {check["check"]: check for check in json.loads(found.stdout)}
    assert found.exit_code == 1
    assert cure in checks["credentials"]["says"]
    assert "hidden-key" not in found.output
