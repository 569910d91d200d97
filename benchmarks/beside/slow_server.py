"""Model servers with a capacity, each as little of an OpenAI server as can be; waiting costs no processor."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

KINDS = {
    "queues": "24 answers at a time, 0.2 s each; the others wait",
    "refuses": "16 answers at a time, 0.1 s each; the others get a 429 with Retry-After: 1",
    "batches": "0.1 s and 10 ms more for every call inside, as with continuous batching",
}


class SlowServer:
    """One of `KINDS`.

    Args:
        kind: Which one.
    """

    def __init__(self, kind: str) -> None:
        self._answer = getattr(self, f"_{kind}")
        self._slots = asyncio.Semaphore(24)
        self._inside = 0

    async def __call__(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._inside += 1
        try:
            refused = await self._answer()
        finally:
            self._inside -= 1
        if refused:
            return web.json_response({"error": {"message": "busy"}}, status=429, headers={"Retry-After": "1"})
        message = {"role": "assistant", "content": body["messages"][-1]["content"]}
        usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
        answer: dict[str, Any] = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
        answer["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return web.json_response(answer)

    async def _queues(self) -> bool:
        async with self._slots:
            await asyncio.sleep(0.2)
        return False

    async def _refuses(self) -> bool:
        if self._inside > 16:
            return True
        await asyncio.sleep(0.1)
        return False

    async def _batches(self) -> bool:
        await asyncio.sleep(0.1 + 0.01 * self._inside)
        return False


def run_slow_server(kind: str, pipe: Any) -> None:
    """Serve until the process is ended; send the URL through a pipe."""

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", SlowServer(kind))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send(json.dumps(f"http://127.0.0.1:{runner.addresses[0][1]}"))
        await asyncio.Event().wait()

    asyncio.run(serve())
