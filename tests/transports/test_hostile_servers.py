"""Servers that send what they like, sync and async: nobody gets another's answer, and nothing grows without bounds."""

import gzip
import random
import threading
import time
import tracemalloc
from contextlib import nullcontext, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagewire.errors import (
    AccessDenied,
    EndpointError,
    FrameError,
    ModelError,
    PayloadTooLarge,
    ResponseTooLarge,
    SagewireError,
    StreamTruncated,
    UsageError,
)
from sagewire.http.deadlines import Timeouts
from sagewire.transports.base import Retries
from sagewire.transports.http import AsyncHttpTransport, HttpTransport
from sagewire.types import Invocation

from ..cases import each

CALL = Invocation(b"{}")
ONCE = Retries(attempts=1)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def whole(body, extra=b""):
    return HEAD + extra + b"content-length: %d\r\n\r\n" % len(body) + body


def chunked(*pieces, extra=b"", end=b"0\r\n\r\n"):
    framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return HEAD + extra + b"transfer-encoding: chunked\r\n\r\n" + framed + end


def sends(server, data, close=False):
    def script(peer, seen):
        peer.send(data)
        if close:
            peer.close()

    server.script = script


@pytest.fixture(params=["invoke", "stream"])
def read(request):
    """Return a function that makes a call and returns the bytes of its answer."""
    if request.param == "invoke":
        return lambda carrier, call=CALL: carrier.invoke(call).data
    return lambda carrier, call=CALL: b"".join(carrier.stream(call)[1])


# Interim answers


@pytest.mark.parametrize("status", [100, 102, 103, 199])
@pytest.mark.parametrize("count", [1, 3])
def test_interim_answers_are_read_past(server, carry, read, status, count):
    sends(server, b"HTTP/1.1 %d Go on\r\nlink: </a>\r\n\r\n" % status * count + whole(b"fine"))
    assert read(carry(retries=ONCE)) == b"fine"


def test_interim_answers_that_never_end(server, carry):
    def script(peer, seen):
        while True:
            peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50)

    server.script = script
    with pytest.raises(EndpointError):
        carry(retries=ONCE, timeouts=Timeouts(first_byte=2)).invoke(CALL)


def test_another_protocol(server, carry, read):
    sends(server, b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello")
    with pytest.raises(EndpointError, match="another protocol") as caught:
        read(carry(retries=ONCE))
    assert caught.value.code == "protocol"


def test_a_head_with_a_line_that_is_no_header(server, carry, read):
    # What follows such a line may be what says where the body ends.
    sends(server, HEAD + b"no colon\r\ncontent-length: 4\r\n\r\nfineand more", close=True)
    with pytest.raises(EndpointError) as caught:
        read(carry(retries=ONCE))
    assert caught.value.code == "protocol"


def test_blanks_around_the_transfer_encoding(server, carry, read):
    sends(server, HEAD + b"transfer-encoding:  chunked \r\n\r\n4\r\nfine\r\n0\r\n\r\n")
    assert read(carry(retries=ONCE)) == b"fine"


# Callers one after the other on the same connections

PREFIXES = [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"]
SURPLUS = [
    b"",
    b"\r\n",
    b"x",
    whole(b"of nobody"),
    chunked(b"of nobody"),
    b"HTTP/1.1 103 Early Hints\r\n\r\n",
    b"\0" * 70_000,
]


def honest(body, rng):
    """Return an answer with a body, in one of the ways that HTTP has for it."""
    kind = rng.randrange(5)
    if kind == 0:
        return whole(body)
    if kind == 1:
        return whole(gzip.compress(body), b"content-encoding: gzip\r\n")
    if kind == 2:
        return chunked(body[:1], body[1:])
    if kind == 3:
        return chunked(body, end=b"0\r\nx-trailer: y\r\n\r\n")
    return chunked(gzip.compress(body), extra=b"content-encoding: GZIP\r\n")


class Mischief:
    """Answers each caller with the caller's own body, amid whatever else a server may send."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def __call__(self, peer, seen):
        rng = self.rng
        answer = b"".join(rng.choice(PREFIXES) for _ in range(3)) + honest(seen.body, rng)
        fault = rng.randrange(8)
        if fault == 0:
            # The answer breaks off somewhere, and the next caller must not get the rest.
            peer.send(answer[: rng.randrange(len(answer))])
            peer.close()
        if fault == 1:
            peer.send(b"HTTP/1.1 500 Oh\r\ncontent-length: 4\r\n\r\noops")
        else:
            peer.send(answer + rng.choice(SURPLUS))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 1 << 30))
def test_nobody_gets_the_answer_of_another(seed):
    from .conftest import Carrier, Server

    server = Server(Mischief(seed))
    try:
        for kind, transport in (("sync", HttpTransport), ("async", AsyncHttpTransport)):
            carrier = Carrier(kind, transport(server.url, retries=ONCE, timeouts=Timeouts(first_byte=5, idle=5)))
            wrong, answered = interleave(carrier, seed)
            assert not wrong
            assert answered
            carrier.close()
    finally:
        server.close()


def interleave(carrier, seed):
    """Return the answers that were another's, and the number of those that were right."""
    import asyncio

    names = [b'{"caller": "%d-%s"}' % (number, b"x" * (number % 7)) for number in range(30)]
    found = {}

    def threads(part):
        for name in part:
            try:
                found[name] = carrier.transport.invoke(Invocation(name, path="/x")).data
            except SagewireError as error:
                found[name] = error

    async def tasks():
        async def one(part):
            for name in part:
                try:
                    found[name] = (await carrier.transport.invoke(Invocation(name, path="/x"))).data
                except SagewireError as error:
                    found[name] = error

        await asyncio.gather(*(one(names[first::3]) for first in range(3)))
        await carrier.transport.close()

    if carrier.flavour == "sync":
        callers = [threading.Thread(target=threads, args=(names[first::3],)) for first in range(3)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)
    else:
        asyncio.run(tasks())
    assert found.keys() == set(names)
    wrong = {name: data for name, data in found.items() if isinstance(data, bytes) and data != name}
    return wrong, sum(data == name for name, data in found.items())


@pytest.mark.parametrize("surplus", [whole(b"of nobody"), b"x", b"HTTP/1.1 200 OK\r\n"])
def test_a_connection_on_which_more_came_is_not_used_again(server, carry, surplus):
    def script(peer, seen):
        peer.send(whole(seen.body) + surplus)

    server.script = script
    carrier = carry(retries=ONCE)
    bodies = [b'{"a":1}', b'{"b":2}', b'{"c":3}']
    if carrier.flavour == "sync":
        assert [carrier.invoke(Invocation(body)).data for body in bodies] == bodies
        assert server.opened == 3
        return

    async def each():
        for body in bodies:
            # aiohttp keeps part of an answer that nobody asked for to itself, and takes it for the next one's start.
            with nullcontext() if surplus != b"x" else suppress(EndpointError):
                assert (await carrier.transport.invoke(Invocation(body))).data == body

    carrier.run(each())


# Compressed answers


@pytest.mark.parametrize("name", [b"gzip", b"GZIP", b"x-gzip", b"X-Gzip"])
@pytest.mark.parametrize("members", [1, 3])
def test_compressed_answers(server, carry, read, name, members):
    sends(server, whole(b"".join(gzip.compress(b"fine") for _ in range(members)), b"content-encoding: %s\r\n" % name))
    assert read(carry(retries=ONCE)) == b"fine" * members


@pytest.mark.parametrize("frame", [whole, chunked], ids=["length", "chunks"])
def test_compressed_answers_that_broke_off(server, carry, read, frame):
    sends(server, frame(gzip.compress(b"fine" * 100)[:-6], extra=b"content-encoding: gzip\r\n"))
    with pytest.raises(StreamTruncated, match="incomplete"):
        read(carry(retries=ONCE))


@pytest.mark.parametrize(("name", "body"), [(b"gzip", b"not compressed"), (b"compress", b"anything")])
def test_answers_that_cannot_be_unpacked(server, carry, read, name, body):
    sends(server, whole(body, b"content-encoding: %s\r\n" % name))
    with pytest.raises(FrameError, match="my-llm"):
        read(carry(retries=ONCE))


# Limits of size

LIMIT = 1 << 20


def endless(server, head, piece):
    def script(peer, seen):
        peer.send(head)
        while True:
            peer.send(piece)

    server.script = script


MEBIBYTE = b"x" * (1 << 20)
ENDLESS = {
    "until the connection closes": (HEAD + b"connection: close\r\n\r\n", MEBIBYTE),
    "in chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"100000\r\n" + MEBIBYTE + b"\r\n"),
    "in tiny chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000),
    "in one chunk": (HEAD + b"transfer-encoding: chunked\r\n\r\nFFFFFFFFFF\r\n", MEBIBYTE),
    "as long as promised": (HEAD + b"content-length: 999999999999\r\n\r\n", MEBIBYTE),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_endless_answers(server, carry, read, kind):
    endless(server, *ENDLESS[kind])
    limit = LIMIT if "tiny" not in kind else LIMIT // 64
    tracemalloc.start()
    try:
        with pytest.raises(ResponseTooLarge, match=rf"longer than {limit:,} bytes; raise max_response_bytes"):
            read(carry(retries=ONCE, max_response_bytes=limit))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The server of the test lives in this process, too.
    assert peak < 12 << 20
    assert server.wait_for(lambda: server.open_now == 0), "the connection is closed"


def test_a_bomb(server, carry, read):
    sends(server, whole(gzip.compress(b"\0" * (64 << 20)), b"content-encoding: gzip\r\n"))
    tracemalloc.start()
    try:
        with pytest.raises(ResponseTooLarge):
            read(carry(retries=ONCE, max_response_bytes=LIMIT))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.parametrize("kind", ENDLESS)
def test_endless_error_bodies_keep_their_status(server, carry, kind):
    head, piece = ENDLESS[kind]
    endless(server, head.replace(b"200 OK", b"401 No"), piece)
    with pytest.raises(AccessDenied) as caught:
        carry(retries=ONCE).invoke(CALL)
    assert len(str(caught.value)) < 5000


def test_an_answer_as_long_as_allowed(server, carry, read):
    sends(server, whole(b"x" * LIMIT))
    assert len(read(carry(retries=ONCE, max_response_bytes=LIMIT))) == LIMIT


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1", True])
def test_a_limit_that_is_none(carry, limit):
    with pytest.raises(UsageError, match="max_response_bytes"):
        carry(max_response_bytes=limit)


# Broken framing

BROKEN = {
    "a negative chunk": chunked(end=b"-5\r\nhello\r\n0\r\n\r\n"),
    "an absurd chunk": chunked(end=b"FFFFFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n"),
    "no chunk size": chunked(end=b"\r\n{}\r\n"),
    "words for a chunk size": chunked(end=b"ten\r\n{}\r\n"),
    "an endless chunk size": chunked(end=b"0" * 100_000),
    "a negative length": HEAD + b"content-length: -5\r\n\r\nhello",
    "words for a length": HEAD + b"content-length: five\r\n\r\nhello",
    "two lengths": HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "a length of a thousand digits": HEAD + b"content-length: " + b"9" * 1000 + b"\r\n\r\nhello",
    "an unknown transfer encoding": HEAD + b"transfer-encoding: gzip\r\n\r\nhello",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a status of letters": b"HTTP/1.1 OK Fine\r\n\r\n",
    "a status out of range": b"HTTP/1.1 99999 Fine\r\n\r\n",
    "half of the body": HEAD + b"content-length: 50\r\n\r\nhello",
    "too many headers": HEAD + b"".join(b"x-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
    "an endless header": HEAD + b"x: " + b"y" * 200_000,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_framing_is_a_typed_error(server, carry, read, kind):
    sends(server, BROKEN[kind], close=True)
    with pytest.raises(SagewireError):
        read(carry(retries=ONCE, timeouts=Timeouts(first_byte=3, idle=3)))


BREAKS = {
    "no size": b"zz\r\n",
    "no line break": b"5\r\nhelloXX\r\n",
    "a sign": b"-5\r\nhello\r\n",
    "an empty size": b"\r\nhello\r\n",
    "an absurd size": b"f" * 40 + b"\r\nhello\r\n",
}


@each(("name", "apart"), [(name, apart) for name in BREAKS for apart in (False, True)])
def test_framing_that_breaks_after_good_chunks_is_told_at_once(server, carry, read, name, apart):
    def script(peer, seen):
        # The connection stays open.
        head, broken = chunked(b"good", b"chunks", end=b""), BREAKS[name]
        if apart:
            peer.send(head)
            peer.stopping.wait(0.02)
            head = b""
        peer.send(head + broken)

    server.script = script
    began = time.monotonic()
    with pytest.raises(SagewireError) as caught:
        read(carry(retries=ONCE, timeouts=Timeouts(first_byte=20, idle=20)))
    assert not isinstance(caught.value, TimeoutError)
    assert time.monotonic() - began < 10


@each(
    ("status", "headers", "behind"),
    [
        (status, headers, behind)
        for status in (204, 304)
        for headers in (b"", b"content-length: 4\r\n", b"transfer-encoding: chunked\r\n")
        for behind in (b"", b"4\r\nmore\r\n0\r\n\r\n", b"more")
    ],
)
def test_an_answer_without_a_body_is_not_waited_for(server, carry, status, headers, behind):
    carrier = carry(retries=ONCE, timeouts=Timeouts(first_byte=20, idle=20))
    sends(server, b"HTTP/1.1 %d Nothing\r\n" % status + headers + b"\r\n" + behind)
    began = time.monotonic()
    with suppress(SagewireError):
        assert carrier.invoke(CALL).data == b""
    assert time.monotonic() - began < 5
    sends(server, whole(b"the next"))
    with suppress(EndpointError):
        assert carrier.invoke(CALL).data == b"the next"
    assert carrier.invoke(CALL).data == b"the next"


ODD_FIELDS = [
    b'{"Message": {"a": 1}, "code": 7}',
    b'{"Message": ["x"], "OriginalStatusCode": "\xc2\xb2"}',
    b'{"Message": null, "OriginalStatusCode": 1e400}',
    b'{"message": 5, "OriginalStatusCode": "9999999999999999999999", "OriginalMessage": {"error": 1}}',
    b'{"OriginalMessage": 12, "OriginalStatusCode": true}',
    b'{"error": {"code": {"a": []}, "message": [[[]]]}}',
    b'{"error": 17, "estimated_time": "soon"}',
    b'"a string"',
    b"[1, 2",
    b"\xff\xfe\x00",
    b"[" * 5000,
]


@pytest.mark.parametrize("body", ODD_FIELDS)
@pytest.mark.parametrize("status", [400, 424, 500])
def test_error_fields_of_the_wrong_type(server, carry, body, status):
    server.script = lambda peer, seen: peer.answer(body, status, x_amzn_errortype="ModelError")
    with pytest.raises(ModelError):
        carry(retries=ONCE).invoke(CALL)


@pytest.mark.parametrize(
    "word",
    [
        "inference component ",
        "body ",
        "Endpoint a of account ",
        'Received client error (400) from x with message "',
        "'",
        " See https://x",
        "a",
    ],
)
@pytest.mark.parametrize("status", [400, 424])
def test_errors_are_read_in_linear_time(server, carry, word, status):
    body = b'{"Message": "%s"}' % (word.replace('"', '\\"') * (400_000 // len(word))).encode()
    server.script = lambda peer, seen: peer.answer(
        body, status, x_amzn_errortype="ModelError" if status == 424 else "ValidationError"
    )
    started = time.process_time()
    with pytest.raises(EndpointError) as caught:
        carry(retries=ONCE).invoke(CALL)
    assert time.process_time() - started < 2
    assert len(str(caught.value)) < 10_000


# Errors whose body does not come


@pytest.mark.parametrize(("status", "kind"), [(401, AccessDenied), (413, PayloadTooLarge)])
@pytest.mark.parametrize("stalls", [False, True], ids=["cut", "stalls"])
def test_an_error_whose_body_breaks_off_keeps_its_status(server, carry, status, kind, stalls):
    def script(peer, seen):
        peer.send(b'HTTP/1.1 %d No\r\ncontent-length: 500\r\n\r\n{"message": "no' % status)
        if stalls:
            peer.wait_until_closed(5)
        peer.close()

    server.script = script
    with pytest.raises(kind, match="no"):
        carry(retries=ONCE, timeouts=Timeouts(idle=0.3)).invoke(CALL)


def test_an_early_refusal_of_a_body_that_is_never_read(server, carry):
    server.read_bodies = False

    def script(peer, seen):
        peer.answer(b'{"Message": "too large"}', 413)
        server.stopping.wait(10)

    server.script = script
    started = time.monotonic()
    with pytest.raises(PayloadTooLarge):
        carry(retries=ONCE, timeouts=Timeouts(idle=8)).invoke(Invocation(b"x" * (20 << 20)))
    assert time.monotonic() - started < 6


@pytest.mark.parametrize("interim", [100, 102])
def test_an_interim_answer_does_not_end_a_large_body(server, carry, interim):
    server.read_bodies = False

    def script(peer, seen):
        peer.send(b"HTTP/1.1 %d Go on\r\n\r\n" % interim)
        tail = b""
        while not tail.endswith(b"the end"):
            tail = (tail + peer.sock.recv(1 << 16))[-7:]
        peer.answer(b"fine")

    server.script = script
    body = b"x" * (8 << 20) + b"the end"
    assert carry(retries=ONCE, timeouts=Timeouts(idle=5, first_byte=5)).invoke(Invocation(body)).data == b"fine"
