"""Objects cast from a mould are what the framework's own constructor makes."""

from __future__ import annotations

import pytest

from sagewire.integrations._chunk_template import ChunkTemplate

messages = pytest.importorskip("langchain_core.messages")


def test_a_cast_is_what_the_constructor_makes() -> None:
    made = messages.AIMessageChunk(content="Hello", response_metadata={"a": 1})
    cast = ChunkTemplate(messages.AIMessageChunk(content="", response_metadata={"a": 1})).cast(content="Hello")
    assert cast == made
    assert repr(cast) == repr(made)
    assert cast.model_dump(exclude_unset=True) == made.model_dump(exclude_unset=True)
    assert cast.model_dump_json() == made.model_dump_json()


def test_casts_share_nothing_that_can_be_changed() -> None:
    mould = ChunkTemplate(messages.AIMessageChunk(content="", response_metadata={"a": 1}))
    first, second = mould.cast(content="1"), mould.cast(content="2")
    first.response_metadata["b"] = first.additional_kwargs["c"] = 2
    first.tool_calls.append({"name": "f", "args": {}, "id": None})
    first.id = "one"
    assert second == mould.cast(content="2")
    assert (second.response_metadata, second.additional_kwargs) == ({"a": 1}, {})
    assert (second.tool_calls, second.id) == ([], None)
    assert "id" not in second.model_fields_set
