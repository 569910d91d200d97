"""The public conformance suite, on every kind of container that can carry it."""

from collections.abc import Iterator, Mapping

import pytest

from sagewire.emulator import Emulator, EndpointSpec
from sagewire.integrations.llama_index import HuggingFaceEndpointLLM, SageMakerLLM
from sagewire.testing.llama_index import LLMTests

ENDPOINTS = {
    "vllm": "openai_chat:schema",
    "lmi": EndpointSpec("lmi_chat", "schema", environment={"OPTION_REASONING_PARSER": "qwen3"}),
    "tgi-messages": "tgi_chat:schema",
    "tgi-generate": "tgi:schema",
    "tgi-text": "tgi:schema",
}


@pytest.fixture(scope="module", autouse=True)
def emulator() -> Iterator[Emulator]:
    with Emulator(ENDPOINTS) as emulator, pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environ().items():
            patch.setenv(name, value)
        yield emulator


class SageMakerTests(LLMTests):
    llm_class = SageMakerLLM
    __test__ = False

    def __init_subclass__(cls) -> None:
        cls.__test__ = True


class TestVllm(SageMakerTests):
    llm_params: Mapping[str, object] = {"endpoint_name": "vllm", "content_handler": "openai_chat"}
    supports_images = True
    supports_thinking = True
    thinking_params: Mapping[str, object] = {"reasoning_effort": "low"}


class TestLmiChat(SageMakerTests):
    llm_params: Mapping[str, object] = {"endpoint_name": "lmi", "content_handler": "lmi_chat"}
    supports_images = True
    supports_thinking = True
    thinking_params: Mapping[str, object] = {"reasoning_effort": "low"}


class TestTgiMessages(SageMakerTests):
    llm_params: Mapping[str, object] = {"endpoint_name": "tgi-messages", "content_handler": "tgi_chat"}
    supports_images = True


class TestTgiGenerate(SageMakerTests):
    """Text in, text out: tools and thinking by the prompt format and its reader."""

    llm_params: Mapping[str, object] = {
        "endpoint_name": "tgi-generate",
        "content_handler": "tgi",
        "prompt_format": "qwen2_5",
        "max_tokens": 500,
    }
    counts = "completion"


class TestTextModel(SageMakerTests):
    """Neither template nor format: Llama 2's prompt, as the published class has it."""

    llm_params: Mapping[str, object] = {"endpoint_name": "tgi-text", "content_handler": "tgi", "max_tokens": 500}
    supports_tools = False
    counts = "completion"


class TestHuggingFaceUrl(LLMTests):
    """A container's own HTTP server, with a token."""

    llm_class = HuggingFaceEndpointLLM
    secrets = ("token",)
    supports_images = True
    pickles = False  # the token is a secret, and those are never pickled

    @property
    def llm_params(self) -> Mapping[str, object]:
        return {"url": self.url, "token": "hf_not_to_be_shown", "content_handler": "openai_chat"}

    @pytest.fixture(autouse=True)
    def _at(self, emulator: Emulator) -> None:
        self.url = emulator.container_url("vllm")
