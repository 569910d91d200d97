"""The model behind the gateways: as little of an OpenAI server as can be, so that it costs the load next to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

INTERVAL = 0.02
"""Seconds between the words of an answer to a message that starts with "slow"."""


class ModelServer(asyncio.Protocol):
    """As little of an OpenAI server as can be: it echoes the last message, whole or as one chunk per word."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        body = json.loads(rest[:length] or b"{}")
        if "messages" not in body:
            # LiteLLM looks for a list of models when it starts.
            self._write(b"application/json", b'{"data": []}')
            return
        text = body["messages"][-1]["content"]
        if body.get("stream"):
            self._task = asyncio.ensure_future(self._stream(text, bool(body.get("stream_options"))))
        else:
            message = {"role": "assistant", "content": text}
            usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
            answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "served", "usage": usage}
            answer["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
            self._write(b"application/json", json.dumps(answer).encode())

    def _write(self, kind: bytes, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body)
        )

    async def _stream(self, text: str, usage: bool) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "served"}
        slow = text.startswith("slow")
        for word in text.split():
            self._event({**base, "choices": [{"index": 0, "delta": {"content": word + " "}, "finish_reason": None}]})
            if slow:
                await asyncio.sleep(INTERVAL)
        self._event({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if usage:
            counts = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
            self._event({**base, "choices": [], "usage": counts})
        self._chunk(b"data: [DONE]\n\n")
        self._transport.write(b"0\r\n\r\n")

    def _event(self, event: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))


def run_model_server(port: int) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(ModelServer, "127.0.0.1", port, backlog=2048)
        await server.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
