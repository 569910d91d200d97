"""The model under test: its arguments and its declared abilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms.llm import LLM

__all__ = ["QUESTION", "Subject", "conversation", "text_of"]

QUESTION = "Say hello to Ada and ask how she is."


class Subject:
    """The description of a model by a subclass, as class attributes or properties.

    Attributes:
        llm_class: The class.
        llm_params: Its constructor's arguments.
        secrets: The arguments that must not be shown.
        supports_tools: It calls functions, and its metadata declares it.
        supports_parallel_tools: It calls several in one answer.
        supports_forced_tools: `tool_required` is obeyed.
        supports_images: It takes image blocks.
        supports_thinking: It can think before it answers.
        thinking_params: Arguments of a call that make it think.
        counts: Which tokens the server counts: `both`, `completion`, or `none`.
        pickles: It can be pickled as it is made by `llm_params`.
    """

    llm_class: ClassVar[type[LLM]]
    llm_params: Mapping[str, Any] = {}
    secrets: Sequence[str] = ()
    supports_tools: bool = True
    supports_parallel_tools: bool = True
    supports_forced_tools: bool = True
    supports_images: bool = False
    supports_thinking: bool = False
    thinking_params: Mapping[str, Any] = {}
    counts: str = "both"
    pickles: bool = True

    def make(self, **more: Any) -> Any:
        """Return a new model."""
        return self.llm_class(**{**self.llm_params, **more})

    @pytest.fixture
    def llm(self) -> Any:
        """The model."""
        return self.make()

    def test_nothing_is_overridden(self) -> None:
        """A subclass may mark a test as expected to fail, with a reason, and must not override it otherwise."""
        known = {name for base in type(self).__mro__ if _is_suite(base) for name in vars(base) if name[:5] == "test_"}
        for base in type(self).__mro__:
            for name in () if _is_suite(base) else known & set(vars(base)):
                marks = getattr(vars(base)[name], "pytestmark", ())
                reasons = [mark.kwargs.get("reason") for mark in marks if mark.name == "xfail"]
                assert any(reasons), f"{base.__name__}.{name} overrides a test without an xfail that gives its reason"


def conversation() -> list[ChatMessage]:
    """Return a conversation of several turns, with a system message."""
    return [
        ChatMessage(role="system", content="You are polite."),
        ChatMessage(role="user", content="Hello, I am Ada."),
        ChatMessage(role="assistant", content="Hello Ada."),
        ChatMessage(role="user", content=QUESTION),
    ]


def text_of(response: ChatResponse | CompletionResponse) -> str:
    """Return a response's text."""
    return response.text if isinstance(response, CompletionResponse) else response.message.content or ""


def _is_suite(base: type) -> bool:
    return base.__module__.startswith("sagewire.testing.llama_index") or base is object
