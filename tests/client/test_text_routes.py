"""A prompt format that was named is used, with one beginning-of-text token, and its control tokens come back."""

import json

import pytest

from sagewire import Client, UnsupportedFeature, UsageError
from sagewire.content_handlers import HANDLERS, get_handler
from sagewire.emulator import Emulator
from sagewire.prompt_formats import FORMATS
from sagewire.prompt_formats.base import ADDED_BOS, without_bos
from sagewire.testing import FakeTransport, Recording
from sagewire.types import Tool

from ..cases import each

GENERATED = b'[{"generated_text": "Hello"}]'
COMPLETED = b'{"choices": [{"index": 0, "text": "Hello", "finish_reason": "stop"}]}'
ANSWERS = {"tgi": GENERATED, "lmi": GENERATED, "hf_pipeline": GENERATED, "openai_completions": COMPLETED}
WEATHER = Tool("weather", "", {"type": "object", "properties": {"city": {"type": "string"}}})


@pytest.fixture
def emulator(monkeypatch):
    endpoints = {"tgi": "tgi:echo", "vllm": "openai_chat:echo", "lmi": "lmi:echo", "sglang": "sglang:echo"}
    with Emulator(endpoints) as emulator:
        for name, value in emulator.environ().items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.mark.parametrize(("endpoint", "field"), [("tgi", "inputs"), ("vllm", "prompt"), ("lmi", "inputs")])
def test_a_named_format_means_the_text_route_of_an_endpoint_that_takes_both(emulator, endpoint, field):
    client = Client(endpoint, format="llama2")
    client.chat("Hi")
    assert emulator.calls[-1].json[field] == "[INST] Hi [/INST]"
    with client.stream("Hi") as stream:
        assert list(stream)
    assert emulator.calls[-1].json[field] == "[INST] Hi [/INST]"
    Client(endpoint).chat("Hi")
    assert "messages" in emulator.calls[-1].json


def test_a_named_format_that_cannot_take_effect_is_an_error(emulator):
    with pytest.raises(UsageError, match=r"cannot take effect: 'sglang' is sent messages \(handler 'sglang'\)"):
        Client("sglang", format="llama2").chat("Hi")
    with pytest.raises(UsageError, match="cannot take effect"):
        Client("vllm", handler="openai_chat", format=lambda messages: "Hi").chat("Hi")
    # Raw text needs no format, so it is no matter there.
    Client("sglang", format="llama2").complete("Hi")


def sent(handler, name, **arguments):
    transport = FakeTransport(ANSWERS[handler])
    Client(transport=transport, handler=handler, format=name).chat("Hi", **arguments)
    body = json.loads(transport.calls[0].body)
    return body.get("inputs") or body["prompt"], body


@each("handler", ANSWERS)
@each("name", sorted(set(FORMATS) - {"litellm_builtin", "litellm_custom"}))
def test_a_server_that_adds_the_beginning_of_text_is_not_sent_another(handler, name):
    text, _ = sent(handler, name)
    rendered = FORMATS[name].render([{"role": "user", "content": "Hi"}])
    assert not text.startswith(ADDED_BOS)
    assert rendered in {text, *(bos + text for bos in ADDED_BOS)}


def test_functions_of_the_callers_own_are_treated_alike():
    assert sent("tgi", lambda messages: f"<s>[INST] {messages[-1].text} [/INST]")[0] == "[INST] Hi [/INST]"
    # What a tokenizer does not add is the format's to write.
    assert sent("tgi", "olmo")[0].startswith("<|endoftext|>")
    assert without_bos("<s><s>x") == "<s>x"


def test_raw_text_is_sent_as_it_is():
    transport = FakeTransport(GENERATED)
    Client(transport=transport, handler="tgi", format="llama2").complete("<s>struck</s>")
    assert json.loads(transport.calls[0].body)["inputs"] == "<s>struck</s>"


def test_a_model_with_a_tokenizer_that_adds_nothing_keeps_what_its_template_writes(tmp_path):
    pytest.importorskip("jinja2")
    from sagewire.prompt_formats.chat_template import load_format

    template = "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}"
    files = {"chat_template": template, "bos_token": "<s>", "eos_token": "</s>"}
    assert sent("tgi", load_format(files))[0] == "[Hi]"
    assert sent("tgi", load_format({**files, "add_bos_token": False}))[0] == "<s>[Hi]"
    assert sent("tgi", load_format({**files, "bos_token": "<first>", "add_bos_token": True}))[0] == "[Hi]"


@pytest.mark.parametrize(("handler", "place"), [("lmi", "parameters"), ("openai_completions", None)])
def test_control_tokens_are_asked_for_where_the_format_marks_calls_with_them(handler, place):
    def asked(name, **arguments):
        body = sent(handler, name, **arguments)[1]
        return (body[place] if place else body).get("skip_special_tokens")

    assert asked("mistral_v3", tools=[WEATHER]) is False
    assert asked("gpt_oss") is False
    assert asked("llama3_1") is None
    assert asked("llama3_1", tools=[WEATHER]) is False
    assert asked("chatml") is None


def token(text, *, special=False, **more):
    return {"token": {"id": 1, "text": text, "logprob": -0.1, "special": special}, **more}


CALL = [
    token("[TOOL_CALLS]", special=True),
    token('[{"name": "weather", '),
    token('"arguments": {"city": "Oslo"}}]'),
]
END = {"finish_reason": "eos_token", "generated_tokens": 4}
WHOLE = '[{"name": "weather", "arguments": {"city": "Oslo"}}]'


def test_tgi_s_special_tokens_are_kept_whole():
    tokens = [event["token"] for event in [*CALL, token("</s>", special=True)]]
    body = json.dumps([{"generated_text": WHOLE, "details": {**END, "tokens": tokens}}]).encode()
    client = Client(transport=FakeTransport(body), handler="tgi", format="mistral_v3")
    reply = client.chat("Weather in Oslo?", tools=[WEATHER])
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("weather", '{"city": "Oslo"}')]
    assert reply.text == ""


def test_tgi_s_special_tokens_are_kept_in_a_stream():
    last = token("</s>", special=True, generated_text=WHOLE, details=END)
    body = b"".join(b"data:" + json.dumps({"index": n, **e}).encode() + b"\n\n" for n, e in enumerate([*CALL, last]))
    transport = FakeTransport(Recording(body, "text/event-stream"))
    with Client(transport=transport, handler="tgi", format="mistral_v3").stream("?", tools=[WEATHER]) as stream:
        list(stream)
    assert [(call.name, call.arguments) for call in stream.reply.tool_calls] == [("weather", '{"city": "Oslo"}')]
    # Raw text, and formats without such marks, are read without them.
    with Client(transport=transport, handler="tgi").stream_complete("?") as stream:
        list(stream)
    assert stream.reply.text == WHOLE


@pytest.mark.parametrize("name", HANDLERS)
def test_asking_for_control_tokens_leaves_the_handler_itself_as_it_is(name):
    handler = get_handler(name)
    asking = handler.with_special_tokens()
    assert asking.name == handler.name
    assert not getattr(handler, "special_tokens", False)


@each(
    ("handler", "format"), [(handler, format) for handler in ("tgi", "lmi") for format in ("chatml", "qwen3", "llama2")]
)
def test_the_whole_text_of_a_conversation_is_refused(handler, format):
    # The prompt ends in the format's first stop string, so that nothing of the answer would be left.
    transport = FakeTransport(GENERATED)
    client = Client(transport=transport, handler=handler, format=format)
    with pytest.raises(UnsupportedFeature, match=r"return_full_text=True.*complete"):
        client.chat("Hi", extra={"return_full_text": True})
    assert not transport.calls
    assert client.chat("Hi", extra={"return_full_text": False}).text == "Hello"
    assert client.complete("Hi", extra={"return_full_text": True}).text == "Hello"
    assert json.loads(transport.calls[-1].body)["parameters"]["return_full_text"] is True
