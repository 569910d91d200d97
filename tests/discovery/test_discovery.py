"""No handler named: the control plane, or the server itself, says what is spoken; judged by really calling it."""

import asyncio
import dataclasses
import json
from dataclasses import replace

import boto3
import pytest
from botocore.config import Config

from sagewire import AsyncClient, AsyncInference, Client, UnsupportedFeature, UsageError, WireError
from sagewire.emulator import DIALECTS, Emulator, EndpointSpec, Scripted
from sagewire.emulator.dialects.tgi import Tgi1
from sagewire.errors import (
    AccessDenied,
    EndpointError,
    EndpointNotFound,
    FrameError,
    ModelStreamError,
    NotReady,
    StreamTruncated,
)
from sagewire.streaming.accumulate import fold
from sagewire.transports.base import Retries

# ContainerProfile -> what has to be said besides the endpoint's name, for chat to work.
CHAT = {
    "ai21_j2": {"format": "alpaca"},
    "ai21_jamba": {},
    "cohere": {},
    "hf_pipeline": {"format": "alpaca"},
    "llamacpp": {},
    "lmi": {},
    "lmi_async": {},
    "lmi_chat": {},
    "lmi_tgi_compat": {},
    "mistral": {},
    "nova": {},
    "openai_chat": {},
    "sglang": {},
    "tgi": {},
    "tgi_1": {},
    "tgi_chat": {},
    "triton": {"format": "llama2"},
    "triton_infer": {"format": "llama2"},
    "triton_llm_api": {"format": "llama2", "handler": "triton_llm_api"},
    "triton_stream": {"format": "llama2"},
}
COMPLETE = ["ai21_j2", "hf_pipeline", "hf_summarization", "hf_text2text", "hf_translation", "jumpstart_text2text"]
COMPLETE += ["jumpstart_textgeneration", "lmi", "lmi_async", "openai_completions", "tgi", "tgi_1", "triton"]
COMPLETE += ["triton_infer"]
EMBED = ["cohere_embed", "hf_feature_extraction", "jumpstart_embedding", "lmi_embedding", "lmi_vllm_embedding"]
EMBED += ["openai_embeddings", "tei", "triton_embedding", "vllm_pooling"]
RERANK = ["cohere_rerank", "lmi_rerank", "tei_rerank", "vllm_rerank"]


@pytest.fixture(scope="module")
def zoo():
    endpoints = {name.replace("_", "-"): EndpointSpec(name, engine="echo") for name in DIALECTS}
    # These may repeat the prompt, so an engine that does nothing else would leave nothing behind it.
    for name in (
        "jumpstart_textgeneration",
        "triton",
        "triton_infer",
        "triton_llm_api",
        "triton_stream",
    ):
        endpoints[name.replace("_", "-")] = EndpointSpec(name, engine=Scripted(["Hello back"], loop=True))
    endpoints["many"] = EndpointSpec(components={"base": "lmi:echo", "other": "tgi:echo"})
    endpoints["asleep"] = EndpointSpec(components={"sleeper": EndpointSpec("lmi", copies=0)})
    endpoints["one"] = EndpointSpec(components={"only": "lmi:echo"})
    endpoints["young"] = EndpointSpec("tgi", status="Creating")
    endpoints["odd"] = EndpointSpec("tgi", image="123456789012.dkr.ecr.us-east-1.amazonaws.com/my-own:1")
    with Emulator(endpoints) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def environment(zoo, clean_environment, monkeypatch):
    for name, value in zoo.environ().items():
        monkeypatch.setenv(name, value)
    zoo.clear()


@pytest.mark.parametrize(("dialect", "said"), CHAT.items(), ids=CHAT)
def test_chat_with_no_handler_named(dialect, said):
    client = Client(dialect.replace("_", "-"), **said)
    whole = client.chat("Hello there", max_tokens=60)
    with client.stream("Hello there", max_tokens=60) as stream:
        text = "".join(stream.text)
    assert whole.text
    assert text == whole.text == asyncio.run(client.to_async().chat("Hello there", max_tokens=60)).text


@pytest.mark.parametrize(
    ("dialect", "field"),
    [("openai_chat", "reasoning"), ("sglang", "reasoning_content"), ("llamacpp", "reasoning_content"),
     ("lmi_chat", "reasoning"), ("tgi_chat", None)],
)  # fmt: skip
def test_reasoning_goes_back_where_the_container_takes_it(zoo, dialect, field):
    turns = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "Rain.", "reasoning_content": "Look out."},
        {"role": "user", "content": "Sure?"},
    ]
    Client(dialect.replace("_", "-")).chat(turns, max_tokens=60)
    sent = zoo.calls[-1].json["messages"][1]
    assert sent == {"role": "assistant", "content": "Rain."} | ({field: "Look out."} if field else {})


@pytest.mark.parametrize("dialect", COMPLETE)
def test_complete_with_no_handler_named(dialect):
    options = {} if dialect == "jumpstart_textgeneration" else {"max_tokens": 60}
    assert "Hello" in Client(dialect.replace("_", "-")).complete("Hello there", **options).text


def test_lmi_in_the_manner_of_tgi_gives_log_probabilities():
    client = Client("lmi-tgi-compat")
    whole = client.complete("Hello there", logprobs=True)
    with client.stream_complete("Hello there", logprobs=True) as stream:
        text = "".join(stream.text)
    assert "".join(token.token for token in whole.choices[0].logprobs) == text == "Hello there"
    assert all(token.logprob < 0 and token.top for token in whole.choices[0].logprobs)
    assert stream.reply.choices[0].logprobs == whole.choices[0].logprobs
    assert not client.complete("Hello there").choices[0].logprobs


def test_a_pipeline_told_not_to_repeat_the_prompt_keeps_all_it_says(zoo):
    client = Client("hf-pipeline")
    assert client.complete("Hello there").text == "Hello there"
    assert zoo.calls[-1].json["parameters"] == {"return_full_text": False}


@pytest.mark.parametrize("dialect", EMBED)
def test_embed_with_no_handler_named(dialect, zoo):
    client = Client(dialect.replace("_", "-"))
    texts = [f"text number {number}" for number in range(70)]
    extra = {"input_type": "document"} if dialect == "cohere_embed" else {}
    found = client.embed(texts, **extra)
    assert (len(found), found.as_numpy().shape) == (70, (70, 64))
    # Batches keep the order of the texts, sync and async.
    alone = client.embed([texts[69]], **extra)
    assert found[69] == pytest.approx(alone[0], abs=1e-6)
    assert asyncio.run(client.to_async().embed(texts, **extra)).vectors == found.vectors
    calls = len(zoo.calls)
    assert len(client.embed([])) == 0
    assert len(zoo.calls) == calls


@pytest.mark.parametrize("dialect", RERANK)
def test_rerank_with_no_handler_named(dialect):
    client = Client(dialect.replace("_", "-"))
    documents = ["the sky is blue", "gears of bronze", "bronze gears survive today"]
    ranking = client.rerank("which bronze gears survive", documents)
    assert [one.index for one in ranking] == [2, 1, 0]
    assert [one.index for one in client.rerank("which bronze gears survive", documents, top_n=1)] == [2]
    assert asyncio.run(client.to_async().rerank("which bronze gears survive", documents)).results == ranking.results
    assert len(client.rerank("nothing", [])) == 0


def test_a_batch_the_server_finds_too_large_is_halved(zoo):
    from sagewire.content_handlers.embeddings import TeiHandler

    class Greedy(TeiHandler):
        max_texts = 100  # TEI's default limit is 32

    texts = [f"text {number}" for number in range(100)]
    client = Client("tei", handler=Greedy())
    assert client.embed(texts).vectors == Client("tei").embed(texts).vectors
    assert asyncio.run(client.to_async().embed(texts)).vectors == client.embed(texts).vectors


@pytest.mark.parametrize("most", [3, 50])
def test_batches_are_as_large_as_the_server_was_configured_to_take(zoo, most):
    settings = {"MAX_CLIENT_BATCH_SIZE": str(most)}
    zoo.add("sized", EndpointSpec("tei", environment=settings))
    zoo.add("sized-rerank", EndpointSpec("tei_rerank", environment=settings))
    zoo.clear()
    texts = [f"text {number}" for number in range(40)]
    assert len(Client("sized").embed(texts).vectors) == 40
    assert len(Client("sized-rerank").rerank("text 7", texts).results) == 40
    sizes = {"sized": [], "sized-rerank": []}
    for call in zoo.calls:
        sizes[call.endpoint].append(len(call.json.get("inputs") or call.json["texts"]))
    for name in sizes:
        assert max(sizes[name]) == min(most, 40), name
        assert len(sizes[name]) == -(-40 // most), name


def test_what_was_found_is_kept_and_shown(zoo):
    client = Client("openai-chat")
    dialect = client.profile()
    assert (dialect.container, dialect.chat, dialect.model_id) == ("vLLM 0.27.1", "openai_chat", "Qwen/Qwen3-8B")
    assert client.profile() is dialect
    assert client.to_async().profile() is dialect
    assert client.describe().status == "InService"


def test_explicit_arguments_win(zoo):
    assert Client("tgi", handler="tgi", format="chatml").chat("Hi").text
    assert zoo.calls[-1].json["inputs"].startswith("<|im_start|>")


def test_components_are_chosen_by_name():
    with pytest.raises(UsageError, match="base, other"):
        Client("many").chat("Hi")
    assert Client("many", inference_component_name="base").chat("Hi").text == "Hi"
    assert Client("many", inference_component_name="other").profile().chat == "tgi_chat"
    by_parameter = Client("many", endpoint_kwargs={"InferenceComponentName": "other"})
    assert (by_parameter.profile().chat, by_parameter.chat("Hi").text) == ("tgi_chat", "Hi")
    assert Client("one").chat("the only one").text == "the only one"


async def test_whoever_waits_wakes_up_what_is_scaled_to_zero(zoo):
    """Auto scaling starts from zero only when a call is refused, so discovery must not stand in its way."""
    client = Client("asleep", retries=Retries(wait_for_ready=0.01))
    with pytest.raises(NotReady, match="has no capacity"):
        client.chat("Hi")
    with pytest.raises(NotReady, match="has no capacity"):
        await client.to_async().chat("Hi")


def test_no_region_for_the_control_plane(monkeypatch):
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="no AWS region; pass region_name="):
        Client("tgi").chat("Hi")


def test_no_credentials_for_the_control_plane(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(AccessDenied, match="aws configure"):
        Client("tgi").chat("Hi")


def test_the_control_plane_is_asked_with_the_settings_of_the_client(zoo, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    config = Config(proxies={"http": "http://127.0.0.1:9"}, retries={"total_max_attempts": 1})
    with pytest.raises(EndpointError, match="proxy"):
        Client("tgi", config=config).profile()
    with pytest.raises(EndpointError, match="proxy"):
        Client("tgi", client=boto3.client("sagemaker-runtime", config=config)).profile()


def test_what_cannot_answer_says_so():
    with pytest.raises(NotReady, match="'young' is Creating"):
        Client("young").chat("Hi")
    with pytest.raises(NotReady, match="scaled to zero"):
        Client("asleep").chat("Hi")
    with pytest.raises(EndpointNotFound, match=r"'nowhere'.*us-east-1"):
        Client("nowhere").chat("Hi")
    with pytest.raises(UsageError, match=r"my-own:1.*handler="):
        Client("odd").chat("Hi")
    with pytest.raises(UnsupportedFeature, match=r"TEI.*It can: embed"):
        Client("tei").chat("Hi")


async def test_async_does_not_block_the_loop_while_it_asks():
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    assert (await AsyncClient("openai-chat").chat("Hi")).text == "Hi"
    ticking.cancel()
    assert ticks > 10


LLAMA_2 = "meta-llama/Llama-2-7b-chat-hf"


def test_a_redeployed_endpoint_is_recognised_again(zoo):
    zoo.add("moving", EndpointSpec("tgi_1", engine="echo", model_id=LLAMA_2))
    client = Client("moving")
    assert client.chat("Hi", max_tokens=4).text
    assert client.handler.name == "tgi"
    # The same name now answers in other words; a parameter TGI ignores is no error, but the answer does not fit.
    zoo.add("moving", EndpointSpec("openai_chat", engine="echo"))
    client._resolver.forget()
    assert client.chat("Hi").text == "Hi"
    assert client.handler.name == "openai_chat"


class OldTgi(Tgi1):
    """Takes requests of the OpenAI wire, too, and answers them in its own words."""

    def invoke(self, request, container):
        body = json.loads(request.body)
        if "messages" in body:
            own = {"inputs": body["messages"][-1]["content"], "stream": body.get("stream", False)}
            request = replace(request, body=json.dumps(own).encode())
        return super().invoke(request, container)


def moved(zoo, after=OldTgi, **spec):
    """Return a client that knows an endpoint by what it spoke before it was deployed anew."""
    zoo.add("moving", EndpointSpec("openai_chat", engine="echo"))
    client = Client("moving")
    assert client.handler.name == "openai_chat"
    engine = Scripted(["Hello back"], loop=True)
    zoo.add("moving", EndpointSpec(after(), engine=engine, model_id=LLAMA_2, **spec))
    zoo.clear()
    return client


def streamed(client, flavour, read, **options):
    """Read a stream to its end; return its reply where it keeps one."""
    if flavour == "sync":
        with client.stream("Hi", **options) as stream:
            for delta in stream:
                read.append(delta)
            return stream

    async def run():
        async with client.to_async() as twin, twin.stream("Hi", **options) as stream:
            async for delta in stream:
                read.append(delta)
            return stream

    return asyncio.run(run())


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_a_stream_whose_first_event_is_of_another_wire_is_asked_for_again(zoo, flavour):
    client = moved(zoo)
    read = []
    assert streamed(client, flavour, read).reply.text == "Hello back"
    assert fold(read).text == "Hello back"
    assert client.handler.name == "tgi"
    assert [list(call.json) for call in zoo.calls] == [
        ["messages", "stream", "stream_options"],
        ["inputs", "parameters", "stream"],
    ]


def test_a_whole_answer_of_another_wire_is_asked_for_again(zoo):
    client = moved(zoo)
    assert client.chat("Hi").text == "Hello back"
    assert client.handler.name == "tgi"


@pytest.mark.parametrize("flavour", ["sync", "async"])
@pytest.mark.parametrize(
    ("faults", "kind", "calls"),
    [
        # What was handed on cannot be taken back.
        (["truncate_stream:3"], StreamTruncated, 1),
        # The service itself says that it failed: nobody spoke another wire.
        (["model_stream_error:0"], ModelStreamError, 1),
        # The endpoint still is what it was.
        (["bad_crc:0"], FrameError, 1),
    ],
)
def test_a_stream_is_not_asked_for_again_for_other_reasons(zoo, flavour, faults, kind, calls):
    zoo.add("still", EndpointSpec("openai_chat", engine=Scripted(["Hello back"], loop=True), faults=faults))
    client = Client("still")
    assert client.handler.name == "openai_chat"
    zoo.clear()
    with pytest.raises(kind):
        streamed(client, flavour, [])
    assert len(zoo.calls) == calls


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_a_stream_that_fits_neither_way_is_asked_for_again_only_once(zoo, flavour):
    client = moved(zoo, faults=["bad_crc:0"])
    with pytest.raises(FrameError):
        streamed(client, flavour, [])
    assert len(zoo.calls) == 2


def test_a_handler_that_was_named_is_not_doubted(zoo):
    moved(zoo)
    with pytest.raises(WireError):
        streamed(Client("moving", handler="openai_chat"), "sync", [])
    assert len(zoo.calls) == 1


def test_a_caller_who_may_not_describe_is_told_the_way_around(monkeypatch):
    runtime = boto3.client("sagemaker-runtime")

    def refuse(operation, _):
        from botocore.exceptions import ClientError

        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", lambda self, name, args: refuse(name, args))
    with pytest.raises(AccessDenied, match=r"sagemaker:DescribeEndpoint is not allowed.*handler="):
        Client("openai-chat", client=runtime).profile()


def test_a_boto3_clients_credentials_serve_discovery_too(monkeypatch, zoo):
    runtime = boto3.client("sagemaker-runtime")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert Client("openai-chat", client=runtime).chat("Hi").text == "Hi"


@pytest.mark.parametrize("dialect", ["tgi", "openai_chat", "llamacpp", "sglang", "lmi", "lmi_async"])
def test_http_servers_are_recognised_too(zoo, dialect):
    client = Client(url=zoo.container_url(dialect.replace("_", "-")))
    assert client.chat("Hello there").text == "Hello there"
    assert asyncio.run(client.to_async().chat("Hello there")).text == "Hello there"
    assert client.complete("Hello there", max_tokens=20).text


def test_http_vector_servers_are_recognised_too(zoo):
    assert Client(url=zoo.container_url("tei")).embed(["a"]).dimensions == 64
    ranking = Client(url=zoo.container_url("tei-rerank")).rerank("bronze gears", ["blue sky", "bronze gears"])
    assert ranking.results[0].index == 1
    with pytest.raises(UnsupportedFeature, match="TEI"):
        Client(url=zoo.container_url("tei")).rerank("a", ["a"])


def test_an_address_below_v1_is_not_asked(zoo):
    client = Client(url=f"{zoo.container_url('openai-chat')}/v1")
    assert client.chat("Hi").text == "Hi"
    assert [call.path for call in zoo.calls] == ["/v1/chat/completions"]


def test_wrong_counts_and_numbers_are_errors():
    from sagewire.content_handlers.embeddings import TeiHandler

    class Losing(TeiHandler):
        def read(self, payload, count):
            found = super().read(payload, count)
            return dataclasses.replace(found, rows=found.rows[:-1])

    with pytest.raises(WireError, match="sent 2 texts and got 1"):
        Client("tei", handler=Losing()).embed(["a", "b"])


def test_asynchronous_inference_behind_the_same_methods(zoo):
    zoo.add("deferred", EndpointSpec("openai_chat", engine="echo", asynchronous="s3://answers/out"))
    client = Client("deferred", transport=AsyncInference())
    assert client.describe().asynchronous
    assert client.chat("Hello there").text == "Hello there"
    with client.stream("Hello there") as stream:
        assert "".join(stream.text) == "Hello there"
    assert asyncio.run(client.to_async().chat("Hello there")).text == "Hello there"
    with pytest.raises(UsageError, match=r"is not a transport: give AsyncInference\(\)"):
        Client("deferred", transport="async-inference")
    with pytest.raises(UsageError, match="name the endpoint"):
        Client(transport=AsyncInference())


def test_waiting_until_an_endpoint_is_in_service(zoo, monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: zoo.add("slow-start", "openai_chat:echo"))
    zoo.add("slow-start", EndpointSpec("openai_chat", engine="echo", status="Creating"))
    seen = []
    client = Client("slow-start")
    client.wait_for_ready(60, on_progress=lambda found: seen.append(found.status))
    assert seen == ["Creating", "InService"]
    assert client.chat("Hi").text == "Hi"
    zoo.add("slow-start", EndpointSpec("openai_chat", status="Failed"))
    with pytest.raises(NotReady, match="Failed"):
        asyncio.run(client.to_async().wait_for_ready(60))
