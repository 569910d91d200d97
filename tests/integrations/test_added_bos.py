"""One token at the beginning of a prompt: of the server's tokenizer where it adds one, else of the prompt format."""

import contextlib
from typing import Any, ClassVar

import pytest
from llama_index.core.base.llms.types import ChatMessage

from sagewire import Client
from sagewire.integrations import litellm
from sagewire.integrations.easyllm import huggingface
from sagewire.integrations.langchain import ChatHuggingFaceEndpoint
from sagewire.integrations.llama_index import HuggingFaceEndpointLLM
from tests.cases import each
from tests.fake_server import JsonHandler, serving


class LlamaCpp(JsonHandler):
    """llama.cpp with a tokenizer that adds the token, or with one that leaves it to the template."""

    adds = True
    prompts: ClassVar[list[Any]] = []

    def do_GET(self):
        models = {"data": [{"id": "m", "owned_by": "llamacpp"}]}
        self.answer(200 if self.path == "/v1/models" else 404, models if self.path == "/v1/models" else {})

    def do_POST(self):
        asked = self.asked()
        if self.path == "/tokenize":
            self.answer(200, {"tokens": [1] if self.adds else []})
        else:
            self.prompts.append(asked.get("prompt"))
            self.answer(200, {"choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}]})


@pytest.fixture
def serve():
    with contextlib.ExitStack() as servers:
        # Another address each time: what was found out about one is kept.
        yield lambda adds: servers.enter_context(serving(type("Handler", (LlamaCpp,), {"adds": adds})))


MESSAGES = [{"role": "user", "content": "Hi"}]
WRITTEN = "<s>[INST] Hi [/INST]"


def easyllm(url, builder, ask):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface, "api_base", url)
        patch.setattr(huggingface, "prompt_builder", builder)
        ask()


CALLERS = {
    "client": lambda url: Client(url=url, format="llama2").chat("Hi"),
    "langchain": lambda url: ChatHuggingFaceEndpoint(endpoint_url=url, prompt_format="llama2").invoke("Hi"),
    "langchain function": lambda url: ChatHuggingFaceEndpoint(
        endpoint_url=url, prompt_format=lambda messages: WRITTEN).invoke("Hi"),
    "llama_index": lambda url: HuggingFaceEndpointLLM(url, prompt_format="llama2").chat([ChatMessage("Hi")]),
    "llama_index function": lambda url: HuggingFaceEndpointLLM(
        url, messages_to_prompt=lambda messages: WRITTEN).chat([ChatMessage("Hi")]),
    "easyllm chat": lambda url: easyllm(
        url, "llama2", lambda: huggingface.ChatCompletion.create(messages=MESSAGES)),
    "easyllm text": lambda url: easyllm(url, "llama2", lambda: huggingface.Completion.create(prompt="Hi")),
    "easyllm function": lambda url: easyllm(
        url, lambda messages: WRITTEN, lambda: huggingface.ChatCompletion.create(messages=MESSAGES)),
    "litellm": lambda url: litellm.completion(
        "huggingface/a/b", messages=MESSAGES, api_base=url, format="llama2"),
    "litellm template": lambda url: litellm.completion(
        "huggingface/a/b", messages=MESSAGES, api_base=url,
        roles={"user": {"pre_message": "<s>[INST] ", "post_message": " [/INST]"}}),
}  # fmt: skip


@each(("adds", "caller"), [(adds, caller) for adds in (True, False) for caller in CALLERS])
def test_one_token_begins_the_prompt_of_every_caller(serve, adds, caller):
    LlamaCpp.prompts.clear()
    CALLERS[caller](serve(adds))
    (prompt,) = LlamaCpp.prompts
    assert prompt.strip() == (WRITTEN.removeprefix("<s>") if adds else WRITTEN)
