"""`SagemakerEndpointCrossEncoder`: scores of pairs, with a handler of one's own and without."""

import io
import json
from unittest.mock import Mock

import pytest
from langchain_core.cross_encoders import BaseCrossEncoder

from sagewire import UnsupportedFeature, UsageError
from sagewire.integrations.langchain import CrossEncoderContentHandler, SagemakerEndpointCrossEncoder

PAIRS = [("gears", "bronze gears"), ("sky", "blue sky"), ("gears", "blue sky")]


def test_a_reranker_scores_pairs(emulator):
    emulator.add("reranker", "tei_rerank")
    encoder = SagemakerEndpointCrossEncoder(endpoint_name="reranker", region_name="us-east-1")
    assert isinstance(encoder, BaseCrossEncoder)
    scores = encoder.score(PAIRS)
    assert len(scores) == 3
    assert scores[0] > scores[2]
    # Pairs with the same query go together.
    assert [call.json["texts"] for call in emulator.calls if call.endpoint == "reranker"] == [
        ["bronze gears", "blue sky"],
        ["blue sky"],
    ]
    assert encoder.score([]) == []


@pytest.mark.parametrize("scores", [[0.25, 0.5], [0.5]])
def test_a_handler_of_ones_own_writes_and_reads_as_before(scores):
    client = Mock()
    # Stub clients answer with bare bytes.
    client.invoke_endpoint.side_effect = lambda **_: {"Body": json.dumps({"scores": scores}).encode()}
    handler = CrossEncoderContentHandler()
    encoder = SagemakerEndpointCrossEncoder(endpoint_name="e", content_handler=handler, client=client)
    if len(scores) < 2:
        with pytest.raises(UsageError, match="1 scores for 2 pairs"):
            encoder.score([("q", "a"), ("q", "b")])
        return
    assert encoder.score([("q", "a"), ("q", "b")]) == scores
    sent = client.invoke_endpoint.call_args.kwargs
    assert json.loads(sent["Body"]) == {"text_pairs": [["q", "a"], ["q", "b"]]}
    assert sent["ContentType"] == "application/json"


def test_streams_of_boto3_are_read_too():
    client = Mock()
    client.invoke_endpoint.side_effect = lambda **_: {"Body": io.BytesIO(b'{"scores": [1]}')}
    encoder = SagemakerEndpointCrossEncoder(
        endpoint_name="e", content_handler=CrossEncoderContentHandler(), client=client, model_kwargs={"x": 1}
    )
    with pytest.raises(UnsupportedFeature, match="further settings"):
        encoder.score([("q", "a")])
