"""What goes wrong is sagewire's error and LangChain's at once, and told once."""

from __future__ import annotations

import pickle

import pytest
from langchain_core import exceptions as theirs
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

from sagewire import errors
from sagewire.emulator.engines import EngineFailure, Scripted
from sagewire.integrations.langchain import ChatSagemakerEndpoint, SagemakerEndpoint
from sagewire.integrations.langchain._errors import as_langchain_error

CONTAINER = {
    400: theirs.ModelInvalidRequestError,
    401: theirs.ModelAuthenticationError,
    403: theirs.ModelPermissionDeniedError,
    404: theirs.ModelNotFoundError,
    429: theirs.ModelRateLimitError,
    500: theirs.ModelAPIError,
    0: theirs.ModelTimeoutError,
}


def container_error(status, message="broken"):
    error = errors.ModelError(message, status=424, fault="model")
    error.original_status, error.original_message = status, message
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.UsageError("no"), theirs.ModelInvalidRequestError),
        (errors.UnsupportedFeature("tools", "handler 'x'"), theirs.ModelInvalidRequestError),
        (errors.EndpointNotFound("no"), theirs.ModelNotFoundError),
        (errors.CredentialsExpired("no"), theirs.ModelAuthenticationError),
        (errors.AccessDenied("no", status=403), theirs.ModelPermissionDeniedError),
        (errors.AccessDenied("no", status=403, code="UnrecognizedClientException"), theirs.ModelAuthenticationError),
        (errors.Throttled("no"), theirs.ModelRateLimitError),
        (errors.NotReady("no"), theirs.ModelAPIError),
        (errors.PayloadTooLarge("no"), theirs.ModelInvalidRequestError),
        (errors.EndpointTimeout("no", code="idle"), theirs.ModelTimeoutError),
        (errors.EndpointError("no", status=500), theirs.ModelAPIError),
        (errors.EndpointError("no", status=400), theirs.ModelInvalidRequestError),
        (errors.EndpointError("maximum context length is 8", status=400), theirs.ContextOverflowError),
        (errors.EndpointError("no"), theirs.ModelConnectionError),
        (errors.StreamTruncated("no"), theirs.ModelConnectionError),
        (errors.ModelStreamError("no", "StreamBroken"), theirs.ModelAPIError),
        (errors.WireError("no"), theirs.ModelError),
        *((container_error(status), expected) for status, expected in CONTAINER.items()),
        (container_error(400, "This model's maximum context length is 4096 tokens."), theirs.ContextOverflowError),
        (
            container_error(422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens"),
            theirs.ContextOverflowError,
        ),
    ],
)
def test_an_error_is_both(error, expected):
    both = as_langchain_error(error)
    assert isinstance(both, type(error))
    assert isinstance(both, expected)
    assert str(both) == str(error)
    assert vars(both) == vars(error)
    assert as_langchain_error(both) is both
    again = pickle.loads(pickle.dumps(both))
    assert type(again) is type(both)
    assert (str(again), vars(again)) == (str(both), vars(both))


def test_a_missing_extra_is_no_model_error():
    error = errors.MissingExtra("install it")
    assert as_langchain_error(error) is error


class Counting(BaseCallbackHandler):
    def __init__(self):
        self.errors = []

    def on_llm_error(self, error, **kwargs):
        self.errors.append(error)


class CountingAwaited(AsyncCallbackHandler):
    def __init__(self):
        self.errors = []

    async def on_llm_error(self, error, **kwargs):
        self.errors.append(error)


def models(endpoint):
    settings = {"endpoint_name": endpoint, "content_handler": "openai_chat", "max_retries": 0}
    return [ChatSagemakerEndpoint(**settings), SagemakerEndpoint(**settings)]


@pytest.fixture
def broken(add):
    return add("openai_chat", Scripted([EngineFailure("out of memory", 507)], loop=True))


@pytest.mark.parametrize("number", [0, 1])
def test_one_failure_is_told_once(broken, number):
    model = models(broken)[number]
    for ask in (model.invoke, lambda *a, **k: list(model.stream(*a, **k))):
        listener = Counting()
        with pytest.raises(errors.ModelError) as caught:
            ask("?", config={"callbacks": [listener]})
        assert isinstance(caught.value, theirs.ModelAPIError)
        assert listener.errors == [caught.value]
        # One error, not a chain of two that say the same.
        assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize("number", [0, 1])
async def test_one_awaited_failure_is_told_once(broken, number):
    model = models(broken)[number]

    async def stream(*args, **kwargs):
        return [chunk async for chunk in model.astream(*args, **kwargs)]

    for ask in (model.ainvoke, stream):
        listener = CountingAwaited()
        with pytest.raises(theirs.ModelAPIError) as caught:
            await ask("?", config={"callbacks": [listener]})
        assert isinstance(caught.value, errors.ModelError)
        assert listener.errors == [caught.value]


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("nowhere", theirs.ModelNotFoundError),
        ("echo--access-denied", theirs.ModelPermissionDeniedError),
        ("echo--throttle-9", theirs.ModelRateLimitError),
    ],
)
def test_the_service_says_no(endpoint, expected):
    for model in models(endpoint):
        with pytest.raises(expected):
            model.invoke("?")


def test_a_stream_that_ends_early_carries_what_was_read(add):
    endpoint = add("openai_chat", Scripted(["one two three four"], loop=True), faults=["truncate_stream"])
    model = ChatSagemakerEndpoint(endpoint_name=endpoint, content_handler="openai_chat")
    seen = []
    with pytest.raises(theirs.ModelConnectionError) as caught:
        seen.extend(chunk.content for chunk in model.stream("?"))
    assert isinstance(caught.value, errors.StreamTruncated)
    assert caught.value.partial.text == "".join(seen) != ""


def test_a_wrong_call_is_an_invalid_request():
    model = ChatSagemakerEndpoint(endpoint_name="echo", content_handler="openai_chat")
    with pytest.raises(theirs.ModelInvalidRequestError, match="messages is empty"):
        model.invoke([])
    with pytest.raises(theirs.ModelInvalidRequestError, match="n > 1 cannot be streamed"):
        list(model.stream("?", n=2))
