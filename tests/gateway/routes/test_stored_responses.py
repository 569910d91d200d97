"""Stored answers of the Responses API: two turns with OpenAI's own client, and who may refer to what."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from sagewire.errors import UsageError
from sagewire.gateway import stored_responses
from sagewire.gateway.accounting.database import open_store
from sagewire.gateway.accounting.store_errors import StoreError
from sagewire.gateway.body_room import BodyRoom
from sagewire.gateway.config import parse_config
from tests.cases import each

CONFIG = """
models:
  chat: {endpoint: chat, handler: openai_chat}
  schema: {endpoint: schema, handler: openai_chat}
  broken: {endpoint: chat--model-stream-error, handler: openai_chat}
keys:
  - {name: alice, key: key-of-alice}
  - {name: bob, key: key-of-bob}
  - {name: few, key: key-of-few, tokens_per_minute: 300}
server: {store_responses: 7d, store_responses_bytes: 200000, max_body_bytes: 100000}
"""
TOOL = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    "strict": None,
}


@pytest.fixture
def gateway(start):
    return start(CONFIG)


@pytest.fixture
def client(gateway):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="key-of-alice", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, stream: bool, **arguments: Any) -> Response:
    if not stream:
        return client.responses.create(**arguments)
    with client.responses.stream(**arguments) as events:
        for _ in events:
            pass
        return events.get_final_response()


@pytest.mark.parametrize("stream", [False, True])
def test_two_turns(client: openai.OpenAI, upstream, stream: bool) -> None:
    first = ask(client, stream, model="chat", input="I am called Ada.", instructions="Be kind.")
    assert (first.store, first.previous_response_id) == (True, None)
    second = ask(client, stream, model="chat", input="What is my name?", previous_response_id=first.id)
    assert (second.store, second.previous_response_id) == (True, first.id)
    # Instructions are of one request, as in OpenAI's API.
    assert upstream.calls[-1].json["messages"] == [
        {"role": "user", "content": "I am called Ada."},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "What is my name?"},
    ]
    read = client.responses.retrieve(second.id)
    assert (read.output_text, read.usage, read.store) == (second.output_text, second.usage, True)
    Response.model_validate(read.to_dict())
    asked = client.responses.input_items.list(second.id, order="asc")
    assert [item.role for item in asked] == ["user", "assistant", "user"]
    assert [item.id for item in asked][1] == first.output[0].id
    # A page of it, the newest first.
    (newest,) = client.responses.input_items.list(second.id, limit=1).data
    assert newest.content[0].text == "What is my name?"
    client.responses.delete(first.id)
    for call in (
        lambda: client.responses.retrieve(first.id),
        lambda: client.responses.delete(first.id),
        lambda: client.responses.input_items.list(second.id),
        lambda: client.responses.create(model="chat", input="And now?", previous_response_id=second.id),
    ):
        with pytest.raises(openai.NotFoundError, match="there is no response"):
            call()


def test_what_a_few_bytes_stand_for_takes_room(gateway, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    give_back = BodyRoom.give_back
    monkeypatch.setattr(BodyRoom, "give_back", lambda room, log: (kept.append(log.body_room), give_back(room, log))[1])
    # Short enough to take none by itself; the model repeats it.
    first = client.responses.create(model="chat", input="a" * 35_000)
    second = client.responses.create(model="chat", input="b", previous_response_id=first.id)
    item = {"type": "item_reference", "id": second.output[0].id}
    # The whole room of the key is not too little for a short one.
    client.responses.create(model="chat", input=[item])
    client.responses.create(model="chat", input="c", previous_response_id=second.id)
    assert [size > 70_000 for size in kept if size] == [True, True], kept
    assert gateway.gateway.body_room._total == 0


@pytest.mark.parametrize("stream", [False, True])
def test_tools_and_references(client: openai.OpenAI, upstream, stream: bool) -> None:
    question = {"role": "user", "content": "Add 1."}
    first = ask(client, stream, model="schema", input=[question], tools=[TOOL], tool_choice="required")
    (call,) = [item for item in first.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "2"}
    ask(client, stream, model="chat", input=[result], previous_response_id=first.id)
    sent = upstream.calls[-1].json["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == call.call_id
    # The way of Vercel's AI SDK: items of answers by their ids, and all else as it is.
    references = [{"type": "item_reference", "id": item.id} for item in first.output]
    answer = ask(client, stream, model="chat", input=[question, *references, result])
    assert upstream.calls[-1].json["messages"] == sent
    # The reference stands for the item also in what is stored.
    kinds = [item.type for item in client.responses.input_items.list(answer.id, order="asc")]
    assert kinds == ["message", *[item.type for item in first.output], "function_call_output"]


def test_what_is_not_to_be_stored_is_not(client: openai.OpenAI, upstream) -> None:
    first = client.responses.create(model="chat", input="One")
    second = client.responses.create(model="chat", input="Two", previous_response_id=first.id, store=False)
    assert not second.store
    assert len(upstream.calls[-1].json["messages"]) == 3
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)
    stream = client.responses.create(model="broken", input="Hello there", stream=True)
    begun = [event.response for event in stream if event.type == "response.created"]
    # Half an answer is nothing to go on from.
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(begun[0].id)


def test_another_key_learns_nothing(gateway, client: openai.OpenAI) -> None:
    # A caller chooses the id of a request, and so must not choose that of an answer.
    first = client.responses.create(model="chat", input="A secret", extra_headers={"x-request-id": "mine"})
    assert "mine" not in first.id
    assert gateway.get("/v1/responses/" + first.id).status == 401
    references = [{"type": "item_reference", "id": first.output[0].id}]
    with openai.OpenAI(base_url=gateway.url, api_key="key-of-bob", max_retries=0) as bob:
        for one in (
            lambda id: bob.responses.retrieve(id),
            lambda id: bob.responses.delete(id),
            lambda id: bob.responses.input_items.list(id),
            lambda id: bob.responses.create(model="chat", input="Go on", previous_response_id=id),
            lambda id: bob.responses.create(
                model="chat", input=references if id == first.id else [{"type": "item_reference", "id": id}]
            ),
        ):
            with pytest.raises(openai.NotFoundError) as other:
                one(first.id)
            with pytest.raises(openai.NotFoundError) as unknown:
                one("resp_unknown")
            told = str(other.value.body).replace(first.id, "ID").replace(first.output[0].id, "ID")
            assert told == str(unknown.value.body).replace("resp_unknown", "ID")
    assert client.responses.retrieve(first.id).id == first.id


@each(
    ("change", "status", "says"),
    [
        ({"previous_response_id": 5}, 400, "previous_response_id"),
        ({"previous_response_id": ""}, 400, "previous_response_id"),
        ({"previous_response_id": "resp_\0' OR 1=1 --"}, 404, "no response"),
        ({"previous_response_id": "r" * 5000}, 404, "no response"),
        ({"previous_response_id": "响应\U0001f600"}, 404, "no response"),
        ({"previous_response_id": ["resp_1"]}, 400, "previous_response_id"),
        ({"previous_response_id": "resp_1", "input": None}, 400, "must be a text"),
        ({"previous_response_id": "resp_1", "input": {"a": 1}}, 400, "must be a text"),
        ({"input": [{"type": "item_reference"}]}, 400, "needs the 'id'"),
        ({"input": [{"type": "item_reference", "id": 7}]}, 400, "needs the 'id'"),
        ({"input": [{"type": "item_reference", "id": "%"}]}, 404, "no item"),
        ({"input": [{"id": "msg_unknown"}]}, 404, "no item"),
        ({"store": "yes"}, 400, "store"),
        ({"conversation": "conv_1"}, 400, "not kept here"),
        ({"background": True}, 400, "background"),
    ],
)
def test_what_is_wrong_is_said(gateway, change: dict, status: int, says: str) -> None:
    body = {"model": "chat", "input": "Hi", **change}
    answer = gateway.post("/v1/responses", body, authorization="Bearer key-of-alice")
    assert answer.status == status, answer.data
    assert says in answer.json()["error"]["message"]


@each(
    ("path", "status"),
    [
        ("resp_1", 404),
        ("resp_%00", 404),
        ("..%2Fmodels", 404),
        ("resp_1/", 404),
        ("resp_1/input_items?limit=0", 400),
        ("resp_1/input_items?limit=101", 400),
        ("resp_1/input_items?limit=²", 400),
        ("resp_1/input_items?order=up", 400),
        ("resp_1/input_items?after=x", 404),
        ("resp_1?stream=true", 400),
        ("resp_1/cancel", 404),
    ],
)
def test_paths(gateway, path: str, status: int) -> None:
    assert gateway.get(f"/v1/responses/{path}", authorization="Bearer key-of-alice").status == status


def test_a_conversation_is_bounded(gateway, client: openai.OpenAI, upstream, until) -> None:
    calls = len(upstream.calls)
    large = client.responses.create(model="chat", input="x" * 40_000)
    # Few bytes that stand for many.
    reference = {"type": "item_reference", "id": large.output[0].id}
    with pytest.raises(openai.APIStatusError, match="larger than 100000") as error:
        client.responses.create(model="chat", input=[reference] * 50)
    assert error.value.status_code == 413
    second = client.responses.create(model="chat", input="y" * 10_000, previous_response_id=large.id)
    with pytest.raises(openai.APIStatusError, match="begin a new one"):
        client.responses.create(model="chat", input="z", previous_response_id=second.id)
    assert len(upstream.calls) == calls + 2
    # The key's oldest ones go.
    last = [client.responses.create(model="chat", input="w" * 30_000) for _ in range(5)][-1]
    path = f"/v1/responses/{large.id}"
    until(lambda: gateway.get(path, authorization="Bearer key-of-alice").status == 404)
    assert client.responses.retrieve(last.id).id == last.id
    many = {"model": "chat", "input": [{"role": "user", "content": ""}] * 5000}
    assert gateway.post("/v1/responses", many, authorization="Bearer key-of-alice").status in (400, 413)


def test_items_are_bounded_in_number_and_bytes(client: openai.OpenAI, upstream) -> None:
    messages = [{"role": "user", "content": ""}] * 50
    calls, id = len(upstream.calls), None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_responses, "MAX_INPUTS", 101)
        for _ in range(2):
            id = client.responses.create(model="chat", input=messages, previous_response_id=id).id
        # With its own output, that is one too many.
        with pytest.raises(openai.APIStatusError, match="more than 101 items") as error:
            client.responses.create(model="chat", input="Go on", previous_response_id=id)
        assert error.value.status_code == 413
        assert len(client.responses.input_items.list(id, limit=1).data) == 1
        patch.setattr(stored_responses, "MAX_INPUTS", 100)
        with pytest.raises(openai.APIStatusError, match="more than 100 items") as error:
            client.responses.input_items.list(id)
        assert error.value.status_code == 413
    assert len(upstream.calls) == calls + 2
    # Items that are there are not said to be missing when they are too large together.
    answers = [client.responses.create(model="chat", input="x" * 30_000) for _ in range(2)]
    ids = [one.output[0].id for one in answers] + [
        client.responses.input_items.list(one.id).data[0].id for one in answers
    ]
    references = [{"type": "item_reference", "id": id} for id in ids]
    with pytest.raises(openai.APIStatusError, match="larger than 100000") as error:
        client.responses.create(model="chat", input=references)
    assert error.value.status_code == 413


def test_a_deletion_that_fails_harms_nobody(client: openai.OpenAI, monkeypatch, until, caplog) -> None:
    asked = []

    def oldest(*arguments: object) -> list[int]:
        asked.append(arguments)
        raise StoreError("gone")

    monkeypatch.setattr(stored_responses.ResponseTable, "oldest", oldest)
    first = client.responses.create(model="chat", input="Hello there")
    assert first.store
    until(lambda: "not deleted yet: gone" in caplog.text)
    assert client.responses.create(model="chat", input="Go on", previous_response_id=first.id).store
    # It is not tried again after each answer.
    assert len(asked) == 1


@each("work", ["get", "add"])
def test_a_key_reads_and_stores_one_at_a_time(gateway, client: openai.OpenAI, monkeypatch, work: str) -> None:
    first = client.responses.create(model="chat", input="Hello there")
    do, at_once, lock = getattr(stored_responses.ResponseTable, work), [0, 0], threading.Lock()

    def slowly(*arguments: Any) -> Any:
        with lock:
            at_once[0] += 1
            at_once[1] = max(at_once)
        # Long enough for another one to begin, if it may.
        time.sleep(0.02)
        with lock:
            at_once[0] -= 1
        return do(*arguments)

    def call(_: int) -> int:
        if work == "add":
            return gateway.post("/v1/responses", {"model": "chat", "input": "Hi"}, **key).status
        return gateway.get(f"/v1/responses/{first.id}", **key).status

    key = {"authorization": "Bearer key-of-alice"}
    with monkeypatch.context() as patched, ThreadPoolExecutor(6) as pool:
        patched.setattr(stored_responses.ResponseTable, work, slowly)
        assert set(pool.map(call, range(6))) == {200}
    assert at_once == [0, 1]


def test_what_comes_from_earlier_counts_towards_limits(gateway) -> None:
    def post(**body: Any) -> Any:
        asked = {"model": "chat", "max_output_tokens": 1, **body}
        return gateway.post("/v1/responses", asked, authorization="Bearer key-of-few")

    first = post(input="word " * 100).json()["id"]
    # Each of them is short, and its prompt is not. Three are too many once the tokens of those before are settled.
    assert 429 in [post(input="x", previous_response_id=first).status for _ in range(6)]


def test_other_workers_have_them_too(start, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    one, other = (start(CONFIG, open_store(url)) for _ in range(2))
    with openai.OpenAI(base_url=one.url, api_key="key-of-alice", max_retries=0) as client:
        streamed = ask(client, True, model="chat", input="Hello there")
    # The last event comes after it is stored.
    with openai.OpenAI(base_url=other.url, api_key="key-of-alice", max_retries=0) as client:
        assert client.responses.create(model="chat", input="Bye", previous_response_id=streamed.id).store


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_cannot_be_stored_says_so(gateway, client: openai.OpenAI, monkeypatch, stream: bool) -> None:
    first = client.responses.create(model="chat", input="Hello there")

    def away(*arguments: object) -> int:
        raise StoreError("cannot store a response in the database: gone")

    monkeypatch.setattr(stored_responses.ResponseTable, "add", away)
    answer = ask(client, stream, model="chat", input="Hello there")
    assert (answer.store, answer.output_text) == (False, first.output_text)
    # It is left alone for some seconds; what needs it is told so.
    with pytest.raises(openai.InternalServerError, match="cannot be read now"):
        client.responses.create(model="chat", input="Go on", previous_response_id=first.id)


def test_off_by_default(start, upstream) -> None:
    gateway = start("models: {chat: {endpoint: chat, handler: openai_chat}}")
    answer = gateway.post("/v1/responses", {"model": "chat", "input": "Hi", "store": True}).json()
    assert answer["store"] is False
    read = gateway.get(f"/v1/responses/{answer['id']}")
    assert (read.status, "server.store_responses" in read.json()["error"]["message"]) == (404, True)
    refused = gateway.post("/v1/responses", {"model": "chat", "input": "Hi", "previous_response_id": answer["id"]})
    assert (refused.status, "store" in refused.json()["error"]["message"]) == (400, True)


@each(
    ("value", "says"),
    [
        ("'7'", "not a duration"),
        ("forever", "not a duration"),
        ("0d", "not a duration"),
        ("999999mo", "beyond the year 9999"),
        ("7", "should be a text"),
    ],
)
def test_durations_that_are_none(value: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        parse_config(f"models: {{m: {{endpoint: e}}}}\nserver:\n  store_responses: {value}", "g.yaml")
    assert "g.yaml, line 3: server.store_responses" in str(error.value)


def test_nothing_of_it_is_in_the_log(gateway, client: openai.OpenAI, capfd, caplog) -> None:
    first = client.responses.create(model="chat", input="A password: hunter2")
    client.responses.create(model="chat", input="Go on", previous_response_id=first.id)
    logged = capfd.readouterr()
    assert "hunter2" not in logged.out + logged.err + caplog.text + json.dumps(gateway.get("/metrics").data.decode())
