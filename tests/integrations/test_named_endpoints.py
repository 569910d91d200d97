"""Every container, through both frameworks' classes, with nothing said but the endpoint's name."""

import pytest
from llama_index.core.llms import ChatMessage

from sagewire.emulator import Emulator, EndpointSpec, Scripted
from sagewire.errors import ModelError, UsageError
from sagewire.integrations.langchain import SagemakerEndpoint
from sagewire.integrations.llama_index import SageMakerLLM

CHATS = ["ai21_j2", "ai21_jamba", "cohere", "llamacpp", "lmi", "lmi_async", "lmi_tgi_compat", "nova", "openai_chat"]
CHATS += ["sglang", "tgi", "tgi_1", "tgi_chat", "triton", "triton_infer", "triton_stream"]
# These only continue or transform text; there is no family of which one could say how it writes conversations.
TEXT = ["hf_pipeline", "hf_summarization", "hf_text2text", "hf_translation"]
TEXT += ["jumpstart_text2text", "jumpstart_textgeneration"]
SAID = "Hello back."


@pytest.fixture(scope="module")
def zoo():
    names = [*CHATS, *TEXT, "jumpstart_dialog", "openai_completions"]
    specs = {name.replace("_", "-"): EndpointSpec(name, engine=Scripted([SAID], loop=True)) for name in names}
    with Emulator(specs) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def environment(zoo, clean_environment, monkeypatch):
    for name, value in zoo.environ().items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("dialect", [*CHATS, *TEXT, "openai_completions"])
def test_langchain_needs_the_name_only(dialect):
    llm = SagemakerEndpoint(endpoint_name=dialect.replace("_", "-"), region_name="us-east-1")
    assert llm.invoke("Hi") == SAID
    assert "".join(llm.stream("Hi")) == SAID


@pytest.mark.parametrize("dialect", CHATS)
def test_llama_index_needs_the_name_only(dialect):
    llm = SageMakerLLM(endpoint_name=dialect.replace("_", "-"))
    assert llm.complete("Hi").text == SAID
    assert llm.chat([ChatMessage(role="user", content="Hi")]).message.content == SAID
    assert list(llm.stream_complete("Hi"))[-1].text == SAID


@pytest.mark.parametrize("dialect", TEXT)
def test_llama_index_completes_where_nobody_knows_how_conversations_are_written(dialect, zoo):
    zoo.clear()
    llm = SageMakerLLM(endpoint_name=dialect.replace("_", "-"))
    assert llm.complete("Hi").text == SAID
    sent = zoo.calls[-1].json
    assert sent.get("inputs", sent.get("text_inputs")) == "Hi"
    with pytest.raises(UsageError, match="No built-in prompt format is known"):
        llm.chat([ChatMessage(role="user", content="Hi")])


def test_a_licence_is_accepted_by_the_caller_or_not_at_all():
    where = {"endpoint_name": "jumpstart-dialog", "region_name": "us-east-1"}
    with pytest.raises(ModelError, match="accept_eula"):
        SagemakerEndpoint(**where).invoke("Hi")
    accepted = {"CustomAttributes": "accept_eula=true"}
    assert SagemakerEndpoint(**where, endpoint_kwargs=accepted).invoke("Hi").strip() == SAID
