"""What the table of tracing says is where it says so, and what it says is nowhere is nowhere."""

import re
from pathlib import Path

import pytest
from langchain_core.tracers.base import BaseTracer
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import ChatMessage
from pydantic import Field

from sagewire import Client
from sagewire.integrations.langchain import ChatSagemakerEndpoint
from sagewire.integrations.llama_index import SageMakerLLM

PAGE = Path(__file__).parents[2] / "docs" / "how_to" / "telemetry.md"
QUESTION = "a question that nobody else asks"
SETTINGS = {"temperature": 0.5, "max_tokens": 20}
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not beside these tests")


class Tracer(BaseTracer):
    def _persist_run(self, run):
        self.run = run


class Handler(BaseEventHandler):
    seen: list = Field(default_factory=list)

    def handle(self, event, **kwargs):
        self.seen.append(event)


def rows():
    """Return the rows of the table: fact -> what each of the three says."""
    table = PAGE.read_text("utf-8").partition("## What appears where")[2]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"(?m)^\|.*\|$", table)]
    return {fact: cells for fact, *cells in found[2:]}


def at(place, value):
    for step in place.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def check(column, facts, expected):
    """Every place that a column names has a value, the expected one if there is one."""
    for fact, cells in rows().items():
        for place in re.findall(r"`([^`]+)`", cells[column]):
            value = facts[place] if place in facts else at(place, facts)
            assert value not in (None, "", []), (fact, place)
            assert fact not in expected or value in (expected[fact], (expected[fact],), [expected[fact]]), (fact, place)


@pytest.fixture
def expected():
    return {"temperature": 0.5, "maximum tokens": 20, "stop strings": "zzz", "finish reason": "stop"}


def test_opentelemetry(emulator, telemetry, expected):
    spans, _ = telemetry
    Client("vllm").chat(QUESTION, **SETTINGS, stop=["zzz"])
    [span] = [one for one in spans.get_finished_spans() if one.name == "chat vllm"]
    check(0, dict(span.attributes), expected)
    named = {place for cells in rows().values() for place in re.findall(r"`(gen_ai[^`]+)`", cells[0])}
    assert {name for name in span.attributes if name.startswith("gen_ai.")} == named, "the table is not complete"
    assert QUESTION not in span.to_json()
    assert emulator.credentials.secret_key not in span.to_json()


def test_langsmith(emulator, expected):
    tracer, keys = Tracer(), emulator.credentials
    model = ChatSagemakerEndpoint(
        endpoint_name="vllm", aws_access_key_id=keys.access_key, aws_secret_access_key=keys.secret_key, **SETTINGS
    )
    model.invoke(QUESTION, stop=["zzz"], config={"callbacks": [tracer]})
    message = tracer.run.outputs["generations"][0][0]["message"]["kwargs"]
    check(1, {**tracer.run.extra["metadata"], **message}, expected)
    traced = str((tracer.run.inputs, tracer.run.outputs, tracer.run.extra, tracer.run.serialized))
    assert QUESTION in traced
    assert keys.secret_key not in traced
    assert keys.access_key not in traced


def test_llama_index(emulator, expected):
    handler, dispatcher = Handler(), get_dispatcher()
    dispatcher.add_event_handler(handler)
    try:
        llm = SageMakerLLM(
            "vllm",
            **SETTINGS,
            aws_secret_access_key=emulator.credentials.secret_key,
            aws_access_key_id=emulator.credentials.access_key,
        )
        llm.chat([ChatMessage(role="user", content=QUESTION)], stop=["zzz"])
    finally:
        dispatcher.event_handlers.remove(handler)
    start, end = (event.model_dump() for event in handler.seen if type(event).__name__.startswith("LLMChat"))
    check(2, {**start, "response": end["response"]}, expected)
    assert QUESTION in str((start, end))
    assert emulator.credentials.secret_key not in str((start, end))
