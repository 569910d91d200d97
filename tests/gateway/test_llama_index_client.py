"""The gateway as LlamaIndex's `OpenAILike` sees it, in an environment of its own: it does not go with openai 3."""

import json
import subprocess
import textwrap

import pytest

pytestmark = pytest.mark.slow

SCRIPT = textwrap.dedent(
    """
    import asyncio, json, sys
    from llama_index.core.llms import ChatMessage
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai_like import OpenAILike
    from pydantic import BaseModel

    def model(name):
        return OpenAILike(model=name, api_base=sys.argv[1], api_key="x", is_chat_model=True,
                          is_function_calling_model=True, max_retries=0, context_window=8192)

    def add(a: int) -> int:
        "Add one."
        return a + 1

    class City(BaseModel):
        name: str

    hello = [ChatMessage(role="user", content="Hello there")]
    results = {}
    for name in ("chat", "tgi"):
        llm = model(name)
        results[f"{name} chat"] = llm.chat(hello).message.content
        results[f"{name} complete"] = llm.complete("Hello there").text
        results[f"{name} stream"] = "".join(part.delta or "" for part in llm.stream_chat(hello))
        async def streamed():
            return "".join([part.delta or "" async for part in await llm.astream_chat(hello)])
        results[f"{name} astream"] = asyncio.run(streamed())
    tool = FunctionTool.from_defaults(add)
    schema = model("schema")
    response = schema.chat_with_tools([tool], "Add one to 3.", tool_required=True)
    results["tool"] = schema.get_tool_calls_from_response(response)[0].tool_name
    results["structured"] = type(schema.as_structured_llm(City).complete("Rome").raw).__name__
    print(json.dumps(results))
    """
)


def test_openai_like(everything, upstream, python_with) -> None:
    python = python_with("llama-index-llms-openai-like>=0.5,<1")
    done = subprocess.run(
        [str(python), "-c", SCRIPT, f"{everything.url}/v1"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    for name in ("chat", "tgi"):
        for way in ("chat", "complete", "stream", "astream"):
            assert "Hello there" in results[f"{name} {way}"]
    assert results["tool"] == "add"
    assert results["structured"] == "City"
