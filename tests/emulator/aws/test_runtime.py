"""SageMaker Runtime as boto3 sees it: bodies, headers, errors, components, models and sessions."""

import json
import re
import urllib.request

import pytest
from botocore.exceptions import ClientError

from sagewire.emulator import Emulator, EndpointSpec, Scripted
from sagewire.emulator.engines import Reply
from sagewire.errors import UsageError

from ..conftest import Judge

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
PROMPT = {"inputs": "héllo wörld", "parameters": {"return_full_text": False}}


@pytest.fixture(scope="module")
def judge(make_judge):
    return make_judge(
        {
            "tgi": "tgi:echo",
            "chat": "openai_chat:echo",
            "creating": EndpointSpec("tgi", status="Creating"),
            "zero": EndpointSpec("tgi", copies=0),
            "many": EndpointSpec("hf_pipeline", "echo", models=["a.tar.gz", "b.tar.gz"]),
            "parts": EndpointSpec(
                components={
                    "base": "openai_chat:echo",
                    "lora": EndpointSpec(base="base"),
                    "empty": EndpointSpec("tgi", copies=0),
                }
            ),
        }
    )


@pytest.fixture(autouse=True)
def forget(judge):
    judge.emulator.clear()


def refusal(call, *arguments, **options):
    with pytest.raises(ClientError) as error:
        call(*arguments, **options)
    return error.value.response


def test_the_body_and_the_content_type_pass_through(judge):
    response = judge.invoke("tgi", PROMPT, CustomAttributes="a=1;b=2", Accept="application/json", InferenceId="x")
    assert json.loads(response["Body"].read()) == [{"generated_text": "héllo wörld"}]
    assert response["ContentType"] == "application/json"
    assert response["InvokedProductionVariant"] == "AllTraffic"
    assert response["CustomAttributes"] == "a=1;b=2"
    (call,) = judge.emulator.calls
    assert (call.endpoint, call.path, call.json) == ("tgi", "/invocations", PROMPT)
    # Everything SageMaker does not know stays at its door: the signature, the user agent, the inference id.
    assert call.headers == {
        "content-type": "application/json",
        "accept": "application/json",
        "x-amzn-sagemaker-custom-attributes": "a=1;b=2",
    }


def test_a_stream_is_framed_as_botocore_expects(judge):
    body = PROMPT | {"stream": True}
    response = judge.client.invoke_endpoint_with_response_stream(
        EndpointName="tgi", Body=json.dumps(body), ContentType="application/json", Accept="text/event-stream"
    )
    assert response["ContentType"] == "text/event-stream"
    assert response["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/vnd.amazon.eventstream"
    parts = [event["PayloadPart"]["Bytes"] for event in response["Body"]]
    assert all(part.startswith(b"data:") and part.endswith(b"\n\n") for part in parts)
    assert json.loads(parts[-1][5:])["generated_text"] == "héllo wörld"
    (call,) = judge.emulator.calls
    assert call.headers["accept"] == "text/event-stream"
    assert call.headers["x-amzn-sagemaker-forwarded-api"] == "InvokeEndpointWithResponseStream"


def test_the_streaming_api_does_not_switch_streaming_on(judge):
    assert json.loads(b"".join(judge.parts("tgi", PROMPT))) == [{"generated_text": "héllo wörld"}]


def test_a_containers_error_is_wrapped(judge):
    response = refusal(judge.invoke, "tgi", {"inputs": "x", "parameters": {"temperature": 0}})
    assert response["Error"]["Code"] == "ModelError"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 422
    assert json.loads(response["OriginalMessage"])["error_type"] == "validation"
    assert response["LogStreamArn"].endswith(":log-group:/aws/sagemaker/Endpoints/tgi")
    assert re.fullmatch(
        r'Received client error \(422\) from primary with message "\{.*\}"\. See https://us-east-1\.console\.aws\.amazon'
        r"\.com/cloudwatch/home\?region=us-east-1#logEventViewer:group=/aws/sagemaker/Endpoints/tgi in account "
        r"111122223333 for more information\.",
        response["Message"],
    )


def test_the_wrapped_message_is_cut_at_2048_characters(judge):
    response = refusal(judge.invoke, "chat", {"messages": CHAT["messages"], "stop": ["x"] * 10, "model": "m" * 4000})
    assert (len(response["Message"]), len(response["OriginalMessage"])) == (2048, 2048)


@pytest.mark.parametrize(
    ("endpoint", "options", "words"),
    [
        ("nobody", {}, "Endpoint nobody of account 111122223333 not found."),
        ("creating", {}, "Endpoint creating of account 111122223333 not found."),
        ("zero", {}, "has no capacity to process this request"),
        ("tgi", {"TargetVariant": "Other"}, "Variant Other not found"),
        ("tgi", {"TargetContainerHostname": "other"}, "not configured for direct invocation"),
        ("tgi", {"TargetModel": "a.tar.gz"}, "not a multi-model endpoint"),
        ("tgi", {"InferenceComponentName": "base"}, "is not allowed"),
        ("many", {}, "X-Amzn-SageMaker-Target-Model"),
        ("many", {"TargetModel": "c.tar.gz"}, "Failed to download model data"),
        ("parts", {}, "Inference Component Name header is required"),
        ("parts", {"InferenceComponentName": "nobody"}, "nobody"),
        ("parts", {"InferenceComponentName": "empty"}, "has no capacity to process this request"),
        ("tgi", {"CustomAttributes": "sagewire-fault=nonsense"}, "unknown fault 'nonsense'"),
    ],
)
def test_the_service_refuses_what_it_cannot_route(judge, endpoint, options, words):
    response = refusal(judge.invoke, endpoint, PROMPT, **options)
    assert response["Error"]["Code"] == "ValidationError"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert response["ResponseMetadata"]["RequestId"]
    assert words in response["Error"]["Message"]
    assert judge.emulator.calls == []


def test_the_headers_of_an_error_name_its_type(judge):
    headers = refusal(judge.invoke, "nobody", PROMPT)["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-errortype"] == "ValidationError"
    assert headers["x-amzn-requestid"]


def test_components_have_containers_of_their_own(judge):
    judge.whole("parts", CHAT, InferenceComponentName="base")
    answer = judge.whole("parts", CHAT, InferenceComponentName="lora")
    # The front door names the adapter, and the image writes it into the body.
    assert answer["model"] == "lora"
    base, lora = judge.emulator.calls
    assert (base.component, lora.component) == ("base", "lora")
    assert lora.headers["x-amzn-sagemaker-adapter-identifier"] == "lora"
    failed = refusal(judge.invoke, "parts", {"messages": []}, InferenceComponentName="base")
    assert re.search(r"from [0-9a-f]{20} with message", failed["Message"])


def test_a_multi_model_endpoint_takes_its_models_and_does_not_stream(judge):
    assert judge.whole("many", {"inputs": "x"}, TargetModel="a.tar.gz") == [{"generated_text": "xx"}]
    assert judge.emulator.calls[0].headers["x-amzn-sagemaker-target-model"] == "a.tar.gz"


def test_a_sticky_session_opens_answers_and_closes(judge):
    opened = judge.invoke("chat", {"requestType": "NEW_SESSION"}, SessionId="NEW_SESSION")
    match = re.fullmatch(r"([\w-]+); Expires=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", opened["NewSessionId"])
    assert match is not None
    assert opened["Body"].read().decode() == f"Session {match[1]} created"
    assert judge.whole("chat", CHAT, SessionId=match[1])["choices"][0]["message"]["content"] == "hi"
    closed = judge.invoke("chat", {"requestType": "CLOSE"}, SessionId=match[1])
    assert closed["ClosedSessionId"] == match[1]
    assert refusal(judge.invoke, "chat", CHAT, SessionId=match[1])["OriginalStatusCode"] == 400


def test_a_body_of_more_than_25_megabytes_is_refused_and_one_of_20_is_not(judge):
    response = refusal(judge.invoke, "chat", b"x" * (25 * 1024 * 1024 + 1))
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert "HTTP content length exceeded 26214400 bytes" in response["Error"]["Message"]
    assert "JSON decode error" in refusal(judge.invoke, "chat", b"x" * 20_000_000)["OriginalMessage"]


def test_the_limits_of_requests_and_answers(make_judge):
    def answers(*sizes):
        return Scripted([Reply(raw=b"y" * size, content_type="text/plain") for size in sizes])

    limited = make_judge(
        {
            "six": EndpointSpec("tgi", answers(6_291_456, 6_291_457), payload_bytes=6 * 1024 * 1024),
            "serverless": EndpointSpec("tgi", answers(4_194_304, 4_194_305), serverless=True),
            "largest": EndpointSpec("tgi", answers(26_214_400, 26_214_401)),
        }
    )
    response = refusal(limited.invoke, "six", b"x" * 6_291_457)
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]) == (
        413,
        "HTTP content length exceeded 6291456 bytes.",
    )
    for endpoint in ("six", "serverless", "largest"):
        assert limited.invoke(endpoint, PROMPT)["Body"].read(1) == b"y"
        response = refusal(limited.invoke, endpoint, PROMPT)
        assert response["Error"]["Code"] == "ModelError"
        assert "could not load the entire response body" in response["Error"]["Message"]
    assert "oversize body" in refusal(limited.invoke, "serverless", b"x" * 4_194_305)["Error"]["Message"]


def test_an_emulator_is_on_loopback_and_says_how_to_reach_it(judge):
    environment = judge.emulator.environ()
    assert environment["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "us-east-1"
    assert environment["AWS_EC2_METADATA_DISABLED"] == "true"
    assert "127.0.0.1" in environment["NO_PROXY"]
    with urllib.request.urlopen(f"{judge.emulator.container_url('tgi')}/info") as response:
        assert json.load(response)["router"] == "text-generation-router"
    with pytest.raises(UsageError, match="known: chat"):
        judge.emulator.container_url("nobody")


def test_an_endpoint_can_be_added_while_running(judge):
    judge.emulator.add("late", "lmi:echo")
    assert judge.whole("late", {"inputs": "x"}) == {"generated_text": "x"}


@pytest.mark.parametrize(
    ("endpoints", "words"),
    [
        ({"a": "tgy"}, "unknown dialect 'tgy'; did you mean 'tgi'"),
        ({"a": "tgi:ecko"}, "unknown engine 'ecko'; did you mean 'echo'"),
        ({"a_b": "tgi"}, "letters, digits and single hyphens"),
        ({"a": EndpointSpec(faults=["throtle"])}, "did you mean 'throttle'"),
        ({"a": EndpointSpec(faults=["throttle:often"])}, "must be a number"),
        ({"a": EndpointSpec(status="Sleeping")}, "is not one of InService"),
        ({"a": EndpointSpec(components={"x": EndpointSpec(base="y")})}, "not a component of its endpoint"),
    ],
)
def test_a_specification_that_cannot_be_is_refused_at_once(endpoints, words):
    with pytest.raises(UsageError, match=words):
        Emulator(endpoints)


def test_an_emulator_that_does_not_run_says_so():
    emulator = Emulator({"a": "tgi"})
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.url
    emulator.stop()
    with emulator:
        assert Judge(emulator).whole("a", PROMPT)
        with pytest.raises(RuntimeError, match="running already"):
            emulator.start()
    with emulator:
        assert Judge(emulator).whole("a", PROMPT)
