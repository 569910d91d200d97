"""Handlers that users wrote for LangChain and LlamaIndex, as their tutorials show them."""

import codecs
import io
import json
import pickle

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagewire.client.prepared_call import prepare
from sagewire.content_handlers import LangChainHandler, LlamaIndexHandler, TgiHandler, get_handler
from sagewire.content_handlers.readable_bytes import ReadableBytes, WholeBody
from sagewire.content_handlers.stream_pieces import LineDecoder, WholeEventDecoder
from sagewire.errors import UnsupportedFeature, UsageError, WireError
from sagewire.streaming.accumulate import fold
from sagewire.testing import chop
from sagewire.types import ChatRequest, Message, Options, PromptRequest, Tool

from ..cases import each


class TutorialHandler:
    """As in the tutorial of langchain-community's SagemakerEndpoint."""

    content_type = "application/json"
    accepts = "application/json"

    def transform_input(self, prompt, model_kwargs):
        return json.dumps({"inputs": prompt, "parameters": {**model_kwargs}}).encode("utf-8")

    def transform_output(self, output):
        return json.loads(output.read().decode("utf-8"))[0]["generated_text"]


class StreamingTutorialHandler(TutorialHandler):
    """As users write it for streams, where langchain-aws passes bytes."""

    def transform_output(self, output):
        line = output.decode("utf-8")
        return json.loads(line.removeprefix("data:"))["token"]["text"]


class IOHandler:
    """In the manner of LlamaIndex's own default."""

    content_type = "application/json"
    accept = "application/json"

    def serialize_input(self, request, model_kwargs):
        return json.dumps({"inputs": request, "parameters": model_kwargs}).encode("utf-8")

    def deserialize_output(self, response):
        return json.load(codecs.getreader("utf-8")(response))[0]["generated_text"]

    def deserialize_streaming_output(self, response):
        return json.loads(response.decode("utf-8").removeprefix("data:"))["token"]["text"]

    def remove_prefix(self, raw_text, prompt):
        return raw_text[len(prompt) :]


SSE = ":\n\n" + "".join(
    f"data:{json.dumps({'token': {'text': text}}, ensure_ascii=False)}\n\n" for text in ("Grüße", ", ", "世界")
)
SSE = (SSE + "data: [DONE]\n\n").encode()


def streamed(handler, pieces):
    decoder = handler.stream_decoder("text/event-stream")
    return fold([delta for piece in pieces for delta in decoder.feed(piece)] + decoder.close()).text


def test_langchain_handler():
    handler = get_handler(TutorialHandler())
    assert (handler.content_type, handler.accept, handler.speaks) == ("application/json",) * 2 + ("prompt",)
    kwargs = {"max_new_tokens": 200, "temperature": 0.1}
    request = PromptRequest("Hi", Options(stop=("END",), top_p=0.5, extra=kwargs))
    assert json.loads(prepare(request, handler).invocation.body) == {
        "inputs": "Hi",
        "parameters": {"top_p": 0.5, **kwargs},
    }
    reply = handler.transform_output(b'[{"generated_text": "Hello"}]')
    assert (reply.text, reply.usage, reply.finish_reason) == ("Hello", None, None)


@pytest.mark.parametrize("pieces", list(chop(SSE)), ids=len)
def test_langchain_stream_is_given_line_by_line(pieces):
    assert streamed(get_handler(StreamingTutorialHandler), pieces) == "Grüße, 世界"


@pytest.mark.parametrize("pieces", list(chop(SSE)), ids=len)
def test_llama_index_stream_is_given_event_by_event(pieces):
    assert streamed(get_handler(IOHandler()), pieces) == "Grüße, 世界"


def test_llama_index_handler():
    handler = get_handler(IOHandler())
    assert handler.echoes_prompt
    assert json.loads(handler.transform_input(PromptRequest("Hi"))) == {"inputs": "Hi", "parameters": {}}
    assert handler.transform_output('[{"generated_text": "Grüße"}]'.encode()).text == "Grüße"
    assert handler.remove_prefix("Hi there", "Hi") == " there"


def test_a_stream_without_a_last_line_break_ends():
    assert (
        streamed(get_handler(StreamingTutorialHandler()), [b'{"token": {"text": "a"}}\n', b'{"token": {"text": "b"}}'])
        == "ab"
    )


def test_a_handler_that_hands_the_bytes_to_orjson():
    class Fast(TutorialHandler):
        def transform_output(self, output):
            return orjson.loads(output)["text"]

    assert streamed(get_handler(Fast()), [b'{"text": "a"}\n{"text": "b"}\n']) == "ab"
    with pytest.raises(WireError, match="JSONDecodeError"):
        streamed(get_handler(Fast()), [b"{\n"])


def test_the_user_s_settings_are_a_copy():
    class Greedy(TutorialHandler):
        def transform_input(self, prompt, model_kwargs):
            model_kwargs["spoiled"] = True
            return b"{}"

    extra = {"a": 1}
    get_handler(Greedy()).transform_input(PromptRequest("Hi", Options(extra=extra)))
    assert extra == {"a": 1}


def test_a_chat_model_content_handler_gets_messages():
    class ChatModelContentHandler:
        pass

    class Message_:
        content = "Hello"

    class Handler(ChatModelContentHandler):
        def transform_input(self, prompt, model_kwargs):
            return json.dumps(prompt)

        def transform_output(self, output):
            return Message_()

    handler = get_handler(Handler())
    assert handler.speaks == "messages"
    chat = ChatRequest((Message("user", "Hi"),))
    assert json.loads(handler.transform_input(chat)) == [{"role": "user", "content": "Hi"}]
    assert handler.transform_output(b"anything").text == "Hello"
    with pytest.raises(UnsupportedFeature, match="tools"):
        prepare(ChatRequest(chat.messages, tools=(Tool("f"),)), handler)


@pytest.mark.parametrize("options", [{"n": 2}, {"logprobs": True}, {"response_format": {"type": "json_object"}}])
def test_what_a_handler_of_text_cannot_hand_back_is_refused(options):
    with pytest.raises(UnsupportedFeature, match="`extra`"):
        prepare(PromptRequest("Hi", Options(**options)), get_handler(TutorialHandler()))


def test_mistakes_of_a_user_s_handler_are_said():
    class Wrong(TutorialHandler):
        def transform_input(self, prompt, model_kwargs):
            return {"inputs": prompt}

        def transform_output(self, output):
            return {"text": "Hello"}

    with pytest.raises(UsageError, match="Wrong must return the request as bytes, not dict"):
        get_handler(Wrong()).transform_input(PromptRequest("Hi"))
    with pytest.raises(UsageError, match="Wrong must return the answer as str, not dict"):
        get_handler(Wrong()).transform_output(b"{}")
    with pytest.raises(WireError, match=r"TutorialHandler raised JSONDecodeError.*<html>") as error:
        get_handler(TutorialHandler()).transform_output(b"<html>")
    assert isinstance(error.value.__cause__, json.JSONDecodeError)
    with pytest.raises(UsageError, match="prompt format"):
        prepare(ChatRequest((Message("user", "Hi"),)), get_handler(TutorialHandler()))


def test_which_handler_is_meant():
    own = TgiHandler()
    assert get_handler(own) is own
    assert isinstance(get_handler(TgiHandler), TgiHandler)
    assert isinstance(get_handler(TutorialHandler), LangChainHandler)
    assert isinstance(get_handler(IOHandler), LlamaIndexHandler)
    assert repr(get_handler(IOHandler)) == "LlamaIndexHandler(IOHandler())"


@pytest.mark.parametrize("wrong", [3, None, object(), {}, "", "tgii", "TGI"])
def test_what_is_no_handler(wrong):
    with pytest.raises(UsageError, match="tgi"):
        get_handler(wrong)
    with pytest.raises(UsageError, match="did you mean 'openai_chat'"):
        get_handler("openai-chat")


def test_a_class_that_needs_arguments():
    class Needy(TutorialHandler):
        def __init__(self, key):
            self.key = key

    with pytest.raises(UsageError, match="pass an object"):
        get_handler(Needy)
    assert isinstance(get_handler(Needy("k")), LangChainHandler)


def test_readable_bytes_are_bytes_and_a_file():
    body = ReadableBytes(b'{"a": 1}\n{"b": 2}')
    assert body == b'{"a": 1}\n{"b": 2}'
    assert body.decode().startswith("{")
    assert (body.read(4), body.readline(), body.read(), body.read()) == (b'{"a"', b": 1}\n", b'{"b": 2}', b"")
    assert list(ReadableBytes(b"a\nb").iter_lines()) == [b"a", b"b"]
    assert list(ReadableBytes(b"abc").iter_chunks(2)) == [b"ab", b"c"]
    assert json.load(ReadableBytes(b"[1]")) == [1]
    assert json.loads(ReadableBytes(b"[1]")) == [1]
    assert ReadableBytes(b"x").readable()
    body.close()


@each(
    "read",
    [
        lambda body: b"".join(body).decode(),
        lambda body: next(body).decode(),
        lambda body: io.TextIOWrapper(body, "utf-8").read(),
        lambda body: body.readlines()[0].decode(),
        lambda body: bytes(bytearray(body.read(body.tell() + 3) + body.read())).decode(),
        lambda body: body.__enter__().read().decode(),
        lambda body: "".join(map(bytes.decode, body.iter_chunks(4))),
        lambda body: body.read(),
    ],
)
def test_a_handler_may_read_a_whole_answer_as_any_stream_of_boto3(read):
    class Handler(TutorialHandler):
        def transform_output(self, output):
            return read(output)

    assert get_handler(Handler()).transform_output("größer".encode()).text == "größer"


def test_a_whole_body_fills_a_buffer():
    buffer = bytearray(3)
    body = WholeBody(b"abcd")
    assert (body.readinto(buffer), bytes(buffer), body.tell()) == (3, b"abc", 3)
    assert (body.readinto(buffer), bytes(buffer), body.readinto(buffer)) == (1, b"dbc", 0)
    assert not body.closed
    assert not body.writable()


@each(
    ("error", "kind"),
    [
        (KeyError("answer"), KeyError),
        (IndexError("no"), IndexError),
        (TypeError("no"), TypeError),
        (ValueError("no"), ValueError),
        (json.JSONDecodeError("no", "x", 0), json.JSONDecodeError),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "no"), ValueError),
    ],
)
def test_what_a_handler_raises_can_be_caught_as_before(error, kind):
    class Handler(TutorialHandler):
        def transform_output(self, output):
            raise error

    with pytest.raises(kind) as told:
        get_handler(Handler()).transform_output(b"{}")
    assert isinstance(told.value, WireError)
    assert str(told.value) == f"Handler raised {type(error).__name__}: {error}, given: {{}}"
    assert type(pickle.loads(pickle.dumps(told.value))) is type(told.value)


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=8).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"")), max_size=6),
    data=st.data(),
)
def test_lines_come_whole_at_every_cut(lines, data):
    raw = b"\n".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    decoder, out = LineDecoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        out += decoder.feed(raw[start:end])
    out += decoder.close()
    assert out == raw.split(b"\n")[: len(out)]
    assert b"".join(out) == b"".join(lines)


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b'data: {"a":1}\n\ndata: b\n\n', [b'data: {"a":1}\n\n', b"data: b\n\n"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"data: a\r\n\r\n", b"data: b\r\n\r\n"]),
        (b": wait\n\ndata: a", [b": wait\n\n", b"data: a"]),
        (b'{"a":1}\n{"b":2}', [b'{"a":1}\n', b'{"b":2}']),
        (b'[{"generated_text":"a"}]', [b'[{"generated_text":"a"}]']),
        (b"", []),
        (b"da", [b"da"]),
    ],
)
def test_events_come_whole_at_every_cut(raw, events):
    for pieces in chop(raw):
        decoder = WholeEventDecoder()
        assert [event for piece in pieces for event in decoder.feed(piece)] + decoder.close() == events


def test_plain_text_is_never_cut_inside_a_character():
    raw = "Grüße, 世界 🎉!".encode()
    for pieces in chop(raw):
        decoder = WholeEventDecoder()
        texts = [text.decode() for piece in pieces for text in decoder.feed(piece)]
        assert "".join(texts) + b"".join(decoder.close()).decode() == raw.decode()


def test_bytes_without_any_line_break_have_a_limit():
    decoder = LineDecoder()
    for _ in range(33):
        decoder.feed(b"x" * 1_000_000)
    with pytest.raises(WireError, match="line break"):
        decoder.feed(b"x" * 1_000_000)
