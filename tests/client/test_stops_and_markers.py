"""Stop strings end the answer, and control tokens that mark calls and thinking are asked for."""

import json

import pytest

from sagewire import Client
from sagewire.emulator import Emulator, EndpointSpec
from sagewire.testing import FakeTransport

from ..cases import each

TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}]
CALL = '<tool_call>\n{"name": "search", "arguments": {"q": "Question: x"}}\n</tool_call>'


def client(body, format="qwen3", handler="tgi"):
    return Client(transport=FakeTransport(body), handler=handler, format=format)


def texts(text):
    events = [{"index": n, "token": {"id": n, "text": c, "logprob": 0, "special": False}, "generated_text": None,
               "details": None} for n, c in enumerate(text, 1)]  # fmt: skip
    whole = json.dumps([{"generated_text": text}]).encode()
    return whole, b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


@pytest.mark.parametrize("format", ["qwen3", "chatml", "deepseek_r1"])
def test_a_stop_string_inside_thinking_does_not_end_the_answer(format):
    prefix = "" if format == "deepseek_r1" else "<think>"
    whole, streamed = texts(f"{prefix}The Question: 2+2.</think>Four. Question: next")
    asked = client(whole, format)
    reply = asked.chat("2+2?", stop=["Question:"])
    assert (reply.thinking.strip(), reply.text.strip()) == ("The Question: 2+2.", "Four.")
    assert (reply.finish_reason, reply.choices[0].stop) == ("stop", "Question:")
    # The server would stop inside the thinking.
    assert "Question:" not in json.loads(asked._connect().calls[-1].body)["parameters"].get("stop", [])
    with client(streamed, format).stream("2+2?", stop=["Question:"]) as stream:
        assert "".join(stream.text).strip() == "Four."


def test_nor_does_one_inside_a_tool_call():
    reply = client(texts(CALL)[0], "hermes_3").chat("?", stop=["Question:"], tools=TOOLS)
    assert [call.name for call in reply.tool_calls] == ["search"]


def test_formats_without_thinking_tell_the_server():
    asked = client(texts("Four.")[0], "zephyr")
    asked.chat("2+2?", stop=["Question:"])
    assert "Question:" in json.loads(asked._connect().calls[-1].body)["parameters"]["stop"]


HARMONY = [("<|channel|>", True), ("analysis", False), ("<|message|>", True), ("User asks.", False), ("<|end|>", True),
           ("<|start|>", True), ("assistant", False), ("<|channel|>", True), ("final", False), ("<|message|>", True),
           ("Four.", False), ("<|return|>", True)]  # fmt: skip


@pytest.mark.parametrize("handler", ["tgi", "lmi"])
def test_control_tokens_are_read_where_the_server_sends_them_beside_the_text(handler):
    plain = "".join(text for text, special in HARMONY if not special)
    tokens = [{"id": n, "text": text, "logprob": -0.1, "special": special} for n, (text, special) in enumerate(HARMONY)]
    details = {"finish_reason": "eos_token", "generated_tokens": 9, "tokens": tokens}
    events = [
        {"index": n, "token": token, "generated_text": None, "details": None} for n, token in enumerate(tokens, 1)
    ]
    events[-1] |= {"generated_text": plain, "details": {"finish_reason": "eos_token", "generated_tokens": 9}}
    whole = json.dumps([{"generated_text": plain, "details": details}]).encode()
    streamed = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    reply = client(whole, "gpt_oss", handler).chat("2+2?")
    assert (reply.thinking, reply.text) == ("User asks.", "Four.")
    with client(streamed, "gpt_oss", handler).stream("2+2?") as stream:
        list(stream)
    assert (stream.reply.thinking, stream.reply.text) == ("User asks.", "Four.")


@pytest.mark.parametrize(("handler", "place"), [("openai_completions", None), ("lmi", "parameters")])
def test_control_tokens_are_asked_for_where_markers_are_such(handler, place):
    said = "Four."
    answer = {"choices": [{"text": said, "finish_reason": "stop"}]} if place is None else {"generated_text": said}
    for format, tools, asks in (("gpt_oss", None, True), ("mistral_nemo", TOOLS, True), ("zephyr", None, False)):
        asked = client(json.dumps(answer).encode(), format, handler)
        asked.chat("2+2?", tools=tools)
        sent = json.loads(asked._connect().calls[-1].body)
        sent = sent if place is None else sent[place]
        assert (sent.get("skip_special_tokens") is False) is asks


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, True),
        ({"reasoning_effort": "none"}, True),
        ({"reasoning_effort": "high"}, False),
        ({"extra": {"chat_template_kwargs": {"enable_thinking": True}}}, False),
        ({"extra": {"chat_template_kwargs": {"enable_thinking": False}}}, True),
    ],
)
def test_on_message_routes_the_server_is_not_told_where_reasoning_is_asked_for(options, told):
    message = {"reasoning_content": "The Question: 2+2.", "content": "Four. Question: next"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    asked = client(json.dumps(body).encode(), None, "openai_chat")
    reply = asked.chat("2+2?", stop=["Question:"], **options)
    assert (reply.thinking, reply.text.strip()) == ("The Question: 2+2.", "Four.")
    assert ("stop" in json.loads(asked._connect().calls[-1].body)) is told


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("Qwen/Qwen3-8B", False),
        ("acme/Qwen3-8B-Support", False),
        ("mistralai/Magistral-Small-2509", False),
        ("meta-llama/Llama-3.1-8B-Instruct", True),
        (None, True),
    ],
)
def test_nor_where_the_model_reasons_unasked(model, told):
    message = {"reasoning_content": "The Question: 2+2.", "content": "Four. Question: next"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    asked = client(json.dumps(body).encode(), None, "openai_chat")
    reply = asked.chat("2+2?", stop=["Question:"], model=model)
    assert (reply.thinking, reply.text.strip()) == ("The Question: 2+2.", "Four.")
    assert ("stop" in json.loads(asked._connect().calls[-1].body)) is told


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"HF_MODEL_ID": "Qwen/Qwen3-8B"}, False),
        ({"HF_MODEL_ID": "/opt/ml/model", "SM_VLLM_REASONING_PARSER": "qwen3"}, False),
        ({"HF_MODEL_ID": "google/gemma-2-9b-it", "SM_VLLM_REASONING_PARSER": ""}, True),
    ],
)
def test_nor_where_the_endpoint_says_so(environment, told, clean_environment, monkeypatch):
    with Emulator({"e": EndpointSpec("openai_chat", environment=environment)}) as emulator:
        for name, value in emulator.environ().items():
            monkeypatch.setenv(name, value)
        Client("e").chat("Hi", stop=["Question:"])
        assert ("stop" in emulator.calls[-1].json) is told


THOUGHT = "<think>\nThe Question: 2+2.\n</think>\n\n"
IN_TEXT = {
    f"{THOUGHT}Four. Question: next": f"{THOUGHT}Four. ",
    f"\n{THOUGHT}Four.": f"\n{THOUGHT}Four.",
    "<think>The Question: cut </thi": "<think>The Question: cut </thi",
    "<thin": "<thin",
    "<thinkers> Question: x": "<thinkers> ",
    "Four. <think> Question: x": "Four. <think> ",
    "Question: <think>": "",
}


@each(("written", "read"), IN_TEXT.items())
@each("handler", ["tgi_chat", "lmi_chat", "openai_chat"])
def test_nor_where_the_server_leaves_thinking_in_the_text(handler, written, read):
    def answer(delta):
        return json.dumps({"choices": [{"index": 0, **delta}]}).encode()

    asked = client(answer({"message": {"content": written}, "finish_reason": "stop"}), None, handler)
    assert asked.chat("2+2?", stop=["Question:"], model="Qwen/Qwen3-8B").text == read
    pieces = [answer({"delta": {"content": letter}, "finish_reason": None}) for letter in written]
    end = answer({"delta": {}, "finish_reason": "stop"})
    events = b"".join(b"data: " + piece + b"\n\n" for piece in (*pieces, end, b"[DONE]"))
    with client(events, None, handler).stream("2+2?", stop=["Question:"], model="Qwen/Qwen3-8B") as stream:
        assert "".join(stream.text) == read
