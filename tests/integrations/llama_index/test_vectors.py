"""Embeddings and reranking, and both in a whole query engine."""

import asyncio
import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

from sagewire import UsageError
from sagewire.emulator import Emulator, EndpointSpec
from sagewire.errors import EndpointNotFound
from sagewire.integrations.llama_index import SageMakerEmbedding, SageMakerLLM, SageMakerRerank

TEXTS = ["The sky is blue.", "Grass is green.", "Blood is red.\nSo are roses.", "東京は大きい。"]


@pytest.fixture
def embedding(emulator: Emulator) -> Callable[..., SageMakerEmbedding]:
    def make(dialect: str = "tei", latency: float = 0, **given: Any) -> SageMakerEmbedding:
        emulator.add("vectors", EndpointSpec(dialect, latency=latency, dimensions=16))
        return SageMakerEmbedding("vectors", **{"content_handler": dialect, **given})

    return make


@pytest.fixture
def reranker(emulator: Emulator) -> Callable[..., SageMakerRerank]:
    def make(dialect: str = "tei_rerank", **given: Any) -> SageMakerRerank:
        emulator.add("ranks", EndpointSpec(dialect))
        return SageMakerRerank("ranks", **{"content_handler": dialect, **given})

    return make


@pytest.mark.parametrize("dialect", ["tei", "openai_embeddings", "hf_feature_extraction", "lmi_embedding"])
async def test_every_method_gives_the_same_vectors(embedding, dialect: str) -> None:
    model = embedding(dialect)
    vectors = model.get_text_embedding_batch(TEXTS)
    assert [len(vector) for vector in vectors] == [len(vectors[0])] * 4
    assert all(type(number) is float for vector in vectors for number in vector)
    assert len({tuple(vector) for vector in vectors}) == 4
    assert await model.aget_text_embedding_batch(TEXTS) == vectors
    assert [model.get_text_embedding(text) for text in TEXTS] == vectors
    assert [await model.aget_text_embedding(text) for text in TEXTS] == vectors
    assert model.get_query_embedding(TEXTS[0]) == await model.aget_query_embedding(TEXTS[0])


def test_texts_go_in_batches_and_line_breaks_stay(embedding, emulator: Emulator) -> None:
    model = embedding(embed_batch_size=3)
    model.get_text_embedding_batch(TEXTS)
    assert [call.json["inputs"] for call in emulator.calls] == [TEXTS[:3], TEXTS[3:]]
    emulator.clear()
    embedding(replace_newlines=True, text_instruction="passage: ", query_instruction="query: ").get_text_embedding(
        "a\nb"
    )
    embedding(query_instruction="query: ").get_query_embedding("c")
    assert [call.json["inputs"] for call in emulator.calls] == [["passage: a b"], ["query: c"]]


async def test_no_more_batches_are_in_flight_than_allowed(embedding, monkeypatch: pytest.MonkeyPatch) -> None:
    from sagewire import AsyncClient

    running = most = 0
    embed = AsyncClient.embed

    async def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await embed(self, *args, **kwargs)
        finally:
            running -= 1

    monkeypatch.setattr(AsyncClient, "embed", counting)
    model = embedding(embed_batch_size=1, max_concurrency=3, latency=0.01)
    texts = [f"text {number}" for number in range(20)]
    vectors = await model.aget_text_embedding_batch(texts)
    assert most == 3
    assert vectors == model.get_text_embedding_batch(texts)
    monkeypatch.undo()
    limited = model.model_copy(update={"num_workers": 2})
    assert await limited.aget_text_embedding_batch(texts) == vectors


async def test_a_corpus_is_handed_over_in_large_parts(embedding, monkeypatch: pytest.MonkeyPatch) -> None:
    """LlamaIndex embeds part after part, and only the batches within one are in flight together."""
    from sagewire import AsyncClient, Client
    from sagewire.types import Embeddings

    parts: list[tuple[int, Any]] = []
    running: list[int] = []

    def embed(self: Any, texts: list[str], **named: Any) -> Embeddings:
        parts.append((len(texts), named.get("max_concurrency")))
        return Embeddings([[float(text.split()[1])] for text in texts])

    async def embed_async(self: Any, texts: list[str], **named: Any) -> Embeddings:
        running.append(len(running) + 1)
        await asyncio.sleep(0)
        assert len(running) == 1
        running.pop()
        return embed(self, texts, **named)

    monkeypatch.setattr(Client, "embed", embed)
    monkeypatch.setattr(AsyncClient, "embed", embed_async)
    model, texts = embedding(), [f"text {number}" for number in range(2000)]
    order = [[float(number)] for number in range(2000)]
    assert model.get_text_embedding_batch(texts) == order
    assert parts == [(1024, None), (976, None)]
    parts.clear()
    assert await model.aget_text_embedding_batch(texts) == order
    assert parts == [(1024, 16), (976, 16)]


def test_embeddings_work_in_one_event_loop_after_another(embedding) -> None:
    model = embedding(embed_batch_size=1, max_concurrency=2)
    first = asyncio.run(model.aget_text_embedding_batch(TEXTS))
    assert asyncio.run(model.aget_text_embedding_batch(TEXTS)) == first


def test_a_handler_written_for_llama_index_works(embedding, emulator: Emulator) -> None:
    class Handler:
        content_type = accept = "application/json"

        def serialize_input(self, request: list[str], model_kwargs: dict) -> bytes:
            return json.dumps({"inputs": request, **model_kwargs}).encode()

        def deserialize_output(self, response: Any) -> list[list[float]]:
            return json.loads(response.read().decode("utf-8"))

    model = embedding(content_handler=Handler(), model_kwargs={"truncate": True})
    assert model.get_text_embedding("x") == embedding().get_text_embedding("x")
    assert emulator.calls[0].json == {"inputs": ["x"], "truncate": True}


def test_a_cache_and_a_callback_are_served(embedding, emulator: Emulator) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    model = embedding(embeddings_cache=SimpleKVStore(), callback_manager=CallbackManager([debug]))
    first = model.get_text_embedding_batch(TEXTS)
    assert model.get_text_embedding_batch(TEXTS) == first
    assert len(emulator.calls) == 1
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 2


def test_models_are_kept_without_secrets(embedding, emulator: Emulator) -> None:
    model = embedding(dimensions=8, model_kwargs={"normalize": True}, max_concurrency=2)
    assert model.model_name == "vectors"
    again = SageMakerEmbedding.from_dict(json.loads(model.to_json()))
    assert again.to_dict() == model.to_dict()
    asyncio.run(model.aget_text_embedding("x"))
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert twin.to_dict() == model.to_dict()
        assert asyncio.run(twin.aget_query_embedding("x"))
    secret = emulator.credentials.secret_key
    keys = {"aws_access_key_id": emulator.credentials.access_key, "aws_secret_access_key": secret}
    for closed in (embedding(**keys), SageMakerRerank("ranks", content_handler="tei_rerank", **keys)):
        assert secret not in closed.to_json() + repr(closed)
        with pytest.raises(UsageError, match="never pickled"):
            pickle.dumps(closed)


def test_what_is_no_embedding_handler_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="openai_embeddings"):
        SageMakerEmbedding("e", content_handler="tgi", aws_region_name="us-east-1")
    with pytest.raises(UsageError, match="tei_rerank"):
        SageMakerRerank("e", content_handler="tei", aws_region_name="us-east-1")
    with pytest.raises(UsageError, match="name the endpoint"):
        SageMakerEmbedding()
    assert SageMakerEmbedding("e", aws_region_name="us-east-1", verbose=True).verbose


def test_errors_are_sagewires_own(emulator: Emulator) -> None:
    with pytest.raises(EndpointNotFound):
        SageMakerEmbedding("nowhere", content_handler="tei").get_text_embedding("x")


def nodes() -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(text=text, metadata={"number": i}), score=i / 10) for i, text in enumerate(TEXTS)
    ]


@pytest.mark.parametrize("dialect", ["tei_rerank", "vllm_rerank", "lmi_rerank", "cohere_rerank"])
async def test_nodes_are_put_in_order(reranker, dialect: str) -> None:
    model, given = reranker(dialect, top_n=2), nodes()
    best = model.postprocess_nodes(given, query_str="Which colour has grass?")
    assert best[0].node.text == "Grass is green."
    assert len(best) == 2
    assert best[0].score > best[1].score
    assert await model.apostprocess_nodes(given, query_bundle=QueryBundle("Which colour has grass?")) == best
    assert [found.score for found in given] == [found.score for found in nodes()]


def test_everything_is_kept_unless_told_otherwise(reranker) -> None:
    best = reranker(keep_retrieval_score=True).postprocess_nodes(nodes(), query_str="grass")
    assert sorted(found.node.metadata["number"] for found in best) == [0, 1, 2, 3]
    assert all(found.node.metadata["retrieval_score"] == found.node.metadata["number"] / 10 for found in best)
    assert reranker().postprocess_nodes([], query_str="grass") == []
    with pytest.raises(UsageError, match="query_str"):
        reranker().postprocess_nodes(nodes())


def test_a_ranking_is_observed(reranker) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    reranker(callback_manager=CallbackManager([debug])).postprocess_nodes(nodes(), query_str="grass")
    ((start, end),) = debug.get_event_pairs(CBEventType.RERANKING)
    assert start.payload["query_str"] == "grass"
    assert len(end.payload["nodes"]) == 4


async def test_questions_about_documents_are_answered(emulator: Emulator, embedding, reranker, tmp_path: Path) -> None:
    emulator.add("reader", EndpointSpec("openai_chat", "extractive"))
    llm = SageMakerLLM("reader", content_handler="openai_chat", context_window=4096)
    filler = " ".join(f"Sentence number {number} says nothing about machines." for number in range(60))
    document = f"{filler} Of the Antikythera mechanism 30 bronze gears survive today. {filler}"
    # The sentence splitter would need nltk's data, which is refused where an installer hard-links files.
    splitter = TokenTextSplitter(chunk_size=120, chunk_overlap=10)
    index = VectorStoreIndex.from_documents(
        [Document(text=document)], transformations=[splitter], embed_model=embedding()
    )
    index.storage_context.persist(tmp_path)
    stored = load_index_from_storage(StorageContext.from_defaults(persist_dir=str(tmp_path)), embed_model=embedding())
    question = "How many bronze gears survive today?"
    for each in (index, stored):
        engine = each.as_query_engine(llm=llm, similarity_top_k=8, node_postprocessors=[reranker(top_n=2)])
        response = engine.query(question)
        assert "30 bronze gears" in str(response)
        assert "30 bronze" in response.source_nodes[0].node.get_content()
        assert len(response.source_nodes) == 2
        assert "30 bronze gears" in str(await engine.aquery(question))
        streaming = each.as_query_engine(llm=llm, similarity_top_k=8, streaming=True)
        assert "30 bronze gears" in "".join(streaming.query(question).response_gen)
