"""The containers' own HTTP routes, called by huggingface_hub's client: the judge of the TGI and TEI dialects."""

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import GenerationError, HfHubHTTPError, OverloadedError, ValidationError

from sagewire.emulator import EndpointSpec

STORY = "The tower is 330 metres tall. It stands in Paris.\n\nQuestion: How tall is the tower?\nAnswer:"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def emulator(make_judge):
    return make_judge(
        {
            "tgi": "tgi:extractive",
            "chat": "tgi:schema",
            "tei": EndpointSpec("tei", dimensions=8),
            "secret": EndpointSpec("tgi", environment={"API_KEY": "hf_right"}),
            "broken": EndpointSpec("tgi", "extractive", faults=["error_mid_stream:2"]),
        }
    ).emulator


def client(emulator, name, **options):
    return InferenceClient(base_url=emulator.container_url(name), **options)


def test_text_generation_whole_and_streamed(emulator):
    with client(emulator, "tgi") as tgi:
        answer = tgi.text_generation(STORY, details=True, return_full_text=False, max_new_tokens=20)
        assert answer.generated_text == "The tower is 330 metres tall."
        assert answer.details.finish_reason == "eos_token"
        pieces = list(tgi.text_generation(STORY, stream=True, max_new_tokens=20))
        # This client hands the end-of-sequence token on as text.
        assert "".join(pieces) == f"{answer.generated_text}</s>"
        events = list(tgi.text_generation(STORY, stream=True, details=True, stop=["330"], return_full_text=False))
        assert events[-1].generated_text == "The tower is 330"
        assert events[-1].details.finish_reason == "stop_sequence"


def test_errors_are_of_the_types_the_client_knows(emulator):
    with client(emulator, "tgi") as tgi, pytest.raises(ValidationError, match="strictly positive"):
        tgi.text_generation("x", temperature=0.0)
    with client(emulator, "broken") as broken, pytest.raises(GenerationError, match="CUDA"):
        list(broken.text_generation(STORY, stream=True))
    with client(emulator, "tgi--too-many-requests") as busy, pytest.raises((OverloadedError, HfHubHTTPError)):
        busy.text_generation("x")


def test_chat_whole_streamed_and_with_tools(emulator):
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    with client(emulator, "chat") as chat:
        said = chat.chat_completion([{"role": "user", "content": "Hello"}], max_tokens=50)
        assert said.choices[0].message.content == "Hello! How can I help you?"
        stream = chat.chat_completion([{"role": "user", "content": "Hello"}], stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == said.choices[0].message.content
        call = chat.chat_completion(messages, tools=[TOOL]).choices[0].message.tool_calls[0]
        assert (call.id, call.function.name, call.function.arguments) == ("0", "get_weather", '{"city": "Paris"}')
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        guided = chat.chat_completion(
            [{"role": "user", "content": "7"}], response_format={"type": "json", "value": schema}
        )
        assert guided.choices[0].message.content == '{"n": 7}'


def test_feature_extraction(emulator):
    with client(emulator, "tei") as tei:
        assert tei.feature_extraction("hello").shape == (1, 8)


def test_a_key_is_asked_for(emulator):
    with client(emulator, "secret", token="hf_right") as right:
        assert right.text_generation("x")
    with client(emulator, "secret", token="hf_wrong") as wrong, pytest.raises(HfHubHTTPError, match="401"):
        wrong.text_generation("x")
