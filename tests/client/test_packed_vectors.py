"""Vectors of many batches in little memory."""

import json
from array import array

import pytest

from sagewire import AsyncClient
from sagewire.client.packed_vectors import embed_packed
from sagewire.errors import UnsupportedFeature, UsageError, WireError
from sagewire.transports.base import Body
from sagewire.types import Embeddings, ResponseInfo

ROWS = [[0.1, 1 / 3, -2.5e-308], [1e300, -0.0, 5e-324], [1, -3, 127], [0.5, 1, 2.0]]
NUMBERS = {"65": 1e39, "66": -1e300, "67": 3.5e38}


class Server:
    """An asynchronous transport to a server in the manner of TEI."""

    def __init__(self):
        self.sizes = []

    async def invoke(self, call):
        texts = json.loads(call.body)["inputs"]
        self.sizes.append(len(texts))
        return Body(json.dumps([ROWS[int(text) % 4] for text in texts]).encode(), ResponseInfo())


def client():
    return AsyncClient(transport=Server(), handler="tei")


async def test_no_digit_is_lost():
    texts = list(map(str, range(70)))
    packed = await embed_packed(client(), texts, endpoint_kwargs={})
    assert packed.vectors == (await client().embed(texts)).vectors
    assert repr(packed.vectors[:3]) == repr(ROWS[:3])
    assert [type(row) for row in packed.rows[:4]] == [array, array, list, array]
    assert {row.typecode for row in packed.rows if isinstance(row, array)} == {"d"}


async def test_single_precision_is_what_base64_has():
    class Small(Server):
        async def invoke(self, call):
            return Body(json.dumps([[0.1, 1 / 3, 7]] * len(json.loads(call.body)["inputs"])).encode(), ResponseInfo())

    for count in (1, 70):
        found = await embed_packed(
            AsyncClient(transport=Small(), handler="tei"), ["a"] * count, single_precision=True, dimensions=3
        )
        assert found.rows == [array("f", [0.1, 1 / 3, 7])] * count


async def test_numbers_beyond_single_precision_are_refused():
    class Large(Server):
        async def invoke(self, call):
            rows = [[0.5, NUMBERS.get(text, 3e38), -3e38] for text in json.loads(call.body)["inputs"]]
            return Body(json.dumps(rows).encode(), ResponseInfo())

    large, texts = AsyncClient(transport=Large(), handler="tei"), [str(text) for text in range(70)]
    assert (await embed_packed(large, texts[:60], single_precision=True)).rows == [array("f", [0.5, 3e38, -3e38])] * 60
    for text, number in NUMBERS.items():
        given = [*texts[:60], text]
        assert (await embed_packed(large, given)).rows[60][1] == number
        with pytest.raises(WireError, match=r"beyond 3.4e38 for text 60"):
            await embed_packed(large, given, single_precision=True)


async def test_batches_that_do_not_fit_together_were_answered():
    class Uneven(Server):
        async def invoke(self, call):
            count = len(json.loads(call.body)["inputs"])
            return Body(json.dumps([[0.5] * count] * count).encode(), ResponseInfo())

    uneven = AsyncClient(transport=Uneven(), handler="tei")
    for embed in (embed_packed(uneven, ["a"] * 70), uneven.embed(["a"] * 70)):
        with pytest.raises(WireError, match=r"from call to call: \[6, 32\]") as raised:
            await embed
        assert raised.value.texts_answered == 70


async def test_what_is_one_batch_is_read_as_usual():
    assert (await embed_packed(client(), ["0", "1"])).rows == ROWS[:2]
    assert await embed_packed(client(), []) == Embeddings()


async def test_options_are_those_of_embed():
    with pytest.raises(UnsupportedFeature, match="dimensions"):
        await embed_packed(AsyncClient(transport=Server(), handler="lmi_embedding"), ["1"], dimensions=3)
    with pytest.raises(UsageError, match="token numbers"):
        await embed_packed(client(), [1, 2])
