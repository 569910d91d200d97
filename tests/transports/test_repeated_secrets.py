"""A server that repeats the request's secrets finds them in no exception, log or pickle, however it writes them."""

import asyncio
import base64
import html
import json
import logging
import pickle
import traceback
from urllib.parse import quote, quote_plus

import boto3
import pytest
from botocore.config import Config

from sagewire import AsyncClient, Client, Hooks, SagewireError
from sagewire.client.transport_choices import Http
from sagewire.http.request import Request
from sagewire.streaming.eventstream import encode_exception, encode_payload_part
from sagewire.transports.secrets import Redactor, secrets_of
from sagewire.transports.sent_secrets import SentSecrets
from sagewire.types import ResponseInfo

from ..cases import each

TOKEN = 'IQoJb3/+Z2lu=="&X' + "t0ken/+" * 20
KEYS = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "s3cr3t",
    "aws_session_token": TOKEN,
    "region_name": "us-east-1",
}
SPELLINGS = {
    "raw": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON of PHP": lambda text: json.dumps(text).replace("/", "\\/"),
    "JSON of Go": lambda text: json.dumps(text).replace("=", "\\u003d").replace("&", "\\u0026").replace("+", "\\u002B"),
    "HTML": html.escape,
    "URL": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "URL in URL": lambda text: quote(quote(text, safe=""), safe=""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of more": lambda text: base64.urlsafe_b64encode(f"x{text}and more".encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
}


def secrets_in(seen):
    """Return what a request carried that is secret."""
    headers = seen.headers
    found = [headers.get("x-amz-security-token"), headers.get("x-key"), headers.get("authorization")]
    return "; ".join(value for value in found if value) + f"; {seen.path}"


def as_error(peer, said):
    peer.answer(json.dumps({"message": f"bad: {said}"}).encode(), 400)


def as_page(peer, said):
    peer.answer(f"<pre>{said}</pre>".encode(), 500, content_type="text/html")


def as_text_for_json(peer, said):
    peer.answer(f"debug: {said}".encode())


def as_other_json(peer, said):
    peer.answer(json.dumps({"debug": said}).encode())


def as_error_of_200(peer, said):
    peer.answer(json.dumps({"error": {"message": said, "code": 400}}).encode())


def in_a_header(peer, said):
    peer.answer(b"{}", 400, **{"x-amzn-requestid": said, "x-request-id": said})


def as_broken_head(peer, said):
    peer.send(f"HTTP/1.1 200 OK\r\n{said}\r\nno colon {said}\r\n\r\n".encode())
    peer.close()


def as_broken_chunk(peer, said):
    peer.send(f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz {said}\r\n".encode())
    peer.close()


def in_pieces(peer, said):
    body = json.dumps({"message": f"bad: {said}"}).encode()
    peer.send(b"HTTP/1.1 400 Bad\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    for at in range(0, len(body), 7):
        peer.chunk(body[at : at + 7])
    peer.end_chunks()


def in_an_event(peer, said):
    data = b"data: " + json.dumps({"error": {"message": said}}).encode() + b"\n\n"
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + data)
    peer.close()


def in_frames(peer, said):
    peer.start_chunks()
    peer.chunk(encode_payload_part(b"data: "))
    peer.chunk(encode_exception("ModelStreamError", json.dumps({"Message": said}).encode()))
    peer.end_chunks()


PLACES = [
    *(as_error, as_page, as_text_for_json, as_other_json, as_error_of_200),
    *(in_a_header, as_broken_head, as_broken_chunk, in_pieces, in_an_event, in_frames),
]


def boto3_client(url):
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client("sagemaker-runtime", endpoint_url=url, config=config, **KEYS)


WAYS = {
    "signed": lambda url: (Client, {"endpoint": "e", "endpoint_url": url, "retries": 1, **KEYS}),
    "signed, async": lambda url: (AsyncClient, {"endpoint": "e", "endpoint_url": url, "retries": 1, **KEYS}),
    "token": lambda url: (Client, {"url": url, "token": TOKEN, "retries": 1}),
    "headers": lambda url: (
        AsyncClient,
        {"transport": Http(f"{url}/v1?code={quote(TOKEN)}", None, {"X-Key": f"id=1; key={TOKEN}"}), "retries": 1},
    ),
    "boto3": lambda url: (Client, {"endpoint": "e", "client": boto3_client(url)}),
    "boto3, async": lambda url: (AsyncClient, {"endpoint": "e", "client": boto3_client(url)}),
}


@pytest.fixture(params=WAYS)
def ask(request, server):
    """Return a function that makes a call of a client and returns its error, if it has one."""
    kind, arguments = WAYS[request.param](server.url)
    told = []
    hooks = Hooks(on_response=lambda call: told.extend(said_by(call.error) if call.error else ()))
    client = kind(handler="openai_chat", hooks=hooks, **arguments)
    replies = []

    async def calls(what):
        if what in ("chat", "reply"):
            replies.append(await client.chat("Hi"))
        else:
            async with client.stream("Hi") as stream:
                async for _ in stream:
                    pass
        await client.close()

    def call(what):
        try:
            if kind is AsyncClient:
                asyncio.run(calls(what))
                return replies.pop() if what == "reply" else None
            if what == "reply":
                return client.chat("Hi")
            if what == "chat":
                client.chat("Hi")
            else:
                list(client.stream("Hi"))
        except SagewireError as error:
            return error
        return None

    call.told = told
    yield call
    if kind is Client:
        client.close()


def said_by(error):
    """Return everything that an error says, its causes included."""
    yield "".join(traceback.format_exception(error))
    yield repr(pickle.loads(pickle.dumps(error)).__dict__)
    while error is not None:
        yield f"{error!r} {error} {error.args} {vars(error)}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def inner(text):
    """Return the middle of a text in the spellings of the test: a piece that no other text has."""
    return text[len(text) // 4 : -len(text) // 4]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("what", ["chat", "stream"])
def test_no_spelling_of_a_secret_comes_through(server, ask, place, what, caplog):
    caplog.set_level(logging.DEBUG, logger="sagewire")
    spell = str
    server.script = lambda peer, seen: place(peer, spell(secrets_in(seen)))
    for spell in SPELLINGS.values():  # noqa: B007 - the script uses it
        error = ask(what)
        hidden = [inner(write(TOKEN)) for write in SPELLINGS.values()]
        logged = [record.getMessage() for record in caplog.records if record.name.startswith("sagewire")]
        for text in (*(said_by(error) if error is not None else ()), *ask.told, *logged):
            assert "t0ken" not in text
            for part in hidden:
                assert part not in text


@pytest.mark.parametrize("name", ["x-amzn-requestid", "x-request-id", "x-amzn-sagemaker-custom-attributes"])
def test_no_id_of_an_answer_that_went_well_is_a_secret(server, ask, name):
    chat = {"choices": [{"message": {"role": "assistant", "content": "ok"}}]}

    def script(peer, seen):
        secret = seen.headers.get("x-amz-security-token") or seen.headers.get("x-key") or seen.headers["authorization"]
        peer.answer(json.dumps(chat).encode(), **{name: secret})

    server.script = script
    reply = ask("reply")
    assert "t0ken" not in repr(reply.info)


@each(
    ("own", "sent"),
    [
        ("0123456789abcdef0123456789abcdef", {"X-Key": "0123456789abcdef0123456789abcdef"}),
        ("0123456789abcdef", {"Authorization": "Bearer 0123456789abcdef"}),
        ("id-0123456789abcdef", {"Authorization": "Bearer 0123456789abcdef"}),
        ("id-0123456789abcdef", {"api-key": "0123456789abcdef"}),
        ("seen hf_0123456789!", {"Authorization": "Bearer hf_0123456789"}),
    ],
)
def test_an_id_that_holds_a_secret_is_masked(own, sent):
    secrets = SentSecrets(dict)
    secrets.note(Request("/", sent, b""))
    assert "***" in secrets.masked(ResponseInfo(request_id=own)).request_id
    other = ResponseInfo(request_id="5b1f1f2e-7d9a-4a3d-8a4b-0d9b1a2c3d4e", production_variant="AllTraffic")
    assert secrets.masked(other) is other


def test_secrets_of_calls_with_earlier_tokens_are_masked_too():
    secrets = SentSecrets(lambda: {"Proxy-Authorization": "Basic bWU6cHJveHktbG9naW4="})
    for number in range(20):
        secrets.note(Request("/", {"Authorization": f"Bearer token-number-{number:03}"}, b""))
    told = "; ".join(f"token-number-{number:03}" for number in range(20)) + "; proxy-login"
    assert secrets.redactor().text(told) == "; ".join(["***"] * 21)


# What is cut in base64 or hexadecimal digits is masked from the twelfth digit on, and is no text that could be read.
WRITTEN = {name: spell for name, spell in SPELLINGS.items() if not name.startswith(("base64", "hexa"))}


@pytest.mark.parametrize("spell", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("length", [24, 60, 90])
def test_an_excerpt_that_ends_inside_a_secret_shows_none_of_it(spell, length):
    shown = Redactor(secrets_of({"X-Key": TOKEN})).text(f"got {spell(TOKEN)[:length]}...")
    assert "***" in shown
    assert "t0ken" not in shown
    assert len(shown) < 16


def test_other_texts_stay_as_they_are():
    redactor = Redactor(secrets_of({"Authorization": "Bearer hf_0123456789", "X-Tenant": "blue"}))
    text = "the bearer of hf_0123456780 in blue: 50% off & more \\ \\u003d"
    assert redactor.text(text) == text


@pytest.mark.parametrize("piece", ["I", "IQoJb3/+", TOKEN[:-1], "\\", "I\\", "Signature=ab12", "%25"])
def test_a_long_text_is_read_in_linear_time(piece):
    redactor = Redactor([TOKEN, "a" * 500])
    text = piece * (200_000 // len(piece))
    assert len(redactor.text(text)) <= len(text)


def test_parts_of_headers_are_secrets_too():
    login = base64.b64encode(b"me:passw0rd!").decode()
    found = secrets_of({"Authorization": f"Basic {login}", "Cookie": "sid=0123456789; x=1"}, "/v1?code=k%2Fey-123")
    assert {"passw0rd!", login, "0123456789", "k/ey-123"} <= set(found)


def test_what_another_library_holds_of_a_large_answer_is_cut() -> None:
    try:
        json.loads("x" * 9_000_000 + TOKEN)
    except json.JSONDecodeError as error:
        held = error
    failure = SagewireError("not JSON")
    failure.__cause__ = held
    Redactor([TOKEN]).error(failure)
    # To look through megabytes, several times, would stop a gateway's other requests for seconds.
    assert len(held.doc) < 100_000
    assert TOKEN not in held.doc
