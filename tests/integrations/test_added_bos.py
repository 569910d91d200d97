"""One token at the beginning of a prompt: of the server's tokenizer where it adds one, else of the prompt format."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from llama_index.core.base.llms.types import ChatMessage

from sagewire import Client
from sagewire.integrations import litellm
from sagewire.integrations.easyllm import huggingface
from sagewire.integrations.langchain import ChatHuggingFaceEndpoint
from sagewire.integrations.llama_index import HuggingFaceEndpointLLM
from tests.cases import each


class LlamaCpp(BaseHTTPRequestHandler):
    """llama.cpp with a tokenizer that adds the token, or with one that leaves it to the template."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    adds = True
    prompts: ClassVar[list[Any]] = []

    def do_GET(self):
        models = {"data": [{"id": "m", "owned_by": "llamacpp"}]}
        self.answer(200 if self.path == "/v1/models" else 404, models if self.path == "/v1/models" else {})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/tokenize":
            self.answer(200, {"tokens": [1] if self.adds else []})
        else:
            self.prompts.append(asked.get("prompt"))
            self.answer(200, {"choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}]})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(adds):
        # Another address each time: what was found out about one is kept.
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (LlamaCpp,), {"adds": adds}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


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
