"""The SageMaker and Hugging Face part of LiteLLM on sagewire: change the import line, and programs stay as they are.

    # from litellm import completion
    from sagewire.integrations.litellm import completion

    completion(model="sagemaker/my-llama", messages=[{"role": "user", "content": "Hi"}], temperature=0.2)

Models are named `sagemaker/<endpoint>`, `sagemaker_chat/<endpoint>`, `sagemaker_nova/<endpoint>` or
`huggingface/<id or URL>`. The container is detected; if the endpoint may not be described, LiteLLM's assumption about
it is used.

All functions take, besides OpenAI's parameters:

- `aws_access_key_id`, `aws_secret_access_key`, `aws_session_token`, `aws_region_name`, `aws_profile_name`,
  `aws_role_name`, `aws_session_name`, `aws_external_id`, `aws_session_tags`, `aws_web_identity_token`,
  `aws_sts_endpoint`: the credentials;
- `model_id`: the inference component;
- `hf_model_name`, or `roles`, `initial_prompt_value`, `final_prompt_value`, `bos_token` and `eos_token`: how the prompt
  is written, if the container takes text (for `sagemaker_chat/`, `hf_model_name` is the served model's name);
- `aws_sagemaker_allow_zero_temp`: send a temperature of 0 as it is; otherwise it means greedy decoding;
- `sagemaker_base_url`, `api_base`, `api_key`, `extra_headers`, `timeout` (seconds), `num_retries`;
- `drop_params`, `additional_drop_params`: leave out parameters that the request format lacks, instead of an error;
- `handler` and `format`: the container's request format and the prompt format, by sagewire's names; default: detected.

Anything else is passed to the server as it is. Errors are sagewire's, with OpenAI's `status_code` on
them, and LiteLLM's too (`RateLimitError`, `Timeout`, ...).

Attributes:
    drop_params: The default of that parameter.
    num_retries: The default of that parameter.
    custom_prompt_dict: The registered prompt templates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from sagewire._names import missing
from sagewire.integrations._answers import AsyncChunks, Chunks
from sagewire.integrations._objects import OpenAiObject
from sagewire.integrations.litellm._calls import ChatCall, EmbeddingCall, TextCall
from sagewire.integrations.litellm._prompts import custom_prompt_dict, register_prompt_template
from sagewire.integrations.litellm.exceptions import *  # noqa: F403
from sagewire.integrations.litellm.exceptions import __all__ as _names_of_exceptions

__all__ = [
    "acompletion",
    "aembedding",
    "atext_completion",
    "completion",
    "custom_prompt_dict",
    "drop_params",
    "embedding",
    "num_retries",
    "register_prompt_template",
    "text_completion",
    *_names_of_exceptions,
]

drop_params: bool = False
num_retries: int | None = None


@overload
def completion(model: str, messages: Sequence[Any] = (), *, stream: Literal[True], **options: Any) -> Chunks: ...


@overload
def completion(
    model: str, messages: Sequence[Any] = (), *, stream: Literal[False] | None = None, **options: Any
) -> OpenAiObject: ...


@overload
def completion(
    model: str, messages: Sequence[Any] = (), *, stream: bool | None, **options: Any
) -> OpenAiObject | Chunks: ...


def completion(model: str, messages: Sequence[Any] = (), **options: Any) -> OpenAiObject | Chunks:
    """Answer a conversation.

    Args:
        model: `sagemaker/<endpoint>`, `sagemaker_chat/<endpoint>`, `sagemaker_nova/<endpoint>` or
            `huggingface/<id or URL>`.
        messages: The conversation, OpenAI-shaped.
        **options: OpenAI's parameters (`temperature`, `max_tokens`, `tools`, `stream`, `n`, ...), those of this
            module, and any others that the server takes.

    Returns:
        A `chat.completion`; with `stream=True` its chunks, the first of which has arrived.

    Raises:
        UsageError: The call is wrong.
        UnsupportedFeature: The container does not support something in the request.
        EndpointError: The service returned an error.
        WireError: The answer cannot be read as the container's response format.

    Example:
        >>> response = completion("sagemaker/my-llama", [{"role": "user", "content": "Hi"}])  # doctest: +SKIP
        >>> response.choices[0].message.content  # doctest: +SKIP
        'Hello!'
    """
    return ChatCall.of(model, messages, options).run()


@overload
async def acompletion(
    model: str, messages: Sequence[Any] = (), *, stream: Literal[True], **options: Any
) -> AsyncChunks: ...


@overload
async def acompletion(
    model: str, messages: Sequence[Any] = (), *, stream: Literal[False] | None = None, **options: Any
) -> OpenAiObject: ...


@overload
async def acompletion(
    model: str, messages: Sequence[Any] = (), *, stream: bool | None, **options: Any
) -> OpenAiObject | AsyncChunks: ...


async def acompletion(model: str, messages: Sequence[Any] = (), **options: Any) -> OpenAiObject | AsyncChunks:
    """`completion` for asyncio; a stream is read with `async for`."""
    return await ChatCall.of(model, messages, options).arun()


@overload
def text_completion(
    prompt: str | Sequence[str], model: str = "", *, stream: Literal[True], **options: Any
) -> Chunks: ...


@overload
def text_completion(
    prompt: str | Sequence[str], model: str = "", *, stream: Literal[False] | None = None, **options: Any
) -> OpenAiObject: ...


@overload
def text_completion(
    prompt: str | Sequence[str], model: str = "", *, stream: bool | None, **options: Any
) -> OpenAiObject | Chunks: ...


def text_completion(prompt: str | Sequence[str], model: str = "", **options: Any) -> OpenAiObject | Chunks:
    """Continue a text, or several.

    Args:
        prompt: The text or texts.
        model: As for `completion`.
        **options: As for `completion`, and `echo`.

    Returns:
        A `text_completion`; with `stream=True` its chunks.
    """
    return TextCall.of(model, prompt, options).run()


@overload
async def atext_completion(
    prompt: str | Sequence[str], model: str = "", *, stream: Literal[True], **options: Any
) -> AsyncChunks: ...


@overload
async def atext_completion(
    prompt: str | Sequence[str], model: str = "", *, stream: Literal[False] | None = None, **options: Any
) -> OpenAiObject: ...


@overload
async def atext_completion(
    prompt: str | Sequence[str], model: str = "", *, stream: bool | None, **options: Any
) -> OpenAiObject | AsyncChunks: ...


async def atext_completion(prompt: str | Sequence[str], model: str = "", **options: Any) -> OpenAiObject | AsyncChunks:
    """`text_completion` for asyncio."""
    return await TextCall.of(model, prompt, options).arun()


def embedding(model: str, input: str | Sequence[str] = (), **options: Any) -> OpenAiObject:
    """Turn texts into vectors.

    Args:
        model: As for `completion`.
        input: The text or texts.
        **options: `dimensions`, `encoding_format`, `input_type`, those of this module, and whatever else the server
            takes.

    Example:
        >>> embedding("sagemaker/my-embedder", ["one", "two"]).data[0].embedding  # doctest: +SKIP
        [0.01, -0.02, 0.03]
    """
    return EmbeddingCall.of(model, input, options).run()


async def aembedding(model: str, input: str | Sequence[str] = (), **options: Any) -> OpenAiObject:
    """`embedding` for asyncio."""
    return await EmbeddingCall.of(model, input, options).arun()


if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
