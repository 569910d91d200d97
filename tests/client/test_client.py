"""`Client` and `AsyncClient` over real HTTP to the emulator."""

import asyncio
import copy
import gc
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from sagewire import AsyncClient, Client, Http, Message, Options, Tool, UnsupportedFeature, UsageError, WireError
from sagewire.errors import AccessDenied, EndpointNotFound, ModelError, StreamTruncated
from sagewire.telemetry import Hooks
from sagewire.types import FinishDelta, Reply, TextDelta

QUESTION = "Context: The sky is blue. Thirty gears survive today.\nQuestion: How many gears survive?\nAnswer:"
WIRES = [
    ("tgi", "tgi", "llama2"),
    ("lmi", "lmi", "chatml"),
    ("lmi-async", "lmi", "chatml"),
    ("vllm", "openai_chat", None),
]


@pytest.mark.parametrize(("endpoint", "handler", "format"), WIRES)
class TestEveryWire:
    def test_a_stream_folds_into_the_whole_reply(self, emulator, endpoint, handler, format):
        with Client(endpoint, handler=handler, format=format) as client:
            whole = client.chat(QUESTION, max_tokens=30)
            with client.stream(QUESTION, max_tokens=30) as stream:
                text = "".join(stream.text)
        assert whole.text
        assert text == stream.reply.text == whole.text
        # LMI's async handler fills in a finish reason in streams only.
        assert whole.finish_reason in (stream.reply.finish_reason, None if endpoint == "lmi-async" else ...)
        assert stream.reply.info.request_id != whole.info.request_id
        assert whole.timings.total > 0 < stream.reply.timings.first_byte
        assert Reply().timings.total is None

    async def test_async_gives_what_sync_gives(self, emulator, endpoint, handler, format):
        with Client(endpoint, handler=handler, format=format) as client:
            expected = client.chat(QUESTION, max_tokens=30).choices
            async with client.to_async() as twin:
                assert (await twin.chat(QUESTION, max_tokens=30)).choices == expected
                async with twin.stream(QUESTION, max_tokens=30) as stream:
                    text = "".join([piece async for piece in stream.text])
                assert text == expected[0].text
                assert (await twin.complete("one two three", max_tokens=2)).text

    def test_stop_reaches_the_wire_and_never_the_caller(self, emulator, endpoint, handler, format):
        client = Client(endpoint, handler=handler, format=format, options={"max_tokens": 60})
        asked = "alpha beta gamma" if endpoint != "tgi" else QUESTION
        stop = "gamma" if endpoint != "tgi" else "survive"
        for reply in (client.chat(asked, stop=stop), _drain(client.stream(asked, stop=[stop]))):
            assert stop not in reply.text
            assert reply.finish_reason == "stop"
        for call in emulator.calls[-2:]:
            sent = call.json.get("parameters", call.json)
            told = stop in (sent.get("stop") or sent.get("stop_sequences"))
            # A server would stop inside thinking, which this format reads.
            assert told is (format != "chatml")

    def test_a_broken_stream_carries_what_was_read(self, emulator, endpoint, handler, format):
        # A fault is asked for by a suffix of the endpoint's name.
        client = Client(f"{endpoint}--truncate-stream-3", handler=handler, format=format)
        seen = []
        with pytest.raises(StreamTruncated) as caught, client.stream("one two three four five six") as stream:
            seen.extend(stream.text)
        assert caught.value.partial.text == "".join(seen)


def _drain(stream):
    with stream:
        for _ in stream:
            pass
    return stream.reply


def test_options_of_the_client_are_overridden_by_those_of_a_call(emulator):
    client = Client("vllm", handler="openai_chat", options=Options(max_tokens=7, seed=1))
    client.chat("Hi", seed=2, extra={"priority": 3})
    sent = emulator.calls[-1].json
    assert (sent["max_tokens"], sent["seed"], sent["priority"]) == (7, 2, 3)


def test_complete_sends_the_text_as_it_is(emulator):
    Client("tgi", handler="tgi", format="llama2").complete("[raw]", max_tokens=3)
    assert emulator.calls[-1].json["inputs"] == "[raw]"
    Client("vllm", handler="openai_chat").complete("[raw]", max_tokens=3)
    assert emulator.calls[-1].json["messages"] == [{"role": "user", "content": "[raw]"}]


def test_endpoint_kwargs_reach_the_container(emulator):
    client = Client("vllm", handler="openai_chat", endpoint_kwargs={"CustomAttributes": "a=1"})
    client.chat("Hi")
    assert emulator.calls[-1].headers["x-amzn-sagemaker-custom-attributes"] == "a=1"
    client.chat("Hi", endpoint_kwargs={"CustomAttributes": "a=2"})
    assert emulator.calls[-1].headers["x-amzn-sagemaker-custom-attributes"] == "a=2"
    with pytest.raises(UsageError, match="TargetVariant"):
        client.chat("Hi", endpoint_kwargs={"TargetVarient": "x"})
    with pytest.raises(UnsupportedFeature, match="TargetModel"):
        list(client.stream("Hi", endpoint_kwargs={"TargetModel": "m.tar.gz"}))


def test_a_boto3_client_of_the_callers_own_is_used_untouched(emulator):
    runtime, seen = boto3.client("sagemaker-runtime"), []
    runtime.meta.events.register("before-call.sagemaker-runtime.*", lambda model, **_: seen.append(model.name))
    client = Client("vllm", handler="openai_chat", client=runtime)
    assert client.chat("Hi there").text == "Hi there"
    assert _drain(client.stream("Hi there")).text == "Hi there"
    assert asyncio.run(client.to_async().chat("Hi there")).text == "Hi there"
    assert seen == ["InvokeEndpoint", "InvokeEndpointWithResponseStream", "InvokeEndpoint"]


def test_stream_internally_answers_by_folding_a_stream(emulator):
    client = Client("vllm", handler="openai_chat", stream_internally=True)
    assert client.chat("Hi there").text == "Hi there"
    assert emulator.calls[-1].json["stream"] is True


def test_one_client_serves_many_threads(emulator):
    with Client("vllm", handler="openai_chat") as client, ThreadPoolExecutor(16) as pool:
        texts = [f"number {number}" for number in range(64)]
        assert [reply.text for reply in pool.map(client.chat, texts)] == texts


def test_one_client_serves_several_event_loops(emulator):
    client = AsyncClient("vllm", handler="openai_chat")

    async def ask_twice():
        return [reply.text for reply in await asyncio.gather(client.chat("one"), client.chat("two"))]

    assert asyncio.run(ask_twice()) == asyncio.run(ask_twice()) == ["one", "two"]


def _ask_in_child(client, results):
    results.put(client.chat("in the child").text)


def test_one_client_serves_after_a_fork(emulator):
    client = Client("vllm", handler="openai_chat")
    assert client.chat("before").text == "before"
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_ask_in_child, args=(client, results))
    child.start()
    assert results.get() == "in the child"
    child.join(10)
    assert client.chat("after").text == "after"


def test_leaving_a_stream_early_is_clean(emulator):
    client = Client("vllm", handler="openai_chat")
    with client.stream("one two three four") as stream:
        first = next(delta for delta in stream if isinstance(delta, TextDelta))
    assert stream.reply.text == first.text
    assert client.chat("still there").text == "still there"


class TestErrors:
    def test_an_unknown_endpoint_is_named_with_its_region(self, emulator):
        with pytest.raises(EndpointNotFound, match=r"'nope'.*us-east-1") as caught:
            Client("nope", handler="openai_chat").chat("Hi")
        assert caught.value.request_id

    def test_no_region_says_what_to_do(self, emulator, monkeypatch):
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        monkeypatch.delenv("AWS_REGION", raising=False)
        with pytest.raises(UsageError, match="region_name="):
            Client("vllm", handler="openai_chat").chat("Hi")

    def test_no_credentials(self, emulator, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(AccessDenied, match="credentials"):
            Client("vllm", handler="openai_chat").chat("Hi")

    def test_wrong_keys_are_refused_and_not_shown(self, emulator):
        keys = {"aws_access_key_id": "AKIAWRONG", "aws_secret_access_key": "hidden-secret"}
        client = Client("vllm", handler="openai_chat", region_name="us-east-1", **keys)
        with pytest.raises(AccessDenied) as caught:
            client.chat("Hi")
        assert "hidden-secret" not in f"{caught.value} {client!r} {client._settings!r}"
        with pytest.raises(UsageError, match="never pickled"):
            pickle.dumps(client)
        assert copy.deepcopy(client)._settings.aws_secret_access_key.reveal() == "hidden-secret"

    def test_the_containers_own_words(self, emulator):
        with pytest.raises(ModelError, match="max_new_tokens") as caught:
            Client("tgi", handler="tgi", format="llama2").chat("Hi", extra={"max_new_tokens": 0})
        assert caught.value.original_status == 422

    def test_a_wrong_handler_is_a_wire_error_with_an_excerpt(self, emulator):
        with pytest.raises(WireError, match="generated_text"):
            Client("tgi", handler=_TgiThatReadsOpenAi(), format="llama2").chat("Hi")

    def test_a_conversation_needs_a_format_where_the_wire_is_text(self, emulator):
        with pytest.raises(UsageError, match="format='llama3_1'"):
            Client("tgi", handler="tgi").chat("Hi")

    def test_what_the_wire_cannot_express(self, emulator):
        with pytest.raises(UnsupportedFeature, match="tool"):
            Client("tgi", handler="tgi", format="chatml").chat("Hi", tools=[Tool("f")], tool_choice="required")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "name the endpoint"),
            ({"endpoint": "a", "url": "http://b"}, "either"),
            ({"endpoint": "a", "aws_access_key_id": "k"}, "go together"),
            (
                {"endpoint": "a", "profile_name": "p", "aws_access_key_id": "k", "aws_secret_access_key": "s"},
                "aws_access_key_id and profile_name contradict",
            ),
            (
                {"endpoint": "a", "session": "a-profile", "aws_access_key_id": "k", "aws_secret_access_key": "s"},
                "aws_access_key_id and session contradict",
            ),
            ({"endpoint": "a", "timeout": -1}, "positive"),
            ({"endpoint": "a", "token": "hf_x"}, "signed"),
            ({"endpoint": "a", "options": {"temprature": 1}}, "'temperature'"),
        ],
    )
    def test_contradictions_are_told_at_once(self, arguments, message):
        with pytest.raises(UsageError, match=message):
            Client(**arguments)

    def test_an_empty_conversation(self, emulator):
        with pytest.raises(UsageError, match="empty"):
            Client("vllm", handler="openai_chat").chat([])


class _TgiThatReadsOpenAi:
    """Sends what TGI takes, and expects what vLLM sends."""

    def __new__(cls):
        from sagewire.content_handlers import OpenAiChatHandler, TgiHandler

        class Mixed(TgiHandler):
            def read_reply(self, payload):
                return OpenAiChatHandler().read_reply(payload)

        return Mixed()


def test_a_client_travels_by_pickle(emulator):
    client = pickle.loads(pickle.dumps(Client("vllm", handler="openai_chat", options={"max_tokens": 9})))
    assert client.chat([Message("user", "Hi")]).text == "Hi"
    assert emulator.calls[-1].json["max_tokens"] == 9


def test_a_reply_ends_with_one_finish(emulator):
    deltas = list(Client("vllm", handler="openai_chat").stream("Hi"))
    assert [delta.reason for delta in deltas if isinstance(delta, FinishDelta)] == ["stop"]


def test_headers_go_to_a_server_named_by_its_url(emulator):
    transport = Http(emulator.container_url("vllm"), headers={"X-Tenant": "blue"})
    client = Client(transport=transport, handler="openai_chat")
    assert client.chat("Hi").text == "Hi"
    assert emulator.calls[-1].headers["x-tenant"] == "blue"
    assert "blue" not in repr(client._settings)
    with pytest.raises(UsageError, match="never pickled"):
        pickle.dumps(client)


@pytest.mark.parametrize("leave", ["deltas", "text"])
def test_a_stream_that_is_dropped_half_read_ends_at_once(emulator, leave):
    """Without the garbage collector's help, which might come by minutes later."""
    ended = []
    client = Client("vllm", handler="openai_chat", hooks=Hooks(on_response=ended.append))
    gc.disable()
    try:
        for _ in client.stream("one two three").text if leave == "text" else client.stream("one two three"):
            break
        assert [call.cancelled for call in ended] == [True]
    finally:
        gc.enable()


async def test_an_async_stream_that_is_dropped_half_read_ends_by_itself(emulator):
    ended = asyncio.Event()
    client = AsyncClient("vllm", handler="openai_chat", hooks=Hooks(on_response=lambda call: ended.set()))
    gc.disable()
    try:
        async for _ in client.stream("one two three"):
            break
        # The event loop closes it in a task of its own.
        await asyncio.wait_for(ended.wait(), 5)
    finally:
        gc.enable()
        await client.close()
