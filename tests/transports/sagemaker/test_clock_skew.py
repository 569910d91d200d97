"""A machine whose clock is wrong: the server's date is taken once, and the call repeated."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sagewire.errors import AccessDenied
from sagewire.types import Invocation

CALL = Invocation(b'{"inputs": "x"}')
HOUR = timedelta(hours=1)


def signed_at(seen):
    return datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def refuse(peer, ahead):
    words = "Signature expired: 20260101T000000Z is now earlier than 20260101T010000Z"
    date = format_datetime(datetime.now(UTC) + ahead, usegmt=True)
    body = json.dumps({"message": words}).encode()
    peer.answer(body, 403, x_amzn_errortype="InvalidSignatureException", date=date)


@pytest.fixture(params=["whole", "streamed"])
def call(request):
    return lambda carrier: carrier.invoke(CALL) if request.param == "whole" else carrier.stream(CALL)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, timedelta(days=400)])
def test_a_wrong_clock_is_corrected_once(server, carry, call, ahead):
    def script(peer, seen):
        if abs(signed_at(seen) - datetime.now(UTC) - ahead) > timedelta(minutes=4):
            refuse(peer, ahead)
        else:
            peer.answer(b"{}")

    server.script = script
    carrier = carry()
    call(carrier)
    assert len(server.seen) == 2
    # From then on the first signature is right.
    call(carrier)
    assert len(server.seen) == 3


def test_a_clock_that_is_not_the_reason(server, carry, call):
    server.script = lambda peer, seen: refuse(peer, HOUR)
    with pytest.raises(AccessDenied, match=r"clock is 60 minutes behind the server's, .* set this machine's clock"):
        call(carry())
    assert len(server.seen) == 2


def test_a_date_of_nonsense_changes_nothing(server, carry, call):
    server.script = lambda peer, seen: peer.answer(
        b'{"message": "no"}', 403, x_amzn_errortype="InvalidSignatureException", date="Mon, 99 Foo 99999 25:61:61 GMT"
    )
    with pytest.raises(AccessDenied, match="no"):
        call(carry())
    assert len(server.seen) == 1
