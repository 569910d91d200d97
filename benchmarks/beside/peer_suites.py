"""LangChain's standard suites on the peers' chat models, against the emulator; `benchmarks/conformance.py` runs them.

The classes' names are read by the script: `Test`, the suite, `On`, who and what the container speaks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from sagewire.emulator import Emulator


@pytest.fixture(scope="module", autouse=True)
def emulator() -> Iterator[None]:
    before = dict(os.environ)
    with Emulator({"vllm": "openai_chat:schema", "tgi": "tgi_chat:schema"}) as running:
        os.environ.update(running.environ())
        # A closed port: whatever the Hub is asked for, nothing leaves this machine.
        os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
        HuggingFace.url = f"{running.container_url('tgi')}/v1"
        yield
    os.environ.clear()
    os.environ.update(before)


class LangchainAws:
    """langchain-aws's class with the content handler its documentation shows, for the OpenAI wire."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        from langchain_aws.chat_models.sagemaker_endpoint import ChatSagemakerEndpoint

        return ChatSagemakerEndpoint

    @property
    def chat_model_params(self) -> dict[str, Any]:
        from langchain_aws.chat_models.sagemaker_endpoint import ChatModelContentHandler
        from langchain_core.messages import AIMessage, AIMessageChunk

        class Handler(ChatModelContentHandler):
            content_type = accepts = "application/json"

            def transform_input(self, prompt: Any, model_kwargs: dict[str, Any]) -> bytes:
                return json.dumps({"messages": prompt, **model_kwargs}).encode()

            def transform_output(self, output: Any) -> Any:
                if isinstance(output, bytes):
                    if not output.startswith(b"data: {"):
                        return AIMessageChunk("")
                    choices = json.loads(output[6:])["choices"]
                    return AIMessageChunk(choices[0]["delta"].get("content") or "" if choices else "")
                return AIMessage(json.loads(output.read())["choices"][0]["message"]["content"] or "")

        return {"endpoint_name": "vllm", "content_handler": Handler(), "region_name": "us-east-1"}


class HuggingFace:
    """langchain-huggingface's class on TGI's own URL: it sends a model name that only TGI does not look at."""

    url = ""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        from langchain_huggingface import ChatHuggingFace

        return ChatHuggingFace

    @property
    def chat_model_params(self) -> dict[str, Any]:
        from langchain_huggingface import HuggingFaceEndpoint

        endpoint = HuggingFaceEndpoint(endpoint_url=self.url or "http://127.0.0.1:1", huggingfacehub_api_token="hf_x")
        return {"llm": endpoint, "model_id": "model"}


class ByJsonSchema:
    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "json_schema"}


class ByTool:
    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "function_calling"}


class TestUnitOnLangchainAws(LangchainAws, ChatModelUnitTests): ...


class TestByToolOnLangchainAws(LangchainAws, ByTool, ChatModelIntegrationTests): ...


class TestByJsonSchemaOnLangchainAws(LangchainAws, ByJsonSchema, ChatModelIntegrationTests): ...


class TestUnitOnHuggingFace(HuggingFace, ChatModelUnitTests): ...


class TestByToolOnHuggingFace(HuggingFace, ByTool, ChatModelIntegrationTests): ...


class TestByJsonSchemaOnHuggingFace(HuggingFace, ByJsonSchema, ChatModelIntegrationTests): ...
