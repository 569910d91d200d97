"""Token counts, callbacks and instrumentation events."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CallbackManager, CBEventType, TokenCountingHandler
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler

from sagewire import StreamTruncated
from sagewire.emulator import Emulator, Reply
from sagewire.integrations.llama_index import SageMakerLLM

HELLO = [ChatMessage(role="user", content="hello")]


class Events(BaseEventHandler):
    seen: list = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.seen.append(event)


@pytest.fixture
def events() -> Iterator[list]:
    root, handler = get_dispatcher(), Events()
    root.add_event_handler(handler)
    yield handler.seen
    root.event_handlers.remove(handler)


class Legacy(BaseCallbackHandler):
    def __init__(self) -> None:
        super().__init__([], [])
        self.seen: list[tuple[str, CBEventType, dict]] = []

    def on_event_start(self, event_type: CBEventType, payload: Any = None, event_id: str = "", **_: Any) -> str:
        self.seen.append(("start", event_type, payload))
        return event_id

    def on_event_end(self, event_type: CBEventType, payload: Any = None, event_id: str = "", **_: Any) -> None:
        self.seen.append(("end", event_type, payload))

    def start_trace(self, trace_id: str | None = None) -> None: ...

    def end_trace(self, trace_id: str | None = None, trace_map: Any = None) -> None: ...


async def use_all_eight(llm: SageMakerLLM) -> None:
    llm.chat(HELLO)
    llm.complete("hello")
    list(llm.stream_chat(HELLO))
    list(llm.stream_complete("hello"))
    await llm.achat(HELLO)
    await llm.acomplete("hello")
    _ = [r async for r in await llm.astream_chat(HELLO)]
    _ = [r async for r in await llm.astream_complete("hello")]


@pytest.mark.parametrize(
    ("dialect", "prompt_tokens", "given"), [("openai_chat", 1111, {}), ("lmi", None, {"prompt_format": "chatml"})]
)
async def test_counts_are_the_servers_in_all_eight_methods(
    scripted, dialect: str, prompt_tokens: int | None, given: dict
) -> None:
    # Counts no tokenizer would arrive at: an estimate would show. LMI does not count prompts.
    counter = TokenCountingHandler(tokenizer=lambda text: [0])
    llm = scripted(dialect, Reply("ok", usage=(1111, 222)), callback_manager=CallbackManager([counter]), **given)
    await use_all_eight(llm)
    assert [count.completion_token_count for count in counter.llm_token_counts] == [222] * 8
    if prompt_tokens:
        assert [count.prompt_token_count for count in counter.llm_token_counts] == [prompt_tokens] * 8
    assert llm.chat(HELLO).additional_kwargs["completion_tokens"] == 222


def test_a_count_the_server_does_not_give_is_estimated_and_nothing_fails(scripted) -> None:
    counter = TokenCountingHandler(tokenizer=lambda text: [0] * 7)
    llm = scripted("tgi", "ok fine", callback_manager=CallbackManager([counter]), prompt_format="chatml")
    response = llm.chat(HELLO)
    assert "prompt_tokens" not in response.raw["usage"]  # TGI counts the prompt only where details are asked for
    (count,) = counter.llm_token_counts
    assert count.completion_token_count == response.raw["usage"]["completion_tokens"]
    assert count.prompt_token_count >= 7


async def test_each_call_emits_its_events_once(scripted, events: list) -> None:
    await use_all_eight(scripted("openai_chat", "one two"))
    names = [type(event).__name__ for event in events if "LLM" in type(event).__name__]
    for kind in ("Chat", "Completion"):
        assert names.count(f"LLM{kind}StartEvent") == names.count(f"LLM{kind}EndEvent") == 4
        assert names.count(f"LLM{kind}InProgressEvent") >= 4
    start = next(event for event in events if type(event).__name__ == "LLMChatStartEvent")
    assert "scripted" in start.model_dict.values()


async def test_legacy_callbacks_start_and_end(scripted) -> None:
    legacy = Legacy()
    await use_all_eight(scripted("openai_chat", "ok", callback_manager=CallbackManager([legacy])))
    assert [(which, kind) for which, kind, _ in legacy.seen] == [
        ("start", CBEventType.LLM),
        ("end", CBEventType.LLM),
    ] * 8


def test_a_broken_stream_ends_its_event_with_the_exception(scripted) -> None:
    legacy = Legacy()
    llm = scripted(
        "openai_chat", "one two three four", faults=("truncate_stream:4",), callback_manager=CallbackManager([legacy])
    )
    with pytest.raises(StreamTruncated):
        list(llm.stream_chat(HELLO))
    (_, end) = legacy.seen
    assert isinstance(end[2]["exception"], StreamTruncated)


def test_no_event_and_no_callback_carries_a_secret(emulator: Emulator, events: list) -> None:
    legacy, secret = Legacy(), emulator.credentials.secret_key
    llm = SageMakerLLM(
        "chat",
        content_handler="openai_chat",
        aws_access_key_id=emulator.credentials.access_key,
        aws_secret_access_key=secret,
        callback_manager=CallbackManager([legacy]),
    )
    llm.chat(HELLO)
    assert legacy.seen
    assert events
    assert secret not in repr([event.model_dump() for event in events]) + repr(legacy.seen)


@pytest.mark.skipif("rate_limiter" not in SageMakerLLM.model_fields, reason="this LlamaIndex has no rate limiters")
def test_a_rate_limiter_is_asked_once_per_call(scripted) -> None:
    class Limiter:
        asked = 0

        def acquire(self, num_tokens: int = 0) -> None:
            self.asked += 1

    llm = scripted("openai_chat", "ok")
    llm.rate_limiter = Limiter()
    llm.chat(HELLO)
    list(llm.stream_complete("x"))
    assert llm.rate_limiter.asked == 2


async def test_an_async_call_does_not_ask_the_control_plane_on_the_event_loop(emulator: Emulator, monkeypatch) -> None:
    import sagewire.client.resolver as wiring

    threads: list[threading.Thread] = []
    describe = wiring.describe

    def noting(*args: Any, **kwargs: Any) -> Any:
        threads.append(threading.current_thread())
        return describe(*args, **kwargs)

    monkeypatch.setattr(wiring, "describe", noting)
    llm = SageMakerLLM("chat")
    assert (await llm.achat(HELLO)).message.content == "hello"
    stream = await SageMakerLLM("chat").astream_complete("hi")
    assert [r async for r in stream][-1].text == "hi"
    assert len(threads) == 2
    assert threading.current_thread() not in threads
