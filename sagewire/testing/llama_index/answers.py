"""The eight methods: whole and streamed answers, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from llama_index.core.base.llms import types
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    LLMMetadata,
    MessageRole,
    TextBlock,
)
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate

from sagewire.testing.llama_index.subject import QUESTION, Subject, conversation, text_of

__all__ = ["AnswerTests"]

# Older releases of LlamaIndex have no such block.
ThinkingBlock: Any = getattr(types, "ThinkingBlock", None)
# One red pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)


class AnswerTests(Subject):
    """Tests of every LLM."""

    def test_is_an_llm(self) -> None:
        """The class is LlamaIndex's and has its own name."""
        assert issubclass(self.llm_class, BaseLLM)
        assert self.llm_class.class_name() not in ("base_component", "custom_llm", "LLM", "")

    def test_metadata(self, llm: Any) -> None:
        """The metadata is filled in, and says what `supports_tools` says."""
        metadata = llm.metadata
        assert isinstance(metadata, LLMMetadata)
        assert metadata.context_window > 0
        assert metadata.num_output > 0
        assert metadata.model_name not in ("", "unknown")
        assert metadata.is_function_calling_model is self.supports_tools

    def test_chat(self, llm: Any) -> None:
        """A conversation is answered by an assistant's message."""
        check_chat(llm.chat(conversation()))

    def test_achat(self, llm: Any) -> None:
        """The same, awaited."""
        check_chat(asyncio.run(llm.achat(conversation())))

    def test_complete(self, llm: Any) -> None:
        """A prompt is answered by text."""
        check_completion(llm.complete(QUESTION))

    def test_acomplete(self, llm: Any) -> None:
        """The same, awaited."""
        check_completion(asyncio.run(llm.acomplete(QUESTION)))

    def test_complete_formatted(self, llm: Any) -> None:
        """A prompt that is already formatted is answered as well."""
        check_completion(llm.complete(QUESTION, formatted=True))

    def test_stream_chat(self, llm: Any) -> None:
        """`stream_chat` returns a generator of cumulative messages with their deltas."""
        stream = llm.stream_chat(conversation())
        assert isinstance(stream, Generator)
        responses = list(stream)
        check_growth(responses)
        assert all(response.message.role == MessageRole.ASSISTANT for response in responses)

    def test_astream_chat(self, llm: Any) -> None:
        """`astream_chat` is a coroutine that returns an asynchronous generator of the same."""
        check_growth(asyncio.run(collect(llm.astream_chat(conversation()))))

    def test_stream_complete(self, llm: Any) -> None:
        """`stream_complete` returns a generator of cumulative texts with their deltas."""
        stream = llm.stream_complete(QUESTION)
        assert isinstance(stream, Generator)
        check_growth(list(stream))

    def test_astream_complete(self, llm: Any) -> None:
        """`astream_complete` is a coroutine that returns an asynchronous generator of the same."""
        check_growth(asyncio.run(collect(llm.astream_complete(QUESTION))))

    def test_messages_are_left_alone(self, llm: Any) -> None:
        """The caller's messages are the same afterwards."""
        messages = conversation()
        before = [message.model_dump() for message in messages]
        llm.chat(messages)
        list(llm.stream_chat(messages))
        assert [message.model_dump() for message in messages] == before

    def test_an_answer_goes_back_into_the_conversation(self, llm: Any) -> None:
        """The message of an answer, streamed or not, is a valid turn of the next question."""
        *_, streamed = llm.stream_chat(conversation())
        for answer in (llm.chat(conversation()), streamed):
            check_chat(llm.chat([*conversation(), answer.message, ChatMessage(role="user", content="Thank you.")]))

    def test_unicode(self, llm: Any) -> None:
        """Text that is not ASCII goes both ways."""
        check_chat(llm.chat([ChatMessage(role="user", content="Sag „schön“ und 東京 🙂, bitte.")]))

    def test_predict(self, llm: Any) -> None:
        """Templates are answered, in all four ways a query engine asks."""
        template = PromptTemplate("Say {word}.")
        chat = ChatPromptTemplate([ChatMessage(role="system", content="Be nice."), ChatMessage(content="Say {word}.")])
        for prompt in (template, chat):
            assert llm.predict(prompt, word="hello")
            assert "".join(llm.stream(prompt, word="hello"))
            assert asyncio.run(llm.apredict(prompt, word="hello"))

            async def stream(prompt: Any = prompt) -> str:
                return "".join([token async for token in await llm.astream(prompt, word="hello")])

            assert asyncio.run(stream())

    def test_system_prompt(self) -> None:
        """A system prompt given to the constructor does not stop any of the methods."""
        llm = self.make(system_prompt="You are polite.")
        check_completion(llm.complete(QUESTION))
        check_chat(llm.chat([ChatMessage(role="user", content=QUESTION)]))

    def test_many_at_once(self, llm: Any) -> None:
        """Calls of one model run side by side in one event loop, and in a second loop after it."""

        async def ask() -> list[ChatResponse]:
            answers: list[ChatResponse] = await asyncio.gather(*(llm.achat(conversation()) for _ in range(8)))
            return answers

        for _ in range(2):
            for response in asyncio.run(ask()):
                check_chat(response)

    def test_leaving_a_stream(self, llm: Any) -> None:
        """A stream that is left early leaves a model that still answers."""
        for _ in llm.stream_chat(conversation()):
            break

        async def leave() -> ChatResponse:
            stream = await llm.astream_chat(conversation())
            async for _ in stream:
                break
            await stream.aclose()
            response: ChatResponse = await llm.achat(conversation())
            return response

        check_chat(asyncio.run(leave()))

    def test_image(self, llm: Any) -> None:
        """An image beside text is taken."""
        if not self.supports_images:
            pytest.skip("supports_images is False")
        blocks = [TextBlock(text="What is in the picture?"), ImageBlock(image=PNG, image_mimetype="image/png")]
        check_chat(llm.chat([ChatMessage(role="user", blocks=blocks)]))

    def _needs_thinking(self) -> None:
        if not self.supports_thinking:
            pytest.skip("supports_thinking is False")
        if ThinkingBlock is None:
            pytest.skip("this version of LlamaIndex has no thinking block")

    def test_thinking(self, llm: Any) -> None:
        """Thinking is a block before the text, and never part of it."""
        self._needs_thinking()
        message = llm.chat(conversation(), **self.thinking_params).message
        kinds = [type(block) for block in message.blocks]
        assert kinds[:2] == [ThinkingBlock, TextBlock]
        assert message.blocks[0].content
        assert message.blocks[0].content not in (message.content or "")

    def test_streamed_thinking(self, llm: Any) -> None:
        """Each piece of thinking is in `additional_kwargs["thinking_delta"]`, where agents look for it."""
        self._needs_thinking()
        thought = ""
        for response in llm.stream_chat(conversation(), **self.thinking_params):
            thought += response.additional_kwargs.get("thinking_delta") or ""
            blocks = [block for block in response.message.blocks if isinstance(block, ThinkingBlock)]
            assert "".join(block.content or "" for block in blocks) == thought
        assert thought


async def collect(started: Any) -> list[Any]:
    """Return what an asynchronous stream yields, having checked that it is one."""
    stream = await started
    assert isinstance(stream, AsyncGenerator)
    return [item async for item in stream]


def check_chat(response: Any) -> None:
    """Check a whole answer."""
    assert isinstance(response, ChatResponse)
    assert response.message.role == MessageRole.ASSISTANT
    assert isinstance(response.message.content, str)
    assert response.message.content.strip()
    check_raw(response.raw)


def check_completion(response: Any) -> None:
    """Check a whole completion."""
    assert isinstance(response, CompletionResponse)
    assert response.text.strip()
    check_raw(response.raw)


def check_growth(responses: list[Any]) -> None:
    """Check that each response holds what the one before held and its own delta."""
    assert responses
    text = ""
    for response in responses:
        text += response.delta or ""
        assert text_of(response) == text
    assert text.strip()
    check_raw(responses[-1].raw)


def check_raw(raw: Any) -> None:
    """Check that agents can pass `raw` on: it is a dictionary or a pydantic object, and can be written as JSON."""
    assert isinstance(raw, dict | BaseModel)
    json.dumps(raw.model_dump(mode="json") if isinstance(raw, BaseModel) else raw)
