"""Streams of any length, and many at once, take constant memory where nobody asks for the reply."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sagewire import AsyncClient, Client, UsageError
from sagewire.errors import StreamTruncated
from sagewire.streaming.accumulate import fold
from sagewire.streaming.eventstream import encode_payload_part

STATM = Path("/proc/self/statm")
MEGABYTE = 1 << 20
TEXT = "0123456789abcdef" * 1024  # 16 kB
EVENTS_PER_CHUNK = 4
KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret", "region_name": "us-east-1"}

# Reads streams of `lengths` megabytes, one length after the other, so many at once; prints the characters it got and
# the most memory it took meanwhile.
READER = """
import asyncio, json, sys
from pathlib import Path
from sagewire import Client

url, flavour, at_once, *lengths = json.loads(sys.argv[1])
keys = {keys}
client = Client("long", handler="openai_chat", endpoint_url=url, **keys)
peak = 0

def look():
    global peak
    peak = max(peak, int(Path("/proc/self/statm").read_text().split()[1]) * 4096)

def read(length):
    got = 0
    with client.stream("?", max_tokens=length, keep_reply=False) as stream:
        for number, text in enumerate(stream.text):
            got += len(text)
            if number % 64 == 0:
                look()
    return got

async def aread(twin, length):
    got = number = 0
    async with twin.stream("?", max_tokens=length, keep_reply=False) as stream:
        async for text in stream.text:
            got += len(text)
            number += 1
            if number % 64 == 0:
                look()
    return got

async def all_at_once(length):
    async with client.to_async() as twin:
        return sum(await asyncio.gather(*[aread(twin, length) for _ in range(at_once)]))

for length in lengths:
    peak = 0
    got = read(length) if flavour == "sync" else asyncio.run(all_at_once(length))
    look()
    print(json.dumps([got, peak]))
""".replace("{keys}", repr(KEYS))


def event(text, **more):
    data = json.dumps({"choices": [{"index": 0, "delta": {"content": text}, **more}]})
    return encode_payload_part(f"data: {data}\n\n".encode())


@pytest.fixture
def long(server):
    """A container whose answer is as many megabytes long as `max_tokens` says."""
    chunk = event(TEXT) * EVENTS_PER_CHUNK

    def script(peer, seen):
        peer.start_chunks()
        for _ in range(json.loads(seen.body)["max_tokens"] * MEGABYTE // len(TEXT) // EVENTS_PER_CHUNK):
            peer.chunk(chunk)
        peer.chunk(event("", finish_reason="stop") + encode_payload_part(b"data: [DONE]\n\n"))
        peer.end_chunks()

    server.script = script
    return server


def memory(server, flavour, at_once, *lengths):
    """Return the peaks, in megabytes, one for each length."""
    arguments = json.dumps([server.url, flavour, at_once, *lengths])
    done = subprocess.run([sys.executable, "-c", READER, arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [got for got, _ in found] == [at_once * length * MEGABYTE for length in lengths]
    return [peak / MEGABYTE for _, peak in found]


@pytest.mark.skipif(not STATM.exists(), reason="asks Linux for the memory")
@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_a_long_stream_takes_constant_memory(long, flavour):
    short_peak, long_peak = memory(long, flavour, 1, 8, 256)
    assert long_peak - short_peak < 16


@pytest.mark.skipif(not STATM.exists(), reason="asks Linux for the memory")
@pytest.mark.parametrize("count", [32, pytest.param(256, marks=pytest.mark.slow)])
def test_many_streams_at_once_take_what_their_connections_buffer(long, count):
    # Some 0.55 MB each, measured with 2, 4 and 8 MB long ones alike; and 45 MB for the program.
    (peak,) = memory(long, "async", count, 2)
    assert peak < 70 + count


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_a_stream_that_keeps_no_reply(long, flavour):
    client = Client("long", handler="openai_chat", endpoint_url=long.url, **KEYS)
    read = []
    stream = drained(client, flavour, read)
    assert fold(read).text == TEXT * (MEGABYTE // len(TEXT))
    with pytest.raises(UsageError, match="keep_reply"):
        _ = stream.reply


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_an_error_of_a_stream_that_keeps_no_reply_carries_none(server, flavour):
    def script(peer, seen):
        peer.start_chunks()
        peer.chunk(event("Hello"))
        peer.close()

    server.script = script
    client = Client("long", handler="openai_chat", endpoint_url=server.url, **KEYS)
    read = []
    with pytest.raises(StreamTruncated) as caught:
        drained(client, flavour, read)
    assert fold(read).text == "Hello"
    assert caught.value.partial is None


def drained(client, flavour, read):
    if flavour == "sync":
        with client, client.stream("?", max_tokens=1, keep_reply=False) as stream:
            for delta in stream:
                read.append(delta)
            return stream

    async def run(twin: AsyncClient):
        async with twin, twin.stream("?", max_tokens=1, keep_reply=False) as stream:
            async for delta in stream:
                read.append(delta)
            return stream

    return asyncio.run(run(client.to_async()))
