"""The conformance suite itself: it finds what is wrong with a model."""

from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

from sagewire.testing.llama_index import LLMTests


class Flawed(CustomLLM):
    """Breaks one rule after the other; what it does with `flaw` says which."""

    flaw: str = ""
    api_key: str = "s3cr3t"

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="flawed")

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raw: Any = object() if self.flaw == "raw" else {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}
        return CompletionResponse(text="" if self.flaw == "empty" else "hello you", raw=raw)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        def pieces() -> Any:
            text = ""
            for delta in ("hello", " you"):
                text = delta if self.flaw == "not cumulative" else text + delta
                usage = {} if self.flaw == "no usage" else {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}
                yield CompletionResponse(text=text, delta=delta, raw=usage)

        return list(pieces()) if self.flaw == "no generator" else pieces()

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        if self.flaw == "changes messages":
            messages[0].blocks.clear()
        role = "user" if self.flaw == "role" else "assistant"
        return ChatResponse(message=ChatMessage(role=role, content="hello you"), raw={})


class FlawedTests(LLMTests):
    __test__ = False
    llm_class = Flawed
    supports_tools = False


@pytest.mark.parametrize(
    ("flaw", "test"),
    [
        ("empty", "test_complete"),
        ("raw", "test_acomplete"),
        ("not cumulative", "test_stream_complete"),
        ("no generator", "test_stream_complete"),
        ("changes messages", "test_messages_are_left_alone"),
        ("role", "test_chat"),
    ],
)
def test_each_flaw_is_found_and_nothing_else(flaw: str, test: str) -> None:
    suite = FlawedTests()
    getattr(suite, test)(Flawed())
    with pytest.raises((AssertionError, TypeError, ValueError)):
        getattr(suite, test)(Flawed(flaw=flaw))


def test_estimated_counts_are_found() -> None:
    FlawedTests().test_token_counts("stream_complete")
    suite = FlawedTests()
    suite.llm_params = {"flaw": "no usage"}
    with pytest.raises(AssertionError):
        suite.test_token_counts("stream_complete")


def test_shown_secrets_are_found() -> None:
    suite = FlawedTests()
    suite.llm_params, suite.secrets = {"api_key": "s3cr3t"}, ("api_key",)
    with pytest.raises(AssertionError):
        suite.test_secrets_are_not_shown(suite.make())


def test_a_test_may_only_be_overridden_by_an_expected_failure() -> None:
    class Cheating(FlawedTests):
        def test_chat(self, llm: Any) -> None: ...

    class Honest(FlawedTests):
        @pytest.mark.xfail(reason="the server answers in the user's name")
        def test_chat(self, llm: Any) -> None: ...

    with pytest.raises(AssertionError, match=r"Cheating\.test_chat"):
        Cheating().test_nothing_is_overridden()
    Honest().test_nothing_is_overridden()
