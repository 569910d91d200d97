"""Deltas as the events of a streamed Responses API answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sagewire.openai_shapes.answers import new_id
from sagewire.openai_shapes.chunks import ChatChunks
from sagewire.openai_shapes.responses_output import (
    begun,
    ended,
    message_item,
    reasoning_item,
    text_part,
    tool_call_item,
)
from sagewire.types import Choice, Delta

__all__ = ["ResponseEvents"]

JSON = dict[str, Any]


class _Item:
    """An output item that is being written."""

    def __init__(self, kind: str, index: int, key: object = None) -> None:
        self.kind = kind
        self.index = index
        self.key = key
        self.id = new_id({"message": "msg", "reasoning": "rs", "function_call": "fc"}[kind]).replace("-", "_")
        self.pieces: list[str] = []
        self.logprobs: list[JSON] = []
        self.call_id = ""
        self.name = ""

    @property
    def is_complete(self) -> bool:
        """Whether the arguments of a call are a whole object: nothing can follow."""
        text = "".join(self.pieces)
        try:
            return text.rstrip().endswith("}") and isinstance(json.loads(text), dict)
        except (ValueError, RecursionError):
            return False

    def as_json(self, status: str = "completed") -> JSON:
        text = "".join(self.pieces)
        if self.kind == "message":
            item = message_item(self.id, text, status)
            for part in item["content"]:
                part["logprobs"] = self.logprobs
            return item
        if self.kind == "reasoning":
            return reasoning_item(self.id, text, status)
        return tool_call_item(self.id, self.call_id, self.name, text, status)


class ResponseEvents:
    """Turns the deltas of one answer into events; each is a dictionary whose `type` is also the event's name.

    Args:
        body: The request, whose settings the `response` object repeats.
        model: The name under which it was asked for.
        id: The response's id; else a fresh one.
        created: Seconds since the epoch; else now.
        calls_are_final: As for `ChatChunks`, which decides here, too, when a tool call may be sent.
        stored: Later requests can refer to it.

    Example:
        >>> from sagewire.types import TextDelta
        >>> events = ResponseEvents({}, model="m")
        >>> [event["type"] for event in events.encode(TextDelta("Hi"))][-2:]
        ['response.content_part.added', 'response.output_text.delta']
        >>> events.close()[-1]["response"]["output"][0]["content"][0]["text"]
        'Hi'
    """

    def __init__(
        self,
        body: Mapping[str, Any],
        *,
        model: str,
        id: str | None = None,
        created: int | None = None,
        calls_are_final: bool = False,
        stored: bool = False,
    ) -> None:
        self._chunks = ChatChunks(model, calls_are_final=calls_are_final)
        self._response = begun(
            body, model=model, id=id or new_id("resp").replace("-", "_"), created=created, stored=stored
        )
        self._sequence = 0
        self._begun = False
        self._done: dict[int, JSON] = {}
        self._open: _Item | None = None
        # Calls behind which others began before their arguments were complete: servers send those in turns.
        self._unfinished: dict[object, _Item] = {}
        self._ended_calls: set[object] = set()
        self._finish: str | None = None

    def encode(self, delta: Delta) -> list[JSON]:
        """Return the events for one more delta."""
        return self._translate(self._chunks.encode(delta))

    def close(self) -> list[JSON]:
        """Return the last events."""
        events = self._translate(self._chunks.close())
        if self._open is None and not self._done:
            self._switch("message", events)
        if self._open is not None:
            self._unfinished[self._open.key] = self._open
        for item in sorted(self._unfinished.values(), key=lambda item: item.index):
            self._close_item(item, events)
        reason: Any = self._finish
        output = [self._done[index] for index in sorted(self._done)]
        self._response |= ended(Choice(finish_reason=reason), output, self._chunks.usage)
        events.append(self._event(f"response.{self._response['status']}", response=self._response))
        return events

    def fail(self, error: Mapping[str, Any]) -> list[JSON]:
        """Return the event for an error in the middle of the answer.

        Args:
            error: The inner object of OpenAI's error envelope.
        """
        code = error.get("code") or "server_error"
        return [self._event("error", code=code, message=error.get("message"), param=error.get("param"))]

    def _translate(self, chunks: list[JSON]) -> list[JSON]:
        events: list[JSON] = []
        if not self._begun:
            self._begun = True
            names = ("response.created", "response.in_progress")
            events += [self._event(name, response=dict(self._response)) for name in names]
        for chunk in chunks:
            # The API has one answer only and no field `n`.
            for choice in chunk["choices"]:
                self._finish = choice["finish_reason"] or self._finish
                self._take(choice["delta"], events)
                if choice.get("logprobs"):
                    self._take_logprobs(choice["logprobs"]["content"], events)
        return events

    def _take(self, delta: JSON, events: list[JSON]) -> None:
        if delta.get("reasoning_content"):
            item = self._switch("reasoning", events)
            self._add(item, delta["reasoning_content"], "response.reasoning_text.delta", events, content_index=0)
        if delta.get("content"):
            item = self._switch("message", events)
            more: JSON = {"content_index": 0, "logprobs": []}
            self._add(item, delta["content"], "response.output_text.delta", events, **more)
        for call in delta.get("tool_calls", ()):
            arguments = call["function"]["arguments"]
            if call["index"] in self._ended_calls and not arguments.strip():
                # White space behind a call that is whole.
                continue
            item = self._switch("function_call", events, call)
            if arguments:
                self._add(item, arguments, "response.function_call_arguments.delta", events)

    def _take_logprobs(self, tokens: list[JSON], events: list[JSON]) -> None:
        # They arrive behind the text they belong to.
        item = self._open
        if item is not None and item.kind == "message":
            item.logprobs += tokens
            self._add(item, "", "response.output_text.delta", events, content_index=0, logprobs=tokens)

    def _add(self, item: _Item, text: str, name: str, events: list[JSON], **more: Any) -> None:
        item.pieces.append(text)
        events.append(self._event(name, item_id=item.id, output_index=item.index, delta=text, **more))

    def _switch(self, kind: str, events: list[JSON], call: Mapping[str, Any] | None = None) -> _Item:
        """Return the open item of a kind; if another item is open, leave it and open a new one."""
        key = call["index"] if call else None
        item = self._open
        if item is not None and item.kind == kind and item.key == key:
            return item
        if item is not None and item.kind == "function_call" and not item.is_complete:
            self._unfinished[item.key] = item
        elif item is not None:
            self._close_item(item, events)
        if key in self._unfinished:
            item = self._open = self._unfinished.pop(key)
            return item
        item = self._open = _Item(kind, len(self._done) + len(self._unfinished), key)
        if call is not None:
            item.call_id, item.name = call.get("id", ""), call["function"].get("name", "")
        added = item.as_json("in_progress")
        events.append(self._event("response.output_item.added", output_index=item.index, item=added))
        if kind == "message":
            part = {"item_id": item.id, "output_index": item.index, "content_index": 0, "part": text_part("")}
            events.append(self._event("response.content_part.added", **part))
        return item

    def _close_item(self, item: _Item, events: list[JSON]) -> None:
        if item.kind == "function_call":
            self._ended_calls.add(item.key)
        text = "".join(item.pieces)
        location: JSON = {"item_id": item.id, "output_index": item.index}
        if item.kind == "message":
            inside = location | {"content_index": 0}
            events.append(self._event("response.output_text.done", **inside, text=text, logprobs=item.logprobs))
            part = text_part(text) | {"logprobs": item.logprobs}
            events.append(self._event("response.content_part.done", **inside, part=part))
        elif item.kind == "reasoning":
            events.append(self._event("response.reasoning_text.done", **location, content_index=0, text=text))
        else:
            name = "response.function_call_arguments.done"
            events.append(self._event(name, **location, name=item.name, arguments=text))
        whole = item.as_json()
        self._done[item.index] = whole
        events.append(self._event("response.output_item.done", output_index=item.index, item=whole))

    def _event(self, name: str, /, **more: Any) -> JSON:
        event = {"type": name, "sequence_number": self._sequence, **more}
        self._sequence += 1
        return event
