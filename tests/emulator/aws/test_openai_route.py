"""SageMaker's OpenAI route, called by the openai package with a token that botocore signed."""

import base64
import time

import openai
import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from sagewire.emulator import EndpointSpec
from sagewire.emulator.aws.identity import Credentials, Identities, IdentityError
from sagewire.emulator.aws.openai_route import read_token

MESSAGES = [{"role": "user", "content": "hello you"}]
# A token of the published recipe, for AWS's example key and a fixed moment.
EXAMPLE = (
    "sagemaker.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE"
    "%2F20260102%2Fus-west-2%2Fsagemaker%2Faws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&"
    "X-Amz-SignedHeaders=host&X-Amz-Signature=bad55e3c3017bc814c5fbc018972cef87e9567d1f1ae273a1eace060110bafc0&Version=1"
)
EXAMPLE_TIME = 1767323045.0  # 2026-01-02T03:04:05Z


def token(credentials, region="us-east-1", seconds=900):
    keys = BotoCredentials(credentials.access_key, credentials.secret_key, credentials.session_token)
    request = AWSRequest("POST", "https://sagemaker.amazonaws.com/?Action=CallWithBearerToken")
    SigV4QueryAuth(keys, "sagemaker", region, expires=seconds).add_auth(request)
    text = request.url.removeprefix("https://") + "&Version=1"
    return "sagemaker-api-key-" + base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def clock():
    return [0.0]


@pytest.fixture(scope="module")
def emulator(make_judge, clock):
    endpoints = {
        "chat": "openai_chat:echo",
        "parts": EndpointSpec(components={"base": "openai_chat:echo"}),
        "theirs": EndpointSpec("openai_chat", account="444455556666"),
    }
    return make_judge(endpoints, clock=lambda: time.time() + clock[0]).emulator


@pytest.fixture
def client(emulator):
    made = []

    def make(path="chat", key=None):
        url = f"{emulator.url}/endpoints/{path}/openai/v1"
        made.append(openai.OpenAI(base_url=url, api_key=key or token(emulator.credentials), max_retries=0))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_published_token_is_read():
    identities = Identities(lambda: EXAMPLE_TIME)
    identities.add(Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "1", "arn"))
    encoded = "sagemaker-api-key-" + base64.b64encode(EXAMPLE.encode()).decode()
    assert read_token(encoded, identities, lambda: EXAMPLE_TIME + 899, "us-west-2").access_key == "AKIDEXAMPLE"
    with pytest.raises(IdentityError, match="expired"):
        read_token(encoded, identities, lambda: EXAMPLE_TIME + 900, "us-west-2")
    with pytest.raises(IdentityError, match="not valid in region us-east-1"):
        read_token(encoded, identities, lambda: EXAMPLE_TIME, "us-east-1")


def test_answers_are_whole_or_streamed_without_frames(emulator, client):
    whole = client().chat.completions.create(model="", messages=MESSAGES)
    assert whole.choices[0].message.content == "hello you"
    with client().chat.completions.create(model="", messages=MESSAGES, stream=True) as stream:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "hello you"
    call = emulator.calls[-1]
    assert call.path == "/v1/chat/completions"
    assert "authorization" not in call.headers
    inner = client("parts/inference-components/base").chat.completions.create(model="", messages=MESSAGES)
    assert inner.choices[0].message.content == "hello you"
    assert emulator.calls[-1].component == "base"


@pytest.mark.parametrize(
    ("path", "options", "error", "words"),
    [
        ("nobody", {}, openai.BadRequestError, "Endpoint nobody of account 111122223333 not found."),
        ("theirs", {}, openai.BadRequestError, "Endpoint theirs of account 111122223333 not found."),
        ("parts", {}, openai.BadRequestError, "Inference Component"),
        ("chat", {"temperature": 9}, openai.BadRequestError, "Received client error \\(400\\) from primary"),
        ("chat", {"model": "other"}, openai.NotFoundError, "does not exist"),
        (
            "chat",
            {"extra_headers": {"X-Amzn-SageMaker-Inference-Component": "base"}},
            openai.BadRequestError,
            "not supported on this route",
        ),
    ],
)
def test_errors_come_in_an_openai_envelope(client, path, options, error, words):
    with pytest.raises(error, match=words) as raised:
        client(path).chat.completions.create(**{"model": "", "messages": MESSAGES, **options})
    assert raised.value.body["code"] in ("validation_error", "model_error")


def test_other_routes_are_not_there(client):
    with pytest.raises(openai.NotFoundError, match="not supported"):
        client().embeddings.create(model="", input="x")


def test_a_token_has_to_be_right(emulator, client, clock):
    user = emulator.credentials
    wrong = {
        "nonsense": "AccessDenied",
        "sagemaker-api-key-!!!": "invalid",
        token(Credentials(user.access_key, "wrong", "", "")): "does not match",
        token(user, region="eu-west-1"): "not valid in region",
    }
    for key in wrong:
        with pytest.raises(openai.PermissionDeniedError):
            client(key=key).chat.completions.create(model="", messages=MESSAGES)
    temporary = emulator.issue_credentials(seconds=60)
    key = token(temporary)
    with pytest.raises(openai.BadRequestError):  # known, but of an account without such an endpoint
        client(key=key).chat.completions.create(model="", messages=MESSAGES)
    clock[0] = 61.0
    try:
        with pytest.raises(openai.PermissionDeniedError, match="expired"):
            client("theirs", key=key).chat.completions.create(model="", messages=MESSAGES)
    finally:
        clock[0] = 0.0
