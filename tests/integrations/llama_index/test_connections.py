"""Whose credentials, whose client, whose handler: the ways of reaching an endpoint."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.schema import NodeWithScore, TextNode

from sagewire import UsageError, assume_role_session
from sagewire.emulator import Emulator, EndpointSpec
from sagewire.emulator.aws.identity import DEFAULT_ROLE
from sagewire.errors import AccessDenied, EndpointNotFound
from sagewire.integrations.llama_index import (
    HuggingFaceEndpointEmbedding,
    HuggingFaceEndpointLLM,
    HuggingFaceEndpointRerank,
    SageMakerEmbedding,
    SageMakerLLM,
)

HELLO = [ChatMessage(role="user", content="hello")]


async def answers(llm: SageMakerLLM) -> set[str]:
    *_, streamed = llm.stream_chat(HELLO)
    *_, astreamed = [r async for r in await llm.astream_chat(HELLO)]
    whole = [llm.chat(HELLO), await llm.achat(HELLO), streamed, astreamed]
    return {response.message.content for response in whole}


async def test_a_boto3_client_of_ones_own(emulator: Emulator) -> None:
    seen: list[str] = []
    client = boto3.client("sagemaker-runtime")
    client.meta.events.register("before-call.sagemaker-runtime.*", lambda model, **_: seen.append(model.name))
    assert await answers(SageMakerLLM("chat", content_handler="openai_chat", client=client)) == {"hello"}
    assert sorted(set(seen)) == ["InvokeEndpoint", "InvokeEndpointWithResponseStream"]
    assert len(seen) == 4


async def test_an_endpoint_of_another_account(emulator: Emulator) -> None:
    emulator.add("abroad", EndpointSpec("openai_chat", account=DEFAULT_ROLE.account))
    session = assume_role_session(DEFAULT_ROLE.arn, region_name="us-east-1")
    assert await answers(SageMakerLLM("abroad", content_handler="openai_chat", session=session)) == {"hello"}
    with pytest.raises((AccessDenied, EndpointNotFound)):
        SageMakerLLM("abroad", content_handler="openai_chat").chat(HELLO)


async def test_a_profile_and_keys(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = emulator.credentials
    (tmp_path / "credentials").write_text(
        f"[work]\naws_access_key_id={keys.access_key}\naws_secret_access_key={keys.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    where = {"content_handler": "openai_chat", "region_name": "us-east-1"}
    assert await answers(SageMakerLLM("chat", profile_name="work", **where)) == {"hello"}
    given = {"aws_access_key_id": keys.access_key, "aws_secret_access_key": keys.secret_key}
    assert await answers(SageMakerLLM("chat", **given, **where)) == {"hello"}
    with pytest.raises(AccessDenied):
        SageMakerLLM("chat", aws_access_key_id="AKIAWRONG", aws_secret_access_key="wrong", **where).chat(HELLO)
    with pytest.raises(UsageError, match="contradict"):
        SageMakerLLM("chat", profile_name="work", **given, **where)


def test_no_region_is_said_with_its_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="region"):
        SageMakerLLM("chat", content_handler="openai_chat").chat(HELLO)


async def test_an_inference_component(emulator: Emulator) -> None:
    emulator.add("shared", EndpointSpec(components={"one": "openai_chat:echo", "two": "openai_chat:scripted=second"}))
    given = {"content_handler": "openai_chat", "inference_component_name": "two"}
    assert await answers(SageMakerLLM("shared", **given)) == {"second"}


async def test_a_handler_written_for_langchain(scripted, emulator: Emulator) -> None:
    class ContentHandler:
        content_type = accepts = "application/json"

        def transform_input(self, prompt: str, model_kwargs: dict) -> bytes:
            return json.dumps({"inputs": prompt, "parameters": model_kwargs}).encode()

        def transform_output(self, output: Any) -> str:
            return json.loads(output.read().decode("utf-8"))[0]["generated_text"]

    llm = scripted("tgi", "yes", content_handler=ContentHandler(), model_kwargs={"return_full_text": False})
    assert llm.chat(HELLO).message.content == "yes"
    assert (await llm.achat(HELLO)).message.content == "yes"
    assert emulator.calls[-1].json["inputs"].startswith("<s> [INST]")


async def test_embeddings_are_found_by_asking(emulator: Emulator) -> None:
    emulator.add("found", EndpointSpec("tei", dimensions=16))
    model = SageMakerEmbedding("found")
    assert len(model.get_text_embedding("x")) == 16
    assert await model.aget_query_embedding("x") == model.get_query_embedding("x")


async def test_where_the_endpoint_may_not_be_described_the_published_default_is_spoken(
    scripted, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import sagewire.client.resolver as wiring

    def denied(*args: Any, **kwargs: Any) -> Any:
        raise AccessDenied("you may not sagemaker:DescribeEndpoint")

    monkeypatch.setattr(wiring, "describe", denied)
    llm = scripted("tgi", "fine", content_handler=None)
    assert await answers(llm) == {"fine"}
    # The server adds the beginning-of-text token itself.
    assert all(call.json["inputs"].startswith(" [INST]") for call in emulator.calls)
    assert [record.message for record in caplog.records if "DescribeEndpoint" in record.message] == [
        "you may not sagemaker:DescribeEndpoint; it is called with handler 'tgi'"
    ]
    assert llm.to_dict()["content_handler"] is None
    again = scripted("tgi", "fine", content_handler=None)
    assert (await again.achat(HELLO)).message.content == "fine"
    with pytest.raises(AccessDenied):
        SageMakerEmbedding("scripted").get_text_embedding("x")


async def test_servers_by_their_url(emulator: Emulator) -> None:
    emulator.add("vectors", EndpointSpec("tei", dimensions=16))
    emulator.add("ranks", EndpointSpec("tei_rerank"))
    chat = {"url": emulator.container_url("chat"), "content_handler": "openai_chat"}
    assert await answers(HuggingFaceEndpointLLM(**chat, token="hf_x")) == {"hello"}
    assert emulator.calls[-1].headers["authorization"] == "Bearer hf_x"
    vectors = HuggingFaceEndpointEmbedding(emulator.container_url("vectors"), content_handler="tei")
    assert len(await vectors.aget_text_embedding("x")) == len(vectors.get_query_embedding("x")) == 16
    assert vectors.model_name == vectors.url
    ranks = HuggingFaceEndpointRerank(base_url=emulator.container_url("ranks"), content_handler="tei_rerank", top_n=1)
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("blue sky", "green grass")]
    assert ranks.postprocess_nodes(nodes, query_str="grass")[0].node.text == "green grass"
    with pytest.raises(UsageError, match="name the server"):
        HuggingFaceEndpointLLM()
    with pytest.raises(UsageError, match="contradict"):
        HuggingFaceEndpointLLM("http://a", base_url="http://b")
