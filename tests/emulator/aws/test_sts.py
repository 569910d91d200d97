"""Accounts, roles and temporary credentials, as boto3 sees them."""

import base64
import json
import time

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from sagewire.emulator import Credentials, Emulator, EndpointSpec, Role

from ..conftest import client_of

PARTNER = "444455556666"
STRICT = Role(f"arn:aws:iam::{PARTNER}:role/strict", external_id="magic")
MUTE = Role(f"arn:aws:iam::{PARTNER}:role/mute", may_invoke=False, may_describe=False)
BODY = b'{"inputs":"hi","parameters":{"return_full_text":false}}'


@pytest.fixture(scope="module")
def clock():
    return [0.0]


@pytest.fixture(scope="module")
def emulator(make_judge, clock):
    endpoints = {"mine": "tgi:echo", "theirs": EndpointSpec("tgi", "echo", account=PARTNER)}
    return make_judge(endpoints, clock=lambda: time.time() + clock[0], roles=[STRICT, MUTE]).emulator


@pytest.fixture(scope="module")
def sts(emulator):
    return client_of(emulator, "sts")


def credentials_of(answer):
    keys = answer["Credentials"]
    return Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], "", "", keys["SessionToken"])


def invoke(emulator, endpoint, credentials=None):
    client = client_of(emulator, credentials=credentials)
    return client.invoke_endpoint(EndpointName=endpoint, Body=BODY, ContentType="application/json")["Body"].read()


def test_who_am_i(emulator, sts):
    identity = sts.get_caller_identity()
    assert identity["Account"] == emulator.account == "111122223333"
    assert identity["Arn"].endswith(":user/emulator")


def test_an_endpoint_of_another_account_needs_a_role_there(emulator, sts):
    with pytest.raises(ClientError, match=r"Endpoint theirs of account 111122223333 not found\.") as error:
        invoke(emulator, "theirs")
    assert error.value.response["Error"]["Code"] == "ValidationError"
    assumed = sts.assume_role(RoleArn=emulator.role_arn, RoleSessionName="me", DurationSeconds=900)
    assert assumed["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{PARTNER}:assumed-role/emulator-invoker/me"
    assert 890 < assumed["Credentials"]["Expiration"].timestamp() - time.time() < 910
    credentials = credentials_of(assumed)
    assert invoke(emulator, "theirs", credentials) == b'[{"generated_text":"hi"}]'
    assert client_of(emulator, "sts", credentials).get_caller_identity()["Account"] == PARTNER
    with pytest.raises(ClientError, match="Endpoint mine of account 444455556666 not found"):
        invoke(emulator, "mine", credentials)


def test_temporary_credentials_end_when_the_clock_says_so(emulator, clock):
    credentials = emulator.issue_credentials(seconds=60)
    assert invoke(emulator, "theirs", credentials)
    clock[0] = 61.0
    try:
        with pytest.raises(ClientError) as error:
            invoke(emulator, "theirs", credentials)
        with pytest.raises(ClientError) as sts_error:
            client_of(emulator, "sts", credentials).get_caller_identity()
    finally:
        clock[0] = 0.0
    assert error.value.response["Error"]["Code"] == "ExpiredTokenException"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert sts_error.value.response["Error"]["Code"] == "ExpiredToken"


def test_an_external_id_is_checked(emulator, sts):
    for given in ({}, {"ExternalId": "wrong"}):
        with pytest.raises(ClientError, match="is not authorized to perform: sts:AssumeRole on resource") as error:
            sts.assume_role(RoleArn=STRICT.arn, RoleSessionName="me", **given)
        assert error.value.response["Error"]["Code"] == "AccessDenied"
    assert sts.assume_role(RoleArn=STRICT.arn, RoleSessionName="me", ExternalId="magic")["Credentials"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"RoleArn": f"arn:aws:iam::{PARTNER}:role/nobody"}, "AccessDenied", "not authorized"),
        ({"DurationSeconds": 899}, "ValidationError", "greater than or equal to 900"),
        ({"DurationSeconds": 7200}, "ValidationError", "MaxSessionDuration"),
        ({"RoleArn": "arn:aws:iam::12:role/nobody-at-all"}, "ValidationError", "is invalid"),
        ({"RoleSessionName": "no spaces"}, "ValidationError", "roleSessionName"),
    ],
)
def test_sts_refuses_as_aws_does(emulator, sts, options, code, words):
    with pytest.raises(ClientError, match=words) as error:
        sts.assume_role(**{"RoleArn": emulator.role_arn, "RoleSessionName": "me", **options})
    assert error.value.response["Error"]["Code"] == code


def test_web_identity_needs_no_keys(emulator):
    anonymous = boto3.client(
        "sts", region_name="us-east-1", endpoint_url=emulator.url, config=Config(signature_version=UNSIGNED, proxies={})
    )
    answer = anonymous.assume_role_with_web_identity(
        RoleArn=emulator.role_arn, RoleSessionName="pod", WebIdentityToken=web_identity_token()
    )
    assert answer["SubjectFromWebIdentityToken"] == "system:serviceaccount:apps:answers"
    assert invoke(emulator, "theirs", credentials_of(answer))


def web_identity_token(**claims):
    """A token as a cluster writes it: nobody here can check its signature."""
    claims = {"aud": ["sts.amazonaws.com"], "sub": "system:serviceaccount:apps:answers", "exp": 4e9, **claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    parts = (json.dumps({"alg": "RS256"}).encode(), json.dumps(claims).encode(), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize(
    ("token", "code", "words"),
    [
        ("header.payload.signature", "InvalidIdentityToken", "not a valid JWT"),
        (web_identity_token(aud=None), "InvalidIdentityToken", "required claim: aud"),
        (web_identity_token(exp=None), "InvalidIdentityToken", "required claim: exp"),
        (web_identity_token(exp="tomorrow"), "InvalidIdentityToken", "exp"),
        (web_identity_token(aud="somebody.else"), "InvalidIdentityToken", "audience"),
        (web_identity_token(exp=1.0), "ExpiredToken", "Token expired"),
    ],
)
def test_a_web_identity_token_is_checked_for_shape_audience_and_expiry(emulator, token, code, words):
    anonymous = boto3.client(
        "sts", region_name="us-east-1", endpoint_url=emulator.url, config=Config(signature_version=UNSIGNED, proxies={})
    )
    with pytest.raises(ClientError, match=words) as error:
        anonymous.assume_role_with_web_identity(
            RoleArn=emulator.role_arn, RoleSessionName="pod", WebIdentityToken=token
        )
    assert error.value.response["Error"]["Code"].startswith(code)


def test_a_chained_role_lasts_an_hour_at_most():
    first = Role("arn:aws:iam::222233334444:role/first", max_seconds=43_200)
    second = Role("arn:aws:iam::333344445555:role/second", trusts=("222233334444",), max_seconds=43_200)
    with Emulator({}, roles=[first, second]) as emulator:
        given = client_of(emulator, "sts").assume_role(RoleArn=first.arn, RoleSessionName="first", DurationSeconds=7200)
        chained = client_of(emulator, "sts", credentials_of(given))
        assert chained.assume_role(RoleArn=second.arn, RoleSessionName="second")["Credentials"]
        with pytest.raises(ClientError, match="1 hour session limit for roles assumed by role chaining"):
            chained.assume_role(RoleArn=second.arn, RoleSessionName="second", DurationSeconds=7200)


def test_a_session_token_of_a_user(emulator, sts):
    given = credentials_of(sts.get_session_token(DurationSeconds=900))
    assert client_of(emulator, "sts", given).get_caller_identity()["Arn"].endswith(":user/emulator")
    with pytest.raises(ClientError, match="session credentials"):
        client_of(emulator, "sts", given).get_session_token()


def test_wrong_keys_are_told_apart(emulator):
    known = emulator.credentials
    unknown = Credentials("AKIANOBODY0000000000", "x", "", "")
    wrong = Credentials(known.access_key, "x", "", "")
    calls = {
        "sts": lambda credentials: client_of(emulator, "sts", credentials).get_caller_identity(),
        "sagemaker-runtime": lambda credentials: invoke(emulator, "mine", credentials),
    }
    codes = {}
    for name, credentials in (("unknown", unknown), ("wrong", wrong)):
        for service, call in calls.items():
            with pytest.raises(ClientError) as error:
                call(credentials)
            codes[name, service] = error.value.response["Error"]["Code"]
    assert codes == {
        ("unknown", "sts"): "InvalidClientTokenId",
        ("unknown", "sagemaker-runtime"): "UnrecognizedClientException",
        ("wrong", "sts"): "SignatureDoesNotMatch",
        ("wrong", "sagemaker-runtime"): "InvalidSignatureException",
    }


def test_a_role_without_permission_is_told_so(emulator, sts):
    credentials = credentials_of(sts.assume_role(RoleArn=MUTE.arn, RoleSessionName="me"))
    with pytest.raises(ClientError, match="is not authorized to perform: sagemaker:InvokeEndpoint") as error:
        invoke(emulator, "theirs", credentials)
    assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    with pytest.raises(ClientError, match="not authorized to perform: sagemaker:DescribeEndpoint") as error:
        client_of(emulator, "sagemaker", credentials).describe_endpoint(EndpointName="theirs")
    assert error.value.response["Error"]["Code"] == "AccessDeniedException"
