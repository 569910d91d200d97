"""SageMaker's own OpenAI route: a server that repeats the request's secrets finds them in no exception of OpenAI's."""

import asyncio
import json
import traceback
from contextlib import closing

import httpx
import openai
import pytest

from sagewire.aws.session import static_session
from sagewire.http.request import Request
from sagewire.integrations.openai import async_openai_client, openai_client
from sagewire.integrations.openai._sent_request import SentRequest

from ...cases import each
from ...transports.conftest import Server

HIDDEN = ("t0ken", "hidden-header")
MESSAGES = [{"role": "user", "content": "Hi"}]
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def said(seen):
    return f"{seen.headers['authorization']} {seen.headers['x-key']}"


def as_error(peer, seen):
    peer.answer(json.dumps({"error": {"message": f"bad: {said(seen)}", "debug": [said(seen)]}}).encode(), 400)


def as_page(peer, seen):
    peer.answer(f"<pre>{said(seen)}</pre>".encode(), 502, content_type="text/html")


def in_headers(peer, seen):
    peer.answer(b"{}", 422, **{"x-request-id": said(seen), "x-debug": said(seen)})


def as_broken_head(peer, seen):
    peer.send(f"HTTP/1.1 200 OK\r\n{said(seen)}\r\n\r\n".encode())
    peer.close()


def in_an_event(peer, seen):
    event = f"data: {json.dumps({'error': {'message': said(seen)}})}\r\n\r\n".encode()
    peer.send(EVENTS + event[:40])
    peer.send(event[40:])
    peer.close()


def as_the_last_words(peer, seen):
    peer.send(EVENTS + f"event: error\ndata: {json.dumps({'error': said(seen)})}".encode())
    peer.close()


def in_a_broken_chunk(peer, seen):
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    peer.send(f"zz {said(seen)}\r\n".encode())
    peer.close()


PLACES = [as_error, as_page, in_headers, as_broken_head, in_an_event, as_the_last_words, in_a_broken_chunk]


@pytest.fixture(scope="module")
def server():
    with closing(Server()) as server:
        yield server


def arguments(server):
    session = static_session("AKIDEXAMPLE", "not-a-secret", "IQoJb3t0ken" * 9, region_name="us-east-1")
    more = {"default_headers": {"X-Key": "hidden-header"}, "max_retries": 0}
    return {"session": session, "endpoint_url": server.url, "route": "sagemaker", **more}


def ask(server, *, stream):
    with openai_client("e", **arguments(server)) as client:
        answer = client.chat.completions.create(model="", messages=MESSAGES, stream=stream)
        return list(answer) if stream else answer


async def ask_async(server, *, stream):
    async with async_openai_client("e", **arguments(server)) as client:
        answer = await client.chat.completions.create(model="", messages=MESSAGES, stream=stream)
        return [chunk async for chunk in answer] if stream else answer


def shown_by(error):
    yield "".join(traceback.format_exception(error))
    while error is not None:
        yield repr([error.args, {name: repr(value) for name, value in vars(error).items()}])
        for name in ("request", "response"):
            found = getattr(error, name, None)
            if found is not None:
                yield repr(dict(found.headers))
        yield getattr(getattr(error, "response", None), "text", "")
        error = error.__cause__ or error.__context__


@each(("place", "stream"), [(place, stream) for place in PLACES for stream in (False, True)])
@pytest.mark.parametrize("way", ["sync", "async"])
def test_no_exception_shows_what_the_request_carried(server, place, stream, way):
    server.script = place
    try:
        if way == "sync":
            ask(server, stream=stream)
        else:
            asyncio.run(ask_async(server, stream=stream))
    except (openai.OpenAIError, httpx.HTTPError) as error:  # OpenAI 2.0 lets httpx's own pass while a stream is read
        for text in shown_by(error):
            assert not any(hidden in text for hidden in HIDDEN), text
    else:
        # OpenAI's client reads on behind a broken line, and takes an event without an end for none.
        assert not stream or place in (as_broken_head, as_the_last_words)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_an_answer_is_handed_on_as_it_came(server, way):
    chunk = {"choices": [{"index": 0, "delta": {"content": "an error: \u2028 ok"}}]}
    wanted = f": hello\r\ndata: {json.dumps(chunk)}\r\n\r\ndata: [DONE]\n\n".encode()

    def script(peer, seen):
        peer.send(EVENTS)
        for at in range(len(wanted)):
            peer.send(wanted[at : at + 1])
        peer.close()

    server.script = script
    chunks = ask(server, stream=True) if way == "sync" else asyncio.run(ask_async(server, stream=True))
    assert [one.choices[0].delta.content for one in chunks] == ["an error: \u2028 ok"]


def test_the_key_of_a_later_attempt_is_the_key(server):
    seen = []

    def script(peer, request):
        seen.append(request.headers["authorization"])
        peer.answer(b"{}", 500) if len(seen) == 1 else peer.answer(b'{"choices": []}')

    server.script = script
    with openai_client("e", **{**arguments(server), "max_retries": 1}) as client:
        client.with_options(timeout=9).chat.completions.create(model="", messages=MESSAGES)
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert seen[0].startswith("Bearer ")


TOLD = {"authorization": "Bearer hidden-token", "x-team": "assistant", "x-project": "weather"}
GOOD = json.dumps({"choices": [{"message": {"role": "assistant", "content": "No error in the weather data."}}]})
UNCHANGED = [
    GOOD,
    json.dumps(json.loads(GOOD), indent=1),
    json.dumps({"object": "response", "error": None, "output": [{"role": "assistant", "text": "weather"}]}),
    f"data: {GOOD}\n\ndata: {GOOD}\r\n\r\n: assistant error\r\rdata: [DONE]",
    f"{GOOD}\n{GOOD}\n",
    "an error of the weather, said the assistant\n\n",
]
FAILURES = [
    '{"error": {"message": "weather, hidden-token"}}',
    '{\n "error": {\n  "message": "weather, hidden-token"\n }\n}\n',
    '{"error": {"message": "weather, hidden-token"',
    '{"object": "error", "message": "weather, hidden-token"}',
    'data: {"error": "weather, hidden-token"}\n\n',
    'data: {"error":\r\ndata: "weather, hidden-token"}\r\n\r\n',
    'event: error\rdata: weather, hidden-token\r\r',
    'event: error\ndata: weather, hidden-token',
    'data: {"type": "error", "message": "weather, hidden-token"}\n\n',
    'data: {"type": "response.failed", "response": {"id": "weather, hidden-token"}}\n\n',
]  # fmt: skip


def handed_on(wanted, *, at=None):
    """Return a body as it is handed on, cut at one place or at every byte."""
    sent = SentRequest(Request("/v1/chat/completions?api-version=weather", TOLD, b""), {})
    cuts = [wanted[:at], wanted[at:]] if at is not None else [bytes([byte]) for byte in wanted]
    return b"".join(sent.pieces(chunk for chunk in cuts)).decode()


def each_way(body):
    data = body.encode()
    return {handed_on(data), *(handed_on(data, at=at) for at in range(len(data) + 1))}


@each("body", UNCHANGED)
def test_a_good_answer_is_handed_on_as_it_came_whatever_the_headers_say(body):
    assert each_way(body) == {body}


@each("body", FAILURES)
def test_an_error_with_a_good_status_is_masked_wherever_it_is_cut(body):
    masked = body.replace("weather", "***").replace("hidden-token", "***")
    assert each_way(body) == {masked}
    if body.startswith(("data", "event")) and body.endswith(("\n\n", "\r\r")):
        good = f"data: {GOOD}\n\n"
        assert each_way(good + body + good) == {good + masked + good}


def test_an_error_beside_choices_loses_what_lets_somebody_in_alone():
    body = '{"choices": [{"text": "weather"}], "error": {"message": "weather, hidden-token"}}'
    assert each_way(body) == {body.replace("hidden-token", "***")}


def test_a_long_error_is_masked_to_its_end_and_a_long_answer_is_not():
    long = "-" * (1 << 20)
    said = [f'data: {{"error": "{long}', "weather, ", 'hidden-token"}\n\n', f"data: {GOOD}\n\n"]
    sent = SentRequest(Request("/", TOLD, b""), {})
    told = b"".join(sent.pieces(piece.encode() for piece in said)).decode()
    assert told == "".join(said[:3]).replace("weather", "***").replace("hidden-token", "***") + said[3]
    body = GOOD.replace("data.", f"data. {long}")
    assert handed_on(body.encode(), at=len(body) - 9) == body


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("stream", [False, True])
def test_openai_clients_read_a_good_answer_that_speaks_of_errors(server, way, stream):
    part = json.loads(GOOD)["choices"][0]["message"]
    event = {"choices": [{"index": 0, "delta": part}]}

    def script(peer, seen):
        if not stream:
            peer.answer(GOOD.encode())
            return
        peer.send(EVENTS + f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())
        peer.close()

    server.script = script
    headers = {"x-team": "assistant", "x-project": "weather"}
    told = {**arguments(server), "default_headers": headers}
    asked = {"model": "", "messages": MESSAGES, "stream": stream}

    async def ask_once():
        async with async_openai_client("e", **told) as client:
            answer = await client.chat.completions.create(**asked)
            return [chunk async for chunk in answer] if stream else answer

    if way == "sync":
        with openai_client("e", **told) as client:
            answer = client.chat.completions.create(**asked)
            answer = list(answer) if stream else answer
    else:
        answer = asyncio.run(ask_once())
    found = answer[0].choices[0].delta if stream else answer.choices[0].message
    assert (found.role, found.content) == (part["role"], part["content"])
