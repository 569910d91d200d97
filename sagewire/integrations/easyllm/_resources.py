"""`ChatCompletion`, `Completion` and `Embedding`, with EasyLLM's parameters and defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypedDict, Unpack, overload

from sagewire.integrations._answers import AsyncChunks, Chunks
from sagewire.integrations._objects import OpenAiObject
from sagewire.integrations.easyllm._calls import ChatCall, EmbeddingCall, TextCall
from sagewire.integrations.easyllm._service import Service, show_debug
from sagewire.types import Message

__all__ = ["ChatCompletion", "Completion", "Embedding"]


class _ChatSettings(TypedDict, total=False):
    """The parameters of `ChatCompletion.create` that do not change what it returns."""

    temperature: float
    top_p: float
    top_k: int | None
    n: int
    max_tokens: int
    stop: str | Sequence[str] | None
    frequency_penalty: float | None
    debug: bool


class _TextSettings(_ChatSettings, total=False):
    """Those of `Completion.create`."""

    suffix: str | None
    logprobs: bool
    echo: bool


class ChatCompletion:
    """Answers to conversations."""

    _service: ClassVar[Service]

    @overload
    @classmethod
    def create(
        cls,
        messages: Sequence[Mapping[str, Any] | Message],
        model: str | None = None,
        *,
        stream: Literal[True],
        **settings: Unpack[_ChatSettings],
    ) -> Chunks: ...

    @overload
    @classmethod
    def create(
        cls,
        messages: Sequence[Mapping[str, Any] | Message],
        model: str | None = None,
        *,
        stream: Literal[False] = False,
        **settings: Unpack[_ChatSettings],
    ) -> OpenAiObject: ...

    @overload
    @classmethod
    def create(
        cls,
        messages: Sequence[Mapping[str, Any] | Message],
        model: str | None = None,
        *,
        stream: bool,
        **settings: Unpack[_ChatSettings],
    ) -> OpenAiObject | Chunks: ...

    @classmethod
    def create(
        cls,
        messages: Sequence[Mapping[str, Any] | Message],
        model: str | None = None,
        temperature: float = 0.9,
        top_p: float = 0.6,
        top_k: int | None = 10,
        n: int = 1,
        max_tokens: int = 1024,
        stop: str | Sequence[str] | None = None,
        stream: bool = False,
        frequency_penalty: float | None = 1.0,
        debug: bool = False,
    ) -> OpenAiObject | Chunks:
        """Answer a conversation.

        Args:
            messages: The conversation, OpenAI-shaped.
            model: The endpoint's name or the model's id; omitted, `api_base` is the whole address.
            temperature: Sampling temperature; 0 is greedy.
            top_p: Nucleus sampling mass; 0 is off.
            top_k: Sample from the k most likely tokens.
            n: How many answers; they are generated at the same time.
            max_tokens: Maximum number of tokens to generate.
            stop: Strings that end the answer, besides the module's `stop_sequences`.
            stream: Return the chunks as they arrive.
            frequency_penalty: A repetition penalty: 1.0 has no effect.
            debug: Log each request.

        Raises:
            UsageError: The call is wrong; it is a `ValueError`, too.
            UnsupportedFeature: The container does not support something in the request.
            EndpointError: The service returned an error.
        """
        options = _options(temperature, top_p, top_k, max_tokens, stop, frequency_penalty, debug)
        return ChatCall(cls._service, model, n, stream, options, messages).run()

    @overload
    @classmethod
    async def acreate(
        cls,
        messages: Sequence[Mapping[str, Any] | Message],
        model: str | None = None,
        *,
        stream: Literal[True],
        **settings: Unpack[_ChatSettings],
    ) -> AsyncChunks: ...

    @overload
    @classmethod
    async def acreate(
        cls,
        messages: Sequence[Mapping[str, Any] | Message],
        model: str | None = None,
        *,
        stream: Literal[False] = False,
        **settings: Unpack[_ChatSettings],
    ) -> OpenAiObject: ...

    @overload
    @classmethod
    async def acreate(
        cls,
        messages: Sequence[Mapping[str, Any] | Message],
        model: str | None = None,
        *,
        stream: bool,
        **settings: Unpack[_ChatSettings],
    ) -> OpenAiObject | AsyncChunks: ...

    @classmethod
    async def acreate(
        cls,
        messages: Sequence[Mapping[str, Any] | Message],
        model: str | None = None,
        temperature: float = 0.9,
        top_p: float = 0.6,
        top_k: int | None = 10,
        n: int = 1,
        max_tokens: int = 1024,
        stop: str | Sequence[str] | None = None,
        stream: bool = False,
        frequency_penalty: float | None = 1.0,
        debug: bool = False,
    ) -> OpenAiObject | AsyncChunks:
        """`create` for asyncio; a stream is read with `async for`."""
        options = _options(temperature, top_p, top_k, max_tokens, stop, frequency_penalty, debug)
        return await ChatCall(cls._service, model, n, stream, options, messages).arun()


class Completion:
    """Continuations of texts, or answers to single instructions if a prompt builder is set."""

    _service: ClassVar[Service]

    @overload
    @classmethod
    def create(
        cls,
        prompt: str | Sequence[Any],
        model: str | None = None,
        *,
        stream: Literal[True],
        **settings: Unpack[_TextSettings],
    ) -> Chunks: ...

    @overload
    @classmethod
    def create(
        cls,
        prompt: str | Sequence[Any],
        model: str | None = None,
        *,
        stream: Literal[False] = False,
        **settings: Unpack[_TextSettings],
    ) -> OpenAiObject: ...

    @overload
    @classmethod
    def create(
        cls, prompt: str | Sequence[Any], model: str | None = None, *, stream: bool, **settings: Unpack[_TextSettings]
    ) -> OpenAiObject | Chunks: ...

    @classmethod
    def create(
        cls,
        prompt: str | Sequence[Any],
        model: str | None = None,
        suffix: str | None = None,
        temperature: float = 0.9,
        top_p: float = 0.6,
        top_k: int | None = 10,
        n: int = 1,
        max_tokens: int = 1024,
        stop: str | Sequence[str] | None = None,
        stream: bool = False,
        frequency_penalty: float | None = 1.0,
        logprobs: bool = False,
        echo: bool = False,
        debug: bool = False,
    ) -> OpenAiObject | Chunks:
        """Continue a text.

        Args:
            prompt: The text, which the prompt builder writes down if one is set; or several, or a conversation.
            model: The endpoint's name or the model's id; omitted, `api_base` is the whole address.
            suffix: Put behind the text.
            temperature: Sampling temperature; 0 is greedy.
            top_p: Nucleus sampling mass; 0 is off.
            top_k: Sample from the k most likely tokens.
            n: How many answers; they are generated at the same time.
            max_tokens: Maximum number of tokens to generate.
            stop: Strings that end the answer, besides the module's `stop_sequences`.
            stream: Return the chunks as they arrive.
            frequency_penalty: A repetition penalty: 1.0 has no effect.
            logprobs: Return the log probabilities of the tokens.
            echo: Begin the answer with the prompt.
            debug: Log each request.

        Raises:
            UsageError: The call is wrong; it is a `ValueError`, too.
            UnsupportedFeature: The container does not support something in the request.
            EndpointError: The service returned an error.
        """
        options = _options(temperature, top_p, top_k, max_tokens, stop, frequency_penalty, debug, logprobs)
        return TextCall(cls._service, model, n, stream, options, prompt, suffix, echo).run()

    @overload
    @classmethod
    async def acreate(
        cls,
        prompt: str | Sequence[Any],
        model: str | None = None,
        *,
        stream: Literal[True],
        **settings: Unpack[_TextSettings],
    ) -> AsyncChunks: ...

    @overload
    @classmethod
    async def acreate(
        cls,
        prompt: str | Sequence[Any],
        model: str | None = None,
        *,
        stream: Literal[False] = False,
        **settings: Unpack[_TextSettings],
    ) -> OpenAiObject: ...

    @overload
    @classmethod
    async def acreate(
        cls, prompt: str | Sequence[Any], model: str | None = None, *, stream: bool, **settings: Unpack[_TextSettings]
    ) -> OpenAiObject | AsyncChunks: ...

    @classmethod
    async def acreate(
        cls,
        prompt: str | Sequence[Any],
        model: str | None = None,
        suffix: str | None = None,
        temperature: float = 0.9,
        top_p: float = 0.6,
        top_k: int | None = 10,
        n: int = 1,
        max_tokens: int = 1024,
        stop: str | Sequence[str] | None = None,
        stream: bool = False,
        frequency_penalty: float | None = 1.0,
        logprobs: bool = False,
        echo: bool = False,
        debug: bool = False,
    ) -> OpenAiObject | AsyncChunks:
        """`create` for asyncio; a stream is read with `async for`."""
        options = _options(temperature, top_p, top_k, max_tokens, stop, frequency_penalty, debug, logprobs)
        return await TextCall(cls._service, model, n, stream, options, prompt, suffix, echo).arun()


class Embedding:
    """Vectors of texts."""

    _service: ClassVar[Service]

    @classmethod
    def create(
        cls,
        input: str | Sequence[str] | None = None,
        model: str | None = None,
        debug: bool = False,
        *,
        text: str | Sequence[str] | None = None,
    ) -> OpenAiObject:
        """Turn texts into vectors.

        Args:
            input: The text or texts.
            model: The endpoint's name or the model's id; omitted, `api_base` is the whole address.
            debug: Log each request.
            text: Another name for `input`.

        Raises:
            UnsupportedFeature: The container makes no embeddings.
            EndpointError: The service returned an error.
        """
        return _embedding(cls._service, input, model, debug, text).run()

    @classmethod
    async def acreate(
        cls,
        input: str | Sequence[str] | None = None,
        model: str | None = None,
        debug: bool = False,
        *,
        text: str | Sequence[str] | None = None,
    ) -> OpenAiObject:
        """`create` for asyncio."""
        return await _embedding(cls._service, input, model, debug, text).arun()


def _options(
    temperature: float,
    top_p: float,
    top_k: int | None,
    max_tokens: int,
    stop: str | Sequence[str] | None,
    frequency_penalty: float | None,
    debug: bool,
    logprobs: bool = False,
) -> dict[str, Any]:
    if debug:
        show_debug()
    return {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "max_tokens": max_tokens,
        "stop": stop,
        "repetition_penalty": frequency_penalty,
        "logprobs": logprobs or None,
    }


def _embedding(
    service: Service,
    given: str | Sequence[str] | None,
    model: str | None,
    debug: bool,
    text: str | Sequence[str] | None,
) -> EmbeddingCall:
    if debug:
        show_debug()
    if (given is None) == (text is None):
        raise TypeError("create() takes either input= or its other name, text=")
    return EmbeddingCall(service, model, text if given is None else given)
