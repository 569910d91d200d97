"""Time limits and retries, sync and async: each limit is real, and nothing is sent twice that must not be."""

import socket
import threading
import time

import pytest

from sagewire.errors import EndpointError, EndpointTimeout, NotReady, Throttled
from sagewire.http.deadlines import Timeouts
from sagewire.transports.base import Retries
from sagewire.transports.retrying import RetryBudget
from sagewire.types import Invocation

CALL = Invocation(b"{}")
UNSAFE = Invocation(b"{}", idempotent=False)
ONCE = Retries(attempts=1)


def silence(peer, seen):
    peer.wait_until_closed(10)


def timed_out(carrier, how="invoke"):
    started = time.monotonic()
    with pytest.raises(EndpointTimeout) as caught:
        getattr(carrier, how)(CALL)
    assert isinstance(caught.value, TimeoutError)
    assert "my-llm" in str(caught.value)
    return caught.value.code, time.monotonic() - started


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_no_first_byte(server, carry, how):
    server.script = silence
    code, took = timed_out(carry(timeouts=Timeouts(first_byte=0.1, idle=5)), how)
    assert code == "first_byte"
    assert 0.08 < took < 2
    assert len(server.seen) == 1, "a slow model is not asked again: that would double its load"


def test_no_first_byte_on_a_connection_used_before(server, carry):
    server.script = lambda peer, seen: peer.answer() if len(server.seen) == 1 else silence(peer, seen)
    carrier = carry(timeouts=Timeouts(connect=5, first_byte=0.1, idle=5))
    if carrier.flavour == "async":
        import asyncio

        async def both():
            await carrier.transport.invoke(CALL)
            started = time.monotonic()
            with pytest.raises(EndpointTimeout, match="no answer"):
                await carrier.transport.invoke(CALL)
            return time.monotonic() - started

        took = asyncio.run(both())
    else:
        carrier.invoke(CALL)
        _, took = timed_out(carrier)
    assert took < 2


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_standstill_in_the_middle(server, carry, how):
    def script(peer, seen):
        peer.start_chunks()
        peer.chunk(b"some")
        silence(peer, seen)

    server.script = script
    code, took = timed_out(carry(timeouts=Timeouts(first_byte=5, idle=0.1)), how)
    assert code == "idle"
    assert took < 2


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("where", ["status line", "headers", "body"])
def test_total_ends_a_server_that_drips(server, carry, how, where):
    """Each byte comes in time, and still the call ends."""

    def script(peer, seen):
        start = {"status line": b"", "headers": b"HTTP/1.1 200 OK\r\n", "body": b"HTTP/1.1 200 OK\r\n\r\n"}[where]
        peer.send(start)
        drops = {"status line": b"HTTP/1.1 200 O" + b"K" * 500, "headers": b"x-a: " + b"a" * 500, "body": b"a" * 500}
        for drop in drops[where]:
            peer.send(bytes([drop]))
            peer.stopping.wait(0.02)

    server.script = script
    code, took = timed_out(carry(timeouts=Timeouts(first_byte=5, idle=5, total=0.2)), how)
    assert code == "total"
    assert 0.15 < took < 2


def test_headers_that_drip_count_as_no_first_byte_async_or_total_sync(server, carry):
    """First byte is the first byte of the answer; a server that dribbles headers is ended by `total`."""

    def script(peer, seen):
        for byte in b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 300:
            peer.send(bytes([byte]))
            peer.stopping.wait(0.02)

    server.script = script
    code, took = timed_out(carry(timeouts=Timeouts(first_byte=0.3, idle=5, total=0.5)))
    assert code in ("first_byte", "total")
    assert took < 2


def test_no_connection_in_time(carry):
    # A listener whose queue is full: the kernel leaves further SYNs unanswered.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        code, took = timed_out(carry(endpoint_url=url, timeouts=Timeouts(connect=0.1), retries=ONCE))
        for filler in fillers:
            filler.close()
    assert code == "connect"
    assert took < 2


def test_total_includes_the_retries(server, carry):
    server.script = lambda peer, seen: peer.answer(b"{}", 503)
    carrier = carry(timeouts=Timeouts(total=0.3), retries=Retries(attempts=1000, base_delay=0.05, max_delay=0.05))
    started = time.monotonic()
    with pytest.raises(EndpointError) as caught:
        carrier.invoke(CALL)
    assert time.monotonic() - started < 2
    assert caught.value.status == 503 or isinstance(caught.value, EndpointTimeout)
    assert 1 < len(server.seen) < 100


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "ThrottlingException"), (429, "ModelNotReadyException"), (500, "InternalFailure"), (503, ""), (530, "")],
)
def test_a_passing_fault_is_retried(server, carry, how, status, code):
    def script(peer, seen):
        if len(server.seen) < 3:
            peer.answer(b'{"Message": "not now"}', status, x_amzn_errortype=code)
        else:
            peer.answer(b"ok")

    server.script = script
    result = getattr(carry(), how)(CALL)
    info = result.info if how == "invoke" else result[0]
    assert info.timings.attempts == 3
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 413, 424])
def test_a_lasting_fault_is_not(server, carry, status):
    server.script = lambda peer, seen: peer.answer(b'{"Message": "no"}', status)
    with pytest.raises(EndpointError):
        carry().invoke(CALL)
    assert len(server.seen) == 1


def test_each_attempt_is_signed_anew(server, carry, monkeypatch):
    from sagewire.aws import signing

    dates = iter(["20260102T030405Z", "20260102T030406Z"])
    monkeypatch.setattr(signing, "amz_date", lambda now=None: next(dates))
    server.script = lambda peer, seen: peer.answer(b"{}", 503 if len(server.seen) == 1 else 200)
    carry().invoke(CALL)
    assert [seen.headers["x-amz-date"] for seen in server.seen] == ["20260102T030405Z", "20260102T030406Z"]


def test_retry_after_is_heeded_up_to_max_delay(server, carry):
    server.script = lambda peer, seen: peer.answer(b"{}", 429 if len(server.seen) == 1 else 200, retry_after="1000")
    started = time.monotonic()
    carry(retries=Retries(base_delay=0.0001, max_delay=0.2)).invoke(CALL)
    assert 0.2 <= time.monotonic() - started < 2


def test_retry_after_is_on_the_error(server, carry):
    server.script = lambda peer, seen: peer.answer(b"{}", 429, retry_after="7")
    with pytest.raises(Throttled) as caught:
        carry(retries=ONCE).invoke(CALL)
    assert caught.value.retry_after == 7.0


def test_scaled_to_zero_is_waited_for(server, carry):
    def script(peer, seen):
        if len(server.seen) < 6:
            peer.answer(b'{"Message": "Inference Component has no capacity to process this request."}', 400)
        else:
            peer.answer(b"awake")

    server.script = script
    waiting = carry(retries=Retries(attempts=1, base_delay=0.001, max_delay=0.01, wait_for_ready=30))
    assert waiting.invoke(CALL).data == b"awake"
    assert len(server.seen) == 6


def test_scaled_to_zero_is_waited_for_only_so_long(server, carry):
    server.script = lambda peer, seen: peer.answer(b'{"Message": "has no capacity"}', 400)
    with pytest.raises(NotReady, match="scaled to zero"):
        carry(retries=Retries(attempts=1, max_delay=0.02, wait_for_ready=0.1)).invoke(CALL)
    assert 1 < len(server.seen) < 50


def test_what_must_not_happen_twice_is_not_retried_after_a_5xx(server, carry):
    server.script = lambda peer, seen: peer.answer(b"{}", 503)
    with pytest.raises(EndpointError):
        carry().invoke(UNSAFE)
    assert len(server.seen) == 1


def test_what_must_not_happen_twice_is_retried_where_it_did_not_happen_once(server, carry):
    server.script = lambda peer, seen: peer.answer(b"{}", 429 if len(server.seen) == 1 else 200)
    carry().invoke(UNSAFE)
    assert len(server.seen) == 2


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize(("call", "attempts"), [(CALL, 3), (UNSAFE, 1)], ids=["idempotent", "not"])
def test_a_connection_lost_before_the_answer(server, carry, end, call, attempts):
    server.script = lambda peer, seen: getattr(peer, end)()
    with pytest.raises(EndpointError) as caught:
        carry().invoke(call)
    assert caught.value.code == "connection_lost"
    assert len(server.seen) == attempts


def test_nobody_listens(carry):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(EndpointError, match="cannot connect to endpoint 'my-llm'") as caught:
        carry(endpoint_url=f"http://127.0.0.1:{port}").invoke(CALL)
    assert caught.value.code == "connection"
    assert caught.value.retry_safe


def test_a_name_that_does_not_exist(carry):
    with pytest.raises(EndpointError, match="cannot connect"):
        carry(endpoint_url="http://does-not-exist.invalid", retries=ONCE).invoke(CALL)


def hangs_up_on_the_second(server, end):
    """Have the server hang up when the second request has arrived on a connection, as one does that was about to."""

    def script(peer, seen):
        if peer.number == 1 and sum(s.connection == 1 for s in server.seen) == 2:
            getattr(peer, end)()
        peer.answer(b"fine")

    server.script = script


def thrice(carrier, call):
    if carrier.flavour == "sync":
        return [carrier.invoke(call).data for _ in range(3)]

    async def calls():
        return [(await carrier.transport.invoke(call)).data for _ in range(3)]

    return carrier.run(calls())


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize(
    ("call", "retries"),
    [(CALL, Retries(attempts=1, resend=True)), (Invocation(b"{}", generates=False), ONCE)],
    ids=["allowed", "not a generation"],
)
def test_a_connection_closed_while_idle_is_replaced(server, carry, end, call, retries):
    hangs_up_on_the_second(server, end)
    assert thrice(carry(retries=retries), call) == [b"fine"] * 3
    assert server.opened == 2


@pytest.mark.parametrize("resend", [True, False])
def test_a_stream_on_a_connection_closed_while_idle(server, carry, resend):
    hangs_up_on_the_second(server, "close")
    carrier = carry(retries=Retries(attempts=1, resend=resend))

    async def streams():
        return [(await carrier._stream(CALL, None))[1] for _ in range(3)]

    def stream_thrice():
        return [carrier.stream(CALL)[1] for _ in range(3)] if carrier.flavour == "sync" else carrier.run(streams())

    if resend:
        assert stream_thrice() == [[b"fine"]] * 3
        assert server.opened == 2
    else:
        with pytest.raises(EndpointError, match="resend=True"):
            stream_thrice()
        assert len(server.seen) == 2


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("retries", [ONCE, Retries(base_delay=0.001)], ids=["once", "retries"])
def test_nothing_is_generated_twice_unasked(server, carry, end, retries):
    hangs_up_on_the_second(server, end)
    with pytest.raises(EndpointError, match="resend=True") as caught:
        thrice(carry(retries=retries), CALL)
    assert caught.value.code == "connection_lost"
    assert len(server.seen) == 2


def test_connections_closed_while_idle_are_noticed(server, carry):
    def script(peer, seen):
        peer.answer(b"fine")
        peer.close()

    server.script = script
    carrier = carry(retries=ONCE)
    for number in range(1, 4):
        assert carrier.invoke(UNSAFE).data == b"fine"
        assert server.wait_for(lambda: server.open_now == 0)
        assert server.opened == number


def test_an_early_no_to_a_large_body_is_heard(server, carry):
    """The server answers 413 and hangs up while the body is still on its way."""
    answered = threading.Event()

    server.read_bodies = False

    def script(peer, seen):
        peer.answer(b'{"Message": "too large"}', 413)
        answered.set()
        # Reads what the client has sent, so that closing does not turn into a reset that destroys the answer.
        peer.sock.settimeout(0.2)
        try:
            while peer.sock.recv(1 << 20):
                pass
        except TimeoutError:
            pass
        peer.close()

    server.script = script
    with pytest.raises(EndpointError) as caught:
        carry(retries=ONCE).invoke(Invocation(b"x" * 8_000_000))
    assert answered.wait(5)
    assert caught.value.status == 413


def test_the_budget_ends_retries_when_everything_fails(server, carry):
    server.script = lambda peer, seen: peer.answer(b"{}", 503)
    carrier = carry(retries=Retries(attempts=5, base_delay=0.00001))
    carrier.transport._policy.budget = RetryBudget(reserve=2)
    for _ in range(3):
        with pytest.raises(EndpointError):
            carrier.invoke(CALL)
    assert len(server.seen) == 3 + 2


def test_the_budget_fills_up_again():
    budget = RetryBudget()
    taken = 0
    while budget.take():
        taken += 1
    assert taken == 100
    budget.succeeded(retried=False)
    assert not budget.take()
    budget.succeeded(retried=True)
    assert budget.take()
    for _ in range(1000):
        budget.succeeded(retried=True)
    assert sum(budget.take() for _ in range(1000)) == 100


def test_waits_are_jittered_and_bounded(server, carry, caplog):
    import re

    server.script = lambda peer, seen: peer.answer(b"{}", 503)
    with caplog.at_level("INFO", "sagewire.transports"), pytest.raises(EndpointError):
        carry(retries=Retries(attempts=6, base_delay=0.001, max_delay=0.004)).invoke(CALL)
    waits = [float(found) for found in re.findall(r"next in ([\d.]+) s", caplog.text)]
    assert len(waits) == 5
    assert all(wait <= 0.01 for wait in waits)
