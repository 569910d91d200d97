"""The first mistakes of a newcomer: one error that says what is wrong and what to write, with a short traceback."""

import inspect
import subprocess
import sys
import traceback
from collections.abc import AsyncIterable, Iterable
from dataclasses import fields, replace

import pytest

import sagewire
from sagewire import (
    AsyncClient,
    AsyncInference,
    Boto3,
    Client,
    EndpointError,
    Hooks,
    Http,
    ImagePart,
    Message,
    Options,
    Reply,
    Retries,
    TextPart,
    Timeouts,
    Tool,
    UsageError,
    assume_role_session,
)
from sagewire.types import Choice, Embeddings, MetadataDelta, Usage
from tests.cases import each


class Answer:
    """A class as pydantic's are."""

    @classmethod
    def model_json_schema(cls):
        return {"type": "object"}


def add(one: int, other: int) -> int:
    """Add two numbers."""
    return one + other


NAMES = [
    ("from sagewire import Clients", "cannot import name 'Clients' from 'sagewire'; did you mean 'Client'?"),
    ("import sagewire; sagewire.clinet", "module 'sagewire' has no attribute 'clinet'; did you mean 'Client'?"),
    ("from sagewire import openai_client", "from sagewire.integrations.openai import openai_client"),
    ("from sagewire import ChatSagemakerEndpoint", "from sagewire.integrations.langchain import ChatSagemakerEndpoint"),
    ("from sagewire import Emulator", "from sagewire.emulator import Emulator"),
    ("from sagewire.types import Mesage", "did you mean 'Message'?"),
    ("from sagewire.testing import check_handlr", "did you mean 'check_handler'?"),
    ("from sagewire.integrations.openai import openai_cleint", "did you mean 'openai_client'?"),
    ("from sagewire.integrations.litellm import complete", "did you mean 'completion'?"),
    ("from sagewire.integrations.litellm import SageMakerLLM", "it is in sagewire.integrations.llama_index"),
    ("import sagewire; sagewire.demo", "write `import sagewire.demo`"),
]


@each(("code", "told"), NAMES)
def test_of_names(code, told):
    with pytest.raises((ImportError, AttributeError)) as caught:
        exec(code, {})
    assert told in str(caught.value)


def test_a_module_can_still_be_asked_for_a_name():
    assert not hasattr(sagewire, "clinet")
    assert getattr(sagewire, "clinet", 5) == 5
    with pytest.raises(AttributeError):
        sagewire.__wrapped__  # noqa: B018


def test_python_adds_no_suggestion_of_its_own():
    run = subprocess.run([sys.executable, "-c", "import sagewire\nsagewire.clinet"], capture_output=True, text=True)
    assert run.stderr.lower().count("did you mean") == 1


CLIENTS = [
    (lambda: Client("a", "us-east-1"), "the region by name: Client('a', region_name='us-east-1')"),
    (lambda: Client("a", "http://b"), "instead of an endpoint: Client(url='http://b')"),
    (lambda: AsyncClient("a", 5), "AsyncClient() takes the endpoint without a name, and everything else by name"),
    (lambda: Client(), "name the endpoint, Client('my-endpoint')"),
    (lambda: Client("my_endpoint"), "did you mean 'my-endpoint'?"),
    (lambda: Client("localhost:8000"), "did you mean the URL http://localhost:8000?"),
    (lambda: Client(" my-endpoint"), "did you mean 'my-endpoint'?"),
    (lambda: Client("a", region_name="Frankfurt"), "did you mean 'eu-central-1'?"),
    (lambda: Client("a", region_name="us-east-1a"), "did you mean 'us-east-1'?"),
    (lambda: Client("a", region_name=3), "region_name=3 must be a string"),
    (lambda: Client("a", handler="tgl"), "unknown handler 'tgl'; did you mean 'tgi'?"),
    (lambda: Client("a", handler="TGI"), "unknown handler 'TGI'; did you mean 'tgi'?"),
    (lambda: Client("a", handler="vllm"), "did you mean 'openai_chat' or 'openai_completions'?"),
    (lambda: Client("a", handler=42), "handler=42 is not a handler"),
    (lambda: Client("a", handler=Client), "is not a handler"),
    (lambda: Client("a", handler="nothing.there:Handler"), "cannot import nothing.there"),
    (lambda: Client("a", format="lama3"), "Close names: llama3"),
    (lambda: Client("a", format="llama-3.1"), "did you mean 'llama3_1'?"),
    (lambda: Client("a", format=42), "A prompt format is a name"),
    (lambda: Client("a", timeout=(5, 60)), "Timeouts(connect=..., first_byte=...)"),
    (lambda: Client("a", timeout=True), "timeout=True must be a positive number"),
    (lambda: Client("a", retries=0), "retries=0 must be at least 1"),
    (lambda: Client("a", options={"temperature": "hot"}), "temperature='hot' must be a number"),
    (lambda: Client("a", options=Options(max_tokens=0)), "max_tokens=0 must be at least 1"),
    (lambda: Client("a", top_p=0.5), "use options={'top_p': ...}"),
    (lambda: Client("a", sessoin=None), "unknown argument 'sessoin'; did you mean 'session'?"),
    (lambda: Client("a", session=sys), "session=the module sys is not a session"),
    (lambda: Client("a", config={}), "is not a botocore.config.Config"),
    (lambda: Client("a", endpoint_url="localhost:8000"), "did you mean http://localhost:8000?"),
    (lambda: Client("a", endpoint_kwargs="b"), "endpoint_kwargs='b' must be a mapping"),
    (lambda: Client("a", max_response_bytes=-5), "max_response_bytes=-5"),
    (lambda: Client(url="llm.example.org/v1"), "did you mean https://llm.example.org/v1?"),
    (lambda: Client("a", transport=AsyncInference(upload_to="my-bucket")), "s3://bucket/folder"),
]


@each(("make", "told"), CLIENTS)
def test_of_a_client(make, told):
    with pytest.raises(UsageError) as caught:
        make()
    assert told in str(caught.value)
    assert len(traceback.format_exception(caught.value)) <= 9


CHATS = [
    ({"prompt": "Hi"}, "chat() needs its messages first, not as prompt="),
    ({}, "chat() needs its messages first: client.chat('Hi')"),
    ({"messages": ""}, "the message is empty"),
    ({"messages": []}, "messages is empty"),
    ({"messages": b"Hi"}, "decode them"),
    ({"messages": ("user", "Hi")}, "write {'role': 'user', 'content': 'Hi'}"),
    ({"messages": [("human", "Hi")]}, "write {'role': 'user', 'content': 'Hi'}"),
    ({"messages": ["Hi"]}, "write [{'role': 'user', 'content': 'Hi'}]"),
    ({"messages": [{"user": "Hi"}]}, "a message needs a role and a content"),
    ({"messages": [{"role": "usr", "content": "Hi"}]}, "unknown role 'usr'; did you mean 'user'?"),
    ({"messages": [{"role": "AI", "content": "Hi"}]}, "unknown role 'AI'; did you mean 'assistant'?"),
    ({"messages": [{"role": "user", "text": "Hi"}]}, "unknown key 'text' in a message; did you mean 'content'?"),
    ({"messages": [{"role": "user"}]}, "a message needs a role and a content"),
    ({"messages": [{"role": "user", "content": 5}]}, "not int: 5"),
    ({"messages": Message("usr", "Hi")}, "unknown role 'usr'; did you mean 'user'?"),
    ({"messages": [Message("Hi")]}, "write Message('user', 'Hi')"),
    ({"messages": [Message("user", 5)]}, "not int: 5"),
    ({"messages": [Message]}, "the class Message"),
    ({"messages": [Message("user", (TextPart("a"), ImagePart("a.png")))]}, "read_bytes()"),
    ({"messages": [Message("user", (ImagePart(),))]}, "ImagePart is empty"),
    ({"messages": [Message("user", (ImagePart(data="a"),))]}, "as bytes, not str"),
    ({"messages": Reply()}, "reply.message is the answer as a message"),
    ({"temperature": "0.5"}, "not a string: temperature=0.5"),
    ({"temperature": True}, "temperature=True must be a number"),
    ({"temperature": -1}, "temperature=-1 must be a number of at least 0"),
    ({"top_p": 2}, "top_p=2 must be a number between 0 and 1"),
    ({"top_k": 0.5}, "top_k=0.5 must be a whole number"),
    ({"max_tokens": "100"}, "not a string: max_tokens=100"),
    ({"max_tokens": -1}, "leave it out for the server's own limit"),
    ({"max_new_tokens": 5}, "did you mean 'max_tokens'?"),
    ({"max_length": 5}, "use max_tokens="),
    ({"stop": 5}, "stop=5 must be a string or a list of strings"),
    ({"stop": {"a": 1}}, "must be a string or a list of strings"),
    ({"n": 0}, "n=0 must be at least 1"),
    ({"logprobs": 5}, "top_logprobs=5 asks for alternatives"),
    ({"model": 5}, "model=5 must be a string"),
    ({"extra": {1: 2}}, "the name of a setting is a string"),
    ({"system": "Be brief."}, "put it first: [{'role': 'system'"),
    ({"functions": []}, "use tools=[...]"),
    ({"endpoint_kwargs": 5}, "endpoint_kwargs=5 must be a mapping"),
    ({"parallel_tool_calls": "no"}, "must be True, False or None"),
    ({"tools": add}, "a function: describe it, tools=[Tool('add', 'Add two numbers.', {...})]"),
    ({"tools": [Answer]}, "Answer.model_json_schema()"),
    ({"tools": Tool("f")}, "put it into a list"),
    ({"tools": [Tool("")]}, "a tool needs a name"),
    ({"tools": [Tool("f", {"type": "object"})]}, "takes a description and a JSON schema"),
    ({"tools": [{"name": "f", "params": {}}]}, "did you mean 'parameters'?"),
    ({"tools": [Tool("f")], "tool_choice": Tool("f")}, "tool_choice=tool.name"),
    ({"response_format": Answer}, "'schema': Answer.model_json_schema()"),
    ({"response_format": "json"}, "{'type': 'json_object'}"),
    ({"response_format": {"type": "json"}}, "did you mean 'json_object' or 'json_schema'?"),
    ({"response_format": {"type": "object", "properties": {}}}, "looks like a JSON schema by itself"),
    ({"response_format": {"type": "json_schema", "json_schema": {"type": "object"}}}, "has no schema"),
]


@each(("arguments", "told"), CHATS)
def test_of_a_chat(arguments, told):
    if not {"prompt", "messages"} & arguments.keys() and arguments:
        arguments = {"messages": "Hi", **arguments}
    # Nothing listens there: what is not refused fails otherwise.
    client = Client(url="http://127.0.0.1:9", handler="openai_chat", retries=1)
    with pytest.raises(UsageError) as caught:
        client.chat(**arguments)
    assert told in str(caught.value)
    assert len(traceback.format_exception(caught.value)) <= 8


async def test_of_the_other_methods():
    client = Client(url="http://127.0.0.1:9", handler="tei")
    told = {
        "chat() takes messages without a name": lambda: client.chat("Be brief.", "Hi"),
        "complete() needs its prompt first": lambda: client.complete(),
        "embed() needs its texts first, not as input=": lambda: client.embed(input=["a"]),
        "embed() has no argument 'normalise': use normalize=": lambda: client.embed(["a"], normalise=True),
        "unknown argument of embed() 'dimension'; did you mean 'dimensions'?": lambda: client.embed(["a"], dimension=2),
        "rerank() has no argument 'top_k': use top_n=": lambda: client.rerank("a", ["b"], top_k=2),
        "rerank() needs its documents first": lambda: client.rerank("a"),
        "'tei' is not a handler, but for another task": lambda: client.chat("Hi"),
    }
    for message, call in told.items():
        with pytest.raises(UsageError) as caught:
            call()
        assert message in str(caught.value)
    with pytest.raises(UsageError, match=r"embed\(\) needs its texts first"):
        await AsyncClient(url="http://127.0.0.1:9", handler="tei").embed()


CONSTRUCTORS = [
    (lambda: Timeouts(connct=1), "unknown argument of Timeouts() 'connct'; did you mean 'connect'?"),
    (lambda: Timeouts(read=5), "Timeouts() has no argument 'read': use idle= between two pieces"),
    (lambda: Timeouts(1, 2, 3, 4, 5), "takes at most 4 arguments without a name. Known: connect, first_byte, idle"),
    (lambda: Timeouts(1, connect=2), "got 'connect' twice, once without its name"),
    (lambda: Retries(max_attempts=3), "use attempts=, which counts the first call"),
    (lambda: Retries(atempts=3), "did you mean 'attempts'?"),
    (lambda: Hooks(on_error=print), "use on_response=, which is told of errors"),
    (lambda: Message(), "Message() needs a role and a content: Message('user', 'Hi')"),
    (lambda: Message(content="Hi"), "Message() needs a role and a content"),
    (lambda: Message("user", text="Hi"), "Message() has no argument 'text': use content="),
    (lambda: Message("user", contnt="Hi"), "unknown argument of Message() 'contnt'; did you mean 'content'?"),
    (lambda: Tool(), "Tool() needs 'name'"),
    (lambda: Tool("f", input_schema={}), "use parameters=, a JSON schema"),
    (lambda: ImagePart(path="a.png"), "use data=pathlib.Path('image.png').read_bytes()"),
    (lambda: AsyncInference(bucket="b"), "use upload_to='s3://bucket/folder'"),
    (lambda: Http(), "Http() needs 'url'"),
    (lambda: Http("http://a", api_key="a secret"), "Http() has no argument 'api_key': use token="),
    (lambda: Boto3(), "Boto3() needs 'client'"),
    (lambda: assume_role_session("arn", region="a"), "use region_name="),
    (lambda: assume_role_session("arn", "us-east-1"), "takes at most 1 argument without a name"),
]


@each(("make", "told"), CONSTRUCTORS)
def test_of_values(make, told):
    with pytest.raises(UsageError) as caught:
        make()
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)
    # The line of the caller's, and the one that raised.
    assert len(traceback.extract_tb(caught.value.__traceback__)) <= 4
    assert caught.value.__suppress_context__


def test_a_message_is_made_as_its_fields_say():
    parameters = inspect.signature(Message).parameters
    for field in fields(Message):
        default = None if field.name == "extra" else field.default
        assert field.name == "role" or parameters[field.name].default == default
    assert Message("user").extra == {}
    assert replace(Message("user", "a", name="b"), content="c") == Message("user", "c", name="b")
    # An error of the value itself is not taken for one of its arguments.
    with pytest.raises(TypeError, match="unhashable"):
        hash(Message("user", [TextPart("a")]))


ATTRIBUTES = [
    (Client("a"), "chatt", "did you mean 'chat'?"),
    (Client("a"), "invoke", "use client.chat(messages)"),
    (Client("a"), "ainvoke", "use sagewire.AsyncClient"),
    (AsyncClient("a"), "achat", "use chat: the methods of AsyncClient are awaited"),
    (Client("a"), "completions", "openai_client('my-endpoint') returns one"),
    (Client("a").stream("Hi"), "choices", "then .reply.choices is there"),
    (Reply(), "content", "use .text"),
    (Reply(), "split", "use .text.split"),
    (Reply(), "txet", "did you mean 'text'?"),
    (Choice(), "message", "of the first one, reply.text"),
    (MetadataDelta(), "text", "for the text alone: `for text in client.stream(...).text`"),
    (Usage(), "input_tokens", "use prompt_tokens"),
    (Embeddings(), "shape", "use .as_numpy()"),
]


@each(("thing", "name", "told"), ATTRIBUTES)
def test_of_attributes(thing, name, told):
    with pytest.raises(AttributeError) as caught:
        getattr(thing, name)
    assert told in str(caught.value)
    assert getattr(thing, name, 5) == 5


async def test_of_operators():
    stream, other = Client("a").stream("Hi"), AsyncClient("a").stream("Hi")
    for wrong in (lambda: stream[0], lambda: len(stream), lambda: other[0], lambda: len(other)):
        with pytest.raises(TypeError, match=r"has no items yet: .* stream\.reply is the whole answer"):
            wrong()
    assert stream
    assert other
    with pytest.raises(TypeError, match=r"`for` and `with`; sagewire\.AsyncClient has one"):
        async with stream:
            pass
    with pytest.raises(TypeError, match="`async for` and `async with`"), other:
        pass
    assert not isinstance(stream, AsyncIterable)
    assert not isinstance(other, Iterable)
    with pytest.raises(TypeError, match=r"use `with`; sagewire\.AsyncClient"):
        async with Client("a"):
            pass
    with pytest.raises(TypeError, match="use `async with`"), AsyncClient("a"):
        pass
    with pytest.raises(TypeError, match=r"use reply\.text"):
        Reply()["text"]
    with pytest.raises(AttributeError, match="a Reply does not change, text neither"):
        Reply().text = "a"


def test_a_property_that_fails_is_not_said_to_be_missing():
    class Broken(Client):
        @property
        def answer(self):
            return self.nothing_of_this_name

    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        Broken("a").answer  # noqa: B018


def test_errors_of_a_call_have_short_tracebacks(monkeypatch):
    client = Client(url="http://127.0.0.1:9", handler="openai_chat", retries=1)
    with pytest.raises(EndpointError) as caught:
        client.chat("Hi")
    text = "".join(traceback.format_exception(caught.value))
    assert "During handling" not in text
    assert "direct cause" not in text
    assert len(text.splitlines()) <= 16
    assert caught.value.__context__ is not None
    monkeypatch.setenv("SAGEWIRE_TRACEBACKS", "full")
    with pytest.raises(EndpointError) as caught:
        client.chat("Hi")
    assert len("".join(traceback.format_exception(caught.value)).splitlines()) > 16


def test_what_is_legal_is_not_a_mistake(monkeypatch: pytest.MonkeyPatch):
    class Stub:
        def invoke_endpoint(self, **_):
            raise NotImplementedError

    assert Client("my_model.v1", client=Stub())
    assert Client("a", region_name="local", endpoint_url="http://127.0.0.1:1")
    with pytest.raises(UsageError, match="is not a URL"):
        Client(url="http://[bad")
