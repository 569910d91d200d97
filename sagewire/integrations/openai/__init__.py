"""OpenAI's own Python client on an endpoint: `openai_client("my-llama").chat.completions.create(...)`.

Conversations with containers that serve OpenAI's chat route (vLLM, SGLang) go over SageMaker's own OpenAI route, with
a bearer token that is made here and renewed before it expires. Everything else - other containers, embeddings, text
completions - is answered inside the process, over sagewire's handlers. Either way it is the real `openai.OpenAI`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagewire._extras import require
from sagewire._names import missing
from sagewire.client import Client
from sagewire.client.misplaced import explains_missing
from sagewire.integrations.openai._access import RouteChoice, find_access
from sagewire.integrations.openai._http import make_async_http_client, make_http_client

if TYPE_CHECKING:
    import openai

__all__ = ["async_openai_client", "openai_client"]


@explains_missing
def openai_client(
    endpoint: str | Client,
    *,
    session: Any = None,
    inference_component: str | None = None,
    region_name: str | None = None,
    profile_name: str | None = None,
    endpoint_url: str | None = None,
    handler: Any = None,
    format: Any = None,
    route: RouteChoice = "auto",
    token_lifetime: int = 3600,
    **options: Any,
) -> openai.OpenAI:
    """Return OpenAI's client, talking to an endpoint.

    As `model` give the endpoint's name or an empty string; any other name is passed to the container, as for a LoRA
    adapter.

    Args:
        endpoint: The endpoint's name; or a `Client`, whose handler, format, time limits and retries then apply.
        session: Where credentials come from: one of sagewire's session factories, a boto3 or botocore session.
        inference_component: The inference component to call.
        region_name: AWS region; else as boto3 finds it.
        profile_name: A profile of the AWS configuration, instead of `session`.
        endpoint_url: Another SageMaker Runtime URL.
        handler: The container's request format; default: detected. Conversations are then answered in process.
        format: The prompt format, if the container takes text.
        route: `sagemaker` for conversations over SageMaker's own OpenAI route in any case; `in_process` for none;
            `auto` for what the container serves, and for the first if the endpoint may not be described. That route
            needs the permission `sagemaker:CallWithBearerToken` on `*` besides `sagemaker:InvokeEndpoint`.
        token_lifetime: Seconds a bearer token lives, at most 43200.
        **options: Arguments of `openai.OpenAI`: `timeout`, `max_retries`, `default_headers`, ...

    Raises:
        MissingExtra: The package `openai` is not installed.
        UsageError: Arguments contradict, or the region is missing.

    Example:
        >>> client = openai_client("my-llama")  # doctest: +SKIP
        >>> answer = client.chat.completions.create(  # doctest: +SKIP
        ...     model="my-llama", messages=[{"role": "user", "content": "Hi"}]
        ... )
        >>> answer.choices[0].message.content  # doctest: +SKIP
        'Hello!'
    """
    arguments = {name: value for name, value in locals().items() if name != "endpoint"}
    package = require("openai", "openai")
    access = find_access(endpoint, arguments)
    made: openai.OpenAI = package.OpenAI(
        api_key=access.tokens or "in-process",
        base_url=access.base_url,
        http_client=make_http_client(access.door, access.origin),
        **access.options,
    )
    return made


@explains_missing
def async_openai_client(
    endpoint: str | Client,
    *,
    session: Any = None,
    inference_component: str | None = None,
    region_name: str | None = None,
    profile_name: str | None = None,
    endpoint_url: str | None = None,
    handler: Any = None,
    format: Any = None,
    route: RouteChoice = "auto",
    token_lifetime: int = 3600,
    **options: Any,
) -> openai.AsyncOpenAI:
    """Return OpenAI's async client, talking to an endpoint; the arguments are those of `openai_client`."""
    arguments = {name: value for name, value in locals().items() if name != "endpoint"}
    package = require("openai", "openai")
    access = find_access(endpoint, arguments)
    made: openai.AsyncOpenAI = package.AsyncOpenAI(
        api_key=access.tokens.get_async if access.tokens is not None else "in-process",
        base_url=access.base_url,
        http_client=make_async_http_client(access.door, access.origin),
        **access.options,
    )
    return made


if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
