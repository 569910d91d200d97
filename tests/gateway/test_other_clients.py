"""The gateway as LangChain and curl see it."""

import shutil
import subprocess

import orjson
import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings


@pytest.fixture
def model(everything, upstream):
    def make(name: str, **settings) -> ChatOpenAI:
        return ChatOpenAI(model=name, base_url=f"{everything.url}/v1", api_key="x", max_retries=0, **settings)

    return make


async def test_langchain_chat(model) -> None:
    # One test for both models: langchain-openai caches its HTTP client across event loops.
    for name in ("chat", "tgi"):
        llm = model(name, stream_usage=True)
        message = llm.invoke([HumanMessage("Hello there")])
        assert "Hello there" in message.text
        assert message.usage_metadata["output_tokens"] > 0
        whole = None
        async for chunk in llm.astream("Hello there"):
            whole = chunk if whole is None else whole + chunk
        assert "Hello there" in whole.text
        assert whole.usage_metadata["output_tokens"] > 0
        assert whole.response_metadata["finish_reason"] == "stop"


def test_langchain_tools_and_structure(model) -> None:
    from pydantic import BaseModel

    class City(BaseModel):
        """A city."""

        name: str

    llm = model("schema")
    call = llm.bind_tools([City], tool_choice="any").invoke("Rome").tool_calls[0]
    assert call["name"] == "City"
    streamed = None
    for chunk in llm.bind_tools([City], tool_choice="any").stream("Rome"):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed.tool_calls[0]["name"] == "City"
    assert isinstance(llm.with_structured_output(City).invoke("Rome"), City)


def test_langchain_responses_api(model) -> None:
    llm = model("chat", use_responses_api=True)
    assert "Hello there" in llm.invoke("Hello there").text
    assert "Hello there" in "".join(chunk.text for chunk in llm.stream("Hello there"))


def test_langchain_completions_and_embeddings(everything, upstream) -> None:
    url = f"{everything.url}/v1"
    assert "Once" in OpenAI(model="tgi", base_url=url, api_key="x", max_retries=0).invoke("Once")
    embeddings = OpenAIEmbeddings(
        model="embedding", base_url=url, api_key="x", max_retries=0, check_embedding_ctx_length=False
    )
    assert len(embeddings.embed_documents(["a", "b"])) == 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(everything, upstream) -> None:
    body = orjson.dumps(
        {"model": "tgi", "stream": True, "messages": [{"role": "user", "content": "Hello there"}]}
    ).decode()
    done = subprocess.run(
        ["curl", "-sSN", "--max-time", "20", "-i", f"{everything.url}/v1/chat/completions", "-d", body],
        capture_output=True,
        text=True,
        check=True,
    )
    head, _, rest = done.stdout.partition("\r\n\r\n" if "\r\n\r\n" in done.stdout else "\n\n")
    assert "text/event-stream" in head
    events = [line.removeprefix("data: ") for line in rest.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    text = "".join(orjson.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1])
    assert "Hello there" in text
