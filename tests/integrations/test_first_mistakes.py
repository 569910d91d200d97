"""The first mistakes with each framework: the host's names, and sagewire's own sentence instead of a validator's."""

import json
import urllib.error
import urllib.request

import pytest

from sagewire import UsageError
from sagewire.emulator import Emulator
from sagewire.integrations.langchain import (
    ChatSagemakerEndpoint,
    SagemakerEndpoint,
    SagemakerEndpointEmbeddings,
    SagemakerRerank,
)
from sagewire.integrations.litellm import completion
from sagewire.integrations.openai import openai_client
from tests.cases import each

HI = [{"role": "user", "content": "Hi"}]
MISTAKES = [
    (lambda: openai_client(), "give the endpoint's name or a sagewire.Client, openai_client('my-endpoint')"),
    (lambda: openai_client(None), "openai_client('my-endpoint'), not None"),
    (lambda: openai_client("a", region="us-east-1"), "openai_client has no argument 'region': use region_name="),
    (lambda: openai_client("a", temperature=0), "use temperature= in the call"),
    (lambda: openai_client("a", handler="tgl"), "unknown handler 'tgl'; did you mean 'tgi'?"),
    (lambda: ChatSagemakerEndpoint(), "name the endpoint: ChatSagemakerEndpoint(endpoint_name='my-endpoint')"),
    (lambda: ChatSagemakerEndpoint(model="a"), "not model=, which is a model that the endpoint serves"),
    (lambda: ChatSagemakerEndpoint("a"), "by name: ChatSagemakerEndpoint(endpoint_name='my-endpoint')"),
    (lambda: ChatSagemakerEndpoint(endpoint_name="a", temprature=1), "did you mean 'temperature'?"),
    (lambda: ChatSagemakerEndpoint(endpoint_name="a", content_handler="tgl"), "did you mean 'tgi'?"),
    (lambda: ChatSagemakerEndpoint(endpoint_name="a", prompt_format="lama3"), "Close names: llama3"),
    (lambda: ChatSagemakerEndpoint(endpoint_name="a b"), "did you mean 'a-b'?"),
    (lambda: SagemakerEndpoint(endpoint="a"), "'endpoint_name'"),
    (lambda: SagemakerEndpointEmbeddings(model="a"), "name the endpoint: SagemakerEndpointEmbeddings("),
    (lambda: SagemakerEndpointEmbeddings(endpoint_name="a").embed_query(["b"]), "for a list use embed_documents"),
    (lambda: SagemakerRerank(endpoint_name="a", top_k=5), "did you mean 'top_n'"),
    (lambda: completion(model="my-endpoint", messages=HI), "did you mean 'sagemaker/my-endpoint'?"),
    (lambda: completion(model="sagemker/a", messages=HI), "did you mean 'sagemaker/a'?"),
    (lambda: completion(model="sagemaker/a", messages="Hi"), "messages must be a list"),
]


@each(("make", "told"), MISTAKES)
def test_of_each_framework(make, told, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(UsageError) as caught:
        make()
    assert told in str(caught.value)
    assert "validation error" not in str(caught.value)
    assert "errors.pydantic.dev" not in str(caught.value)


def test_what_pydantic_refuses_by_itself_stays_its_error():
    with pytest.raises(ValueError, match="temperature\n  Input should be a valid number"):
        ChatSagemakerEndpoint(endpoint_name="a", temperature="hot")


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions", "/v1/models", "/"])
def test_an_openai_client_pointed_at_the_emulator_is_told_what_to_use(path):
    with Emulator({"chat": "openai_chat"}) as emulator:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(emulator.url + path)
        with caught.value:
            told = json.load(caught.value)["error"]["message"]
        assert "openai_client('chat')" in told
        base_url = told.rpartition("base_url='")[2].partition("'")[0]
        with urllib.request.urlopen(f"{base_url}/models") as answer:
            assert answer.status == 200
