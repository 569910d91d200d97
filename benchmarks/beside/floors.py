"""The floors under awaited calls: aiohttp and sagewire's signer, alone and in the frameworks' smallest classes."""

from __future__ import annotations

from typing import Any

import aiohttp
import orjson

from beside.candidates import BODY, KEYS, REGION
from sagewire.aws.credentials import Credentials
from sagewire.aws.signing import Signer

__all__ = ["BareCall", "langchain_floor", "llama_index_floor"]

_CREDENTIALS = Credentials(KEYS["aws_access_key_id"], KEYS["aws_secret_access_key"])


class BareCall:
    """A signed request, its answer parsed, and nothing else: no checks, no retries, no time limits, no errors."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/endpoints/chat/invocations"
        self._signer = Signer("sagemaker", REGION)
        self._session: aiohttp.ClientSession | None = None

    async def chat(self, body: Any = BODY) -> str:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
        data, headers = orjson.dumps(body), {"Content-Type": "application/json"}
        headers |= self._signer.sign("POST", self._url, headers, data, _CREDENTIALS)
        async with self._session.post(self._url, data=data, headers=headers) as answer:
            return str(orjson.loads(await answer.read())["choices"][0]["message"]["content"])


def langchain_floor(call: BareCall) -> Any:
    """Return the smallest chat model of LangChain on such a call."""
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
    from langchain_core.outputs import ChatGeneration, ChatResult

    class Smallest(BaseChatModel):  # type: ignore[misc]
        @property
        def _llm_type(self) -> str:
            return "smallest"

        def _generate(self, messages: list[BaseMessage], *rest: Any, **named: Any) -> ChatResult:
            raise NotImplementedError

        async def _agenerate(self, messages: list[BaseMessage], *rest: Any, **named: Any) -> ChatResult:
            text = await call.chat({"messages": convert_to_openai_messages(messages)})
            return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    return Smallest()


def llama_index_floor(call: BareCall) -> Any:
    """Return the smallest chat model of LlamaIndex on such a call."""
    from llama_index.core.llms import ChatMessage, ChatResponse, CustomLLM, LLMMetadata
    from llama_index.core.llms.callbacks import llm_chat_callback

    class Smallest(CustomLLM):  # type: ignore[misc]
        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata(is_chat_model=True)

        def complete(self, prompt: str, formatted: bool = False, **named: Any) -> Any:
            raise NotImplementedError

        def stream_complete(self, prompt: str, formatted: bool = False, **named: Any) -> Any:
            raise NotImplementedError

        @llm_chat_callback()  # type: ignore[untyped-decorator]
        async def achat(self, messages: list[ChatMessage], **named: Any) -> ChatResponse:
            sent = [{"role": message.role.value, "content": message.content} for message in messages]
            return ChatResponse(message=ChatMessage(await call.chat({"messages": sent}), role="assistant"))

    return Smallest()
