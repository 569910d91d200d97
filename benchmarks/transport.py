"""The transports beside boto3, over loopback, in one run: CPU of a call, of a stream, and calls in flight.

The server runs in a process of its own and writes ready-made bytes, so that the client is what is measured. Rounds are
interleaved and the median is shown.

    python benchmarks/transport.py
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sagewire.aws.session import static_session
from sagewire.streaming.eventstream import EventStreamDecoder, encode_payload_part
from sagewire.transports.sagemaker import AsyncSageMakerTransport, SageMakerTransport
from sagewire.types import Invocation

ROUNDS = 7
BODY = b'{"messages": [{"role": "user", "content": "' + b"x" * 900 + b'"}]}'
ANSWER = b'{"choices": [{"message": {"content": "' + b"y" * 900 + b'"}}]}'
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}],"usage":null}\n\n'
TOKENS = 2000
CALL = Invocation(BODY)


def _head(headers: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nx-amzn-requestid: 01234567-89ab\r\ndate: x\r\n{headers}\r\n\r\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


WHOLE = _head(f"content-type: application/json\r\ncontent-length: {len(ANSWER)}") + ANSWER
LARGE = _head(f"content-type: application/json\r\ncontent-length: {1 << 20}") + b"z" * (1 << 20)
_FRAME = encode_payload_part(TOKEN)
STREAM_HEAD = _head(
    "content-type: application/vnd.amazon.eventstream\r\nx-amzn-sagemaker-content-type: text/event-stream\r\n"
    "transfer-encoding: chunked"
)
STREAM = STREAM_HEAD + _chunk(_FRAME) * TOKENS + b"0\r\n\r\n"


class _Answers(asyncio.Protocol):
    """Answers as soon as a request is complete, without looking at more of it than it must."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        length = int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            if b"100-continue" in lower and not body:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._buffer = b""
        answer = STREAM if b"response-stream" in head else LARGE if b"/large/" in head else WHOLE
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _serve(sock: socket.socket, delay: float) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Answers(delay), sock=sock)
        await server.serve_forever()

    asyncio.run(run())


@contextlib.contextmanager
def serving(delay: float = 0.0) -> Iterator[str]:
    """Run the server in another process and yield its URL."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(sock, delay), daemon=True)
    process.start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    process.terminate()
    process.join()
    sock.close()


def boto3_client(url: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "sagemaker-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(max_pool_connections=64),
    )


def transports(url: str, name: str = "e") -> tuple[SageMakerTransport, AsyncSageMakerTransport]:
    session = static_session("AKIDEXAMPLE", "secret", region_name="us-east-1")
    return (
        SageMakerTransport(name, session=session, endpoint_url=url),
        AsyncSageMakerTransport(name, session=session, endpoint_url=url),
    )


def median_of_rounds(work: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Return the median of each candidate's rounds, taken in turns."""
    for measure in work.values():
        measure()
    rounds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, measure in work.items():
            rounds[name].append(measure())
    return {name: statistics.median(values) for name, values in rounds.items()}


def cpu_of(function: Callable[[], object], times: int) -> Callable[[], float]:
    def measure() -> float:
        start = time.process_time()
        for _ in range(times):
            function()
        return (time.process_time() - start) / times * 1e6

    return measure


def rate_of(function: Callable[[], int]) -> Callable[[], float]:
    def measure() -> float:
        start = time.perf_counter()
        count = function()
        return count / (time.perf_counter() - start)

    return measure


def raw_socket(url: str) -> Callable[[], object]:
    host, port = url.removeprefix("http://").split(":")
    sock = socket.create_connection((host, int(port)))
    request = b"POST /endpoints/e/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY

    def call() -> bytes:
        sock.sendall(request)
        left = len(WHOLE)
        data = b""
        while len(data) < left:
            data += sock.recv(65_536)
        return data

    return call


def measure_calls(url: str) -> None:
    client = boto3_client(url)
    sync, asynchronous = transports(url)

    def boto3_call(name: str = "e") -> bytes:
        answer = client.invoke_endpoint(EndpointName=name, Body=BODY, ContentType="application/json")
        return bytes(answer["Body"].read())

    loop = asyncio.new_event_loop()
    calls = {
        "raw socket": raw_socket(url),
        "sagewire": lambda: sync.invoke(CALL),
        "sagewire async": lambda: loop.run_until_complete(asynchronous.invoke(CALL)),
        "boto3": boto3_call,
    }
    show("CPU of one call, us", median_of_rounds({name: cpu_of(call, 200) for name, call in calls.items()}), "boto3")
    large, _ = transports(url, "large")
    megabyte = {"sagewire": lambda: large.invoke(CALL), "boto3": lambda: boto3_call("large")}
    show("CPU of a 1 MB answer, us", median_of_rounds({n: cpu_of(c, 50) for n, c in megabyte.items()}), "boto3")
    loop.run_until_complete(asynchronous.close())
    loop.close()
    sync.close()
    large.close()


def measure_streams(url: str) -> None:
    client = boto3_client(url)
    sync, asynchronous = transports(url)

    def boto3_stream() -> int:
        answer = client.invoke_endpoint_with_response_stream(EndpointName="e", Body=BODY)
        return sum(1 for event in answer["Body"] if event["PayloadPart"]["Bytes"])

    def sagewire_stream() -> int:
        decoder = EventStreamDecoder()
        with sync.stream(CALL) as stream:
            return sum(len(decoder.feed(piece)) for piece in stream)

    async def read() -> int:
        decoder = EventStreamDecoder()
        async with asynchronous.stream(CALL) as stream:
            return sum([len(decoder.feed(piece)) async for piece in stream])

    loop = asyncio.new_event_loop()
    streams = {
        "sagewire": sagewire_stream,
        "sagewire async": lambda: loop.run_until_complete(read()),
        "boto3": boto3_stream,
    }
    for function in streams.values():
        assert function() == TOKENS
    results = median_of_rounds({name: rate_of(function) for name, function in streams.items()})
    show("Payloads a second, stream of 2000", results, "boto3")
    loop.run_until_complete(asynchronous.close())
    loop.close()
    sync.close()


def measure_in_flight(url: str, title: str, times: int, flights: tuple[int, ...]) -> None:
    client = boto3_client(url)
    _, asynchronous = transports(url)
    loop = asyncio.new_event_loop()

    def together(flight: int) -> Callable[[], int]:
        async def worker(left: Iterator[int]) -> None:
            for _ in left:
                await asynchronous.invoke(CALL)

        async def run() -> int:
            left = iter(range(times))
            await asyncio.gather(*[worker(left) for _ in range(flight)])
            return times

        return lambda: loop.run_until_complete(run())

    def in_threads() -> int:
        with ThreadPoolExecutor(64) as pool:
            for answer in pool.map(lambda _: client.invoke_endpoint(EndpointName="e", Body=BODY), range(times)):
                answer["Body"].read()
        return times

    work = {f"sagewire async, {flight} in flight": rate_of(together(flight)) for flight in flights}
    show(title, median_of_rounds({**work, "boto3 in 64 threads": rate_of(in_threads)}), "boto3 in 64 threads")
    loop.run_until_complete(asynchronous.close())
    loop.close()


def show(title: str, results: dict[str, float], base: str) -> None:
    print(title)
    for name, value in results.items():
        print(f"  {name:32} {value:12,.0f}   {value / results[base]:6.2f} x {base}")


def main() -> None:
    with serving() as url:
        measure_calls(url)
        measure_streams(url)
        measure_in_flight(url, "Calls a second", 1000, (64, 256))
    with serving(delay=0.1) as url:
        measure_in_flight(url, "Calls a second, model takes 100 ms (ideal: 640)", 640, (64,))
    assert threading.active_count() == 1


if __name__ == "__main__":
    main()
