"""A server in a process of its own that writes ready-made bytes, so that the client is what is measured."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import random
import socket
from collections.abc import Iterator
from typing import Any

from sagewire.streaming.eventstream import encode_payload_part

__all__ = ["PACED", "SHORT", "TOKENS", "VECTORS", "WORDS", "serving"]

TOKENS, SHORT, PACED = 2000, 200, 5
PAUSE = 0.02
SLOW = 0.1
VECTORS, DIMENSIONS = 32, 1024
WORDS = "y" * 700


def _http(body: bytes, headers: str = "content-type: application/json") -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nx-amzn-requestid: 1-2\r\n{headers}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    )


def _chat(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    document = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return _http(json.dumps(document).encode())


def _token(text: str, finish: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]
    document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def _tgi_token(text: str, whole: str | None = None) -> bytes:
    details = {"finish_reason": "eos_token", "generated_tokens": 9, "input_length": 9} if whole is not None else None
    token = {"id": 5, "text": text, "logprob": -0.1, "special": False}
    document = {"index": 1, "token": token, "generated_text": whole, "details": details}
    return b"data:" + json.dumps(document).encode() + b"\n\n"


def _frame(part: bytes) -> bytes:
    data = encode_payload_part(part)
    return b"%x\r\n%s\r\n" % (len(data), data)


HEAD = (
    b"HTTP/1.1 200 OK\r\nx-amzn-requestid: 1-2\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
    b"x-amzn-sagemaker-content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"
WIDE = _frame(_token(" token" * 400))
LAST = _frame(_token("", "stop")) + _frame(b"data: [DONE]\n\n") + END


def _embeddings() -> bytes:
    chance = random.Random(0)
    data = [
        {"index": n, "object": "embedding", "embedding": [chance.uniform(-1, 1) for _ in range(DIMENSIONS)]}
        for n in range(VECTORS)
    ]
    return _http(json.dumps({"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 9}}).encode())


# Endpoint -> its whole answer and its stream.
ANSWERS = {
    b"chat": (_chat(WORDS), HEAD + _frame(_token(" token")) * TOKENS + LAST),
    b"short": (_chat(WORDS), HEAD + _frame(_token(" token")) * SHORT + LAST),
    b"text": (
        _http(json.dumps([{"generated_text": WORDS}]).encode()),
        HEAD + _frame(_tgi_token(" token")) * (TOKENS - 1) + _frame(_tgi_token(" token", " token" * TOKENS)) + END,
    ),
    b"large": (_chat("z" * (1 << 20)), b""),
    b"embed": (_embeddings(), b""),
    b"slow": (_chat(WORDS), b""),
    b"paced": (b"", b""),
    b"wide": (b"", b""),
}


class _Answers(asyncio.Protocol):
    """Answers as soon as a request is complete, without looking at more of it than it must."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._parts: Iterator[bytes] = iter(())
        self._paused = False

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._write_on()

    def _write_on(self) -> None:
        while not self._paused and (part := next(self._parts, None)) is not None:
            self._transport.write(part)

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
        name = head.partition(b"/endpoints/")[2].partition(b"/")[0]
        whole, stream = ANSWERS[name]
        loop = asyncio.get_running_loop()
        if name == b"paced":
            self._transport.write(HEAD + _frame(_token(" token")))
            for number in range(1, PACED):
                loop.call_later(number * PAUSE, self._transport.write, _frame(_token(" token")))
            loop.call_later(PACED * PAUSE, self._transport.write, LAST)
        elif name == b"wide":
            # As fast as it is read: 256 answers of 5 MB are more than the server should hold.
            self._parts = iter((HEAD, *[WIDE * 20] * (TOKENS // 20), LAST))
            self._write_on()
        elif name == b"slow":
            loop.call_later(SLOW, self._transport.write, whole)
        else:
            self._transport.write(stream if b"response-stream" in head else whole)


def _serve(sock: socket.socket) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Answers, sock=sock)
        await server.serve_forever()

    asyncio.run(run())


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run the server and yield its URL."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(sock,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        process.terminate()
        process.join()
        sock.close()
