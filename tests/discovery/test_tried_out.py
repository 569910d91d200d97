"""Servers that do not say what they are, and what llama.cpp says: found out by a client that is in use."""

import asyncio
import json
import logging

import pytest

from sagewire import Client, UnsupportedFeature
from sagewire.content_handlers import get_handler
from sagewire.discovery.http_server import detect_server
from sagewire.emulator import Emulator, EndpointSpec
from sagewire.errors import EndpointError
from sagewire.types import Options, PromptRequest
from tests.cases import each
from tests.fake_server import JsonHandler, serving

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def emulator():
    with Emulator({"pipeline": "hf_pipeline:echo", "vectors": "hf_feature_extraction", "lmi": "lmi_chat:echo"}) as it:
        yield it


def test_the_first_404_tells_that_a_server_has_another_route(emulator, caplog):
    client = Client(url=emulator.container_url("pipeline"), format="chatml")
    with caplog.at_level(logging.WARNING, "sagewire.discovery"):
        assert client.complete("Hello there").text == "Hello there"
    assert "does not describe itself and lacks OpenAI" in caplog.text
    assert client.handler.name == "hf_pipeline"
    emulator.clear()
    assert client.complete("Again").text == "Again"
    assert len(emulator.calls) == 1


REFUSALS = {
    404: b'{"detail": "Not Found"}',
    405: b'{"detail": "Method Not Allowed"}',
    501: b'{"error": "not implemented"}',
    400: b'{"error": "Body needs to provide a inputs key"}',
    422: b'{"detail": [{"loc": ["body", "inputs"], "msg": "field required", "type": "value_error.missing"}]}',
}


class Proxy(JsonHandler):
    """A text-generation pipeline at the root or below a path; the test says how it refuses everything else."""

    status = 404

    def do_POST(self):
        asked = self.asked()
        if self.path.partition("?")[0].rstrip("/") not in ("", "/my/model"):
            self.do_GET()
        elif "inputs" not in asked:
            self.answer(400, REFUSALS[400])
        elif "details" in asked.get("parameters", {}):
            # transformers/generation/utils.py
            self.answer(400, b'{"error": "The following `model_kwargs` are not used by the model: [\'details\']"}')
        else:
            self.answer(200, b'[{"generated_text": "Hi"}]')

    def do_GET(self):
        self.answer(self.status, REFUSALS[self.status])


@pytest.fixture(scope="module")
def proxy():
    with serving(Proxy) as url:
        yield url


@each(("status", "path", "format"), [
    *((status, "/my/model", format) for status in REFUSALS for format in (None, "chatml")),
    *((404, path, "chatml") for path in ("", "/", "?team=a", "/my/model/", "/my/model?team=a")),
])  # fmt: skip
def test_any_refusal_of_openais_fields_tells_it_below_any_path(proxy, status, path, format):
    Proxy.status = status
    client = Client(url=proxy + path, format=format)
    assert client.handler.name == ("openai_chat" if format is None else "hf_pipeline")
    ask = client.complete if format is None else client.chat
    assert ask("Hello").text == "Hi"
    assert client.handler.name == "hf_pipeline"


def test_it_is_found_out_by_async_clients_too(emulator):
    client = Client(url=emulator.container_url("pipeline")).to_async()

    async def read():
        async with client.stream_complete("Hello there") as stream:
            return "".join([delta.text async for delta in stream if hasattr(delta, "text")])

    assert asyncio.run(read()) == "Hello there"


def test_embeddings_find_it_out_too(emulator):
    url = emulator.container_url("vectors")
    assert len(Client(url=url).embed(["a", "b"]).vectors) == 2
    assert len(asyncio.run(Client(url=url).to_async().embed(["a"])).vectors) == 1


def test_a_404_of_another_kind_stays_an_error(emulator):
    with pytest.raises(EndpointError):
        Client(url=emulator.container_url("pipeline"), handler="openai_chat").chat("Hi")


def test_easyllms_successor_speaks_what_such_servers_take(emulator, monkeypatch):
    from sagewire.integrations.easyllm import huggingface

    monkeypatch.setattr(huggingface, "api_base", emulator.container_url("pipeline"))
    monkeypatch.setattr(huggingface, "prompt_builder", "llama2")
    huggingface.ChatCompletion.create(messages=[{"role": "user", "content": "Hi"}])
    assert emulator.calls[-1].json["inputs"] == "[INST] Hi [/INST]"


def asked(**answers):
    def ask(path, body=b""):
        name = path.rpartition("/")[2]
        if name not in answers:
            raise EndpointError("Not Found", status=404)
        return json.dumps(answers[name]).encode()

    return ask


MODELS = {"data": [{"id": "m", "owned_by": "llamacpp"}]}


@pytest.mark.parametrize(
    ("models", "props", "window", "tools"),
    [
        (
            {"data": [{"id": "m", "owned_by": "llamacpp", "meta": {"n_ctx": 2048, "n_ctx_train": 8192}}]},
            None,
            2048,
            None,
        ),
        (MODELS, {"default_generation_settings": {"n_ctx": 512}}, 512, None),
        (MODELS, {"chat_template_caps": {"supports_tools": False}}, None, False),
        (MODELS, {"chat_template_caps": {"supports_tools": True}}, None, True),
        (MODELS, None, None, None),
        (MODELS, [], None, None),
    ],
)
def test_llamacpp_says_how_much_it_takes_and_whether_it_knows_tools(models, props, window, tools):
    found = detect_server(asked(models=models, **({} if props is None else {"props": props})))
    assert (found.container, found.chat, found.complete) == ("llama.cpp", "llamacpp", "llamacpp_completions")
    assert (found.limits.context_window, found.tools) == (window, tools)


def test_tools_are_refused_where_the_template_knows_none(emulator, monkeypatch):
    monkeypatch.setattr("sagewire.client.resolver.detect_server", lambda _: detect_server(
        asked(models=MODELS, props={"chat_template_caps": {"supports_tools": False}})
    ))  # fmt: skip
    emulator.add("llama", EndpointSpec("llamacpp", engine="echo"))
    client = Client(url=emulator.container_url("llama"))
    assert client.chat("Hi").text == "Hi"
    for choice in (None, "required"):
        with pytest.raises(UnsupportedFeature, match="chat template does not write them"):
            client.chat("Hi", tools=[TOOL], tool_choice=choice)


def test_llamacpps_completions_take_a_schema_under_its_own_name():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    handler = get_handler("llamacpp_completions")

    def body(wanted, **extra):
        return handler.payload(PromptRequest("x", Options(response_format=wanted, extra=extra)))

    assert body({"type": "json_schema", "json_schema": {"schema": schema}}) == {"prompt": "x", "json_schema": schema}
    assert body({"type": "json_object"})["json_schema"] == {"type": "object"}
    assert body({"type": "text"}) == {"prompt": "x"}
    assert body(None, json_schema=schema)["json_schema"] == schema
    asking = handler.with_special_tokens(("<|a|>", "<|b|>"))
    assert asking.payload(PromptRequest("x")) == {"prompt": "x", "preserved_tokens": ["<|a|>", "<|b|>"]}
