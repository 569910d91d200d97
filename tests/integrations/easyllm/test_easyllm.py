"""EasyLLM's clients: parameters, defaults, results, streams, settings."""

import asyncio
import inspect
import json
import logging
import pickle
import time

import pytest

from sagewire.emulator import EndpointSpec
from sagewire.errors import AccessDenied, EndpointNotFound, ModelError, UnsupportedFeature, UsageError, WireError
from sagewire.integrations.easyllm import huggingface, sagemaker
from sagewire.integrations.easyllm._service import CLIENTS

QUESTION = [{"role": "user", "content": "Hello there"}]
CLIENTS_OF = {"sagemaker": sagemaker, "huggingface": huggingface}


@pytest.fixture(params=["sagemaker", "huggingface"])
def client(request, emulator):
    """Both modules, talking to the same TGI container."""
    module = CLIENTS_OF[request.param]
    if request.param == "huggingface":
        huggingface.api_base = emulator.container_url("tgi-echo")
    return module


def model_of(client):
    return "tgi-echo" if client is sagemaker else None


@pytest.mark.parametrize("module", CLIENTS_OF.values())
def test_parameters_and_defaults_are_easyllms(module):
    def parameters(function):
        return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}

    empty = inspect.Parameter.empty
    common = {"temperature": 0.9, "top_p": 0.6, "top_k": 10, "n": 1, "max_tokens": 1024, "stop": None, "stream": False}
    chat = {"messages": empty, "model": None, **common, "frequency_penalty": 1.0, "debug": False}
    text = {"prompt": empty, "model": None, "suffix": None, **common, "frequency_penalty": 1.0}
    text |= {"logprobs": False, "echo": False, "debug": False}
    assert parameters(module.ChatCompletion.create) == chat == parameters(module.ChatCompletion.acreate)
    assert parameters(module.Completion.create) == text == parameters(module.Completion.acreate)
    assert list(parameters(module.Embedding.create))[:3] == ["input", "model", "debug"]
    assert list(parameters(module.ChatCompletion.create)) == list(chat)


def test_a_chat_completion_reads_both_ways(client):
    answer = client.ChatCompletion.create(model=model_of(client), messages=QUESTION)
    assert answer["choices"][0]["message"]["content"] == "Hello there"
    assert answer.choices[0].message.content == "Hello there"
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer["model"] == model_of(client)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert json.loads(json.dumps(answer)) == answer == pickle.loads(pickle.dumps(answer))
    assert answer.info.timings.total > 0
    with pytest.raises(AttributeError, match="no field 'contnet'"):
        answer.choices[0].message.contnet  # noqa: B018


def test_what_easyllm_sends_is_sent(emulator):
    sagemaker.prompt_builder = "llama2"
    sagemaker.stop_sequences = ["STOP"]
    sagemaker.ChatCompletion.create(model="tgi-echo", messages=QUESTION, stop=["END"], frequency_penalty=1.2)
    assert emulator.calls[-1].json["parameters"] == {
        "max_new_tokens": 1024,
        "temperature": 0.9,
        "top_p": 0.6,
        "top_k": 10,
        "seed": 42,
        "repetition_penalty": 1.2,
        "stop": ["STOP", "END", "</s>"],
        "do_sample": True,
        "return_full_text": False,
        "details": True,
    }


def test_zero_is_greedy_and_off(emulator):
    sagemaker.prompt_builder = "llama2"
    sagemaker.ChatCompletion.create(model="tgi-echo", messages=QUESTION, temperature=0, top_p=0, top_k=None)
    sent = emulator.calls[-1].json["parameters"]
    assert sent["do_sample"] is False
    assert not {"temperature", "top_p", "top_k"} & set(sent)


def test_without_a_builder_the_endpoint_writes_the_prompt(emulator):
    sagemaker.ChatCompletion.create(model="vllm", messages=QUESTION)
    assert emulator.calls[-1].json["messages"] == QUESTION
    # vLLM has EasyLLM's settings, TGI's chat route has no top_k: the default is left out there, ...
    assert emulator.calls[-1].json["top_k"] == 10
    sagemaker.ChatCompletion.create(model="tgi-echo", messages=QUESTION)
    assert emulator.calls[-1].json["messages"] == QUESTION
    # ... and what was asked for goes where there is a place for it.
    sagemaker.ChatCompletion.create(model="tgi-echo", messages=QUESTION, top_k=50)
    assert emulator.calls[-1].json["parameters"]["top_k"] == 50
    assert "[INST]" in emulator.calls[-1].json["inputs"]


def test_without_builder_and_model_the_base_format_is_warned_about(emulator, caplog):
    emulator.add("unknown-model", EndpointSpec("hf_pipeline", model_id="someone/base"))
    for _ in range(2):
        sagemaker.ChatCompletion.create(model="unknown-model", messages=QUESTION)
    assert emulator.calls[-1].json["inputs"] == "USER: Hello there"
    assert len([record for record in caplog.records if "prompt_builder is not set" in record.message]) == 1


def test_a_builder_where_the_container_takes_messages_only_is_refused(emulator):
    emulator.add("sglang", "sglang:echo")
    sagemaker.prompt_builder = "llama2"
    with pytest.raises(UsageError, match=r"prompt_builder cannot take effect: .*\(SGLang\)"):
        sagemaker.ChatCompletion.create(model="sglang", messages=QUESTION)
    with pytest.raises(UsageError, match="prompt_builder cannot take effect"):
        sagemaker.Completion.create(model="sglang", prompt="Hello")
    sagemaker.prompt_builder = None
    sagemaker.Completion.create(model="sglang", prompt="Hello")
    assert emulator.calls[-1].json["messages"] == [{"role": "user", "content": "Hello"}]


def test_several_answers_are_generated_at_the_same_time(emulator):
    emulator.add("slow", EndpointSpec("tgi", latency=0.5))
    sagemaker.prompt_builder = "llama2"
    started = time.monotonic()
    answer = sagemaker.ChatCompletion.create(model="slow", messages=QUESTION, n=6)
    # One after another they would take three seconds.
    assert time.monotonic() - started < 2.7
    assert [choice.index for choice in answer.choices] == list(range(6))
    # With one seed for all, all would be the same.
    assert sorted(call.json["parameters"]["seed"] for call in emulator.calls[-6:]) == list(range(42, 48))
    assert answer.usage.completion_tokens == 6 * 6
    # TGI does not count the prompt on this route, and nobody invents a number.
    assert answer.usage.prompt_tokens is None


def test_a_wire_with_n_gets_one_call(emulator):
    answer = sagemaker.ChatCompletion.create(model="vllm", messages=QUESTION, n=3)
    assert len(answer.choices) == 3
    assert [call.json["n"] for call in emulator.calls] == [3]


def test_n_must_be_a_number(emulator):
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(UsageError, match="n="):
            sagemaker.ChatCompletion.create(model="tgi-echo", messages=QUESTION, n=wrong)


def test_streams(client):
    chunks = list(client.ChatCompletion.create(model=model_of(client), messages=QUESTION, stream=True))
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c["choices"][0]["delta"]["content"] for c in chunks if "content" in c["choices"][0]["delta"])
    assert text == "Hello there"
    assert len([chunk for chunk in chunks if chunk.choices[0].delta.content]) == 2
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1


def test_leaving_a_stream_closes_it(emulator):
    with sagemaker.ChatCompletion.create(model="tgi-echo", messages=QUESTION, stream=True) as stream:
        next(stream)
    assert list(stream) == []
    assert stream.reply.text == "Hello"


def test_a_broken_stream_ends_with_its_error_and_nothing_else(emulator):
    emulator.add("broken", EndpointSpec("tgi", faults=["truncate_stream"]))
    stream = sagemaker.ChatCompletion.create(model="broken", messages=QUESTION, stream=True)
    with pytest.raises(WireError):
        list(stream)
    assert list(stream) == []


def test_several_answers_cannot_be_streamed_by_tgi(emulator):
    with pytest.raises(ValueError, match="cannot stream more than one"):
        sagemaker.ChatCompletion.create(model="tgi-echo", messages=QUESTION, n=2, stream=True)
    with pytest.raises(ValueError, match="cannot stream more than one"):
        sagemaker.Completion.create(model="tgi-echo", prompt=["a", "b"], stream=True)
    chunks = list(sagemaker.ChatCompletion.create(model="vllm", messages=QUESTION, n=2, stream=True))
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}


def test_completions(client):
    answer = client.Completion.create(model=model_of(client), prompt="Once upon", suffix=" a time")
    assert answer["choices"][0]["text"] == answer.choices[0].text == "Once upon a time"
    assert answer["object"] == "text_completion"
    assert client.Completion.create(model=model_of(client), prompt="Ho", echo=True).choices[0].text == "HoHo"
    scored = client.Completion.create(model=model_of(client), prompt="Ho", logprobs=True).choices[0].logprobs
    assert scored.tokens[0] == "Ho"
    assert scored.token_logprobs[0] < 0


def test_completions_with_a_builder(emulator):
    sagemaker.prompt_builder = "llama2"
    answer = sagemaker.Completion.create(model="tgi-echo", prompt="Hi", echo=True)
    assert answer.choices[0].text.startswith("[INST] Hi [/INST]")
    assert emulator.calls[-1].json["inputs"] == "[INST] Hi [/INST]"
    assert emulator.calls[-1].json["parameters"]["stop"] == ["</s>"]
    sagemaker.Completion.create(model="tgi-echo", prompt=QUESTION)
    assert emulator.calls[-1].json["inputs"] == "[INST] Hello there [/INST]"


def test_several_prompts_and_answers(emulator):
    answer = sagemaker.Completion.create(model="tgi-echo", prompt=["a", "b"], n=2, echo=True)
    assert [choice.text for choice in answer.choices] == ["aa", "aa", "bb", "bb"]
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    for wrong in ([], [1, 2]):
        with pytest.raises(UsageError):
            sagemaker.Completion.create(model="tgi-echo", prompt=wrong)


def test_a_completion_streams(client):
    chunks = list(client.Completion.create(model=model_of(client), prompt="Ho ho", stream=True, echo=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Ho hoHo ho"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_embeddings(emulator):
    emulator.add("tei", "tei")
    one = sagemaker.Embedding.create(model="tei", input="A nice sentence")
    assert len(one["data"]) == 1
    assert len(one["data"][0]["embedding"]) == 64
    two = sagemaker.Embedding.create(model="tei", text=["A nice sentence", "Another"])
    assert two.data[0].embedding == one.data[0].embedding
    assert [item.index for item in two.data] == [0, 1]
    assert two.usage is None
    huggingface.api_base = emulator.container_url("tei")
    assert huggingface.Embedding.create(input="A nice sentence").data == one.data
    for wrong in ({}, {"input": "a", "text": "b"}):
        with pytest.raises(TypeError, match="input"):
            sagemaker.Embedding.create(model="tei", **wrong)
    with pytest.raises(UsageError, match="not be empty"):
        sagemaker.Embedding.create(model="tei", input=[])


async def test_the_async_twins_are_async(client, emulator):
    model = model_of(client)
    answers = await asyncio.gather(*(client.ChatCompletion.acreate(QUESTION, model, n=2) for _ in range(4)))
    assert all(len(answer.choices) == 2 for answer in answers)
    pieces = []
    async for chunk in await client.ChatCompletion.acreate(QUESTION, model, stream=True):
        pieces.append(chunk.choices[0].delta.content or "")
    assert "".join(pieces) == "Hello there"
    assert (await client.Completion.acreate("Ho", model, echo=True)).choices[0].text == "HoHo"
    async with await client.Completion.acreate("Ho ho", model, stream=True) as stream:
        assert (await anext(stream)).choices[0].text == "Ho"
    assert [chunk async for chunk in stream] == []
    emulator.add("tei", "tei")
    huggingface.api_base = emulator.container_url("tei")
    vectors = await client.Embedding.acreate("a", "tei" if client is sagemaker else None)
    assert len(vectors.data) == 1


async def test_an_async_failure_is_one_error(emulator):
    emulator.add("failing", EndpointSpec("tgi", faults=["container_error"]))
    sagemaker.prompt_builder = "llama2"
    with pytest.raises(ModelError):
        await sagemaker.ChatCompletion.acreate(QUESTION, "failing", n=4)


def test_where_describing_is_not_allowed_it_is_tgi_as_in_easyllm(restricted, caplog):
    sagemaker.prompt_builder = "llama2"
    for _ in range(2):
        answer = sagemaker.ChatCompletion.create(model="tgi", messages=QUESTION)
    assert restricted.calls[-1].json["inputs"] == "[INST] Hello there [/INST]"
    assert "Hello there" in answer.choices[0].message.content
    assert len([r for r in caplog.records if "sagemaker:DescribeEndpoint is not allowed" in r.message]) == 1
    sagemaker.prompt_builder = None
    sagemaker.ChatCompletion.create(model="tgi", messages=QUESTION)
    assert restricted.calls[-1].json["inputs"] == "USER: Hello there"
    sagemaker.Completion.create(model="tgi", prompt="Raw")
    assert restricted.calls[-1].json["inputs"] == "Raw"
    vectors = sagemaker.Embedding.create(model="tei", input=["a", "b"])
    assert restricted.calls[-1].json == {"inputs": ["a", "b"]}
    assert len(vectors.data) == 2


async def test_where_describing_is_not_allowed_async(restricted):
    answer = await sagemaker.ChatCompletion.acreate(QUESTION, "tgi")
    assert "Hello there" in answer.choices[0].message.content
    assert len((await sagemaker.Embedding.acreate("a", "tei")).data) == 1


def test_keys_and_addresses_of_the_module(emulator, monkeypatch):
    keys = emulator.credentials
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    sagemaker.api_aws_access_key, sagemaker.api_aws_secret_key = keys.access_key, keys.secret_key
    assert sagemaker.ChatCompletion.create(model="tgi-echo", messages=QUESTION).choices
    sagemaker.api_base = f"{emulator.url}/endpoints"
    assert sagemaker.ChatCompletion.create(model="tgi-echo", messages=QUESTION).choices
    sagemaker.api_base = f"{emulator.url}/endpoints/tgi-echo/invocations"
    assert sagemaker.ChatCompletion.create(messages=QUESTION).choices
    assert keys.secret_key not in f"{CLIENTS} {list(CLIENTS._entries.values())}"
    sagemaker.api_aws_secret_key = "wrong"
    with pytest.raises(AccessDenied):
        sagemaker.ChatCompletion.create(messages=QUESTION)


def test_wrong_addresses(emulator):
    with pytest.raises(UsageError, match="name the endpoint"):
        sagemaker.ChatCompletion.create(messages=QUESTION)
    sagemaker.api_base = "runtime.sagemaker"
    with pytest.raises(UsageError, match="looks like"):
        sagemaker.ChatCompletion.create(messages=QUESTION)
    with pytest.raises(UsageError, match="name the model"):
        huggingface.ChatCompletion.create(messages=QUESTION)
    huggingface.api_base = "https://api-inference.huggingface.co/models"
    with pytest.raises(UsageError, match=r"router\.huggingface\.co"):
        huggingface.ChatCompletion.create(model="a/b", messages=QUESTION)
    sagemaker.api_base = None
    with pytest.raises(EndpointNotFound):
        sagemaker.ChatCompletion.create(model="no-such-endpoint", messages=QUESTION)
    with pytest.raises(UnsupportedFeature, match="embed"):
        sagemaker.Embedding.create(model="tgi-echo", input="a")


def test_where_hugging_faces_own_servers_are_reached(monkeypatch, clean_environment):
    service = huggingface._service
    monkeypatch.setenv("HUGGINGFACE_TOKEN", "hf_first")
    monkeypatch.setenv("HF_TOKEN", "hf_second")
    router = service.arguments("org/name")
    assert router == {"url": "https://router.huggingface.co/v1", "token": "hf_first", "handler": "openai_chat"}
    assert service.served_name("org/name") == "org/name"
    hub = "https://router.huggingface.co/hf-inference/models/org/name"
    assert service.embedding_arguments("org/name")["url"] == f"{hub}/pipeline/feature-extraction"
    monkeypatch.setenv("HUGGINGFACE_API_BASE", "https://router.huggingface.co/hf-inference/models/")
    assert service.arguments("org/name")["url"] == hub
    # The token of the environment is Hugging Face's, and nobody else's.
    monkeypatch.setenv("HUGGINGFACE_API_BASE", "http://localhost:8080")
    assert service.arguments(None) == {"url": "http://localhost:8080", "token": None, "probe": True}
    huggingface.api_key = "mine"
    assert service.arguments(None)["token"] == "mine"
    assert service.arguments("http://localhost:1")["url"] == "http://localhost:1"


def test_a_token_reaches_the_server(emulator):
    emulator.add("locked", EndpointSpec("openai_chat", environment={"API_KEY": "secret"}))
    huggingface.api_base = emulator.container_url("locked")
    with pytest.raises(AccessDenied):
        huggingface.ChatCompletion.create(messages=QUESTION)
    huggingface.api_key = "secret"
    assert huggingface.ChatCompletion.create(messages=QUESTION).choices[0].message.content == "Hello there"


def test_debug_shows_what_is_sent_without_secrets(emulator, caplog):
    sagemaker.ChatCompletion.create(model="tgi-echo", messages=QUESTION, debug=True)
    assert logging.getLogger("sagewire.easyllm").level == logging.DEBUG
    assert "Hello there" in caplog.text
    assert emulator.credentials.secret_key not in caplog.text


def test_connections_are_used_again(emulator):
    for _ in range(3):
        sagemaker.ChatCompletion.create(model="tgi-echo", messages=QUESTION)
    before = len(CLIENTS._entries)
    sagemaker.ChatCompletion.create(model="tgi-echo", messages=QUESTION)
    assert len(CLIENTS._entries) == before
