"""The same classes on a plain HTTP server."""

from __future__ import annotations

import pickle

import pytest
from langchain_core.load import dumps

from sagewire import UnsupportedFeature, UsageError
from sagewire.integrations.langchain import ChatHuggingFaceEndpoint, HuggingFaceEndpoint, HuggingFaceEndpointEmbeddings

TOKEN = "hf_not-a-real-token-0123456789"


async def test_chat(emulator):
    model = ChatHuggingFaceEndpoint(base_url=emulator.container_url("echo"), huggingfacehub_api_token=TOKEN)
    assert model.invoke("Hi").content == "Hi"
    assert emulator.calls[-1].path == "/v1/chat/completions"
    assert emulator.calls[-1].headers["authorization"] == f"Bearer {TOKEN}"
    assert (await model.ainvoke("Hi")).content == "Hi"
    assert "".join([chunk.text async for chunk in model.astream("one two")]) == "one two"
    assert model._get_ls_params()["ls_provider"] == "sagewire"
    assert TOKEN not in repr(model) + dumps(model) + str(model._identifying_params)
    with pytest.raises(UsageError, match="never pickled"):
        pickle.dumps(model)


async def test_completion(emulator):
    model = HuggingFaceEndpoint(endpoint_url=emulator.container_url("tgi"), content_handler="tgi", max_new_tokens=50)
    assert model.invoke("Once") == "Once"
    assert emulator.calls[-1].json["parameters"]["max_new_tokens"] == 50
    assert "authorization" not in emulator.calls[-1].headers
    assert "".join([piece async for piece in model.astream("one two")]) == "one two"
    assert pickle.loads(pickle.dumps(model)).invoke("Once") == "Once"


def test_a_text_model_becomes_a_chat_model_as_langchain_huggingface_writes_it(emulator):
    llm = HuggingFaceEndpoint(
        endpoint_url=emulator.container_url("echo"),
        content_handler="tgi",
        max_new_tokens=50,
        temperature=0.5,
        token=TOKEN,
    )
    chat = ChatHuggingFaceEndpoint(llm=llm, temperature=0.25)
    assert chat.invoke("Hi").content == "Hi"
    sent = emulator.calls[-1]
    assert (sent.json["max_tokens"], sent.json["temperature"]) == (50, 0.25)
    assert sent.headers["authorization"] == f"Bearer {TOKEN}"
    with pytest.raises(ValueError, match="str is not sagewire's HuggingFaceEndpoint"):
        ChatHuggingFaceEndpoint(llm="mine")


def test_arguments_of_langchain_huggingface_reach_the_server(emulator):
    llm = HuggingFaceEndpoint(
        model=emulator.container_url("tgi"),
        content_handler="tgi",
        task="text-generation",
        do_sample=True,
        return_full_text=True,
        typical_p=0.95,
        truncate=1000,
        watermark=True,
        bill_to="my-team",
        additional_headers={"x-trace": "7"},
        server_kwargs={"headers": {"x-other": "8"}},
    )
    llm.invoke("Once")
    settings = {"do_sample": True, "return_full_text": True, "typical_p": 0.95, "truncate": 1000, "watermark": True}
    assert settings.items() <= emulator.calls[-1].json["parameters"].items()
    assert {"x-trace": "7", "x-other": "8", "x-hf-bill-to": "my-team"}.items() <= emulator.calls[-1].headers.items()
    assert "x-trace" not in repr(llm) + dumps(llm)
    with pytest.raises(UsageError, match="never pickled"):
        pickle.dumps(llm)


def test_arguments_that_ask_for_nothing_are_not_sent(emulator):
    llm = HuggingFaceEndpoint(
        endpoint_url=emulator.container_url("echo"), return_full_text=False, watermark=False, server_kwargs={}
    )
    llm.invoke("Once", max_tokens=5)
    assert not {"return_full_text", "watermark"} & set(emulator.calls[-1].json)


def test_a_models_id_stands_for_hugging_faces_own_servers():
    chat = ChatHuggingFaceEndpoint(repo_id="Qwen/Qwen3-8B", provider="together")
    assert (chat.endpoint_url, chat.model) == ("https://router.huggingface.co/v1", "Qwen/Qwen3-8B:together")
    assert HuggingFaceEndpoint(model="Qwen/Qwen3-8B").model == "Qwen/Qwen3-8B"
    vectors = HuggingFaceEndpointEmbeddings(model="BAAI/bge-m3", task="feature-extraction")
    assert vectors.endpoint_url.endswith("/hf-inference/models/BAAI/bge-m3/pipeline/feature-extraction")


def test_embeddings_take_an_address_as_model(emulator):
    emulator.add("tei", "tei")
    assert len(HuggingFaceEndpointEmbeddings(model=emulator.container_url("tei")).embed_query("a")) == 64


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"task": "image-to-text"}, "known: text-generation"),
        ({"server_kwargs": {"cookies": {}}}, "cookies"),
        ({"truncate": 0}, "greater than or equal to 1"),
        ({"repo_id": "Qwen/Qwen3-8B"}, "repo_id='Qwen/Qwen3-8B' and an address contradict"),
        ({"provider": "novita"}, "provider='novita' has no effect"),
    ],
)
def test_arguments_that_cannot_take_effect_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        HuggingFaceEndpoint(endpoint_url="http://127.0.0.1:9", content_handler="tgi", **arguments)


def test_a_served_model_is_named_in_each_of_the_published_ways(emulator):
    emulator.add("vllm", "openai_chat:echo")
    for name in ("model", "model_name", "model_id"):
        llm = HuggingFaceEndpoint(endpoint_url=emulator.container_url("vllm"))
        chat = ChatHuggingFaceEndpoint(llm=llm, **{name: "openai_chat"})
        assert chat.model == "openai_chat"
    # What says where a model is hosted goes with an object, wherever that goes.
    hosted = HuggingFaceEndpoint(repo_id="Qwen/Qwen3-8B", provider="novita")
    assert ChatHuggingFaceEndpoint(llm=hosted).model == "Qwen/Qwen3-8B:novita"


@pytest.mark.parametrize("endpoint", ["openai_chat", "tgi"])
def test_settings_that_a_server_does_not_read_are_refused_or_asked_for_in_its_words(endpoint, emulator):
    emulator.add("server", f"{endpoint}:echo")
    url = emulator.container_url("server")
    handler = "openai_completions" if endpoint == "openai_chat" else "tgi_chat"
    model = HuggingFaceEndpoint if endpoint == "openai_chat" else ChatHuggingFaceEndpoint
    for arguments in (
        {"return_full_text": True}, {"truncate": 9}, {"watermark": True}, {"do_sample": False, "temperature": 0.5},
        {"do_sample": True, "temperature": 0}, {"model_kwargs": {"top_n_tokens": 2}},
    ):  # fmt: skip
        with pytest.raises(UnsupportedFeature, match=f"handler '{handler}' cannot express the option"):
            model(endpoint_url=url, content_handler=handler, **arguments).invoke("Hi")
    for arguments, sent in (
        ({"do_sample": False}, {"temperature": 0}),
        ({"do_sample": True, "temperature": 0.5}, {"temperature": 0.5}),
        ({"model_kwargs": {"return_full_text": False, "details": True, "watermark": None}}, {}),
    ):
        model(endpoint_url=url, content_handler=handler, **arguments).invoke("Hi")
        assert emulator.calls[-1].json.keys() - {"messages", "prompt", "model"} == sent.keys()
        assert sent.items() <= emulator.calls[-1].json.items()


def test_a_bias_of_tokens_and_an_unknown_argument(emulator):
    url = emulator.container_url("echo")
    ChatHuggingFaceEndpoint(endpoint_url=url, logit_bias={15: -100}).invoke("Hi")
    assert emulator.calls[-1].json["logit_bias"] == {"15": -100}
    with pytest.raises(ValueError, match="go into model_kwargs"):
        HuggingFaceEndpoint(endpoint_url=url, details=True)
