"""SageMaker's own OpenAI route: a server that repeats the request's secrets finds them in no exception of OpenAI's."""

import asyncio
import json
import traceback
from contextlib import closing

import openai
import pytest

from sagewire.aws.session import static_session
from sagewire.integrations.openai import async_openai_client, openai_client

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
    except openai.OpenAIError as error:
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
