"""Arguments, handlers and `raw` of the published classes."""

import io
from unittest.mock import Mock

import pytest

from sagewire.integrations.llama_index import IOHandler, SageMakerEmbedding, SageMakerLLM


def client(body=b'[{"generated_text": "hi"}]'):
    made = Mock()
    made.invoke_endpoint.side_effect = lambda **_: {
        "Body": body,
        "ContentType": "application/json",
        "InvokedProductionVariant": "blue",
        "CustomAttributes": "trace=7",
        "ResponseMetadata": {"RequestId": "r-1", "HTTPHeaders": {}},
    }
    return made


def test_none_is_no_setting():
    llm = SageMakerLLM("e", content_handler="tgi", client=client(), model_kwargs=None, endpoint_kwargs=None)
    assert llm.complete("x").text == "hi"
    model = SageMakerEmbedding(
        "e", content_handler="tei", client=client(b"[[0.5]]"), model_kwargs=None, pydantic_program_mode="default"
    )
    assert model.get_text_embedding("x") == [0.5]


def test_raw_has_boto3s_keys():
    raw = SageMakerLLM("e", content_handler="tgi", client=client()).complete("x").raw
    assert raw["InvokedProductionVariant"] == "blue"
    assert raw["CustomAttributes"] == "trace=7"
    assert raw["ContentType"] == "application/json"
    assert raw["ResponseMetadata"]["RequestId"] == "r-1"
    assert raw["Body"] == "hi"
    assert raw["choices"][0]["message"]["content"] == "hi"


@pytest.mark.parametrize("body", [b'[{"generated_text": "Once upon"}]', '[{"generated_text": "Once upon"}]'])
def test_the_published_default_handler_can_be_subclassed(body):
    class Handler(IOHandler):
        def serialize_input(self, request, model_kwargs):
            return super().serialize_input(request.upper(), model_kwargs)

    made = client(body)
    llm = SageMakerLLM("e", content_handler=Handler(), client=made, completion_to_prompt=lambda text: text)
    assert llm.complete("Once").text == " upon"
    assert b'"inputs": "ONCE"' in made.invoke_endpoint.call_args.kwargs["Body"]


def test_the_published_default_handler_reads_streams():
    made = client()
    lines = [b'data:{"token": {"text": "a"}}\n\n', b'data:{"token": {"text": "</s>", "special": true}}\n\n']
    made.invoke_endpoint_with_response_stream.side_effect = lambda **_: {
        "Body": [{"PayloadPart": {"Bytes": line}} for line in lines]
    }
    llm = SageMakerLLM("e", content_handler=IOHandler(), client=made)
    assert next(iter(llm.stream_complete("x"))).delta == "a"
    assert IOHandler().deserialize_output(io.BytesIO(b'[{"generated_text": "b"}]')) == "b"
    assert IOHandler().deserialize_streaming_output(b'[{"generated_text": "c"}]') == "c"
