"""LangChain's standard suite through an unmodified ChatOpenAI: it judges the OpenAI wire and the schema engine."""

import base64

import httpx
import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from sagewire.emulator import Emulator, EndpointSpec

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module", autouse=True)
def emulator():
    endpoints = {
        "openai-chat": EndpointSpec("openai_chat", "schema", adapters=["other-model"]),
        "sglang": "sglang:schema",
        "llamacpp": "llamacpp:schema",
        "tgi": "tgi:schema",
    }
    with Emulator(endpoints) as running:
        yield running


@pytest.fixture(autouse=True)
def image(monkeypatch):
    """The suite fetches its picture from the internet; the emulator's tests have none."""
    answer = httpx.Response(200, content=PIXEL)
    monkeypatch.setattr(httpx, "get", lambda *args, **kwargs: answer)


# Both warnings are langchain-openai's own, about its own client.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema")
class TestVllm(ChatModelIntegrationTests):
    container = "openai-chat"
    url = ""

    @pytest.fixture(autouse=True)
    def _url(self, emulator):
        type(self).url = emulator.container_url(self.container) + "/v1"

    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        # ChatOpenAI shares one async client between all event loops, and every test has a loop of its own.
        headers = {"Connection": "close"}
        return {
            "model": "Qwen/Qwen3-8B",
            "base_url": self.url,
            "api_key": "none",
            "stream_usage": True,
            "default_headers": headers,
        }

    supports_image_inputs = True
    supports_image_urls = True
    supports_image_tool_message = True
    model_override_value = "other-model"

    @property
    def supports_json_mode(self):
        return True

    @property
    def structured_output_kwargs(self):
        return {"method": "json_schema"}


class TestSglang(TestVllm):
    container = "sglang"
    model_override_value = "Qwen/Qwen3-8B"


class TestLlamaCpp(TestVllm):
    container = "llamacpp"
    # The server reports the model it has loaded, whatever was asked for.
    model_override_value = "unsloth/Qwen3-4B-GGUF"


class TestTgi(TestVllm):
    container = "tgi"
    model_override_value = "mistralai/Mistral-7B-Instruct-v0.3"

    @property
    def supports_json_mode(self):
        # TGI's `json_object` needs a schema in `value`, which OpenAI's clients do not send.
        return False
