"""Hooks and OpenTelemetry: what is told about calls, and what never is."""

import asyncio

import pytest

from sagewire import Client, Retries
from sagewire.errors import EndpointNotFound
from sagewire.telemetry import CallEnded, CallRetried, CallStarted, Hooks


class Told(list):
    def hooks(self):
        return Hooks(on_request=self.append, on_response=self.append, on_retry=self.append)


def test_hooks_are_told_about_every_kind_of_call(emulator):
    told = Told()
    client = Client("vllm", handler="openai_chat", hooks=told.hooks(), options={"max_tokens": 9})
    client.chat("a secret text")
    with client.stream("a secret text") as stream:
        list(stream)
    client.complete("a secret text")
    asyncio.run(client.to_async().chat("a secret text"))
    starts, ends = told[::2], told[1::2]
    assert [type(one) for one in told] == [CallStarted, CallEnded] * 4
    assert [one.operation for one in starts] == ["chat", "chat", "chat", "chat"]
    assert [one.streaming for one in starts] == [False, True, False, False]
    assert all(end.started is start for start, end in zip(starts, ends, strict=True))
    assert all(end.usage.completion_tokens and end.info.request_id and end.seconds > 0 for end in ends)
    assert starts[0].options == {"max_tokens": 9}
    assert "secret" not in repr(told)
    told.clear()
    Client("tgi", handler="tgi", hooks=told.hooks()).complete("a secret text")
    assert told[0].operation == "text_completion"


def test_hooks_are_told_about_retries_and_errors(emulator):
    told = Told()
    client = Client(
        "vllm--throttle-2", handler="openai_chat", hooks=told.hooks(), retries=Retries(attempts=3, base_delay=0.001)
    )
    assert client.chat("Hi").text == "Hi"
    assert [type(one) for one in told] == [CallStarted, CallRetried, CallRetried, CallEnded]
    assert [one.attempt for one in told[1:3]] == [1, 2]
    told.clear()
    with pytest.raises(EndpointNotFound):
        Client("nowhere", handler="openai_chat", hooks=told.hooks()).chat("Hi")
    assert isinstance(told[-1].error, EndpointNotFound)


def test_hooks_are_told_who_left_early(emulator):
    told = Told()
    with Client("vllm", handler="openai_chat", hooks=told.hooks()).stream("one two three") as stream:
        next(iter(stream))
    assert told[-1].cancelled
    assert told[-1].error is None


def test_spans_and_metrics_follow_the_genai_conventions(telemetry, emulator):
    spans, reader = telemetry
    client = Client("vllm", handler="openai_chat", options={"temperature": 0.5, "max_tokens": 9})
    reply = client.chat("a secret text")
    with pytest.raises(EndpointNotFound):
        Client("nowhere", handler="openai_chat").chat("a secret text")
    good, bad = spans.get_finished_spans()
    assert good.name == "chat vllm"
    assert good.attributes["gen_ai.operation.name"] == "chat"
    assert good.attributes["gen_ai.provider.name"] == "aws.sagemaker"
    assert good.attributes["gen_ai.request.temperature"] == 0.5
    assert good.attributes["gen_ai.usage.output_tokens"] == reply.usage.completion_tokens
    assert good.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert bad.attributes["error.type"] == "EndpointNotFound"
    assert not bad.status.is_ok
    assert "secret" not in good.to_json() + bad.to_json()
    found = {
        metric.name
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert found == {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"}
