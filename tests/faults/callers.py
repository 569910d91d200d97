"""Everybody who can feel a fault: the clients and the classes of both frameworks, awaited or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from llama_index.core.llms import ChatMessage

from sagewire import Client
from sagewire.integrations.langchain import ChatSagemakerEndpoint
from sagewire.integrations.llama_index import SageMakerLLM
from sagewire.transports.base import Retries

__all__ = ["CALLERS", "Read"]

ATTEMPTS = 3
QUESTION = "?"
# What a stream had delivered when it ended, one way or the other.
Read = list[str]
# Given the endpoint, its settings (handler, format, timeout), and a list to fill: the text.
Caller = Callable[[str, dict[str, Any], Read], str]


def client_of(endpoint: str, settings: dict[str, Any]) -> Client:
    return Client(endpoint, retries=Retries(attempts=ATTEMPTS, base_delay=0.001), **settings)


def client_chat(endpoint: str, settings: dict[str, Any], read: Read) -> str:
    with client_of(endpoint, settings) as client:
        return client.chat(QUESTION).text


def client_stream(endpoint: str, settings: dict[str, Any], read: Read) -> str:
    with client_of(endpoint, settings) as client, client.stream(QUESTION) as stream:
        for text in stream.text:
            read.append(text)
        return stream.reply.text


async def async_client_chat(endpoint: str, settings: dict[str, Any], read: Read) -> str:
    async with client_of(endpoint, settings).to_async() as client:
        return (await client.chat(QUESTION)).text


async def async_client_stream(endpoint: str, settings: dict[str, Any], read: Read) -> str:
    async with client_of(endpoint, settings).to_async() as client, client.stream(QUESTION) as stream:
        async for text in stream.text:
            read.append(text)
        return stream.reply.text


def langchain(endpoint: str, settings: dict[str, Any]) -> ChatSagemakerEndpoint:
    return ChatSagemakerEndpoint(
        endpoint_name=endpoint,
        content_handler=settings["handler"],
        prompt_format=settings["format"],
        timeout=settings["timeout"],
        max_retries=ATTEMPTS - 1,
    )


def langchain_chat(endpoint: str, settings: dict[str, Any], read: Read) -> str:
    return langchain(endpoint, settings).invoke(QUESTION).text


def langchain_stream(endpoint: str, settings: dict[str, Any], read: Read) -> str:
    return "".join(_each((chunk.text for chunk in langchain(endpoint, settings).stream(QUESTION)), read))


async def async_langchain_chat(endpoint: str, settings: dict[str, Any], read: Read) -> str:
    return (await langchain(endpoint, settings).ainvoke(QUESTION)).text


async def async_langchain_stream(endpoint: str, settings: dict[str, Any], read: Read) -> str:
    return await _join((chunk.text async for chunk in langchain(endpoint, settings).astream(QUESTION)), read)


def llama_index(endpoint: str, settings: dict[str, Any]) -> SageMakerLLM:
    return SageMakerLLM(
        endpoint,
        content_handler=settings["handler"],
        prompt_format=settings["format"],
        timeout=settings["timeout"],
        max_retries=ATTEMPTS - 1,
    )


MESSAGES = [ChatMessage(QUESTION)]


def llama_index_chat(endpoint: str, settings: dict[str, Any], read: Read) -> str:
    return llama_index(endpoint, settings).chat(MESSAGES).message.content or ""


def llama_index_stream(endpoint: str, settings: dict[str, Any], read: Read) -> str:
    growing = llama_index(endpoint, settings).stream_chat(MESSAGES)
    return "".join(_each((response.delta or "" for response in growing), read))


async def async_llama_index_chat(endpoint: str, settings: dict[str, Any], read: Read) -> str:
    return (await llama_index(endpoint, settings).achat(MESSAGES)).message.content or ""


async def async_llama_index_stream(endpoint: str, settings: dict[str, Any], read: Read) -> str:
    growing = await llama_index(endpoint, settings).astream_chat(MESSAGES)
    return await _join((response.delta or "" async for response in growing), read)


def _each(texts: Iterator[str], read: Read) -> Iterator[str]:
    for text in texts:
        read.append(text)
        yield text


async def _join(texts: AsyncIterator[str], read: Read) -> str:
    async for text in texts:
        read.append(text)
    return "".join(read)


def awaited(ask: Callable[[str, dict[str, Any], Read], Any]) -> Caller:
    return lambda endpoint, settings, read: asyncio.run(ask(endpoint, settings, read))


# Who -> (whole answer, stream).
CALLERS: dict[str, tuple[Caller, Caller]] = {
    "Client": (client_chat, client_stream),
    "AsyncClient": (awaited(async_client_chat), awaited(async_client_stream)),
    "LangChain": (langchain_chat, langchain_stream),
    "LangChain awaited": (awaited(async_langchain_chat), awaited(async_langchain_stream)),
    "LlamaIndex": (llama_index_chat, llama_index_stream),
    "LlamaIndex awaited": (awaited(async_llama_index_chat), awaited(async_llama_index_stream)),
}
