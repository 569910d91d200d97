"""An OpenAI server inside the process: requests of OpenAI's client in, answers of an endpoint out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from sagewire.client import AsyncClient, Client
from sagewire.discovery.container_rules import ContainerProfile
from sagewire.errors import EndpointError, EndpointTimeout, SagewireError
from sagewire.http.deadlines import Timeouts
from sagewire.integrations._client_pool import ClientPair, ClientPool
from sagewire.integrations._fallback_profile import profile_of
from sagewire.integrations.openai._routes import ROUTES, Route, model_list
from sagewire.openai_shapes import BadRequest, error_body, error_envelope
from sagewire.types.secret import Secret

__all__ = ["Answer", "InProcessServer", "Unreachable"]

LOG = logging.getLogger("sagewire.openai")
# The containers AWS documents for the route, and that stream SSE there. TGI's and llama.cpp's may answer it, too,
# but that is not documented; LMI's chat stream is JSON lines, which OpenAI's client cannot read.
NATIVE_HANDLERS = ("openai_chat", "sglang")
_ASSUMED = ContainerProfile("a server of OpenAI's chat route", chat="openai_chat")
_NATIVE_ROUTE = "chat/completions"


class Unreachable(Exception):
    """No answer came; OpenAI's client has its own exceptions for that, which programs expect.

    Args:
        error: What happened.
    """

    def __init__(self, error: EndpointError) -> None:
        super().__init__(str(error))
        self.timed_out = isinstance(error, EndpointTimeout)


@dataclass(slots=True)
class Answer:
    """An HTTP answer: a whole body, or its pieces, whose connection `hang_up` closes."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    body: bytes = b""
    pieces: Iterator[bytes] | None = None
    async_pieces: AsyncIterator[bytes] | None = None
    hang_up: Callable[[], None] = lambda: None


class InProcessServer:
    """What an endpoint does with the requests of OpenAI's client.

    Args:
        names: The endpoint's names: its own, and the inference component's.
        parts: The arguments of the client, for each request with that request's time limits; or the client itself.
        native: Whether conversations go over SageMaker's own OpenAI route; `None` finds it out.
    """

    def __init__(self, names: tuple[str, ...], parts: Mapping[str, Any] | Client, native: bool | None) -> None:
        self._names = names
        self._parts = parts
        self._native = native
        self._clients = ClientPool(8)
        if isinstance(parts, Client):
            self._own: ClientPair | None = ClientPair(parts, parts.to_async(), Secret({}))
        else:
            self._own = None

    def __repr__(self) -> str:
        return f"InProcessServer({self._names[0]!r})"

    def goes_native(self, path: str, timeouts: Timeouts) -> bool:
        """Return whether a request goes over SageMaker's own route; may wait for the control plane."""
        if _route_of(path) != _NATIVE_ROUTE or self._native is False:
            return False
        if self._native:
            return True
        try:
            return profile_of(self.clients(timeouts).client, _ASSUMED, LOG).chat in NATIVE_HANDLERS
        except SagewireError:
            # The same happens in process, and there it becomes an error of OpenAI's client.
            return False

    def decided(self, path: str, timeouts: Timeouts) -> bool:
        """Return whether `goes_native` answers without waiting."""
        undecided = _route_of(path) == _NATIVE_ROUTE and self._native is None
        return not undecided or self.clients(timeouts).client.known

    def native_body(self, body: bytes) -> bytes:
        """Return the body to send over SageMaker's own route.

        vLLM takes an empty name for its base model, and answers 404 to the endpoint's.
        """
        try:
            asked = orjson.loads(body)
        except orjson.JSONDecodeError:
            return body
        if not isinstance(asked, dict):
            return body
        changed = dict(asked)
        if asked.get("model") in self._names:
            changed["model"] = ""
        if asked.get("tools") == []:
            # vLLM refuses an empty list, and a choice without tools.
            for name in ("tools", "tool_choice", "parallel_tool_calls"):
                changed.pop(name, None)
        return body if changed == asked else orjson.dumps(changed)

    def clients(self, timeouts: Timeouts) -> ClientPair:
        """Return the clients with these time limits."""
        if self._own is not None:
            return self._own
        assert not isinstance(self._parts, Client), "then it is the client itself"
        # OpenAI's client tries again by itself.
        return self._clients.get({**self._parts, "timeout": timeouts, "retries": 1})

    def answer(self, method: str, path: str, body: bytes, timeouts: Timeouts) -> Answer:
        """Answer a request.

        Raises:
            Unreachable: No answer came.
        """
        try:
            route = self._read(method, path, body)
            if isinstance(route, Answer):
                return route
            client = self.clients(timeouts).client
            if not route.stream:
                return _whole(route.run(client), route.request_id)
            pieces = _primed(route, client)
            return Answer(headers=_EVENTS | _id_header(route.request_id), pieces=pieces)
        except SagewireError as error:
            return self._refusal(error)

    async def answer_async(self, method: str, path: str, body: bytes, timeouts: Timeouts) -> Answer:
        """Answer a request.

        Raises:
            Unreachable: No answer came.
        """
        try:
            route = self._read(method, path, body)
            if isinstance(route, Answer):
                return route
            client = self.clients(timeouts).twin
            if not route.stream:
                return _whole(await route.arun(client), route.request_id)
            async_pieces = await _primed_async(route, client)
            return Answer(headers=_EVENTS | _id_header(route.request_id), async_pieces=async_pieces)
        except SagewireError as error:
            return self._refusal(error)

    def _read(self, method: str, path: str, body: bytes) -> Route | Answer:
        name = _route_of(path)
        if method == "GET" and name == "models":
            return _whole(model_list(self._names[0]))
        if method == "GET" and name.startswith("models/"):
            asked = name.removeprefix("models/")
            if asked in self._names:
                return _whole({**model_list(asked)["data"][0]})
            return _failed(404, error_body(f"the model {asked!r} does not exist", status=404, code="model_not_found"))
        if method != "POST" or name not in ROUTES:
            known = ", ".join(f"/{known}" for known in (*ROUTES, "models"))
            message = f"{method} /{name} is not available on an endpoint; there are {known}"
            return _failed(404, error_body(message, status=404, code="not_found"))
        try:
            asked = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"the request body is not valid JSON: {error}") from None
        if not isinstance(asked, dict):
            raise BadRequest("the request body must be a JSON object")
        return ROUTES[name](asked, self._names)

    def _refusal(self, error: SagewireError) -> Answer:
        if isinstance(error, EndpointTimeout) or (type(error) is EndpointError and error.status is None):
            raise Unreachable(error) from error
        status, body = error_envelope(error)
        headers: dict[str, str] = {}
        if isinstance(error, EndpointError):
            if error.retry_after is not None:
                headers["retry-after"] = str(error.retry_after)
            if error.request_id:
                headers["x-request-id"] = error.request_id
        again = isinstance(error, EndpointError) and error.retry_safe and self._own is None
        # OpenAI's client would try every 5xx again, and every 429 although a client of ours has done so already.
        headers["x-should-retry"] = "true" if again else "false"
        return _failed(status, body, headers)


_EVENTS = {"content-type": "text/event-stream"}


def _route_of(path: str) -> str:
    return path.partition("/openai/v1/")[2].strip("/")


def _whole(body: Any, request_id: str | None = None) -> Answer:
    return Answer(headers={"content-type": "application/json"} | _id_header(request_id), body=orjson.dumps(body))


def _id_header(request_id: str | None) -> dict[str, str]:
    """Return the header in which OpenAI's client looks for the id of a request (`_request_id`)."""
    return {"x-request-id": request_id} if request_id else {}


def _failed(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
    # A refusal that comes from here is final unless it says otherwise.
    more = {"x-should-retry": "false", **(headers or {})}
    return Answer(status, {"content-type": "application/json", **more}, orjson.dumps(body))


def _event(chunk: Any) -> bytes:
    # Events of the Responses API have their type as their name, and no `[DONE]` behind them.
    name = b"event: %b\n" % chunk["type"].encode() if "type" in chunk else b""
    return name + b"data: " + orjson.dumps(chunk) + b"\n\n"


_DONE = b"data: [DONE]\n\n"


def _primed(route: Route, client: Client) -> Iterator[bytes]:
    """Return the events of a stream whose first chunk is there: until then an error is an HTTP status."""
    chunks = route.chunks(client)
    first = next(chunks)

    def events() -> Iterator[bytes]:
        try:
            yield _event(first)
            for chunk in chunks:
                yield _event(chunk)
            yield _DONE if "choices" in first else b""
        except SagewireError as error:
            # The status has been sent; OpenAI's client raises what it finds under this name.
            yield _event(error_envelope(error)[1])
        finally:
            chunks.close()  # type: ignore[attr-defined]

    return events()


async def _primed_async(route: Route, client: AsyncClient) -> AsyncIterator[bytes]:
    chunks = route.achunks(client)
    first = await anext(chunks)

    async def events() -> AsyncIterator[bytes]:
        try:
            yield _event(first)
            async for chunk in chunks:
                yield _event(chunk)
            yield _DONE if "choices" in first else b""
        except SagewireError as error:
            yield _event(error_envelope(error)[1])
        finally:
            await chunks.aclose()  # type: ignore[attr-defined]

    return events()
