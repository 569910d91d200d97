"""Everybody who is measured, doing the same work on the same bytes, each the way its own documentation shows."""

from __future__ import annotations

import json
import socket
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from typing import Any

from sagewire import AsyncClient, Client

__all__ = [
    "BODY",
    "KEYS",
    "REGION",
    "Boto3",
    "Ours",
    "langchain_aws",
    "litellm_call",
    "llama_index_models",
    "raw_first_token",
]

REGION = "us-east-1"
KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}
QUESTION = "x" * 300
BODY = {"messages": [{"role": "user", "content": QUESTION}]}


class Boto3:
    """boto3 with the JSON parsed: what people write by hand."""

    def __init__(self, url: str) -> None:
        import boto3
        from botocore.config import Config

        config = Config(max_pool_connections=64)
        self.client = boto3.client("sagemaker-runtime", REGION, endpoint_url=url, config=config, **KEYS)

    def chat(self, endpoint: str = "chat") -> str:
        return str(self.post(endpoint, BODY)["choices"][0]["message"]["content"])

    def post(self, endpoint: str, body: object) -> Any:
        data = json.dumps(body)
        answer = self.client.invoke_endpoint(EndpointName=endpoint, Body=data, ContentType="application/json")
        return json.loads(answer["Body"].read())

    def stream(self, endpoint: str = "chat") -> Iterator[str]:
        body = json.dumps({**BODY, "stream": True})
        answer = self.client.invoke_endpoint_with_response_stream(
            EndpointName=endpoint, Body=body, ContentType="application/json"
        )
        with closing(answer["Body"]) as parts:
            for part in parts:
                for line in part["PayloadPart"]["Bytes"].splitlines():
                    if line.startswith(b"data: {"):
                        yield json.loads(line[6:])["choices"][0]["delta"]["content"]


class Ours:
    """sagewire's own clients."""

    def __init__(self, url: str) -> None:
        self._where = {"region_name": REGION, "endpoint_url": url, **KEYS}

    def client(self, endpoint: str = "chat", handler: str = "openai_chat") -> Client:
        return Client(endpoint, handler=handler, **self._where)

    def awaited(self, endpoint: str = "chat") -> AsyncClient:
        return self.client(endpoint).to_async()

    def langchain(self, endpoint: str = "chat") -> Any:
        from sagewire.integrations.langchain import ChatSagemakerEndpoint

        return ChatSagemakerEndpoint(endpoint_name=endpoint, content_handler="openai_chat", **self._where)

    def llama_index(self, endpoint: str = "chat") -> Any:
        from sagewire.integrations.llama_index import SageMakerLLM

        keys = {"aws_region_name": REGION, "endpoint_url": self._where["endpoint_url"], **KEYS}
        return SageMakerLLM(endpoint, content_handler="openai_chat", **keys)

    def langchain_text(self) -> Any:
        from sagewire.integrations.langchain import SagemakerEndpoint

        return SagemakerEndpoint(endpoint_name="text", content_handler="tgi", **self._where)


def raw_first_token(url: str) -> Callable[[], float]:
    """Return what measures the seconds until a bare socket has the first token: the floor."""
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps(BODY).encode()
    request = b"POST /endpoints/paced/response-stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"

    def first() -> float:
        start = time.perf_counter()
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(request % (len(body), body))
            sock.recv(65_536)
            return time.perf_counter() - start

    return first


def langchain_aws(url: str, endpoint: str = "chat") -> tuple[Any, Any]:
    """Return langchain-aws's chat model and its text model, with the handlers its users write."""
    from langchain_aws.chat_models.sagemaker_endpoint import ChatModelContentHandler, ChatSagemakerEndpoint
    from langchain_aws.llms.sagemaker_endpoint import LLMContentHandler, SagemakerEndpoint
    from langchain_core.messages import AIMessage, AIMessageChunk

    class Chat(ChatModelContentHandler):
        content_type = accepts = "application/json"

        def transform_input(self, prompt: Any, model_kwargs: dict[str, Any]) -> bytes:
            return json.dumps({"messages": prompt, **model_kwargs}).encode()

        def transform_output(self, output: Any) -> Any:
            if isinstance(output, bytes):
                if not output.startswith(b"data: {"):
                    return AIMessageChunk("")
                return AIMessageChunk(json.loads(output[6:])["choices"][0]["delta"]["content"])
            return AIMessage(json.loads(output.read())["choices"][0]["message"]["content"])

    class Text(LLMContentHandler):
        content_type = accepts = "application/json"

        def transform_input(self, prompt: str, model_kwargs: dict[str, Any]) -> bytes:
            return json.dumps({"inputs": prompt, "parameters": model_kwargs}).encode()

        def transform_output(self, output: Any) -> str:
            return str(json.loads(output.read())[0]["generated_text"])

    client = Boto3(url).client
    chat = ChatSagemakerEndpoint(endpoint_name=endpoint, content_handler=Chat(), client=client)
    return chat, SagemakerEndpoint(endpoint_name="text", content_handler=Text(), client=client)


def litellm_call(url: str) -> Callable[[], Awaitable[str]]:
    """Return LiteLLM's call of the chat endpoint."""
    import litellm

    litellm.suppress_debug_info = True
    where = {"aws_region_name": REGION, "sagemaker_base_url": f"{url}/endpoints/chat/invocations", **KEYS}

    async def call() -> str:
        answer = await litellm.acompletion("sagemaker_chat/chat", BODY["messages"], **where)
        return str(answer.choices[0].message.content)

    return call


def llama_index_models(url: str) -> tuple[Any, Any]:
    """Return sagewire's class and the published one, both writing the same prompt for the same TGI."""
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.sagemaker_endpoint import SageMakerLLM as Published
    from llama_index.llms.sagemaker_endpoint.utils import IOHandler

    from sagewire.integrations.llama_index import SageMakerLLM

    class Handler(IOHandler):  # type: ignore[misc]
        def deserialize_streaming_output(self, response: bytes) -> str:
            return str(json.loads(response[5:])["token"]["text"])

        def remove_prefix(self, raw_text: str, prompt: str) -> str:
            return raw_text

    def write(messages: list[ChatMessage]) -> str:
        return "".join(f"<s> [INST] {message.content} [/INST]" for message in messages)

    names = {"aws_region_name": REGION, "messages_to_prompt": write, **KEYS}
    ours = SageMakerLLM("text", content_handler="tgi", endpoint_url=url, **names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = Published("text", content_handler=Handler(), **names)
    # It has no argument for another URL.
    theirs._client = Boto3(url).client
    return ours, theirs
