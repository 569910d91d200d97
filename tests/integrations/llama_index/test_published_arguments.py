"""Arguments, handlers and `raw` of the published classes."""

import io
import json
from unittest.mock import Mock

import pytest
from llama_index.core.llms import ChatMessage

from sagewire import UsageError
from sagewire.integrations.llama_index import (
    BaseEmbeddingIOHandler,
    EmbeddingIOHandler,
    HuggingFaceEndpointEmbedding,
    HuggingFaceEndpointLLM,
    IOHandler,
    SageMakerEmbedding,
    SageMakerLLM,
)


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


def test_settings_of_a_call_in_a_dictionary():
    made = client()
    llm = SageMakerLLM("e", content_handler="tgi", client=made, max_tokens=5, is_chat_model=False)
    llm.complete("x", model_kwargs={"max_tokens": 7, "watermark": True})
    sent = json.loads(made.invoke_endpoint.call_args.kwargs["Body"])["parameters"]
    assert (sent["max_new_tokens"], sent["watermark"], "model_kwargs" in sent) == (7, True, False)


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


def test_embedding_handlers_may_have_plain_attributes_and_a_constructor_of_their_own():
    class Handler(BaseEmbeddingIOHandler):
        content_type = accept = "application/json"

        def __init__(self, key):
            self.key = key

        def serialize_input(self, request, model_kwargs):
            return json.dumps({self.key: request, **model_kwargs}).encode()

        def deserialize_output(self, response):
            return json.load(response)["embedding"]

    made = client(b'{"embedding": [[0.5]]}')
    model = SageMakerEmbedding("e", content_handler=Handler("texts"), client=made, model_kwargs={"a": 1})
    assert model.get_text_embedding("x") == [0.5]
    assert made.invoke_endpoint.call_args.kwargs["Body"] == b'{"texts": ["x"], "a": 1}'


def test_the_published_default_handler_of_embeddings():
    made = client(b"[[0.5]]")
    model = SageMakerEmbedding("e", content_handler=EmbeddingIOHandler(), client=made, model_kwargs={"truncate": True})
    assert model.get_text_embedding("x") == [0.5]
    assert made.invoke_endpoint.call_args.kwargs["Body"] == b'{"inputs": ["x"], "truncate": true}'


def test_a_completion_tells_of_all_settings_that_were_sent():
    llm = SageMakerLLM("e", content_handler="tgi", client=client(), model_kwargs={"top_p": 0.5})
    kept = {"model_kwargs": {"temperature": 0.5, "top_p": 0.5, "seed": 1}, "endpoint_kwargs": {}}
    assert llm.complete("x", seed=1).additional_kwargs == kept


HI = [ChatMessage(role="user", content="Hi")]


def test_language_models_take_the_arguments_of_llama_indexs_hugging_face_and_tgi_classes(emulator):
    emulator.add("server", "openai_chat:echo")
    url = emulator.container_url("server")
    published = {
        "token": "hf_x", "headers": {"x-team": "7"}, "cookies": {"a": "b", "c": "d"}, "task": "conversational",
        "num_output": 9, "seed": 3, "additional_kwargs": {"top_p": 0.5}, "provider": "auto", "timeout": None,
        "is_chat_model": True, "context_window": 99,
    }  # fmt: skip
    for address in ("model", "model_name", "model_url", "base_url"):
        llm = HuggingFaceEndpointLLM(**{address: url}, **published)
        llm.chat(HI)
        sent = emulator.calls[-1]
        assert {"max_tokens": 9, "seed": 3, "top_p": 0.5}.items() <= sent.json.items()
        assert {"authorization": "Bearer hf_x", "x-team": "7", "cookie": "a=b; c=d"}.items() <= sent.headers.items()
        assert (llm.metadata.num_output, llm.metadata.context_window) == (9, 99)
        for secret in ("hf_x", "x-team", "c=d"):
            assert secret not in repr(llm) + str(llm.to_dict())
    assert not HuggingFaceEndpointLLM(url, is_chat_model=False).metadata.is_chat_model
    HuggingFaceEndpointLLM(url, token=False).chat(HI)
    assert "authorization" not in emulator.calls[-1].headers
    hosted = HuggingFaceEndpointLLM(model="Qwen/Qwen3-8B", provider="together")
    assert (hosted.url, hosted.model) == ("https://router.huggingface.co/v1", "Qwen/Qwen3-8B:together")


def test_the_task_decides_about_messages_or_text(emulator):
    emulator.add("server", "openai_chat:echo")
    llm = HuggingFaceEndpointLLM(emulator.container_url("server"), task="text-generation")
    llm.chat(HI)
    assert emulator.calls[-1].json["prompt"] == "user: Hi\nassistant: "
    llm.complete("Once")
    assert emulator.calls[-1].json["prompt"] == "Once"
    llm.prompt_format = "llama2"
    llm.chat(HI)
    assert emulator.calls[-1].json["prompt"] == "[INST] Hi [/INST]"


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        (HuggingFaceEndpointLLM, {"task": "summarization"}, "known: conversational, text-generation"),
        (HuggingFaceEndpointLLM, {"task": "text-generation", "content_handler": "openai_chat"}, "takes messages"),
        (HuggingFaceEndpointLLM, {"provider": "novita"}, "has no effect beside the address"),
        (HuggingFaceEndpointLLM, {"num_output": 3, "max_tokens": 4}, "contradict"),
        (HuggingFaceEndpointEmbedding, {"pooling": "cls"}, "has no effect: the server makes one vector"),
        (HuggingFaceEndpointEmbedding, {"endpoint": "/v1/embeddings"}, "is not Text Embeddings Inference's /embed"),
        (HuggingFaceEndpointEmbedding, {"task": "fill-mask"}, "known: feature-extraction"),
    ],
)
def test_arguments_that_cannot_take_effect_are_refused(kind, arguments, words):
    with pytest.raises(UsageError, match=words):
        kind("http://127.0.0.1:9", **arguments)


def test_embeddings_take_the_arguments_of_llama_indexs_hugging_face_and_tei_classes(emulator):
    emulator.add("tei", "tei")
    url = emulator.container_url("tei")
    model = HuggingFaceEndpointEmbedding(
        base_url=url,
        model_name="BAAI/bge-m3",
        endpoint="/embed",
        truncate_text=True,
        query_instruction="query:",
        text_instruction=None,
        auth_token=lambda address: f"for {address}",
    )
    model.get_query_embedding("a")
    sent = emulator.calls[-1]
    assert (sent.path, sent.json) == ("/embed", {"inputs": ["query: a"], "truncate": True})
    assert sent.headers["authorization"] == f"Bearer for {url}"
    model.get_text_embedding("a")
    assert emulator.calls[-1].json["inputs"] == ["a"]
    assert HuggingFaceEndpointEmbedding(url, endpoint="/team/embed").url == f"{url}/team"
    assert HuggingFaceEndpointEmbedding(model_name=url).url == url
    hosted = HuggingFaceEndpointEmbedding(model_name="BAAI/bge-m3", pooling="cls", task="feature-extraction")
    assert hosted.url.endswith("/hf-inference/models/BAAI/bge-m3/pipeline/feature-extraction")
    assert hosted.content_handler.pooling == "cls"
