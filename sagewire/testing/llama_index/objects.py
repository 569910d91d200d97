"""Objects instead of text."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import BaseModel, Field
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate

from sagewire.testing.llama_index.subject import Subject

__all__ = ["ObjectTests"]

PROMPT = PromptTemplate("Make up a recipe for {dish} with 2 steps.")


class Step(BaseModel):
    """One step of a recipe."""

    text: str = Field(description="What to do.")
    minutes: int = Field(description="How long it takes.")


class Recipe(BaseModel):
    """A recipe."""

    name: str = Field(description="The dish's name.")
    steps: list[Step] = Field(description="What to do, in order.")


class ObjectTests(Subject):
    """Tests of `structured_predict` and its variants."""

    def test_structured_predict(self, llm: Any) -> None:
        """An object of the class comes back."""
        check_recipe(llm.structured_predict(Recipe, PROMPT, dish="soup"))

    def test_astructured_predict(self, llm: Any) -> None:
        """The same, awaited."""
        check_recipe(asyncio.run(llm.astructured_predict(Recipe, PROMPT, dish="soup")))

    def test_stream_structured_predict(self, llm: Any) -> None:
        """Objects that grow come back; the last one is whole."""
        check_recipe(list(llm.stream_structured_predict(Recipe, PROMPT, dish="soup"))[-1])

    def test_astream_structured_predict(self, llm: Any) -> None:
        """The same, asynchronously."""

        async def collect() -> list[Any]:
            return [each async for each in await llm.astream_structured_predict(Recipe, PROMPT, dish="soup")]

        check_recipe(asyncio.run(collect())[-1])

    def test_a_chat_template_is_left_alone(self, llm: Any) -> None:
        """Neither the template nor the settings that were given are changed."""
        prompt = ChatPromptTemplate([ChatMessage(role="user", content="Make up a recipe for {dish} with 2 steps.")])
        settings: dict[str, Any] = {}
        check_recipe(llm.structured_predict(Recipe, prompt, llm_kwargs=settings, dish="soup"))
        assert prompt.message_templates[0].content == "Make up a recipe for {dish} with 2 steps."
        assert prompt.output_parser is None
        assert settings == {}

    def test_structured_llm(self, llm: Any) -> None:
        """`as_structured_llm` answers chats with objects, in `raw` and as JSON text."""
        structured = llm.as_structured_llm(Recipe)
        messages = [ChatMessage(role="user", content="Make up a recipe for soup with 2 steps.")]
        for response in (structured.chat(messages), asyncio.run(structured.achat(messages))):
            check_recipe(response.raw)
            assert json.loads(response.message.content or "") == response.raw.model_dump()


def check_recipe(found: Any) -> None:
    """Check that a recipe is one."""
    assert type(found) is Recipe
    assert found.steps
    assert all(isinstance(step, Step) for step in found.steps)
