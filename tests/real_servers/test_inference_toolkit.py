"""Hugging Face's inference toolkit behind multi-model-server, as in its images."""

import pytest

from sagewire import Client
from sagewire.content_handlers import HfPipelineHandler

pytestmark = pytest.mark.slow

PAGE = "Anna sells tickets in Lisbon. The office closes at five in the afternoon."
TASKS = {
    "text-generation": {"max_tokens": 8, "temperature": 0},
    "text2text-generation": {"max_tokens": 8},
    "summarization": {"max_tokens": 8},
}


@pytest.mark.parametrize("task", TASKS)
def test_the_toolkit_takes_our_bodies_and_we_read_its_answers(task, toolkit, clean_environment):
    with Client(url=toolkit(task), handler=HfPipelineHandler(task)) as client:
        reply = client.complete(PAGE, **TASKS[task])
    assert reply.usage is None
    if task == "text-generation":
        assert reply.text
        assert not reply.text.startswith(PAGE)
