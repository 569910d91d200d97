"""An endpoint nobody may describe is tried out where the caller allows it; judged by really calling it."""

import pytest

from sagewire import Client, UsageError
from sagewire.emulator import Emulator, EndpointSpec, Scripted

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1"
# ContainerProfile -> the handler that has to be found, and what to ask it for.
PROBED = {
    "openai_chat": ("openai_chat", "chat"),
    "openai_completions": ("openai_completions", "complete"),
    "sglang": ("openai_chat", "chat"),
    "tgi": ("tgi_chat", "chat"),  # TGI from 2.4 takes messages on the same route
    "tgi_1": ("tgi", "complete"),
    "lmi_async": ("openai_chat", "chat"),
    "hf_pipeline": ("hf_pipeline", "complete"),
    "hf_text2text": ("hf_text2text", "complete"),
    "hf_summarization": ("hf_summarization", "complete"),
    "hf_translation": ("hf_translation", "complete"),
    "hf_classification": ("hf_classification", "complete"),
    "hf_token_classification": ("hf_token_classification", "complete"),
    "hf_zero_shot": ("hf_zero_shot", None),
    "hf_question_answering": ("hf_question_answering", None),
    "hf_fill_mask": ("hf_fill_mask", None),
    "jumpstart_dialog": ("jumpstart_dialog", None),
    "jumpstart_text2text": ("jumpstart_text2text", "complete"),
    "jumpstart_textgeneration": ("jumpstart_textgeneration", "complete"),
    "jumpstart_embedding": ("jumpstart_embedding", "embed"),
    "triton": ("triton", "complete"),
    "triton_stream": ("triton", "complete"),
    "triton_infer": ("triton_infer", "complete"),
    "triton_embedding": ("triton_embedding", "embed"),
    "tei": ("tei", "embed"),
    "tei_rerank": ("tei_rerank", "rerank"),
    "vllm_pooling": ("openai_embeddings", "embed"),
    "vllm_rerank": ("vllm_rerank", "rerank"),
    "lmi_embedding": ("lmi_embedding", "embed"),
    "hf_feature_extraction": ("hf_feature_extraction", "embed"),
}


@pytest.fixture(scope="module")
def zoo():
    # An image nobody knows stands for a missing permission: both leave the container unrecognised.
    specs = {name: EndpointSpec(name, engine=Scripted(["Hello back"], loop=True), image=IMAGE) for name in PROBED}
    with Emulator({name.replace("_", "-"): spec for name, spec in specs.items()}) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def environment(zoo, clean_environment, monkeypatch):
    for name, value in zoo.environ().items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("dialect", "expected", "task"), [(name, *case) for name, case in PROBED.items()], ids=PROBED)
def test_an_endpoint_that_may_not_be_described_is_tried_out(zoo, dialect, expected, task):
    endpoint = dialect.replace("_", "-")
    with pytest.raises(UsageError, match="handler="):
        Client(endpoint).profile()
    client = Client(endpoint, probe=True)
    found = client.profile()
    assert expected in (found.chat, found.complete, found.embed, found.rerank)
    assert found.reasons == ("it was tried out",)
    match task:
        case "embed":
            assert client.embed(["a"]).dimensions == 64
        case "rerank":
            assert len(client.rerank("a", ["a", "b"])) == 2
        case "chat" | "complete":
            assert getattr(client, task)("hi").text


def test_a_plain_server_without_routes_that_tell_is_tried_out_where_that_is_allowed(zoo):
    url = f"{zoo.container_url('hf-summarization')}/invocations"
    assert Client(url=url).profile().chat == "openai_chat"
    client = Client(url=url, probe=True)
    assert client.profile().complete == "hf_summarization"
    assert client.complete("Hello there").text == "Hello back"
    assert Client(url=zoo.container_url("tei"), probe=True).profile().reasons == ("/info says model_type embedding",)
    nothing = Client(url=f"{zoo.container_url('openai-chat')}/nothing", probe=True)
    assert nothing.profile().container == "an unknown server"
