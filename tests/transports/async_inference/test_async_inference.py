"""Asynchronous inference on the emulator: upload, wait, answer, failure, cleanup, and picking up a ticket later."""

import asyncio
import json
import os
import pickle
import re
import time

import boto3
import pytest
from botocore.exceptions import ClientError

from sagewire.emulator import Emulator, EndpointSpec
from sagewire.errors import (
    CredentialsExpired,
    EndpointError,
    EndpointNotFound,
    EndpointTimeout,
    ModelError,
    PayloadTooLarge,
    UsageError,
    WireError,
)
from sagewire.http.deadlines import Timeouts
from sagewire.transports.async_inference import AsyncDeferredTransport, DeferredTransport, Ticket
from sagewire.transports.async_inference.polling import poll_delays, ticket_of
from sagewire.transports.async_inference.tickets import TicketFile
from sagewire.transports.base import Retries
from sagewire.types import Invocation

CALL = Invocation(json.dumps({"inputs": "Hello", "parameters": {"return_full_text": False}}).encode())
LARGE = Invocation(CALL.body + b" " * 200_000)
POLL = (0.01, 0.05)


@pytest.fixture(scope="module")
def emulator():
    specs = {
        "queue": EndpointSpec("tgi", engine="echo", asynchronous="s3://results/out"),
        "slow": EndpointSpec("tgi", engine="echo", asynchronous="s3://results/out", latency=0.2),
        "never": EndpointSpec("tgi", engine="echo", asynchronous="s3://results/out", latency=1e6),
        "real-time": "tgi:echo",
    }
    with Emulator(specs) as emulator:
        yield emulator


@pytest.fixture
def s3(emulator, monkeypatch):
    for name, value in emulator.environ().items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="inputs")
    yield client
    client.close()


@pytest.fixture
def carry(s3, carry_kinds):
    def make(endpoint="queue", **options):
        options = {"poll": POLL, "retries": Retries(attempts=1), "upload_to": "s3://inputs/here/", **options}
        return carry_kinds(DeferredTransport, AsyncDeferredTransport, endpoint, **options)

    return make


def do(carrier, name, *arguments):
    result = getattr(carrier.transport, name)(*arguments)
    return result if carrier.flavour == "sync" else asyncio.run(result)


def exists(s3, uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except s3.exceptions.ClientError:
        return False
    return True


@pytest.mark.parametrize("endpoint", ["queue", "slow"])
def test_an_answer(carry, endpoint):
    body = carry(endpoint).invoke(CALL)
    assert json.loads(body.data) == [{"generated_text": "Hello"}]
    assert body.info.content_type.startswith("application/json")
    assert body.info.request_id
    assert body.info.timings.total > 0


def test_an_answer_in_one_piece_for_those_who_stream(carry):
    info, pieces = carry().stream(CALL)
    assert json.loads(b"".join(pieces)) == [{"generated_text": "Hello"}]
    assert info.event_stream is False


def test_a_large_request_goes_by_way_of_s3_and_is_cleaned_up(carry, s3):
    carrier = carry()
    ticket = do(carrier, "submit", LARGE)
    assert ticket.input.startswith("s3://inputs/here/")
    assert exists(s3, ticket.input)
    assert json.loads(do(carrier, "collect", ticket).data) == [{"generated_text": "Hello"}]
    assert not exists(s3, ticket.input)
    assert exists(s3, ticket.output)


@pytest.mark.parametrize(
    ("cleanup", "left"), [("none", (True, True)), ("uploads", (False, True)), ("all", (False, False))]
)
def test_what_is_cleaned_up(carry, s3, cleanup, left):
    carrier = carry(cleanup=cleanup)
    ticket = do(carrier, "submit", LARGE)
    do(carrier, "collect", ticket)
    assert (exists(s3, ticket.input), exists(s3, ticket.output)) == left


def test_a_ticket_is_good_in_another_process(carry):
    ticket = do(carry("slow"), "submit", Invocation(CALL.body, parameters={"InferenceId": "mine-7"}))
    assert ticket.inference_id == "mine-7"
    again = pickle.loads(pickle.dumps(ticket))
    assert json.loads(do(carry("slow"), "collect", again).data) == [{"generated_text": "Hello"}]


def test_a_container_that_fails(carry):
    with pytest.raises(ModelError) as caught:
        carry().invoke(Invocation(b'{"parameters": {}}'))
    assert "did not match any variant" in caught.value.original_message
    assert caught.value.fault == "model"


def test_an_answer_that_does_not_come(carry):
    with pytest.raises(EndpointTimeout, match=r"Ticket\(") as caught:
        carry("never", timeouts=Timeouts(total=0.2)).invoke(CALL)
    assert caught.value.code == "total"


def test_the_loop_goes_on_while_the_answer_is_awaited(s3):
    async def main():
        transport = AsyncDeferredTransport("never", poll=POLL)
        task = asyncio.create_task(transport.invoke(CALL))
        # Its first check for the answer comes, and more of them, while this goes on.
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await transport.close()

    asyncio.run(main())


def test_an_endpoint_that_answers_at_once(carry):
    with pytest.raises(EndpointError, match="asynchronous"):
        carry("real-time").invoke(CALL)


def test_an_endpoint_that_does_not_exist(carry, s3, until):
    with pytest.raises(EndpointNotFound):
        carry("nope", upload_to="s3://inputs/for-nothing").invoke(LARGE)
    # Cleaning up goes on after the error, for as long as asking takes.
    until(lambda: "Contents" not in s3.list_objects_v2(Bucket="inputs", Prefix="for-nothing/"))


def test_a_large_request_without_a_place(carry):
    with pytest.raises(PayloadTooLarge, match="upload_to"):
        carry(upload_to=None).invoke(LARGE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"upload_to": "https://x"}, "s3://bucket"),
        ({"cleanup": "some"}, "uploads"),
        ({"poll": (0, 1)}, "poll"),
        ({"poll": (2, 1)}, "poll"),
        ({"parameters": {"TargetVariant": "x"}}, "InvokeEndpointAsync"),
        ({"parameters": {"RequestTTLSeconds": 60}}, "string"),
    ],
)
def test_impossible_options(carry, options, said):
    with pytest.raises(UsageError, match=said):
        carry(**options)


def test_parameters_arrive(carry):
    parameters = {"S3OutputPathExtension": "mine/today", "Filename": "a.json", "RequestTTLSeconds": "60"}
    ticket = do(carry(), "submit", Invocation(CALL.body, parameters=parameters))
    assert ticket.output == "s3://results/out/mine/today/a.json"


def test_the_waits_grow():
    delays = poll_delays(1.0, 8.0)
    waits = [next(delays) for _ in range(10)]
    assert 0.8 <= waits[0] <= 1.0
    assert all(6.4 <= wait <= 8.0 for wait in waits[-3:])


def test_an_answer_that_names_no_place():
    with pytest.raises(WireError, match="output location"):
        ticket_of({}, b"{}", "")
    assert ticket_of({"x-amzn-sagemaker-outputlocation": "s3://a/b"}, b"nonsense", "") == Ticket("", "s3://a/b")


def test_a_failure_names_its_object(carry):
    with pytest.raises(ModelError, match=r"s3://results/out/failures/[\w-]+-error\.out"):
        carry(parameters={"CustomAttributes": "sagewire-fault=container_error:500"}).invoke(CALL)


def test_a_model_that_takes_too_long_is_a_failure_at_once(carry):
    started = time.monotonic()
    with pytest.raises(ModelError, match="within 1 seconds"):
        carry("never", parameters={"InvocationTimeoutSeconds": "1"}).invoke(CALL)
    assert time.monotonic() - started < 60


def test_the_wait_ends_when_no_answer_can_come_any_more(carry, emulator, monkeypatch):
    monkeypatch.setattr("sagewire.transports.async_inference.transport._MARGIN", -119.5)
    emulator.add("lost", EndpointSpec("tgi", asynchronous="s3://results/out", failure_path="", latency=1e6))
    limits = {"RequestTTLSeconds": "60", "InvocationTimeoutSeconds": "60"}
    with pytest.raises(EndpointTimeout, match=r"within 0\.5 s.*no S3FailurePath"):
        carry("lost", parameters=limits).invoke(CALL)


def test_passing_failures_of_a_long_wait_do_not_add_up(carry, monkeypatch):
    looks = []

    def get(self, uri, limit):
        looks.append(uri)
        if len(looks) % 3 == 0 and len(looks) < 30:
            raise EndpointError("S3 is away for a moment", retry_safe=True)
        return None if len(looks) < 30 else (b"[]", "application/json")

    monkeypatch.setattr("sagewire.transports.async_inference.s3_objects.ObjectStore.get", get)
    assert carry(poll=(0.001, 0.001)).invoke(CALL).data == b"[]"


class TestTickets:
    """A program that is killed while it waits."""

    def test_the_next_run_collects_what_was_asked_for(self, carry, emulator, tmp_path):
        path = tmp_path / "tickets.jsonl"
        emulator.clear()
        with pytest.raises(EndpointTimeout):
            carry("slow", tickets=path, timeouts=Timeouts(total=0.05)).invoke(CALL)
        with path.open("ab") as file:
            file.write(b'\n{"call": "cut o')
        body = carry("slow", tickets=path).invoke(CALL)
        assert json.loads(body.data)[0]["generated_text"] == "Hello"
        assert len(emulator.calls) == 1
        # What was collected is not collected again.
        carry("slow", tickets=path).invoke(CALL)
        assert len(emulator.calls) == 2

    def test_equal_requests_of_one_run_are_requests_of_their_own(self, carry, emulator, tmp_path):
        emulator.clear()
        carrier = carry(tickets=tmp_path / "tickets.jsonl")
        assert carrier.invoke(CALL).data == carrier.invoke(CALL).data
        assert len(emulator.calls) == 2

    def test_an_answer_that_was_lost_meanwhile_is_asked_for_again(self, carry, emulator, tmp_path):
        path = tmp_path / "tickets.jsonl"
        emulator.clear()
        TicketFile(path).keep(CALL, Ticket("id", "s3://results/out/deleted.out", "s3://results/out/none.out"))
        path.write_bytes(re.sub(rb'"at":[\d.]+', b'"at":0', path.read_bytes()))
        assert carry(tickets=path).invoke(CALL).data
        assert len(emulator.calls) == 1


def test_an_error_object_that_holds_the_keys_shows_none_of_them(carry, s3):
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    ticket = Ticket("id-1", "s3://results/out/none", "s3://results/out/failed", "")
    told = {"message": f"refused: {secret} of https://b.s3.amazonaws.com/x?X-Amz-Signature=0123456789abcdef"}
    s3.put_object(Bucket="results", Key="out/failed", Body=json.dumps(told).encode())
    with pytest.raises(ModelError, match="refused") as caught:
        do(carry(), "collect", ticket)
    shown = f"{caught.value} {caught.value.body} {caught.value.original_message} {vars(caught.value)}"
    assert secret not in shown
    assert "0123456789abcdef" not in shown


def test_a_token_that_s3_sends_back_is_in_no_exception(carry, monkeypatch):
    def get_object(**_):
        answer = {"Error": {"Code": "ExpiredToken", "Message": "expired", "Token-0": "IQoJb3t0ken"}}
        raise ClientError({**answer, "ResponseMetadata": {"HTTPStatusCode": 400}}, "GetObject")

    carrier = carry()
    monkeypatch.setattr(carrier.transport._counter.store._s3(), "get_object", get_object)
    with pytest.raises(CredentialsExpired) as caught:
        do(carrier, "collect", Ticket("id-1", "s3://results/out/none"))
    assert "t0ken" not in repr([vars(caught.value), vars(caught.value.__cause__)])
