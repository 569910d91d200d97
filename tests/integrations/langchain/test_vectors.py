"""Embeddings and reranking, on several containers and over plain HTTP."""

from __future__ import annotations

import json
import pickle

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.exceptions import ModelError, ModelNotFoundError
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from sagewire import UsageError
from sagewire.integrations.langchain import (
    EmbeddingsContentHandler,
    HuggingFaceEndpointEmbeddings,
    HuggingFaceRerank,
    SagemakerEndpointEmbeddings,
    SagemakerRerank,
)

TEXTS = ["The cat sat on the mat.", "Stocks fell sharply on Monday.", "A dog chased\nthe cat."]
WIRES = ["tei", "openai_embeddings", "hf_feature_extraction", "jumpstart_embedding", "cohere_embed"]


@pytest.fixture(scope="module", autouse=True)
def endpoints(emulator):
    emulator.add("vectors", "tei")
    emulator.add("ranks", "tei_rerank")


class Handler(EmbeddingsContentHandler):
    content_type = "application/json"
    accepts = "application/json"

    def transform_input(self, texts, model_kwargs):
        return json.dumps({"inputs": texts, **model_kwargs}).encode("utf-8")

    def transform_output(self, output):
        return json.loads(output.read().decode("utf-8"))


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self):
        return SagemakerEndpointEmbeddings

    @property
    def embedding_model_params(self):
        return {"endpoint_name": "vectors", "content_handler": "tei"}


class TestIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return SagemakerEndpointEmbeddings

    @property
    def embedding_model_params(self):
        return {"endpoint_name": "vectors", "content_handler": "tei"}


@pytest.mark.parametrize("wire", WIRES)
async def test_every_wire(wire, add):
    model = SagemakerEndpointEmbeddings(endpoint_name=add(wire), content_handler=wire)
    vectors = model.embed_documents(TEXTS)
    assert len(vectors) == 3
    assert all(isinstance(number, float) for number in vectors[0])
    assert len(set(map(len, vectors))) == 1
    assert await model.aembed_documents(TEXTS) == vectors
    assert await model.aembed_query(TEXTS[0]) == model.embed_query(TEXTS[0])


def test_the_endpoint_is_asked_where_no_handler_is_named(add):
    assert len(SagemakerEndpointEmbeddings(endpoint_name=add("tei")).embed_documents(TEXTS)) == 3


def test_a_handler_of_langchain_community(last_call):
    model = SagemakerEndpointEmbeddings(
        endpoint_name="vectors", content_handler=Handler(), model_kwargs={"truncate": True}, region_name="us-east-1"
    )
    native = SagemakerEndpointEmbeddings(endpoint_name="vectors", content_handler="tei")
    assert model.embed_documents(TEXTS) == native.embed_documents(TEXTS)
    model.embed_query("x")
    assert last_call("vectors") == {"inputs": ["x"], "truncate": True}


def test_a_subclass_with_batches_of_its_own(emulator):
    class Batches(SagemakerEndpointEmbeddings):
        def embed_documents(self, texts, chunk_size=2):
            parts = [texts[start : start + chunk_size] for start in range(0, len(texts), chunk_size)]
            return [vector for part in parts for vector in self._embedding_func(part)]

    before = len(emulator.calls)
    own = Batches(endpoint_name="vectors", content_handler=Handler())
    assert own.embed_documents(TEXTS) == own._embedding_func(TEXTS)
    assert len(emulator.calls) - before == 3


def test_many_texts_are_sent_in_batches_and_keep_their_order(emulator):
    model = SagemakerEndpointEmbeddings(endpoint_name="vectors", content_handler="tei")
    texts = [f"text number {number}" for number in range(75)]
    emulator.clear()
    vectors = model.embed_documents(texts)
    assert len(emulator.calls) > 1
    assert vectors[70] == model.embed_documents([texts[70]])[0]
    emulator.clear()
    assert model.embed_documents(texts[:10], chunk_size=4) == vectors[:10]
    assert sorted(len(call.json["inputs"]) for call in emulator.calls) == [2, 4, 4]


def test_prefixes_and_line_breaks(last_call):
    model = SagemakerEndpointEmbeddings(
        endpoint_name="vectors", content_handler="tei", query_prefix="query: ", document_prefix="passage: "
    )
    model.embed_query("a\nb")
    assert last_call("vectors")["inputs"] == ["query: a\nb"]
    model.replace_newlines = True
    model.embed_documents(["a\nb"])
    assert last_call("vectors")["inputs"] == ["passage: a b"]


def test_nothing_to_embed():
    assert SagemakerEndpointEmbeddings(endpoint_name="vectors", content_handler="tei").embed_documents([]) == []


def test_misuse():
    model = SagemakerEndpointEmbeddings(endpoint_name="vectors", content_handler="tei")
    with pytest.raises(UsageError, match="list of texts"):
        model.embed_documents("one text")
    with pytest.raises(UsageError, match="chunk_size"):
        model.embed_documents(["a"], chunk_size=0)
    with pytest.raises(ValueError, match="embedding handler"):
        SagemakerEndpointEmbeddings(endpoint_name="vectors", content_handler="tai")
    with pytest.raises(ValueError, match="did you mean 'model_kwargs'"):
        SagemakerEndpointEmbeddings(endpoint_name="vectors", model_kwarg={})
    with pytest.raises(ModelNotFoundError):
        SagemakerEndpointEmbeddings(endpoint_name="nowhere", content_handler="tei").embed_query("x")


def test_pickle():
    model = SagemakerEndpointEmbeddings(endpoint_name="vectors", content_handler="tei")
    model.embed_query("x")
    assert pickle.loads(pickle.dumps(model)).embed_query("x") == model.embed_query("x")


@pytest.mark.parametrize("wire", ["tei_rerank", "cohere_rerank", "vllm_rerank"])
async def test_reranking(wire, add):
    reranker = SagemakerRerank(endpoint_name=add(wire), content_handler=wire, top_n=2)
    documents = [Document(page_content=text, metadata={"n": n}, id=str(n)) for n, text in enumerate(TEXTS)]
    best = reranker.compress_documents(documents, "Where did the cat sit?")
    assert best[0].page_content == TEXTS[0]
    assert len(best) == 2
    assert best[0].metadata["relevance_score"] >= best[1].metadata["relevance_score"]
    assert best[0].id == "0"
    assert "relevance_score" not in documents[0].metadata
    assert await reranker.acompress_documents(documents, "Where did the cat sit?") == best
    assert reranker.rerank("Where did the cat sit?", TEXTS, top_n=1) == [
        {"index": 0, "relevance_score": best[0].metadata["relevance_score"]}
    ]
    assert reranker.compress_documents([], "x") == []


def test_a_threshold_drops_the_rest():
    documents = [Document(page_content=text) for text in TEXTS]
    everything = SagemakerRerank(endpoint_name="ranks", content_handler="tei_rerank").compress_documents(
        documents, "cat"
    )
    limit = everything[1].metadata["relevance_score"]
    reranker = SagemakerRerank(endpoint_name="ranks", content_handler="tei_rerank", score_threshold=limit)
    assert reranker.compress_documents(documents, "cat") == everything[:2]


def test_retrieve_and_rerank():
    store = InMemoryVectorStore(SagemakerEndpointEmbeddings(endpoint_name="vectors", content_handler="tei"))
    store.add_texts(TEXTS)
    retriever = ContextualCompressionRetriever(
        base_compressor=SagemakerRerank(endpoint_name="ranks", content_handler="tei_rerank", top_n=1),
        base_retriever=store.as_retriever(search_kwargs={"k": 3}),
    )
    assert retriever.invoke("Where did the cat sit?")[0].page_content == TEXTS[0]


async def test_over_plain_http(emulator):
    embeddings = HuggingFaceEndpointEmbeddings(endpoint_url=emulator.container_url("vectors"))
    over_sagemaker = SagemakerEndpointEmbeddings(endpoint_name="vectors", content_handler="tei")
    assert embeddings.embed_documents(TEXTS) == over_sagemaker.embed_documents(TEXTS)
    reranker = HuggingFaceRerank(endpoint_url=emulator.container_url("ranks"))
    documents = [Document(page_content=text) for text in TEXTS]
    assert (await reranker.acompress_documents(documents, "Where did the cat sit?"))[0].page_content == TEXTS[0]


def test_errors_are_langchains_too(add):
    with pytest.raises(ModelError):
        SagemakerRerank(endpoint_name=add("tei"), content_handler="tei_rerank").rerank("q", ["a"])
