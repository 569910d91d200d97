"""Who meets the faults: every library's classes, made the way its own documentation shows, all told the same patience.

A caller takes an endpoint's name and a list to fill with what arrives, and returns the text. Imports are inside: each
library runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

from beside.fault_rows import PATIENCE

__all__ = ["LIBRARIES", "Callers"]

QUESTION = "?"
ATTEMPTS = 3
Ask = Callable[[str, list[str]], str]
# (mode, "called" or "awaited") -> the call.
Callers = dict[tuple[str, str], Ask]

_LOOP: list[asyncio.AbstractEventLoop] = []


def run(coroutine: Coroutine[Any, Any, str]) -> str:
    """Run in one event loop for the whole process, as an application does."""
    if not _LOOP:
        _LOOP.append(asyncio.new_event_loop())
    return _LOOP[0].run_until_complete(coroutine)


def gather(pieces: Iterator[str], read: list[str]) -> str:
    # One by one: what arrived before an error counts.
    for piece in pieces:
        read.append(piece)  # noqa: PERF402
    return "".join(read)


async def agather(pieces: AsyncIterator[str], read: list[str]) -> str:
    async for piece in pieces:
        read.append(piece)  # noqa: PERF401
    return "".join(read)


def sagewire_client() -> Callers:
    from sagewire import Client, Retries

    def made(endpoint: str) -> Client:
        return Client(endpoint, handler="openai_chat", timeout=PATIENCE, retries=Retries(attempts=ATTEMPTS))

    def stream(endpoint: str, read: list[str]) -> str:
        with made(endpoint).stream(QUESTION) as answer:
            return gather(answer.text, read)

    async def achat(endpoint: str) -> str:
        async with made(endpoint).to_async() as client:
            return (await client.chat(QUESTION)).text

    async def astream(endpoint: str, read: list[str]) -> str:
        async with made(endpoint).to_async() as client, client.stream(QUESTION) as answer:
            return await agather(answer.text, read)

    return {
        ("whole", "called"): lambda endpoint, read: made(endpoint).chat(QUESTION).text,
        ("stream", "called"): stream,
        ("whole", "awaited"): lambda endpoint, read: run(achat(endpoint)),
        ("stream", "awaited"): lambda endpoint, read: run(astream(endpoint, read)),
    }


def of_langchain(made: Callable[[str], Any]) -> Callers:
    """Return the calls of a chat or text model of LangChain."""

    def text(answer: Any) -> str:
        return answer if isinstance(answer, str) else str(answer.text)

    async def ainvoke(endpoint: str) -> str:
        return text(await made(endpoint).ainvoke(QUESTION))

    async def astream(endpoint: str, read: list[str]) -> str:
        return await agather((text(chunk) async for chunk in made(endpoint).astream(QUESTION)), read)

    return {
        ("whole", "called"): lambda endpoint, read: text(made(endpoint).invoke(QUESTION)),
        ("stream", "called"): lambda endpoint, read: gather(map(text, made(endpoint).stream(QUESTION)), read),
        ("whole", "awaited"): lambda endpoint, read: run(ainvoke(endpoint)),
        ("stream", "awaited"): lambda endpoint, read: run(astream(endpoint, read)),
    }


def sagewire_langchain_chat() -> Callers:
    from sagewire.integrations.langchain import ChatSagemakerEndpoint

    settings: dict[str, Any] = {"timeout": PATIENCE, "max_retries": ATTEMPTS - 1}
    return of_langchain(
        lambda name: ChatSagemakerEndpoint(endpoint_name=name, content_handler="openai_chat", **settings)
    )


def sagewire_langchain_text() -> Callers:
    from sagewire.integrations.langchain import SagemakerEndpoint

    settings: dict[str, Any] = {"timeout": PATIENCE, "max_retries": ATTEMPTS - 1}
    return of_langchain(lambda name: SagemakerEndpoint(endpoint_name=name, content_handler="tgi", **settings))


def sagewire_llama_index() -> Callers:
    from llama_index.core.llms import ChatMessage

    from sagewire.integrations.llama_index import SageMakerLLM

    def made(name: str) -> Any:
        return SageMakerLLM(name, content_handler="openai_chat", timeout=PATIENCE, max_retries=ATTEMPTS - 1)

    messages = [ChatMessage(QUESTION)]

    async def achat(endpoint: str) -> str:
        return str((await made(endpoint).achat(messages)).message.content or "")

    async def astream(endpoint: str, read: list[str]) -> str:
        growing = await made(endpoint).astream_chat(messages)
        return await agather((response.delta or "" async for response in growing), read)

    return {
        **of_llama_index(made),
        ("whole", "awaited"): lambda endpoint, read: run(achat(endpoint)),
        ("stream", "awaited"): lambda endpoint, read: run(astream(endpoint, read)),
    }


def of_llama_index(made: Callable[[str], Any]) -> Callers:
    from llama_index.core.llms import ChatMessage

    messages = [ChatMessage(QUESTION)]

    def stream(endpoint: str, read: list[str]) -> str:
        return gather((response.delta or "" for response in made(endpoint).stream_chat(messages)), read)

    return {
        ("whole", "called"): lambda endpoint, read: made(endpoint).chat(messages).message.content or "",
        ("stream", "called"): stream,
    }


def boto_config() -> Any:
    from botocore.config import Config

    return Config(connect_timeout=PATIENCE, read_timeout=PATIENCE, retries={"total_max_attempts": ATTEMPTS})


def data_of(line: bytes) -> Any:
    """Return the JSON of a line of server-sent events, or `None` of a blank line, a comment, or the end mark.

    What the content handlers in AWS's and LangChain's examples do, and a little more careful than most.
    """
    line = line.strip()
    if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
        return None
    return json.loads(line[5:])


def token_of(event: Any) -> str:
    """Return the text of one event of TGI's own route; special tokens end the answer and are no part of it."""
    return "" if not event or event["token"]["special"] else str(event["token"]["text"])


def langchain_aws_chat() -> Callers:
    from langchain_aws.chat_models.sagemaker_endpoint import ChatModelContentHandler, ChatSagemakerEndpoint
    from langchain_core.messages import AIMessage, AIMessageChunk

    class Handler(ChatModelContentHandler):
        content_type = accepts = "application/json"

        def transform_input(self, prompt: Any, model_kwargs: dict[str, Any]) -> bytes:
            return json.dumps({"messages": prompt, **model_kwargs}).encode()

        def transform_output(self, output: Any) -> Any:
            if not isinstance(output, bytes):
                return AIMessage(json.loads(output.read().decode("utf-8"))["choices"][0]["message"]["content"])
            event = data_of(output)
            choices = event["choices"] if event else ()
            return AIMessageChunk(choices[0]["delta"].get("content") or "" if choices else "")

    class Streaming(Handler):
        def transform_input(self, prompt: Any, model_kwargs: dict[str, Any]) -> bytes:
            return super().transform_input(prompt, {**model_kwargs, "stream": True})

    def made(handler: Any) -> Callable[[str], Any]:
        return lambda name: ChatSagemakerEndpoint(
            endpoint_name=name, content_handler=handler, region_name="us-east-1", config=boto_config()
        )

    return by_mode(of_langchain(made(Handler())), of_langchain(made(Streaming())))


def langchain_aws_text() -> Callers:
    from langchain_aws.llms.sagemaker_endpoint import LLMContentHandler, SagemakerEndpoint

    class Handler(LLMContentHandler):
        content_type = accepts = "application/json"

        def transform_input(self, prompt: str, model_kwargs: dict[str, Any]) -> bytes:
            return json.dumps({"inputs": prompt, "parameters": {"return_full_text": False, **model_kwargs}}).encode()

        def transform_output(self, output: Any) -> str:
            if not isinstance(output, bytes):
                return str(json.loads(output.read().decode("utf-8"))[0]["generated_text"])
            return token_of(data_of(output))

    class Streaming(Handler):
        def transform_input(self, prompt: str, model_kwargs: dict[str, Any]) -> bytes:
            return json.dumps({"inputs": prompt, "parameters": model_kwargs, "stream": True}).encode()

    def made(handler: Any) -> Callable[[str], Any]:
        return lambda name: SagemakerEndpoint(
            endpoint_name=name, content_handler=handler, region_name="us-east-1", config=boto_config()
        )

    return by_mode(of_langchain(made(Handler())), of_langchain(made(Streaming())))


def llama_index_published() -> Callers:
    import warnings

    from llama_index.llms.sagemaker_endpoint import SageMakerLLM
    from llama_index.llms.sagemaker_endpoint.utils import IOHandler

    class Handler(IOHandler):  # type: ignore[misc]
        def deserialize_streaming_output(self, response: bytes) -> str:
            return "".join(token_of(data_of(line)) for line in response.splitlines())

        def remove_prefix(self, raw_text: str, prompt: str) -> str:
            return raw_text.removeprefix(prompt)

    class Streaming(Handler):
        def serialize_input(self, request: str, model_kwargs: dict[str, Any]) -> bytes:
            return json.dumps({"inputs": request, "parameters": model_kwargs, "stream": True}).encode()

    def made(handler: Any) -> Callable[[str], Any]:
        def make(name: str) -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return SageMakerLLM(name, content_handler=handler, timeout=PATIENCE, max_retries=ATTEMPTS)

        return make

    return by_mode(of_llama_index(made(Handler())), of_llama_index(made(Streaming())))


def by_mode(whole: Callers, stream: Callers) -> Callers:
    return {key: (whole if key[0] == "whole" else stream)[key] for key in whole}


def of_litellm(provider: str) -> Callers:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True
    base = f"{os.environ['AWS_ENDPOINT_URL']}/endpoints"
    messages = [{"role": "user", "content": QUESTION}]

    # Without it, TGI's own route answers with the prompt in front.
    options = {} if provider == "sagemaker_chat" else {"return_full_text": False}

    def given(endpoint: str, route: str) -> dict[str, Any]:
        return {
            "model": f"{provider}/{endpoint}",
            "messages": messages,
            "timeout": PATIENCE,
            "num_retries": ATTEMPTS - 1,
            "aws_region_name": "us-east-1",
            "sagemaker_base_url": f"{base}/{endpoint}/{route}",
            **options,
        }

    def text(chunk: Any) -> str:
        piece = str((chunk.choices[0].delta.content or "") if chunk.choices else "")
        # It hands on TGI's special token at the end of every stream; no fault is needed for that.
        return "" if piece == "</s>" else piece

    def chat(endpoint: str, read: list[str]) -> str:
        return str(litellm.completion(**given(endpoint, "invocations")).choices[0].message.content)

    def stream(endpoint: str, read: list[str]) -> str:
        return gather(map(text, litellm.completion(**given(endpoint, STREAMED), stream=True)), read)

    async def achat(endpoint: str) -> str:
        return str((await litellm.acompletion(**given(endpoint, "invocations"))).choices[0].message.content)

    async def astream(endpoint: str, read: list[str]) -> str:
        answer = await litellm.acompletion(**given(endpoint, STREAMED), stream=True)
        return await agather((text(chunk) async for chunk in answer), read)

    return {
        ("whole", "called"): chat,
        ("stream", "called"): stream,
        ("whole", "awaited"): lambda endpoint, read: run(achat(endpoint)),
        ("stream", "awaited"): lambda endpoint, read: run(astream(endpoint, read)),
    }


STREAMED = "invocations-response-stream"


def litellm_chat() -> Callers:
    return of_litellm("sagemaker_chat")


def litellm_text() -> Callers:
    return of_litellm("sagemaker")


# Library and class -> (what the container speaks, the calls).
LIBRARIES: dict[str, tuple[str, Callable[[], Callers]]] = {
    "sagewire Client": ("openai_chat", sagewire_client),
    "sagewire LangChain ChatSagemakerEndpoint": ("openai_chat", sagewire_langchain_chat),
    "sagewire LangChain SagemakerEndpoint": ("tgi", sagewire_langchain_text),
    "sagewire LlamaIndex SageMakerLLM": ("openai_chat", sagewire_llama_index),
    "langchain-aws ChatSagemakerEndpoint": ("openai_chat", langchain_aws_chat),
    "langchain-aws SagemakerEndpoint": ("tgi", langchain_aws_text),
    "llama-index-llms-sagemaker-endpoint": ("tgi", llama_index_published),
    # It sends the endpoint's name as the model's, which TGI does not look at.
    "LiteLLM sagemaker_chat": ("tgi_chat", litellm_chat),
    "LiteLLM sagemaker": ("tgi", litellm_text),
}
