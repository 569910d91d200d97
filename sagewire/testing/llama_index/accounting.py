"""Token counts, callbacks and instrumentation events: what observers of a model see."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CallbackManager, CBEventType, TokenCountingHandler
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported unmarked
from llama_index.core.instrumentation.event_handlers import BaseEventHandler

from sagewire.testing.llama_index.subject import QUESTION, Subject, conversation

__all__ = ["AccountingTests"]

METHODS = (
    "chat", "complete", "stream_chat", "stream_complete", "achat", "acomplete", "astream_chat", "astream_complete",
)  # fmt: skip


class Tape(BaseCallbackHandler):
    """A recorder of legacy callbacks."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.seen: list[tuple[str, CBEventType, Any]] = []

    def on_event_start(
        self, event_type: CBEventType, payload: Any = None, event_id: str = "", parent_id: str = "", **kwargs: Any
    ) -> str:
        """Record a start."""
        self.seen.append(("start", event_type, payload))
        return event_id

    def on_event_end(self, event_type: CBEventType, payload: Any = None, event_id: str = "", **kwargs: Any) -> None:
        """Record an end."""
        self.seen.append(("end", event_type, payload))

    def start_trace(self, trace_id: str | None = None) -> None:
        """Record nothing."""

    def end_trace(self, trace_id: str | None = None, trace_map: Any = None) -> None:
        """Record nothing."""


class _Events(BaseEventHandler):
    """A recorder of instrumentation events."""

    seen: list[Any] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        """Return the handler's name."""
        return "ConformanceEvents"

    def handle(self, event: Any, **kwargs: Any) -> None:
        """Record an event."""
        self.seen.append(event)


class AccountingTests(Subject):
    """Tests of the data that counters, callbacks and traces rely on."""

    @pytest.mark.parametrize("method", METHODS)
    def test_token_counts(self, method: str) -> None:
        """`TokenCountingHandler` reads the server's own counts out of the response, streamed ones included."""
        if self.counts == "none":
            pytest.skip("counts is 'none'")
        # An estimate would be a multiple of this.
        counter = TokenCountingHandler(tokenizer=lambda text: [0] * 1_000_000)
        use(self.make(callback_manager=CallbackManager([counter])), method)
        (count,) = counter.llm_token_counts
        assert 0 < count.completion_token_count < 1_000_000
        if self.counts == "both":
            assert 0 < count.prompt_token_count < 1_000_000

    @pytest.mark.parametrize("method", METHODS)
    def test_callbacks(self, method: str) -> None:
        """Each call starts and ends one event of the callback manager."""
        tape = Tape()
        use(self.make(callback_manager=CallbackManager([tape])), method)
        assert [(which, kind) for which, kind, _ in tape.seen] == [("start", CBEventType.LLM), ("end", CBEventType.LLM)]

    @pytest.mark.parametrize("method", METHODS)
    def test_events(self, llm: Any, method: str) -> None:
        """Each call emits one start and one end event, a stream one more for each item, and none holds a secret."""
        dispatcher, handler = get_dispatcher(), _Events()
        dispatcher.add_event_handler(handler)
        try:
            items = use(llm, method)
        finally:
            dispatcher.event_handlers.remove(handler)
        names = Counter(type(event).__name__ for event in handler.seen)
        kind = "LLMChat" if "chat" in method else "LLMCompletion"
        assert (names[f"{kind}StartEvent"], names[f"{kind}EndEvent"]) == (1, 1)
        assert names[f"{kind}InProgressEvent"] == (items if "stream" in method else 0)
        written = repr([event.model_dump() for event in handler.seen])
        assert not [name for name in self.secrets if str(self.llm_params[name]) in written]


def use(llm: Any, method: str) -> int:
    """Call one of the eight methods to its end and return the number of items it gave."""
    given = conversation() if "chat" in method else QUESTION
    if method.startswith("astream"):

        async def count() -> int:
            return len([item async for item in await getattr(llm, method)(given)])

        return asyncio.run(count())
    if method.startswith("a"):
        asyncio.run(getattr(llm, method)(given))
        return 1
    result = getattr(llm, method)(given)
    return len(list(result)) if method.startswith("stream") else 1
