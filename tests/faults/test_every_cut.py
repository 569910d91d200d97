"""A recorded stream, cut at every byte: in two pieces nothing changes, and without the second the error says so."""

from __future__ import annotations

import boto3
import pytest

from sagewire import Client
from sagewire.content_handlers import get_handler
from sagewire.emulator import EndpointSpec, Scripted
from sagewire.errors import StreamTruncated
from sagewire.testing import FakeTransport, Recording

from .outcomes import TEXT

WIRES = ("openai_chat", "tgi", "lmi", "tgi_chat", "lmi_chat", "llamacpp", "cohere")


@pytest.fixture
def record(emulator):
    """Return the bytes on the wire of one stream, frames included, and the container's content type."""
    bodies = []

    def body_of(invocation):
        bodies.append(invocation)
        return Recording(error=StreamTruncated("not sent"))

    def make(wire):
        emulator.add("recorded", EndpointSpec(wire, Scripted([TEXT], loop=True)))
        with pytest.raises(StreamTruncated):
            list(client(wire, body_of).stream("?"))
        runtime = boto3.client("sagemaker-runtime")
        answer = runtime.invoke_endpoint_with_response_stream(
            EndpointName="recorded", Body=bodies[-1].body, ContentType="application/json"
        )
        data = b"".join(answer["Body"]._raw_stream.stream())
        runtime.close()
        return data, answer["ContentType"]

    return make


def client(wire, answers):
    text = get_handler(wire).speaks == "prompt"
    return Client(transport=FakeTransport(answers), handler=wire, format="chatml" if text else None)


@pytest.mark.parametrize("wire", WIRES)
def test_a_stream_cut_at_every_byte(wire, record):
    data, content_type = record(wire)
    pieces = [data]
    model = client(wire, lambda call: Recording(list(pieces), content_type, event_stream=True))
    for place in range(0, len(data), 1 if len(data) < 2500 else 5):
        pieces = [data[:place], data[place:]]
        stream = model.stream("?")
        assert "".join(stream.text) == TEXT
        assert stream.reply.finish_reason == "stop"
        pieces = [data[:place]]
        stream = model.stream("?")
        read, broken = read_on(stream)
        assert stream.reply.text == read
        if broken is not None:
            assert broken.partial.text == read
            assert TEXT.startswith(read)
        else:
            # Only what a wire says after the end of the answer may be missing without harm.
            assert read == TEXT
            assert stream.reply.finish_reason == "stop"


def read_on(stream):
    read = ""
    try:
        for text in stream.text:
            read += text
    except StreamTruncated as error:
        return read, error
    return read, None
