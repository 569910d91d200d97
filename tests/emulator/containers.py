"""Containers without a server: a request in, a status, headers and a body out."""

import json
from dataclasses import dataclass

from sagewire.emulator import EndpointSpec
from sagewire.emulator.endpoints import Endpoint
from sagewire.emulator.http_values import Request

NOW = 1_700_000_000.0


@dataclass
class Answer:
    status: int
    content_type: str
    parts: list[bytes]

    @property
    def body(self):
        return b"".join(self.parts)

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        """The data of the server-sent events, `[DONE]` included."""
        blocks = self.body.decode().split("\n\n")
        assert blocks[-1] == ""
        return [block.removeprefix("data:").removeprefix(" ") for block in blocks[:-1]]

    @property
    def documents(self):
        """The JSON documents of events or lines."""
        if b"data:" in self.body[:5]:
            return [json.loads(event) for event in self.events if event != "[DONE]"]
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]


class Container:
    """One container, asked directly."""

    def __init__(self, dialect, engine="echo", **options):
        self.running = Endpoint("it", EndpointSpec(dialect, engine, **options), "1", lambda: NOW).main

    def ask(self, body, path="/invocations", method="POST", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.running.handle(Request(method, path, {"content-type": "application/json", **given}, data))
        parts = [response.body] if isinstance(response.body, bytes) else list(response.body)
        return Answer(response.status, response.headers.get("Content-Type", ""), parts)
