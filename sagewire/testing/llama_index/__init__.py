"""A conformance suite for LlamaIndex LLMs, anybody's: what the framework's agents, programs and counters rely on.

Subclass `LLMTests` in a test module, say how the model is made and what it can do, and run pytest:

    from sagewire.testing.llama_index import LLMTests

    class TestMyLLM(LLMTests):
        llm_class = MyLLM
        llm_params = {"model": "my-model", "api_key": "test"}
        secrets = ("api_key",)
        supports_thinking = True

The tests need a server that answers: a real model, or an emulator such as `sagewire.emulator` with its `schema` engine,
which does as it is told. They check shapes and rules, hardly ever words. A test that cannot pass may be overridden by
one marked `@pytest.mark.xfail(reason=...)`, and in no other way: the limits of a model are declared by the `supports_`
attributes. No plugin is needed for the asynchronous tests.
"""

from __future__ import annotations

from sagewire._extras import require

require("llama_index.core", "llama-index")
require("pytest", "test")

from sagewire.testing.llama_index.accounting import AccountingTests  # noqa: E402
from sagewire.testing.llama_index.answers import AnswerTests  # noqa: E402
from sagewire.testing.llama_index.keeping import KeepingTests  # noqa: E402
from sagewire.testing.llama_index.objects import ObjectTests  # noqa: E402
from sagewire.testing.llama_index.tools import ToolTests  # noqa: E402

__all__ = ["AccountingTests", "AnswerTests", "KeepingTests", "LLMTests", "ObjectTests", "ToolTests"]


class LLMTests(AnswerTests, ToolTests, ObjectTests, AccountingTests, KeepingTests):
    """All the tests; see `Subject` for the attributes of a subclass."""
