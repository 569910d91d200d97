"""Answers of the Responses API that later requests go on from: off unless `server.store_responses` says how long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ParamSpec, TypeVar
from weakref import WeakValueDictionary

import orjson

from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.database_calls import LONGEST_QUEUE, DatabaseCalls
from sagewire.gateway.accounting.response_table import MAX_ID, Chain, ResponseTable, StoredItem, StoredResponse
from sagewire.gateway.accounting.store_errors import StoreBusy, StoreError
from sagewire.gateway.body_room import SMALL_BODY, BodyRoom
from sagewire.gateway.config import ServerConfig
from sagewire.gateway.durations import after
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.isolation import MAX_INPUTS
from sagewire.gateway.keys import Key
from sagewire.gateway.request_log import RequestLog
from sagewire.gateway.threads import BlockingCalls
from sagewire.openai_shapes import BadRequest
from sagewire.openai_shapes.answers import new_id

__all__ = ["StoredResponses", "fresh_id", "page_of"]

JSON = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger("sagewire.gateway")
# Seconds between two deletions of what has expired.
PURGE_SECONDS = 600.0
# Calls at once, and the share of a key's bytes after which its oldest answers are looked for.
_CALLS, _SHARE = 2, 20
# Seconds for a step of the deletions, which no request waits for, and the answers that it deletes.
_STEP_SECONDS, _STEP = 10.0, 100
_KINDS = {"function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}


def fresh_id(prefix: str) -> str:
    """Return a fresh id in the manner of the API, `resp_...` for example."""
    return new_id(prefix).replace("-", "_")


class StoredResponses:
    """The stored answers, as requests use them. A key has its own, and nobody else can tell that there are any.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._table = ResponseTable(store)
        self._calls = DatabaseCalls(store, calls=_CALLS, consequence="responses are neither stored nor read")
        # Apart from those: that a deletion takes long does not mean that the database is away.
        self._deletions = BlockingCalls(1, _STEP_SECONDS)
        # Bytes that this process has stored for a key since it last looked for the oldest.
        self._since_trim: dict[str, int] = {}
        self._trims: dict[str, asyncio.Task[int]] = {}
        # One call of a key at a time, so that none takes the places of all others.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def expanded(self, log: RequestLog, body: JSON, server: ServerConfig, room: BodyRoom) -> tuple[JSON, int]:
        """Return the body of a request with the stored items that it refers to, and how many come before its own.

        Args:
            log: The request, whose key is known.
            body: The request's body.
            server: Says how large it may become.
            room: The room for large bodies: a few bytes can stand for a long conversation.

        Raises:
            BadRequest: A field has the wrong type.
            GatewayError: 404 for an answer or item that this key does not have, 413 for too long a conversation, 503 if
                the database does not answer.
        """
        previous, items = body.get("previous_response_id"), _as_items(body.get("input"))
        references = _references(items)
        if previous is None and not references:
            return body, 0
        if not isinstance(items, list):
            raise BadRequest("'input' must be a text, or an array of messages and tool results", "input")
        assert log.key is not None, "it has been checked"
        key, most, sent = log.key, server.max_body_bytes, log.body_room
        await room.take(log, most, most)
        earlier, size = await self._before(key, previous, most)
        if references:
            items, more = await self._resolved(key, items, references, most)
            size += more
        room.shrink(log, sent + (size if size > SMALL_BODY else 0))
        return {**body, "input": [*earlier, *items]}, len(earlier)

    async def _before(self, key: Key, previous: Any, most: int) -> tuple[list[JSON], int]:
        if previous is None:
            return [], 0
        if not isinstance(previous, str) or not previous:
            raise BadRequest("'previous_response_id' must be the id of a response", "previous_response_id")
        chain = await self._chain(key, previous, most)
        if chain is None or chain.missing is not None:
            lost = "" if chain is None else f"; an earlier one, '{chain.missing}', has expired or was deleted"
            raise GatewayError(
                404,
                "previous_response_not_found",
                f"there is no response {previous[:MAX_ID]!r} to go on from{lost}: send the whole conversation in "
                "'input'",
                param="previous_response_id",
            )
        return _all_of(chain, "previous_response_id", most), chain.size

    async def _chain(self, key: Key, id: str, most: int, *, output: bool = True) -> Chain | None:
        if not _is_id(id):
            return None
        return await self._run(key, self._table.chain, _owner(key), id, most, MAX_INPUTS, output=output)

    async def _resolved(self, key: Key, items: list[Any], references: list[Any], most: int) -> tuple[list[Any], int]:
        wrong = [one for one in references if not isinstance(one, str) or not one]
        if wrong:
            raise BadRequest("an 'item_reference' needs the 'id' of an item", "input")
        ids = {one for one in references if _is_id(one)}
        found = await self._run(key, self._table.items, _owner(key), ids, most)
        if found is None:
            raise _too_long("input", most)
        missing = next((one for one in references if one not in found), None)
        if missing is not None:
            raise GatewayError(
                404,
                "item_not_found",
                f"there is no item {missing[:MAX_ID]!r}: it has expired, was deleted or never was; send the item "
                "itself",
                param="input",
            )
        # A few bytes that name a large item many times would become a body without limit.
        sizes = {id: len(orjson.dumps(item)) for id, item in found.items()}
        size = sum(sizes[one] for one in references)
        if size > most:
            raise _too_long("input", most)
        return [found[item["id"]] if _is_reference(item) else item for item in items], size

    async def keep(self, key: Key, body: JSON, earlier: int, response: JSON, server: ServerConfig) -> bool:
        """Store an answer; return whether it is stored, which it is not if it is too large or the database is away.

        Args:
            key: Whose it is.
            body: The request, expanded.
            earlier: How many of its items were stored already.
            response: The answer.
            server: Says for how long, and how much.
        """
        assert server.store_responses is not None, "asked for only if responses are stored"
        kept = [_input_item(item) for item in _as_items(body["input"])[earlier:]]
        kept += [StoredItem(item, output=True) for item in response["output"]]
        rest = {name: value for name, value in response.items() if name != "output"}
        stored = StoredResponse(response["id"], rest, kept, body.get("previous_response_id"))
        owner, most = _owner(key), server.store_responses_bytes
        try:
            size = await self._in_turn(key, self._table.add, owner, stored, after(server.store_responses), most)
        except StoreError as error:
            _log.warning("a response is not stored: %s", error)
            return False
        self._trim(owner, size, most)
        return size > 0

    def _trim(self, owner: str, size: int, most: int) -> None:
        """Delete a key's oldest answers now and then, in the background; what it has is summed up for that."""
        written = self._since_trim.get(owner, most) + size
        if written * _SHARE >= most and owner not in self._trims:
            # Also if it fails: another try after every answer would only be more of what the database cannot do.
            written = 0
            task = asyncio.create_task(self._remove(partial(self._table.oldest, owner, most)))
            self._trims[owner] = task
            task.add_done_callback(lambda _: self._trims.pop(owner, None))
        self._since_trim[owner] = written

    async def forget(self, key: Key) -> None:
        """Delete all answers of a key that is revoked."""
        await self._remove(partial(self._table.oldest, _owner(key), -1))

    async def _remove(self, find: Callable[[], list[int]]) -> int:
        """Delete what is found in small steps, between which others have their turn; return how many answers."""
        try:
            found = await self._deletions.run(find)
            for start in range(0, len(found), _STEP):
                await self._deletions.run(self._table.remove, found[start : start + _STEP])
        except (StoreError, TimeoutError) as error:
            _log.warning("old responses are not deleted yet: %s", str(error) or "it takes too long")
            return 0
        return len(found)

    async def get(self, key: Key, id: str) -> JSON:
        """Return an answer.

        Raises:
            GatewayError: 404 if this key has none of that id, 503 if the database does not answer.
        """
        found = await self._run(key, self._table.get, _owner(key), id) if _is_id(id) else None
        if found is None:
            raise _no_response(id)
        return found

    async def input_items(self, key: Key, id: str, server: ServerConfig) -> list[JSON]:
        """Return all that an answer was made from: the items of its request, and of the conversation before.

        Raises:
            GatewayError: 404 if this key has none of that id, 413 for too long a conversation, 503 if the database does
                not answer.
        """
        most = server.max_body_bytes
        chain = await self._chain(key, id, most, output=False)
        if chain is None or chain.missing is not None:
            raise _no_response(id if chain is None or chain.missing is None else chain.missing)
        return _all_of(chain, "id", most)

    async def delete(self, key: Key, id: str) -> None:
        """Delete an answer.

        Raises:
            GatewayError: 404 if this key has none of that id, 503 if the database does not answer.
        """
        if not _is_id(id) or not await self._run(key, self._table.delete, _owner(key), id):
            raise _no_response(id)

    async def purge(self) -> None:
        """Delete what has expired, now and every ten minutes from now on."""
        while True:
            while await self._remove(self._table.expired):
                pass
            await asyncio.sleep(PURGE_SECONDS)

    async def _run(self, key: Key, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._in_turn(key, work, *args, **kwargs)
        except StoreError:
            raise GatewayError(
                503,
                "responses_unavailable",
                "stored responses cannot be read now; try again",
                headers={"retry-after": "5"},
            ) from None

    async def _in_turn(self, key: Key, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of a call that comes behind the others of its key."""
        turn = self._turns.setdefault(_owner(key), asyncio.Lock())
        try:
            async with asyncio.timeout(LONGEST_QUEUE):
                await turn.acquire()
        except TimeoutError:
            raise StoreBusy("the key has too many stored responses on their way") from None
        try:
            return await self._calls.run(work, *args, **kwargs)
        finally:
            turn.release()


def _owner(key: Key) -> str:
    """Return whose answers a key may refer to: a new key of an old name is somebody else."""
    return key.digest or key.name


def _is_id(given: str) -> bool:
    # Longer ones cannot be stored; PostgreSQL takes no null character, and no half of a surrogate pair.
    return len(given) <= MAX_ID and given.isascii() and given.isprintable()


def _as_items(given: Any) -> Any:
    return [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given


def _references(items: Any) -> list[Any]:
    return [item.get("id") for item in items if _is_reference(item)] if isinstance(items, list) else []


def _is_reference(item: Any) -> bool:
    # A client may leave out the type, which is the default of an object that has nothing but an id.
    return isinstance(item, dict) and (item.get("type") == "item_reference" or item.keys() == {"id"})


def _input_item(item: Any) -> StoredItem:
    kind = item.get("type", "message")
    if kind == "message" and isinstance(item.get("content"), str):
        # As the API lists it.
        part = "output_text" if item.get("role") == "assistant" else "input_text"
        item = {**item, "content": [{"type": part, "text": item["content"]}]}
    if isinstance(item.get("id"), str):
        return StoredItem({"type": kind, **item}, made_here=False)
    return StoredItem({"type": kind, **item, "id": fresh_id(_KINDS.get(kind, "msg"))})


def _no_response(id: str) -> GatewayError:
    return GatewayError(404, "response_not_found", f"there is no response {id[:MAX_ID]!r}", param="id")


def _all_of(chain: Chain, field: str, most: int) -> list[JSON]:
    if chain.too_many:
        raise _refused(field, f"has more than {MAX_INPUTS} items")
    if chain.size > most:
        raise _too_long(field, most)
    return chain.items


def _too_long(field: str, most: int) -> GatewayError:
    return _refused(field, f"is larger than {most} bytes (`server.max_body_bytes`)")


def _refused(field: str, why: str) -> GatewayError:
    return GatewayError(413, "conversation_too_large", f"the stored conversation {why}: begin a new one", param=field)


def page_of(items: Iterable[JSON], *, limit: int, order: str, after: str | None) -> JSON:
    """Return a part of a list of items as the API's lists are.

    Args:
        items: All of them, oldest first.
        limit: At most so many.
        order: `asc` for the oldest first, `desc` for the newest.
        after: The id of the item before the first one.

    Raises:
        BadRequest: There is no such item.
    """
    listed = list(items) if order == "asc" else list(items)[::-1]
    if after is not None:
        place = next((number for number, item in enumerate(listed) if item.get("id") == after), None)
        if place is None:
            raise BadRequest(f"there is no item {after[:MAX_ID]!r} in the list", "after")
        listed = listed[place + 1 :]
    shown = listed[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(listed) > limit,
    }
