"""LangChain's cache answers for the model that was asked, and threads see what the caller's context holds."""

import contextvars

import boto3
import pytest
from botocore.config import Config
from langchain_core.caches import InMemoryCache

from sagewire.content_handlers import OpenAiChatHandler
from sagewire.integrations.langchain import (
    ChatHuggingFaceEndpoint,
    ChatSagemakerEndpoint,
    HuggingFaceEndpoint,
    SagemakerEndpoint,
)
from sagewire.prompt_formats import CallableFormat, get_format
from tests.cases import each


def chat_key(**options):
    given = {"endpoint_name": "e", "region_name": "us-east-1", "content_handler": "openai_chat", **options}
    return ChatSagemakerEndpoint(**given)._get_llm_string()


def text_key(**options):
    given = {"endpoint_name": "e", "region_name": "us-east-1", "content_handler": "lmi", **options}
    return str(sorted(SagemakerEndpoint(**given)._identifying_params.items()))


class Own:
    """A handler that somebody wrote."""

    def __init__(self, secret="s"):
        self.secret = secret

    def transform_input(self, prompt, model_kwargs):
        return prompt.encode()

    def transform_output(self, output):
        return output.read().decode()


def static(name):
    return boto3.Session(name, "x", region_name="us-east-1")


DIFFERENT = {
    "formats": [{"content_handler": "tgi", "prompt_format": get_format(name)} for name in ("chatml", "zephyr")],
    "format callables": [{"content_handler": "tgi", "prompt_format": CallableFormat(f)}
                         for f in (lambda m: "A", lambda m: "B")],
    "functions": [{"content_handler": "tgi", "prompt_format": f} for f in (lambda m: "A", lambda m: "B")],
    "routes": [{"content_handler": OpenAiChatHandler(route=route)} for route in ("/v1/a", "/v1/b")],
    "handler arguments": [{"content_handler": Own(name), "prompt_format": "chatml"} for name in ("hush-1", "hush-2")],
    "static keys": [{"aws_access_key_id": name, "aws_secret_access_key": "x"} for name in ("AKIA1", "AKIA2")],
    "sessions": [{"session": static(name)} for name in ("AKIA1", "AKIA2")],
    "clients": [{"client": static(name).client("sagemaker-runtime")} for name in ("AKIA1", "AKIA2")],
}  # fmt: skip


@pytest.mark.parametrize("kind", DIFFERENT)
@pytest.mark.parametrize("key", [chat_key, text_key])
def test_different_models_have_different_keys(kind, key):
    first, second = (key(**options) for options in DIFFERENT[kind])
    assert first != second
    assert key(**DIFFERENT[kind][0]) == first
    for secret in ("AKIA1", "hush-1"):
        assert secret not in first


GENERATION = {
    "adapter": ("a", "b"), "content_handler": ("lmi", "openai_completions"), "frequency_penalty": (0.1, 0.2),
    "logprobs": (True, False), "max_tokens": (1, 2), "model": ("a", "b"), "model_kwargs": ({"a": 1}, {"a": 2}),
    "n": (1, 2), "presence_penalty": (0.1, 0.2), "prompt_format": ("zephyr", "qwen3"),
    "reasoning_effort": ("low", "high"),
    "repetition_penalty": (1.1, 1.2), "seed": (1, 2), "stop": (["a"], ["b"]), "temperature": (0, 1), "top_k": (1, 2),
    "top_logprobs": (1, 2), "top_p": (0.1, 0.2), "typical_p": (0.1, 0.2),
}  # fmt: skip
OF_SAGEMAKER = {
    "config": (Config(region_name="eu-west-1"), Config(region_name="eu-west-2")),
    "credentials_profile_name": ("a", "b"), "endpoint_kwargs": ({"TargetModel": "a"}, {"TargetModel": "b"}),
    "endpoint_name": ("f", "g"), "endpoint_url": ("http://a", "http://b"), "inference_component_name": ("a", "b"),
    "region_name": ("eu-west-1", "eu-west-2"),
}  # fmt: skip
OF_SERVERS = {
    "additional_headers": ({"x": "a"}, {"x": "b"}), "bill_to": ("a", "b"), "do_sample": (True, False),
    "endpoint_url": ("http://b", "http://c"), "return_full_text": (True, False), "truncate": (1, 2),
    "server_kwargs": ({"headers": {"x": "a"}}, {"headers": {"x": "b"}}), "token": ("hush-a", "hush-b"),
    "watermark": (True, False), "logit_bias": ({1: 2.0}, {1: 3.0}),
}  # fmt: skip
BASES = {
    ChatSagemakerEndpoint: ({"endpoint_name": "e"}, OF_SAGEMAKER),
    SagemakerEndpoint: ({"endpoint_name": "e"}, OF_SAGEMAKER),
    ChatHuggingFaceEndpoint: ({"endpoint_url": "http://a"}, OF_SERVERS),
    HuggingFaceEndpoint: ({"endpoint_url": "http://a"}, OF_SERVERS),
}


@each(("kind", "name"), [(kind, name) for kind, (_, own) in BASES.items() for name in {**GENERATION, **own}])
def test_every_argument_that_changes_the_answer_is_in_the_key(kind, name):
    base, own = BASES[kind]

    def key(**options):
        made = kind(**{**base, "content_handler": "tgi", "prompt_format": "chatml", **options})
        if kind in (ChatSagemakerEndpoint, ChatHuggingFaceEndpoint):
            return made._get_llm_string()
        return str(sorted(made._identifying_params.items()))

    values = {**GENERATION, **own}[name]
    keys = [key(), *(key(**{name: value}) for value in values)]
    assert len(set(keys)) == 3
    assert key(**{name: values[0]}) == keys[1]
    assert "hush" not in str(keys)


WITHOUT_EFFECT = {
    "api_key", "cache", "callbacks", "custom_get_token_ids", "disable_streaming", "max_concurrency", "max_retries",
    "metadata", "name", "output_version", "profile", "rate_limiter", "stream_usage", "streaming", "tags", "task",
    "timeout", "tokenizer", "verbose",
}  # fmt: skip
TRIED_ABOVE = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "client", "session"}
# They say which server is meant, which the address and the name of the model tell.
OF_THE_HUB = {"provider", "repo_id"}


@each("kind", BASES)
def test_no_argument_is_forgotten(kind):
    tried = {*GENERATION, *BASES[kind][1], *WITHOUT_EFFECT, *TRIED_ABOVE, *OF_THE_HUB}
    assert set(kind.model_fields) - tried == set()


@each(("variable", "value"), [("AWS_REGION", "eu-west-3"), ("AWS_DEFAULT_REGION", "eu-west-3"), ("AWS_PROFILE", "p")])
def test_the_environments_region_and_profile_are_in_the_key(variable, value):
    def key():
        return str(SagemakerEndpoint(endpoint_name="e")._identifying_params)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        before = key()
        patch.setenv(variable, value)
        assert key() != before
        patch.delenv(variable)
        assert key() == before


def test_equal_settings_have_equal_keys():
    for make in (lambda: OpenAiChatHandler(route="/v1/a"), lambda: OpenAiChatHandler()):
        assert chat_key(content_handler=make()) == chat_key(content_handler=make())
    formats = [{"content_handler": "tgi", "prompt_format": get_format("chatml")} for _ in range(2)]
    assert chat_key(**formats[0]) == chat_key(**formats[1])


def test_the_cache_does_not_mix_formats(add):
    endpoint, cache = add("tgi", "echo"), InMemoryCache()
    answers = {
        ChatSagemakerEndpoint(
            endpoint_name=endpoint,
            content_handler="tgi",
            prompt_format=CallableFormat(lambda m, t=text: t),
            cache=cache,
        )
        .invoke("hi")
        .content
        for text in ("A", "B")
    }
    assert len(answers) == 2


def test_calls_of_a_batch_see_the_callers_context(add):
    where = contextvars.ContextVar("where", default="nowhere")
    seen = []

    def written(messages):
        seen.append(where.get())
        return "x"

    model = SagemakerEndpoint(endpoint_name=add("tgi", "echo"), content_handler="tgi", prompt_format=written)
    where.set("here")
    model.generate(["a", "b", "c"])
    assert seen == ["here"] * 3
