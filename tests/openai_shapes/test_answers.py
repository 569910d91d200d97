"""What the shapes write, judged by the types of OpenAI's own client."""

import base64
from array import array

import orjson
import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from sagewire.openai_shapes import chat_completion, embedding_list, rerank_list, text_completion, usage_of
from sagewire.openai_shapes.vectors import embedding_pieces
from sagewire.types import (
    Choice,
    Embeddings,
    RankedDocument,
    Ranking,
    Reply,
    TokenLogprob,
    ToolCall,
    Usage,
)
from tests.cases import each

LOGPROBS = (TokenLogprob("Hé", -0.5, (("Hé", -0.5), ("Ho", -2.0))), TokenLogprob("llo", -0.1))


def test_a_whole_answer_is_a_valid_chat_completion() -> None:
    reply = Reply(
        (
            Choice("Héllo", thinking="Greet.", finish_reason="stop", stop="END", logprobs=LOGPROBS),
            Choice("", tool_calls=(ToolCall("c1", "add", '{"a":1}'),), finish_reason="tool_calls"),
        ),
        usage=Usage(3, 5, cached_tokens=1, reasoning_tokens=2),
        extra={"system_fingerprint": "fp"},
    )
    read = ChatCompletion.model_validate(chat_completion(reply, model="m", created=7))
    assert (read.model, read.created, read.system_fingerprint) == ("m", 7, "fp")
    assert read.id.startswith("chatcmpl-")
    first, second = read.choices
    assert first.message.content == "Héllo"
    assert first.message.reasoning_content == "Greet."
    assert first.stop_reason == "END"
    assert [token.token for token in first.logprobs.content] == ["Hé", "llo"]
    assert bytes(first.logprobs.content[0].bytes).decode() == "Hé"
    assert first.logprobs.content[0].top_logprobs[1].logprob == -2.0
    assert second.message.content is None
    assert second.message.tool_calls[0].function.arguments == '{"a":1}'
    assert read.usage.total_tokens == 8
    assert read.usage.prompt_tokens_details.cached_tokens == 1
    assert read.usage.completion_tokens_details.reasoning_tokens == 2


@pytest.mark.parametrize(
    ("reason", "calls", "word"),
    [
        (None, (), "stop"),
        ("other", (), "stop"),
        (None, (ToolCall("c", "f", "{}"),), "tool_calls"),
        ("length", (), "length"),
        ("content_filter", (), "content_filter"),
        ("error", (), "error"),
    ],
)
def test_why_an_answer_ended(reason: str | None, calls: tuple[ToolCall, ...], word: str) -> None:
    body = chat_completion(Reply((Choice("x", tool_calls=calls, finish_reason=reason),)), model="m")
    assert body["choices"][0]["finish_reason"] == word


def test_unknown_counts_are_left_out_or_zero() -> None:
    assert "usage" not in chat_completion(Reply(), model="m")
    assert usage_of(Usage(completion_tokens=4)) == {"prompt_tokens": 0, "completion_tokens": 4, "total_tokens": 4}


def test_answers_to_several_prompts_are_numbered_through() -> None:
    replies = [
        Reply((Choice("a", logprobs=(TokenLogprob("a", -1.0),)), Choice("b")), usage=Usage(1, 1)),
        Reply((Choice("c", finish_reason="length"),), usage=Usage(2, 3)),
    ]
    read = Completion.model_validate(text_completion(replies, model="m", echo=["P:", "Q:"]))
    assert [(choice.index, choice.text) for choice in read.choices] == [(0, "P:a"), (1, "P:b"), (2, "Q:c")]
    assert read.choices[0].logprobs.text_offset == [2]
    assert (read.usage.prompt_tokens, read.usage.completion_tokens) == (3, 4)
    without = text_completion([replies[0], Reply()], model="m")
    assert "usage" not in without


@pytest.mark.parametrize("row", [[0.5, -1.25], array("f", [0.5, -1.25])])
def test_embeddings_as_numbers_and_as_base64(row: object) -> None:
    embeddings = Embeddings([row], usage=Usage(prompt_tokens=2))
    read = CreateEmbeddingResponse.model_validate(embedding_list(embeddings, model="m"))
    assert read.data[0].embedding == [0.5, -1.25]
    assert read.usage.total_tokens == 2
    packed = embedding_list(embeddings, model="m", encoding_format="base64")["data"][0]["embedding"]
    assert base64.b64decode(packed) == b"\x00\x00\x00\x3f\x00\x00\xa0\xbf"


def test_rankings() -> None:
    ranking = Ranking((RankedDocument(1, 0.9), RankedDocument(0, 0.1)))
    body = rerank_list(ranking, model="m", documents=["a", "b"], id="r")
    assert body["results"][0] == {"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}
    assert "document" not in rerank_list(ranking, model="m")["results"][0]


@each("encoding", ["float", "base64"])
def test_vectors_in_pieces_are_the_same_answer(encoding) -> None:
    rows = [[0.1, -2.5e-7, 1e22], array("d", [0.1, 1 / 3, -0.0]), array("f", [0.1, 1.0, 2.0]), [1, -3, 127]]
    for many in (rows, rows[:1], []):
        vectors = Embeddings(many, Usage(prompt_tokens=7) if many else None)
        pieces = list(embedding_pieces(vectors, model='a "model" é', encoding_format=encoding))
        whole = embedding_list(vectors, model='a "model" é', encoding_format=encoding)
        assert b"".join(pieces) == orjson.dumps(whole)
        assert len(pieces) == len(many) + 1
