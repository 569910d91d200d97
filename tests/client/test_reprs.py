"""What Python prints of public objects: what was set, not the defaults; long values cut; nothing secret."""

from sagewire import (
    Choice,
    ImagePart,
    Message,
    Options,
    ResponseInfo,
    TextPart,
    Tool,
    ToolCall,
    Usage,
    get_format,
)
from sagewire.bulk import Progress, Report
from sagewire.emulator import Emulator, EndpointSpec
from sagewire.gateway import parse_config
from sagewire.integrations.langchain import ChatSagemakerEndpoint, SagemakerEndpointEmbeddings, SagemakerRerank
from tests.cases import each

KEYS = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "hush-hush"}


@each(
    ("thing", "text"),
    [
        (Options(), "Options()"),
        (Options(temperature=0.0, stop=("a",)), "Options(temperature=0.0, stop=('a',))"),
        (Message("user", "Hi"), "Message(role='user', content='Hi')"),
        (Message("user", "a" * 1000), f"Message(role='user', content='{'a' * 80}'...)"),
        (TextPart("Hi"), "TextPart(text='Hi')"),
        (ImagePart(data=b"a" * 5000), "ImagePart(data=<5,000 bytes>)"),
        (ToolCall("1", "f", "{}"), "ToolCall(id='1', name='f', arguments='{}')"),
        (Tool("f"), "Tool(name='f')"),
        (Choice("Hi", finish_reason="stop"), "Choice(text='Hi', finish_reason='stop')"),
        (Usage(5, 9), "Usage(prompt_tokens=5, completion_tokens=9)"),
        (ResponseInfo("a/b", request_id="1"), "ResponseInfo(content_type='a/b', request_id='1')"),
        (Report(10, failed=2), "Report(rows=10, failed=2)"),
        (Progress(), "Progress(0 rows, 0 failed, 0 tokens)"),
        (EndpointSpec("tgi"), "EndpointSpec(dialect='tgi')"),
        (Emulator({"a": "tgi"}), "<Emulator of SageMaker in us-east-1: a>"),
        (get_format("llama3_1"), "<prompt format 'llama3_1'>"),
        (get_format(lambda messages: ""), "<prompt format 'callable'>"),
        (SagemakerEndpointEmbeddings(endpoint_name="a"), "SagemakerEndpointEmbeddings(endpoint_name='a')"),
        (SagemakerRerank(endpoint_name="a", top_n=3), "SagemakerRerank(top_n=3, endpoint_name='a')"),
        (
            parse_config("models:\n  a:\n    endpoint: b\n"),
            "GatewayConfig(models={'a': ModelConfig(deployments=[DeploymentConfig(endpoint='b')])})",
        ),
    ],
)
def test_what_is_printed(thing, text):
    assert repr(thing) == text


def test_nothing_secret_is_printed():
    chat = ChatSagemakerEndpoint(endpoint_name="a", **KEYS)
    assert repr(chat).startswith("ChatSagemakerEndpoint(endpoint_name='a', aws_access_key_id=SecretStr(")
    assert "hush" not in f"{chat!r} {chat}"


def test_llama_index_prints_what_was_given():
    from sagewire.integrations.llama_index import SageMakerEmbedding, SageMakerLLM

    llm = SageMakerLLM(endpoint_name="a", temperature=0.5, aws_region_name="us-east-1", **KEYS)
    assert "SageMakerLLM(temperature=0.5, endpoint_name='a'" in repr(llm)
    assert repr(SageMakerEmbedding(endpoint_name="a")) == "SageMakerEmbedding(model_name='a', endpoint_name='a')"
    assert "hush" not in f"{llm!r} {llm}"
    assert len(repr(llm)) < 120
