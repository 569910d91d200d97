"""`embed` with token numbers in place of text."""

import asyncio
import json
import re
from array import array

import pytest

from sagewire import AsyncClient, Client
from sagewire.errors import EndpointError, ModelError, UnsupportedFeature, UsageError
from sagewire.transports.base import Body
from sagewire.types import ResponseInfo
from tests.cases import each


class Server:
    """A transport to a server in the manner of TEI that answers with the first token of each text."""

    def __init__(self, error: EndpointError | None = None) -> None:
        self.bodies: list[list[list[int]]] = []
        self.error = error

    def invoke(self, call):
        if self.error is not None:
            raise self.error
        texts = json.loads(call.body)["inputs"]
        self.bodies.append(texts)
        return Body(json.dumps([[float(text[0]), 1.0] for text in texts]).encode(), ResponseInfo())


class AsyncServer(Server):
    async def invoke(self, call):
        return super().invoke(call)


def embed(texts, handler="tei", server=None, *, in_async=False):
    if in_async:
        server = AsyncServer()
        return asyncio.run(AsyncClient(transport=server, handler=handler).embed(texts, max_concurrency=1)), server
    server = server or Server()
    return Client(transport=server, handler=handler).embed(texts), server


@each("in_async", [False, True])
def test_batches_keep_the_order_of_the_texts(in_async):
    given = [[number, 5] for number in range(40)]
    embeddings, server = embed(given, in_async=in_async)
    assert [row[0] for row in embeddings.vectors] == list(range(40))
    assert [len(texts) for texts in server.bodies] == [32, 8]
    assert server.bodies[0][3] == [3, 5]


@each("texts", [[(1, 2), (3,)], [array("I", [1, 2]), array("I", [3])], iter([[1, 2], [3]]), ([1, 2], range(3, 4))])
def test_any_sequence_of_numbers_is_a_text(texts):
    assert embed(texts)[1].bodies == [[[1, 2], [3]]]


def test_arrays_of_numpy():
    numpy = pytest.importorskip("numpy")
    assert embed(numpy.array([[1, 2], [3, 4]]))[1].bodies == [[[1, 2], [3, 4]]]


@each(
    "texts",
    [[1, 2], [[]], [[1], []], [[1, -1]], [[1.5]], [[True]], [["a"]], [[1], "a"], [None], [{1: 2}], [{1}], [[[1]]]],
)
def test_what_are_no_token_numbers(texts):
    with pytest.raises(UsageError, match="list of strings, or of lists of token numbers"):
        embed(texts)


@each("handler", ["cohere_embed", "lmi_embedding", "hf_feature_extraction"])
def test_request_formats_without_them_say_so(handler):
    server = Server()
    with pytest.raises(UnsupportedFeature, match=f"'{handler}' cannot express texts as token numbers. Send text"):
        embed([[1, 2]], handler, server)
    assert not server.bodies


def of_container(status):
    error = ModelError("the container did not take it", status=424)
    error.original_status = status
    return error


@each(
    ("error", "explained"),
    [
        (EndpointError("invalid input type", status=400), True),
        (of_container(422), True),
        (of_container(429), False),
        (EndpointError("busy", status=503), False),
        (EndpointError("no such key", status=401), False),
    ],
)
def test_a_servers_own_refusal_gets_the_cure(error, explained):
    with pytest.raises(EndpointError) as refused:
        embed([[1, 2]], "tei", Server(error))
    cure = re.search("sent as token numbers.*check_embedding_ctx_length=False", str(refused.value))
    assert bool(cure) is explained
    with pytest.raises(EndpointError) as refused:
        embed(["text"], "tei", Server(EndpointError("invalid input type", status=400)))
    assert "token" not in str(refused.value)
