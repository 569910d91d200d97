"""Completion models: `SagemakerEndpoint`, and the base of every completion model on an endpoint of your own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.runnables.config import ContextThreadPoolExecutor
from pydantic import Field

from sagewire.errors import UsageError
from sagewire.integrations.langchain._endpoint import SagemakerFields
from sagewire.integrations.langchain._errors import model_errors
from sagewire.integrations.langchain._generation import Call, GenerationFields
from sagewire.integrations.langchain._messages import REASONING
from sagewire.integrations.langchain._replies import PROVIDER, metadata_of, token_usage
from sagewire.types import Choice, Reply, TextDelta

__all__ = ["EndpointLLM", "SagemakerEndpoint"]


class EndpointLLM(GenerationFields, BaseLLM):
    """A completion model on any endpoint; subclasses add its address.

    The text is sent exactly as it is. With a `prompt_format` it is an instruction instead: one user turn, written the
    way the model's family writes it.

    Args:
        max_concurrency: Maximum number of prompts of one `generate` or `batch` in flight.
    """

    max_concurrency: int = Field(default=32, ge=1)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        # The callback manager given here is that of the first prompt, so tokens are told for a single prompt only.
        listener = run_manager if len(prompts) == 1 else None

        def answer(prompt: str) -> list[Generation]:
            if self.streaming:
                return _joined(list(self._stream(prompt, stop, listener, **kwargs)))
            call = self._llm_call(stop, kwargs)
            client = self._clients.client
            ask = client.complete if self.prompt_format is None else client.chat
            with model_errors():
                reply = ask(prompt, endpoint_kwargs=call.endpoint_kwargs, **call.options)
            return _generations(reply, call.model_name)

        if len(prompts) <= 1:
            return _to_result([answer(prompt) for prompt in prompts])
        with ContextThreadPoolExecutor(min(len(prompts), self.max_concurrency)) as threads:
            return _to_result(list(threads.map(answer, prompts)))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        listener = run_manager if len(prompts) == 1 else None
        slots = asyncio.Semaphore(self.max_concurrency)

        async def answer(prompt: str) -> list[Generation]:
            async with slots:
                if self.streaming:
                    return _joined([chunk async for chunk in self._astream(prompt, stop, listener, **kwargs)])
                call = self._llm_call(stop, kwargs)
                client = self._clients.twin
                ask = client.complete if self.prompt_format is None else client.chat
                with model_errors():
                    reply = await ask(prompt, endpoint_kwargs=call.endpoint_kwargs, **call.options)
                return _generations(reply, call.model_name)

        tasks = [asyncio.create_task(answer(prompt)) for prompt in prompts]
        try:
            return _to_result(await asyncio.gather(*tasks))
        except BaseException:
            # The other calls are still in flight.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        call = self._llm_call(stop, kwargs, stream=True)
        with model_errors():
            yield from self._chunks(prompt, call, run_manager)

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        call = self._llm_call(stop, kwargs, stream=True)
        with model_errors():
            async with aclosing(self._achunks(prompt, call, run_manager)) as chunks:
                async for chunk in chunks:
                    yield chunk

    def _chunks(
        self, prompt: str, call: Call, run_manager: CallbackManagerForLLMRun | None
    ) -> Iterator[GenerationChunk]:
        client = self._clients.client
        open_stream = client.stream_complete if self.prompt_format is None else client.stream
        with open_stream(
            prompt, endpoint_kwargs=call.endpoint_kwargs, include_usage=call.include_usage, **call.options
        ) as stream:
            for delta in stream:
                if isinstance(delta, TextDelta) and delta.text:
                    chunk = GenerationChunk(text=delta.text)
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
            yield _last_chunk(stream.reply, call.model_name)

    async def _achunks(
        self, prompt: str, call: Call, run_manager: AsyncCallbackManagerForLLMRun | None
    ) -> AsyncGenerator[GenerationChunk, None]:
        client = self._clients.twin
        open_stream = client.stream_complete if self.prompt_format is None else client.stream
        async with open_stream(
            prompt, endpoint_kwargs=call.endpoint_kwargs, include_usage=call.include_usage, **call.options
        ) as stream:
            async for delta in stream:
                if isinstance(delta, TextDelta) and delta.text:
                    chunk = GenerationChunk(text=delta.text)
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
            yield _last_chunk(stream.reply, call.model_name)

    def _llm_call(self, stop: Sequence[str] | None, given: dict[str, Any], *, stream: bool = False) -> Call:
        with model_errors():
            call = self._call(stop, given)
            if stream and (call.options.get("n") or 1) > 1:
                raise UsageError("n > 1 cannot be streamed: a LangChain stream is one text; use generate")
        return call

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**self._where, **self._identity()}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = PROVIDER
        params["ls_model_name"] = self._model_name(kwargs)
        return params

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: the object can be written down, without its secrets and live objects, and made again."""
        return True


class SagemakerEndpoint(SagemakerFields, EndpointLLM):
    """A completion model on a SageMaker endpoint, with the arguments of langchain-community's class of that name.

    The arguments are those of `SagemakerFields` (which endpoint, with whose credentials), `EndpointFields` and
    `GenerationFields`, besides those every LangChain model has.

    Setup:
        Install `sagewire[langchain]`. Credentials and the region are found as boto3 finds them.

    Key init args - completion params:
        `temperature`, `max_tokens`, `top_p`, `stop`, `seed`, `model_kwargs`.

    Key init args - client params:
        `endpoint_name`, `region_name`, `session`, `content_handler`, `prompt_format`, `timeout`, `max_retries`.

    Instantiate:
        >>> llm = SagemakerEndpoint(  # doctest: +SKIP
        ...     endpoint_name="my-llama", region_name="eu-central-1", model_kwargs={"temperature": 1e-10}
        ... )

    Invoke:
        >>> llm.invoke("The sky is blue because")  # doctest: +SKIP
        ' air scatters blue light more than red.'

    Stream:
        >>> for piece in llm.stream("The sky is blue because"):  # doctest: +SKIP
        ...     print(piece, end="")

    Async:
        >>> answer = await llm.ainvoke("The sky is blue because")  # doctest: +SKIP
    """

    @property
    def _llm_type(self) -> str:
        return "sagemaker_endpoint"


def _generations(reply: Reply, model_name: str) -> list[Generation]:
    return [
        Generation(text=choice.text, generation_info=_info(reply, choice, model_name, usage=number == 0))
        for number, choice in enumerate(reply.choices)
    ]


def _last_chunk(reply: Reply, model_name: str) -> GenerationChunk:
    return GenerationChunk(text="", generation_info=_info(reply, reply.choices[0], model_name, usage=True))


def _info(reply: Reply, choice: Choice, model_name: str, *, usage: bool) -> dict[str, Any]:
    info = metadata_of(reply, choice, model_name)
    if choice.thinking:
        info[REASONING] = choice.thinking
    if usage and reply.usage is not None:
        info["token_usage"] = token_usage(reply.usage)
    return info


def _joined(chunks: list[GenerationChunk]) -> list[Generation]:
    # Everything but text is on the last chunk.
    return [Generation(text="".join(chunk.text for chunk in chunks), generation_info=chunks[-1].generation_info)]


def _to_result(answers: Sequence[list[Generation]]) -> LLMResult:
    output: dict[str, Any] = {}
    for generation in (generation for answer in answers for generation in answer):
        info = generation.generation_info or {}
        output["model_name"] = info.get("model_name")
        for name, count in info.get("token_usage", {}).items():
            usage = output.setdefault("token_usage", {})
            usage[name] = usage.get(name, 0) + count
    return LLMResult(generations=list(answers), llm_output=output)
