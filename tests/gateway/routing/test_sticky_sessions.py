"""Sticky sessions: one for each conversation, on one deployment, opened again when it is gone, closed at the end."""

import asyncio
import logging

import pytest

from sagewire import AsyncClient, Client
from sagewire.client.sticky_sessions import opened
from sagewire.emulator import Emulator, EndpointSpec
from sagewire.errors import SagewireError, UsageError, WireError
from sagewire.gateway.config import parse_config
from sagewire.gateway.routing.sticky_sessions import Sessions
from sagewire.types import ResponseInfo

CONFIG = """
models:
  m:
    affinity: session
    deployments: [{endpoint: chat, handler: openai_chat}, {endpoint: facts, handler: openai_chat}]
"""
HI = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}
HEADER = "x-amzn-sagemaker-session-id"


def sessions(upstream: Emulator) -> list[tuple[str, str | None]]:
    return [(call.endpoint, call.headers.get(HEADER)) for call in upstream.calls]


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_has_one_session(start, upstream: Emulator, stream: bool) -> None:
    gateway = start(CONFIG)
    for _ in range(3):
        assert gateway.post("/v1/chat/completions", HI | {"stream": stream}, x_session_id="talk").status == 200
        assert gateway.post("/v1/chat/completions", HI | {"stream": stream, "user": "ann"}).status == 200
        assert gateway.post("/v1/chat/completions", HI | {"stream": stream}).status == 200
    seen = sessions(upstream)
    named = [one for one in seen if one[1] is not None]
    assert (len(seen), len(named)) == (9, 6)
    # Two conversations, each on one deployment in one session; without a name there is none.
    assert len(set(named)) == 2
    assert sum(len(one.sessions) for one in gateway.gateway.router.deployments()) == 2


def test_callers_do_not_share_sessions(start, upstream: Emulator) -> None:
    gateway = start(CONFIG + "keys: [{name: a, key: sk-a}, {name: b, key: sk-b}]\nserver: {master_key: sk-m}")
    master = {"authorization": "Bearer sk-m"}

    def talk(key: str) -> str | None:
        gateway.post("/v1/chat/completions", HI, x_session_id="talk", authorization=f"Bearer {key}")
        return sessions(upstream)[-1][1]

    assert talk("sk-a") != talk("sk-b")
    # A new key with an old name is another caller, the same one with a new secret is not.
    (old, again) = (gateway.post("/key/generate", {"key_alias": "c"}, **master).json()["key"], "sk-again")
    before = talk(old)
    gateway.post("/key/regenerate", {"key": old, "new_key": again}, **master)
    assert talk(again) == before
    gateway.post("/key/delete", {"keys": [again]}, **master)
    assert talk(gateway.post("/key/generate", {"key_alias": "c"}, **master).json()["key"]) not in (before, None)


@pytest.mark.parametrize("stream", [False, True])
def test_a_session_that_is_gone_is_opened_again(start, upstream: Emulator, stream: bool) -> None:
    gateway = start(CONFIG)
    for turn in range(2):
        answer = gateway.post("/v1/chat/completions", HI | {"stream": stream}, x_session_id="talk")
        assert (answer.status, b'"error"' in answer.data) == (200, False)
        if turn == 0:
            endpoint, session = sessions(upstream)[-1]
            Client(endpoint, handler="openai_chat").close_session(session)
    last = sessions(upstream)[-1]
    assert last[0] == endpoint
    assert last[1] != session


def test_sessions_are_closed_when_they_idle_and_at_the_end(start, upstream: Emulator, until) -> None:
    gateway = start(
        "models: {m: {affinity: session, endpoint: chat, handler: openai_chat, session_idle_seconds: 0.001}}"
    )
    (deployment,) = gateway.gateway.router.models["m"].deployments
    for name in ("one", "two"):
        assert gateway.post("/v1/chat/completions", HI, x_session_id=name).status == 200
    used = [session for _, session in sessions(upstream)]
    client = Client("chat", handler="openai_chat")

    def gone(session: str) -> bool:
        try:
            client.chat("Hello", endpoint_kwargs={"SessionId": session})
        except Exception:
            return True
        return False

    until(lambda: gone(used[0]))
    gateway.loop_call(lambda: gateway.gateway.in_background(deployment.sessions.close()))
    until(lambda: gone(used[1]))


def test_a_container_without_sessions_answers_all_the_same(start, upstream: Emulator, caplog) -> None:
    upstream.add("stateless", EndpointSpec("openai_chat", "echo", sessions=False))
    gateway = start("models: {m: {affinity: session, endpoint: stateless, handler: openai_chat}}")
    with caplog.at_level(logging.WARNING, "sagewire.gateway"):
        for _ in range(3):
            assert gateway.post("/v1/chat/completions", HI, x_session_id="talk").status == 200
    assert len([record for record in caplog.records if "no session was opened" in record.message]) == 1
    assert [session for _, session in sessions(upstream)][-1] is None


def test_servers_behind_a_url_have_no_sessions() -> None:
    with pytest.raises(UsageError, match="SageMaker endpoints"):
        parse_config("models: {m: {affinity: session, url: 'http://localhost:1'}}")


def test_clients_open_and_close_sessions(upstream: Emulator) -> None:
    with Client("chat", handler="openai_chat") as client:
        session = client.open_session()
        assert "Hello" in client.chat("Hello", endpoint_kwargs={"SessionId": session}).text
        assert upstream.calls[-1].headers[HEADER] == session
        client.close_session(session)
        with pytest.raises(Exception, match="session not found"):
            client.chat("Hello", endpoint_kwargs={"SessionId": session})


def test_http_servers_have_no_sessions(upstream: Emulator) -> None:
    with Client(url=upstream.container_url("chat"), handler="openai_chat") as client, pytest.raises(SagewireError):
        client.open_session()


async def test_async_clients_do_too(upstream: Emulator) -> None:
    async with AsyncClient("chat", handler="openai_chat") as client:
        session = await client.open_session()
        assert (await client.chat("Hello", endpoint_kwargs={"SessionId": session})).text
        await client.close_session(session)


def test_an_answer_without_a_session_is_no_session() -> None:
    with pytest.raises(WireError, match="STATEFUL_SESSIONS"):
        opened(ResponseInfo())


class Opener:
    """Opens sessions `s1`, `s2` ..., and keeps those that were closed."""

    def __init__(self) -> None:
        self.number = 0
        self.closed: list[str] = []

    async def open_session(self) -> str:
        self.number += 1
        return f"s{self.number}"

    async def close_session(self, session: str) -> None:
        self.closed.append(session)


async def test_a_session_in_use_is_not_closed() -> None:
    now = [0.0]
    opener = Opener()
    sessions = Sessions(lambda: opener, 10.0, clock=lambda: now[0])  # type: ignore[arg-type, return-value]
    long = await sessions.use("long")
    assert long == "s1"
    now[0] = 60.0
    await sessions.use("other")
    await asyncio.sleep(0)
    assert opener.closed == []
    sessions.done("long", "s1")
    now[0] = 120.0
    sessions.done("other", "s2")
    await sessions.use("third")
    await sessions.close()
    assert set(opener.closed) == {"s1", "s2", "s3"}


async def test_what_is_said_of_an_earlier_session_does_not_touch_the_one_that_took_its_place() -> None:
    opener = Opener()
    sessions = Sessions(lambda: opener, 10.0)  # type: ignore[arg-type, return-value]
    assert await sessions.use("talk") == "s1"
    sessions.forget("talk", "s1")
    assert await sessions.use("talk") == "s2"
    sessions.forget("talk", "s1")
    sessions.done("talk", "s1")
    assert await sessions.use("talk") == "s2"
    assert len(sessions) == 1
    await sessions.close()
    assert opener.closed == ["s2"]
