"""What programs written for LiteLLM have besides calls: exception names, bodies of embeddings, provider prefixes."""

import contextlib
import json
import pickle

import openai
import pytest

import sagewire
from sagewire.emulator import Emulator, EndpointSpec
from sagewire.errors import (
    AccessDenied,
    CredentialsExpired,
    EndpointError,
    EndpointNotFound,
    EndpointTimeout,
    ModelError,
    NotReady,
    PayloadTooLarge,
    StreamTruncated,
    Throttled,
    UnsupportedFeature,
    UsageError,
    WireError,
)
from sagewire.integrations import litellm
from sagewire.integrations.litellm._errors import coded_errors

QUESTION = [{"role": "user", "content": "Hello there"}]


def model_error(status, words=""):
    error = ModelError("failed", status=424)
    error.original_status, error.original_message = status, words
    return error


@pytest.mark.parametrize(
    ("error", "name", "status"),
    [
        (Throttled("slow down", status=429), "RateLimitError", 429),
        (model_error(429), "RateLimitError", 429),
        (AccessDenied("no", status=403, code="AccessDeniedException"), "PermissionDeniedError", 403),
        (AccessDenied("no", status=403, code="UnrecognizedClientException"), "AuthenticationError", 403),
        (AccessDenied("no credentials"), "AuthenticationError", 403),
        (CredentialsExpired("old", status=403, code="ExpiredTokenException"), "AuthenticationError", 403),
        (EndpointNotFound("none"), "NotFoundError", 404),
        (model_error(404), "NotFoundError", 404),
        (UsageError("wrong"), "BadRequestError", 400),
        (PayloadTooLarge("big", status=413), "BadRequestError", 413),
        (model_error(422), "UnprocessableEntityError", 422),
        (model_error(422), "BadRequestError", 422),
        (UnsupportedFeature("tools", "handler 'tgi'"), "UnsupportedParamsError", 400),
        (model_error(400, "This model's maximum context length is 10"), "ContextWindowExceededError", 400),
        (EndpointTimeout("late"), "Timeout", 504),
        (model_error(0), "Timeout", 504),
        (NotReady("creating"), "ServiceUnavailableError", 503),
        (model_error(500), "InternalServerError", 502),
        (EndpointError("refused"), "APIConnectionError", 502),
        (StreamTruncated("cut"), "APIConnectionError", 502),
        (WireError("garbage"), "APIError", 502),
    ],
)
def test_an_error_is_both_sagewires_and_litellms(error, name, status):
    kind = type(error)
    with pytest.raises(getattr(litellm, name)) as caught, coded_errors("sagemaker", "my-llama"):
        raise error
    assert caught.value is error
    assert isinstance(error, kind)
    assert (error.status_code, error.llm_provider, error.model) == (status, "sagemaker", "my-llama")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, kind)
    assert isinstance(again, getattr(litellm, name))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Throttled("slow down", status=429), openai.RateLimitError),
        (EndpointTimeout("late"), openai.APITimeoutError),
        (NotReady("creating"), openai.InternalServerError),
        (UnsupportedFeature("tools", "handler 'tgi'"), openai.BadRequestError),
        (EndpointError("refused"), openai.APIConnectionError),
        (WireError("garbage"), openai.APIError),
    ],
)
def test_an_error_is_openais_too(error, kind):
    with pytest.raises(kind) as caught, coded_errors("sagemaker", "my-llama"):
        raise error
    assert caught.value.response.status_code == caught.value.status_code
    assert hasattr(caught.value, "body")
    assert isinstance(pickle.loads(pickle.dumps(error)), kind)


def test_errors_of_other_makers_pass():
    with pytest.raises(KeyError), coded_errors("sagemaker", "m"):
        raise KeyError("x")


def test_a_missing_endpoint_is_not_found(emulator):
    with pytest.raises(litellm.NotFoundError) as caught:
        litellm.completion(model="sagemaker_chat/absent", messages=QUESTION)
    assert isinstance(caught.value, EndpointNotFound)


@pytest.mark.parametrize(
    ("endpoint", "options", "body"),
    [
        ("my-bge", {}, {"inputs": ["a"]}),
        ("my-bge", {"truncate": True}, {"inputs": ["a"], "truncate": True}),
        ("voyage-3-5", {"dimensions": 256}, {"input": ["a"], "output_dimension": 256}),
        ("my-cohere-embed", {}, {"input_type": "search_document", "texts": ["a"]}),
        ("openai/my-qwen", {"dimensions": 4}, {"input": ["a"], "dimensions": 4}),
    ],
)
def test_embeddings_of_endpoints_that_may_not_be_described(restricted, endpoint, options, body):
    restricted.add(endpoint.removeprefix("openai/"), EndpointSpec("tei"))
    # What the container answers to it is not the question here.
    with contextlib.suppress(sagewire.SagewireError):
        litellm.embedding(f"sagemaker/{endpoint}", ["a"], **options)
    assert restricted.calls[-1].json == body


def test_answers_to_these_are_read():
    from sagewire.integrations._plain_vectors import by_endpoint_name

    data = {"data": [{"index": 0, "embedding": [1.0]}], "usage": {"total_tokens": 1}}
    answers = {"bge": [[[1.0]], {"embedding": [[1.0]]}], "voyage": [data], "cohere": [{"embeddings": [[1.0]]}]}
    for name, bodies in answers.items():
        for body in bodies:
            assert by_endpoint_name(name).transform_output(json.dumps(body).encode(), count=1).rows == [[1.0]]


def test_embeddings_drop_what_a_wire_has_no_place_for(emulator):
    emulator.add("script", EndpointSpec("jumpstart_embedding"))
    with pytest.raises(litellm.UnsupportedParamsError, match="dimensions"):
        litellm.embedding("sagemaker/script", ["a"], dimensions=4)
    assert litellm.embedding("sagemaker/script", ["a"], dimensions=4, drop_params=True).data
    assert litellm.embedding("sagemaker/script", ["a"], dimensions=4, additional_drop_params=["dimensions"]).data


def test_nova_has_a_prefix_of_its_own(restricted):
    restricted.add("nova", EndpointSpec("nova", engine="echo"))
    answer = litellm.completion("sagemaker_nova/nova", QUESTION, max_tokens=5, reasoning_effort="low", top_k=3)
    assert answer.choices[0].message.content
    body = restricted.calls[-1].json
    assert (body["reasoning_effort"], body["top_k"]) == ("low", 3)
    assert "model" not in body


def test_the_newer_name_of_the_limit_wins(emulator):
    litellm.completion("sagemaker/tgi-echo", QUESTION, max_tokens=200, max_completion_tokens=256)
    body = emulator.calls[-1].json
    assert body.get("max_tokens", body.get("parameters", {}).get("max_new_tokens")) == 256
    assert isinstance(emulator, Emulator)
