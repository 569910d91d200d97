"""The OpenAI wire as llama.cpp and `transformers serve` speak it, with the same weights behind both."""

import pytest

from sagewire import AsyncClient, Client, Retries
from sagewire.errors import EndpointError

pytestmark = pytest.mark.slow

QUESTION = "When does the ferry leave?"
# llama.cpp's Python server closes connections that it kept, without a word; what was sent may be sent again.
AGAIN = Retries(resend=True)
GREEDY = {"temperature": 0, "max_tokens": 24}


@pytest.fixture(params=["llama_server", "transformers_server"])
def url(request, clean_environment):
    return request.getfixturevalue(request.param)


@pytest.fixture
def client(url):
    with Client(url=url, retries=AGAIN) as client:
        yield client


def read(stream):
    with stream:
        text = "".join(getattr(delta, "text", "") for delta in stream)
    return text, stream.reply


def counts(reply):
    # Without those of llama.cpp's prompt cache.
    return reply.usage.prompt_tokens, reply.usage.completion_tokens


def test_a_conversation_is_answered_with_counts_and_a_reason(client):
    reply = client.chat(QUESTION, **GREEDY)
    assert reply.text
    assert reply.finish_reason == "length"
    assert reply.usage.completion_tokens == 24
    assert reply.usage.prompt_tokens > 20
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 24


def test_a_stream_says_what_the_whole_answer_says(client):
    whole = client.chat(QUESTION, **GREEDY)
    text, folded = read(client.stream(QUESTION, **GREEDY))
    assert text == folded.text == whole.text
    assert folded.finish_reason == whole.finish_reason
    assert counts(folded) == counts(whole)


def test_both_servers_say_the_same(llama_server, transformers_server, clean_environment):
    # Two implementations of the model and of the chat template: the prompt must have arrived whole in both.
    messages = [
        {"role": "system", "content": "You sell tickets."},
        {"role": "user", "content": "Grüße 世界 🎉"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": QUESTION},
    ]
    replies = []
    for url in (llama_server, transformers_server):
        with Client(url=url, retries=AGAIN) as client:
            replies.append(client.chat(messages, **GREEDY))
    assert replies[0].text == replies[1].text
    assert counts(replies[0]) == counts(replies[1])


def test_raw_text_is_continued_in_whole_and_in_pieces(client):
    whole = client.complete("The ferry", **GREEDY)
    text, folded = read(client.stream_complete("The ferry", **GREEDY))
    assert whole.text
    assert text == folded.text == whole.text
    assert whole.usage.completion_tokens == 24
    assert whole.text != client.chat("The ferry", **GREEDY).text


def test_a_stop_string_ends_the_answer(client):
    said = client.chat(QUESTION, **GREEDY).text
    stop = said[5:8]
    reply = client.chat(QUESTION, **GREEDY, stop=[stop])
    assert reply.text == said[: said.index(stop)]
    assert reply.finish_reason == "stop"
    assert read(client.stream(QUESTION, **GREEDY, stop=[stop]))[1].text == reply.text


async def test_the_async_client_reads_the_same(client, url):
    async with AsyncClient(url=url, retries=AGAIN) as other:
        assert (await other.chat(QUESTION, **GREEDY)).text == client.chat(QUESTION, **GREEDY).text
        async with other.stream(QUESTION, **GREEDY) as stream:
            text = "".join([getattr(delta, "text", "") async for delta in stream])
        assert text == client.chat(QUESTION, **GREEDY).text


def test_the_server_is_recognised(client, url):
    profile = client.profile()
    llamacpp = profile.container == "llama.cpp"
    assert profile.chat == ("llamacpp" if llamacpp else "openai_chat")
    assert profile.complete == ("llamacpp_completions" if llamacpp else "openai_completions")
    if llamacpp:
        assert profile.limits.context_window == 1024


def test_langchain_asks_the_real_server(client, url):
    from sagewire.integrations.langchain import ChatHuggingFaceEndpoint, HuggingFaceEndpoint

    said = client.chat(QUESTION, **GREEDY)
    chat = ChatHuggingFaceEndpoint(endpoint_url=url, **GREEDY)
    answer = chat.invoke(QUESTION)
    assert answer.content == said.text
    assert answer.usage_metadata["output_tokens"] == 24
    assert answer.response_metadata["finish_reason"] == "length"
    pieces = list(chat.stream(QUESTION))
    assert "".join(piece.content for piece in pieces) == said.text
    assert sum((piece.usage_metadata or {}).get("output_tokens", 0) for piece in pieces) == 24
    llm = HuggingFaceEndpoint(endpoint_url=url, **GREEDY)
    assert llm.invoke("The ferry") == "".join(llm.stream("The ferry")) == client.complete("The ferry", **GREEDY).text


def test_llama_index_asks_the_real_server(client, url):
    from llama_index.core.llms import ChatMessage

    from sagewire.integrations.llama_index import HuggingFaceEndpointLLM

    said = client.chat(QUESTION, **GREEDY).text
    llm = HuggingFaceEndpointLLM(url, **GREEDY)
    messages = [ChatMessage(role="user", content=QUESTION)]
    assert llm.chat(messages).message.content == said
    assert list(llm.stream_chat(messages))[-1].message.content == said
    assert list(llm.stream_complete("The ferry"))[-1].text == llm.complete("The ferry").text


def test_too_long_a_prompt_is_llama_cpps_error(llama_server, clean_environment):
    with Client(url=llama_server) as client, pytest.raises(EndpointError, match="context") as caught:
        client.chat("word " * 3000, max_tokens=4)
    assert caught.value.status == 400


def test_an_unknown_option_is_transformers_error(transformers_server, clean_environment):
    with Client(url=transformers_server) as client, pytest.raises(EndpointError, match="top_k") as caught:
        client.chat(QUESTION, top_k=3, max_tokens=4)
    assert caught.value.status == 422


def test_log_probabilities_of_llama_cpp(llama_server, clean_environment):
    with Client(url=llama_server, handler="llamacpp", retries=AGAIN) as client:
        reply = client.chat(QUESTION, **GREEDY, logprobs=True, top_logprobs=2)
        _, folded = read(client.stream(QUESTION, **GREEDY, logprobs=True, top_logprobs=2))
    tokens = reply.choices[0].logprobs
    assert len(tokens) == 24
    assert "".join(token.token for token in tokens) == reply.text
    assert all(len(token.top) == 2 for token in tokens)
    assert folded.choices[0].logprobs == tokens


def test_a_schema_is_kept_by_llama_cpp(llama_server, clean_environment):
    import json

    schema = {
        "type": "object",
        "properties": {"close": {"type": "boolean"}, "hour": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["close", "hour"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    with Client(url=llama_server, handler="llamacpp", retries=AGAIN) as client:
        answer = json.loads(client.chat(QUESTION, temperature=0, max_tokens=100, response_format=wanted).text)
    assert set(answer) == {"close", "hour"}
