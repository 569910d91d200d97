"""OpenAI's own client on endpoints: over SageMaker's OpenAI route, and in process."""

import asyncio
import json
import logging
import os
import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import openai
import pytest
from pydantic import BaseModel

import sagewire
from sagewire import Client
from sagewire.emulator import EndpointSpec
from sagewire.errors import MissingExtra, UsageError
from sagewire.integrations.openai import async_openai_client, openai_client

HELLO = [{"role": "user", "content": "Hello there"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}
PROGRAM = Path(__file__).parent / "conversations.py"
EXPECTED = """\
Hello there stop 16
Hello| there|CompletionUsage(completion_tokens=3, prompt_tokens=13, total_tokens=16
HoHo
a b
BadRequestError
"""


@pytest.fixture
def vllm(emulator):
    with openai_client("vllm") as client:
        yield client


@pytest.fixture
def tgi(emulator):
    with openai_client("tgi-echo") as client:
        yield client


@pytest.fixture(params=["vllm", "tgi-echo", "lmi"])
def client(request, emulator):
    """One native endpoint, and two that are answered in process."""
    with openai_client(request.param) as client:
        yield client


def path_of_last(emulator):
    return emulator.calls[-1].path


def test_it_is_openais_client(client):
    assert type(client) is openai.OpenAI
    answer = client.chat.completions.create(model="", messages=HELLO, max_tokens=20, temperature=0)
    assert type(answer) is openai.types.chat.ChatCompletion
    assert answer.choices[0].message.content == "Hello there"
    assert answer.usage.completion_tokens == 3


def test_vllm_goes_over_sagemakers_route_and_others_in_process(emulator, vllm, tgi):
    vllm.chat.completions.create(model="vllm", messages=HELLO)
    assert path_of_last(emulator) == "/v1/chat/completions"
    # vLLM does not know its endpoint's name.
    assert emulator.calls[-1].json["model"] == ""
    tgi.chat.completions.create(model="tgi-echo", messages=HELLO)
    assert path_of_last(emulator) == "/invocations"
    # What SageMaker's route does not have.
    vllm.completions.create(model="vllm", prompt="Hi")
    assert path_of_last(emulator) == "/invocations"
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        vllm.chat.completions.create(model="my-adapter", messages=HELLO)


def test_choosing_the_route(emulator):
    with openai_client("vllm", route="in_process") as client:
        client.chat.completions.create(model="vllm", messages=HELLO)
        assert path_of_last(emulator) == "/invocations"
    with openai_client("vllm", handler="openai_chat") as client:
        client.chat.completions.create(model="vllm", messages=HELLO)
        assert path_of_last(emulator) == "/invocations"
    with openai_client("tgi-echo", route="sagemaker") as client:
        client.chat.completions.create(model="tgi", messages=HELLO)
        assert path_of_last(emulator) == "/v1/chat/completions"
    with openai_client("tgi-echo", handler="tgi", format="chatml") as client:
        client.chat.completions.create(model="", messages=HELLO)
        assert emulator.calls[-1].json["inputs"].startswith("<|im_start|>")


def test_a_client_of_ours(emulator):
    with openai_client(Client("tgi-echo", handler="tgi", format="chatml")) as client:
        assert (
            "Hello there" in client.chat.completions.create(model="tgi-echo", messages=HELLO).choices[0].message.content
        )
        assert [model.id for model in client.models.list()] == ["tgi-echo"]
    with openai_client(Client(url=emulator.container_url("vllm"))) as client:
        assert client.chat.completions.create(model="", messages=HELLO).choices[0].message.content == "Hello there"
    with pytest.raises(UsageError, match="handler is a matter of the client"):
        openai_client(Client("tgi-echo"), handler="tgi")
    with pytest.raises(UsageError, match="route is a matter"):
        openai_client(Client("tgi-echo"), route="sagemaker")


def test_components(emulator):
    emulator.add("duo", EndpointSpec(components={"duo-tgi": "tgi:echo", "duo-vllm": "openai_chat:echo"}))
    for component, path in (("duo-tgi", "/invocations"), ("duo-vllm", "/v1/chat/completions")):
        with openai_client("duo", inference_component=component) as client:
            answer = client.chat.completions.create(model=component, messages=HELLO)
            assert answer.choices[0].message.content == "Hello there"
            assert (emulator.calls[-1].component, path_of_last(emulator)) == (component, path)


def test_a_role_of_another_account(emulator):
    emulator.add("theirs", EndpointSpec("openai_chat", account=emulator.other_account))
    session = sagewire.assume_role_session(emulator.role_arn, sts_endpoint=emulator.url)
    with openai_client("theirs", session=session) as client:
        assert client.chat.completions.create(model="", messages=HELLO).choices[0].message.content == "Hello there"
        assert path_of_last(emulator) == "/v1/chat/completions"


def test_streams(client):
    stream = client.chat.completions.create(
        model="", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello there"
    assert chunks[-1].usage.completion_tokens == 3
    assert len(chunks) >= 4
    with client.chat.completions.create(model="", messages=HELLO, stream=True) as early:
        next(iter(early))
    with client.chat.completions.stream(model="", messages=HELLO) as events:
        assert events.get_final_completion().choices[0].message.content == "Hello there"


async def test_async(emulator):
    for endpoint in ("vllm", "tgi-echo"):
        async with async_openai_client(endpoint) as client:
            assert type(client) is openai.AsyncOpenAI
            calls = [client.chat.completions.create(model="", messages=HELLO) for _ in range(8)]
            answers = await asyncio.gather(*calls)
            assert {answer.choices[0].message.content for answer in answers} == {"Hello there"}
            stream = await client.chat.completions.create(model="", messages=HELLO, stream=True)
            assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Hello there"
            async with await client.chat.completions.create(model="", messages=HELLO, stream=True) as early:
                async for _ in early:
                    break
            assert (await client.completions.create(model="", prompt="a", n=2)).choices[1].text == "a"


def test_several_answers(client, emulator):
    answer = client.chat.completions.create(model="", messages=HELLO, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert [choice.text for choice in client.completions.create(model="", prompt=["a", "b"], n=2).choices] == list(
        "aabb"
    )


def test_a_stream_of_several_answers(emulator, vllm, tgi):
    chunks = list(vllm.chat.completions.create(model="", messages=HELLO, n=2, stream=True))
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}
    for call in (
        lambda: tgi.chat.completions.create(model="", messages=HELLO, n=2, stream=True),
        lambda: tgi.completions.create(model="", prompt=["a", "b"], stream=True),
    ):
        with pytest.raises(openai.BadRequestError, match="stream of several answers"):
            call()


@pytest.mark.parametrize("endpoint", ["openai_chat", "lmi_chat", "tgi_chat"])
def test_tools_and_structured_answers(emulator, endpoint):
    class Town(BaseModel):
        name: str

    name = endpoint.replace("_", "-")
    emulator.add(name, f"{endpoint}:schema")
    with openai_client(name) as client:
        asked = [{"role": "user", "content": "What is the weather in Oslo?"}]
        answer = client.chat.completions.create(model="", messages=asked, tools=[WEATHER], tool_choice="required")
        call = answer.choices[0].message.tool_calls[0]
        assert call.function.name == "get_weather"
        assert isinstance(json.loads(call.function.arguments), dict)
        again = [*asked, answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Rain"}]
        assert client.chat.completions.create(model="", messages=again, tools=[WEATHER]).choices
        parsed = client.chat.completions.parse(model="", messages=asked, response_format=Town)
        assert isinstance(parsed.choices[0].message.parsed, Town)


def test_embeddings_and_rankings(emulator):
    emulator.add("tei", "tei")
    emulator.add("ranker", "tei_rerank")
    with openai_client("tei") as client:
        packed = client.embeddings.create(model="tei", input=["one", "two"])
        plain = client.embeddings.create(model="", input="one", encoding_format="float")
        assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)
        assert len(packed.data) == 2
        numbered = client.embeddings.create(model="", input=[[1, 2], [3]])
        assert len({tuple(one.embedding) for one in numbered.data}) == 2
        with pytest.raises(openai.BadRequestError, match="token numbers"):
            client.embeddings.create(model="", input=[[1, 2], []])
        with pytest.raises(openai.BadRequestError, match="'chat'"):
            client.chat.completions.create(model="", messages=HELLO)
    with openai_client("ranker") as client:
        body = {"query": "fish", "documents": ["a bird", "a fish"], "return_documents": True}
        ranked = client.post("/rerank", body=body, cast_to=object)
        assert ranked["results"][0]["document"] == {"text": "a fish"}


async def test_embeddings_and_rankings_async(emulator):
    emulator.add("tei", "tei")
    emulator.add("ranker", "tei_rerank")
    async with async_openai_client("tei") as client:
        assert len((await client.embeddings.create(model="", input=["one", "two"])).data) == 2
    async with async_openai_client("ranker") as client:
        body = {"query": "fish", "documents": ["a bird", "a fish"]}
        ranked = await client.post("/rerank", body=body, cast_to=object)
        assert ranked["results"][0]["index"] == 1


def test_what_an_endpoint_has_not(client):
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.models.retrieve("gpt-4")
    with pytest.raises(openai.NotFoundError):
        client.get("/", cast_to=object)


@pytest.mark.parametrize("body", [b"no json", b"[]", b'{"messages": 1}', b"{}", b'{"messages": [{"role": "x"}]}'])
def test_garbage_is_a_bad_request(tgi, body):
    with pytest.raises(openai.BadRequestError):
        tgi.post("/chat/completions", content=body, cast_to=object)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("throttle:9", openai.RateLimitError),
        ("not_ready:9", openai.InternalServerError),
        ("container_error", openai.InternalServerError),
        ("access_denied:9", openai.PermissionDeniedError),
        ("hang:0", openai.APITimeoutError),
    ],
)
async def test_errors_are_those_programs_catch(emulator, fault, kind):
    emulator.add("faulty", EndpointSpec("tgi", faults=[fault]))
    options = {"max_retries": 0, "timeout": 0.5}
    with openai_client("faulty", **options) as client:
        for stream in (False, True):
            with pytest.raises(kind):
                client.chat.completions.create(model="", messages=HELLO, stream=stream)
    async with async_openai_client("faulty", **options) as client:
        for stream in (False, True):
            with pytest.raises(kind):
                await client.chat.completions.create(model="", messages=HELLO, stream=stream)


@pytest.mark.parametrize("route", ["sagemaker", "in_process"])
def test_no_server_is_a_connection_error(emulator, route):
    options = {"endpoint_url": "http://127.0.0.1:9", "handler": "openai_chat", "route": route, "max_retries": 0}
    with openai_client("x", **options) as client, pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="", messages=HELLO)


def test_the_native_route_takes_the_proxy_of_the_aws_configuration(emulator, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://bob:hush@127.0.0.1:9")
    options = {"endpoint_url": "http://sagemaker.invalid", "route": "sagemaker", "max_retries": 0}
    with openai_client("vllm", **options) as client, pytest.raises(openai.APIConnectionError) as caught:
        client.chat.completions.create(model="", messages=HELLO)
    assert "through the proxy http://127.0.0.1:9" in str(caught.value.__cause__)


@pytest.mark.parametrize("address", ["http://elsewhere.invalid", "http://127.0.0.1:9", "https://127.0.0.1"])
async def test_the_token_goes_to_sagemaker_only(emulator, address):
    elsewhere = {"base_url": f"{address}/openai/v1"}
    # Older releases of openai wrap every error of the transport.
    refused = pytest.raises((UsageError, openai.APIConnectionError))
    with openai_client("vllm", route="sagemaker", max_retries=0) as client, refused as caught:
        client.with_options(**elsewhere).chat.completions.create(model="", messages=HELLO)
    assert "leave base_url out" in f"{caught.value} {caught.value.__cause__}"
    async with async_openai_client("vllm", route="sagemaker", max_retries=0) as client:
        with pytest.raises((UsageError, openai.APIConnectionError)) as caught:
            await client.with_options(**elsewhere).chat.completions.create(model="", messages=HELLO)
    assert "leave base_url out" in f"{caught.value} {caught.value.__cause__}"


def test_a_missing_endpoint(emulator):
    with openai_client("no-such-endpoint") as client, pytest.raises(openai.NotFoundError, match="no-such-endpoint"):
        client.chat.completions.create(model="", messages=HELLO)


def test_openais_own_retries_apply(emulator):
    emulator.add("busy", EndpointSpec("openai_chat", faults=["throttle:1"]))
    with openai_client("busy", route="in_process", max_retries=1) as client:
        assert client.chat.completions.create(model="", messages=HELLO).choices
    emulator.add("busy", EndpointSpec("openai_chat", faults=["throttle:9"]))
    with openai_client("busy", route="in_process") as client, pytest.raises(openai.RateLimitError):
        client.with_options(max_retries=0).chat.completions.create(model="", messages=HELLO)


def test_time_limits_of_a_single_call(emulator):
    emulator.add("hanging", EndpointSpec("tgi", latency=5))
    with openai_client("hanging", max_retries=0) as client, pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).chat.completions.create(model="", messages=HELLO)


@pytest.mark.parametrize("endpoint", ["openai_chat", "tgi"])
def test_a_broken_stream_raises(emulator, endpoint):
    emulator.add("breaking", EndpointSpec(endpoint, engine="echo", faults=["error_mid_stream:1"]))
    with openai_client("breaking", route="in_process") as client:
        stream = client.chat.completions.create(model="", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError):
            list(stream)


async def test_a_broken_stream_raises_async(emulator):
    emulator.add("breaking", EndpointSpec("tgi", engine="echo", faults=["error_mid_stream:1"]))
    async with async_openai_client("breaking") as client:
        stream = await client.chat.completions.create(model="", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError):
            [chunk async for chunk in stream]


def test_where_describing_is_not_allowed_the_native_route_is_tried(restricted, caplog):
    with openai_client("vllm") as client:
        assert client.chat.completions.create(model="", messages=HELLO).choices[0].message.content == "Hello there"
    assert restricted.calls[-1].path == "/v1/chat/completions"
    assert "sagemaker:DescribeEndpoint is not allowed" in caplog.text


def test_tokens_are_kept_between_calls(emulator):
    with openai_client("vllm") as client:
        client.chat.completions.create(model="", messages=HELLO)
        first = client.api_key
        client.chat.completions.create(model="", messages=HELLO)
        assert client.api_key == first
        assert first.startswith("sagemaker-api-key-")


def test_wrong_arguments(emulator):
    for name in ("api_key", "base_url", "http_client"):
        with pytest.raises(UsageError, match=name):
            openai_client("vllm", **{name: "x"})
    with pytest.raises(UsageError, match="route"):
        openai_client("vllm", route="other")
    with pytest.raises(UsageError, match="contradict"):
        openai_client("vllm", session="dev", profile_name="dev")
    with pytest.raises(UsageError, match="token_lifetime"):
        openai_client("vllm", token_lifetime=0)


def test_no_region(clean_environment):
    with pytest.raises(UsageError, match="region"):
        openai_client("vllm")


def test_secrets_are_not_shown(emulator, caplog):
    caplog.set_level(logging.DEBUG)
    with openai_client("vllm") as client:
        client.chat.completions.create(model="", messages=HELLO)
        shown = f"{client!r} {client._client!r} {caplog.text}"
    assert emulator.credentials.secret_key not in shown
    assert client.api_key not in shown
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError, UsageError)):
        pickle.dumps(client)


def run(capsys):
    runpy.run_path(str(PROGRAM), run_name="__main__")
    return capsys.readouterr().out


def test_programs(emulator, capsys):
    emulator.add("tei", "tei")
    out = run(capsys)
    for line in EXPECTED.splitlines():
        assert out.count(line) >= 3, line
    assert "2 64 [" in out


@pytest.mark.slow
def test_programs_with_the_client_before_httpx2(emulator, capsys, python_with):
    # OpenAI's client as it was on httpx.
    python = python_with("openai>=2,<3", "aiohttp", "botocore", "orjson", "tenacity", "urllib3")
    emulator.add("tei", "tei")
    expected = run(capsys)
    env = dict(os.environ) | {"PYTHONPATH": str(Path(sagewire.__file__).parents[1])}
    command = [python, "-W", "error", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert done.stdout == expected
    assert done.stderr.strip() == "httpx"


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"\[openai\]"):
        openai_client("vllm")


def test_importing_the_integration_imports_neither_the_package_nor_aws():
    code = (
        "import sys, sagewire.integrations.openai; sys.exit(bool({'openai', 'botocore', 'aiohttp'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
