"""The room for large request bodies: what keys leave each other, who waits, and that all of it is given back."""

import asyncio
import json
import socket
from contextlib import ExitStack

import pytest

from sagewire.gateway import body_room
from sagewire.gateway.body_room import BodyRoom, check_values
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import Key
from sagewire.gateway.request_log import RequestLog
from tests.cases import each
from tests.gateway.accounting.logs import ended

# Bytes of the largest body; there is room for ten.
LARGEST = 100_000


def request(key: str) -> RequestLog:
    return ended(key=Key(key))


async def taken(room: BodyRoom, *bodies: tuple[str, int]) -> list[RequestLog]:
    logs = [request(key) for key, _ in bodies]
    for log, (_, size) in zip(logs, bodies, strict=True):
        await room.take(log, size, LARGEST)
    return logs


@each(
    ("before", "asked", "code"),
    [
        # Alone, half of all.
        ([("a", 100_000)] * 4, ("a", 100_000), None),
        ([("a", 100_000)] * 5, ("a", 1), 429),
        # Of two, a third each.
        ([("a", 100_000)] * 3 + [("b", 100_000)] * 2, ("b", 100_000), None),
        ([("a", 100_000)] * 3 + [("b", 100_000)] * 3, ("b", 100_000), 429),
        # Whatever others have, one more is served, as long as there is room at all.
        ([(key, 100_000) for key in "abcdefghi"], ("z", 100_000), None),
        ([(key, 100_000) for key in "abcdefghij"], ("z", 100_000), 503),
        # One that is larger than all the room, after a smaller limit was loaded.
        ([], ("a", 2_000_000), None),
    ],
)
def test_a_key_takes_as_much_as_it_leaves(before, asked, code) -> None:
    asyncio.run(_one_more(before, asked, code))


async def _one_more(before, asked, code) -> None:
    room = BodyRoom(wait_seconds=0.001)
    logs = await taken(room, *before)
    if code is None:
        logs += await taken(room, asked)
    else:
        with pytest.raises(GatewayError) as refused:
            await taken(room, asked)
        assert (refused.value.status, refused.value.code) == (code, "bodies_in_flight")
        assert refused.value.headers["retry-after"] == "5"
    assert sum(log.body_room for log in logs) == room._total == sum(room._taken.values())
    for log in logs:
        room.give_back(log)
    assert (room._total, room._taken, room._waiting) == (0, {}, {})


async def test_requests_wait_in_turn_and_those_that_leave_hold_up_nobody() -> None:
    room = BodyRoom()
    held = await taken(room, *[("a", 100_000)] * 5)
    waiting = [asyncio.create_task(taken(room, ("a", size))) for size in (100_000, 90_000, 1_000)]
    other = asyncio.create_task(taken(room, ("b", 100_000)))
    room.give_back((await asyncio.wait_for(other, 5))[0])
    # The first is the one that does not fit; the others are behind it.
    room.shrink(held[0], 20_000)
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    room.give_back(held[0])
    found = [(await asyncio.wait_for(task, 5))[0] for task in waiting[1:]]
    for log in [*held, *found]:
        room.give_back(log)
    assert (room._total, room._taken, room._waiting) == (0, {}, {})


async def test_who_leaves_as_room_is_found_gives_it_back() -> None:
    room = BodyRoom()
    held = await taken(room, *[("a", 100_000)] * 5)
    leaving = asyncio.create_task(taken(room, ("a", 100_000)))
    behind = asyncio.create_task(taken(room, ("a", 100_000)))
    await asyncio.sleep(0)
    room.give_back(held[0])
    leaving.cancel()
    held += await asyncio.wait_for(behind, 5)
    assert (room._total, leaving.cancelled()) == (500_000, True)


# Everything is a hundredth of what it is.
@each(
    ("values", "status"),
    [
        # A long conversation of short turns; text about JSON; token numbers.
        ([{"role": "user", "content": [{"type": "text", "text": "a"}]}] * 100, None),
        (['[[{"\\\\": ""}]]' * 5_000], None),
        (list(range(10_000)), None),
        ([[1.5, 2.5]] * 1_000, None),
        ([[]] * 30_000, 413),
        ([{"a": 0}] * 10_000, 413),
        ([{str(number): number for number in range(10_000)}], 413),
        (["aa"] * 20_000, 413),
        (["a", 1] * 3_001, 413),
        # Of numbers alone, too many to be kept.
        ([[1, 2, 3, 4, 5] * 10_000], 413),
    ],
)
def test_a_body_takes_as_much_room_as_its_values(monkeypatch: pytest.MonkeyPatch, values: list[object], status) -> None:
    monkeypatch.setattr(body_room, "MOST_VALUES", 3_000)
    asyncio.run(_weighed(values, status))


async def _weighed(values: list[object], status: int | None) -> None:
    room, log, largest = BodyRoom(), request("a"), 200_000
    body = json.dumps(values, separators=(",", ":")).encode()
    await room.take(log, len(body), largest)
    found = None
    try:
        check_values(body)
        room.weigh(log, values, largest)
    except GatewayError as error:
        found = error.status
    assert found == status
    assert (log.body_room > len(body)) is (status is None)
    room.give_back(log)
    assert room._total == 0


def test_texts_that_do_not_end_are_looked_through_once() -> None:
    # Each place where one could begin leads to the end.
    check_values(b'\\"' * 500_000)


async def test_values_find_no_room_beside_other_requests_of_the_key() -> None:
    room, log = BodyRoom(), request("a")
    await taken(room, *[("a", 90_000)] * 5)
    await room.take(log, 1_000, LARGEST)
    with pytest.raises(GatewayError) as refused:
        room.weigh(log, [{}] * 1_000, LARGEST)
    assert (refused.value.status, log.body_room) == (429, 1_000)


def test_unfinished_bodies_of_a_key_take_no_room_from_others(start, vllm) -> None:
    gateway = start(
        f"""
models: {{m: {{url: "{vllm.url}", handler: openai_chat}}}}
keys: [{{name: holds, key: sk-holds}}, {{name: other, key: sk-other}}]
server: {{max_body_bytes: {LARGEST}}}
"""
    )
    room = gateway.gateway.body_room
    room._wait_seconds = 0.05
    body = {"model": "m", "messages": [{"role": "user", "content": "a" * 80_000}]}
    small = {"model": "m", "messages": [{"role": "user", "content": "a"}]}

    def ask(key: str, body: object) -> tuple[int, str | None]:
        answer = gateway.post("/v1/chat/completions", body, authorization=f"Bearer {key}")
        return answer.status, answer.json()["error"]["code"] if answer.status != 200 else None

    port = int(gateway.url.rpartition(":")[2])
    framings = [b"content-length: 99000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n13880\r\n"]
    with ExitStack() as stack:
        for number in range(8):
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-holds\r\n"
            caller.sendall(head + framings[number % 2] + json.dumps(body).encode()[:80_000])
        while not room._waiting:
            pass
        assert ask("sk-holds", body) == (429, "bodies_in_flight")
        assert ask("sk-holds", small) == ask("sk-other", body) == (200, None)
    # They have hung up.
    while ask("sk-holds", body) != (200, None):
        pass
    while room._total:
        pass
