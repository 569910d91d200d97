"""A prompt that sagewire writes becomes the tokens of llama.cpp's own template, by what its `/tokenize` says."""

import json
import urllib.request

import pytest

from sagewire import AsyncClient, Client
from sagewire.content_handlers import get_handler

pytestmark = pytest.mark.slow

# A file of `tiny_models.FAMILIES` -> the format that writes the same.
FORMATS = {
    "llama3": "llama3",
    "llama3-without": "llama3",
    "gemma2": "gemma2",
    "llama2": "llama2",
    "chatml": "chatml",
    "chatml-with": "chatml",
}
CONVERSATIONS = (
    [{"role": "user", "content": "When does the ferry leave?"}],
    [
        {"role": "user", "content": "Grüße 世界 🎉\n\nHow much is it?"},
        {"role": "assistant", "content": "Four euros."},
        {"role": "user", "content": "And for children?"},
    ],
)
# What is left of an earlier prompt is computed in other batches, and so by a hair otherwise.
GREEDY = {"temperature": 0, "max_tokens": 12, "extra": {"cache_prompt": False}}


def ask(url, path, **body):
    request = urllib.request.Request(f"{url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def tokens_of(url, prompt):
    """Return what the server makes of a prompt on either of its routes (`tokenize_input_prompts`)."""
    return ask(url, "/tokenize", content=prompt, add_special=True, parse_special=True)["tokens"]


@pytest.fixture
def sent(monkeypatch):
    """Keep what is sent to the completions route."""
    kept = []
    completions = type(get_handler("llamacpp_completions"))
    payload = completions.payload

    def keep(self, request):
        kept.append(payload(self, request))
        return kept[-1]

    monkeypatch.setattr(completions, "payload", keep)
    return kept


@pytest.mark.parametrize("family", FORMATS)
async def test_the_tokens_are_those_of_the_servers_own_template(family, llama_of, sent, clean_environment):
    url = llama_of(family)
    named, own = Client(url=url, format=FORMATS[family]), Client(url=url)
    for messages in CONVERSATIONS:
        reply, expected = named.chat(messages, **GREEDY), own.chat(messages, **GREEDY)
        theirs = tokens_of(url, ask(url, "/apply-template", messages=messages)["prompt"])
        assert tokens_of(url, sent[-1]["prompt"]) == theirs
        # That it does read prompts so is what its counts say; and the same tokens have the same answer.
        assert reply.usage.prompt_tokens == expected.usage.prompt_tokens == len(theirs)
        assert reply.text == expected.text
        with named.stream(messages, **GREEDY) as stream:
            assert "".join(stream.text) == expected.text
        async with AsyncClient(url=url, format=FORMATS[family]) as client:
            assert (await client.chat(messages, **GREEDY)).text == expected.text
        assert len({each["prompt"] for each in sent}) == 1
        sent.clear()


def test_llama_index_sends_the_same_tokens(llama_of, sent, clean_environment):
    from llama_index.core.llms import ChatMessage

    from sagewire.integrations.llama_index import HuggingFaceEndpointLLM
    from sagewire.prompt_formats import FORMATS as ALL

    url = llama_of("llama3-without")
    written = ALL["llama3"].render([{"role": "user", "content": "Hi"}])
    llm = HuggingFaceEndpointLLM(url, messages_to_prompt=lambda messages: written, max_tokens=4)
    llm.chat([ChatMessage(role="user", content="Hi")])
    assert sent[-1]["prompt"] == written
    theirs = ask(url, "/apply-template", messages=[{"role": "user", "content": "Hi"}])["prompt"]
    assert tokens_of(url, written) == tokens_of(url, theirs)
