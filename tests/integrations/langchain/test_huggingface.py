"""The same classes on a plain HTTP server."""

from __future__ import annotations

import pickle

import pytest
from langchain_core.load import dumps

from sagewire import UsageError
from sagewire.integrations.langchain import ChatHuggingFaceEndpoint, HuggingFaceEndpoint

TOKEN = "hf_not-a-real-token-0123456789"


async def test_chat(emulator):
    model = ChatHuggingFaceEndpoint(base_url=emulator.container_url("echo"), huggingfacehub_api_token=TOKEN)
    assert model.invoke("Hi").content == "Hi"
    assert emulator.calls[-1].path == "/v1/chat/completions"
    assert emulator.calls[-1].headers["authorization"] == f"Bearer {TOKEN}"
    assert (await model.ainvoke("Hi")).content == "Hi"
    assert "".join([chunk.text async for chunk in model.astream("one two")]) == "one two"
    assert model._get_ls_params()["ls_provider"] == "sagewire"
    assert TOKEN not in repr(model) + dumps(model) + str(model._identifying_params)
    with pytest.raises(UsageError, match="never pickled"):
        pickle.dumps(model)


async def test_completion(emulator):
    model = HuggingFaceEndpoint(endpoint_url=emulator.container_url("tgi"), content_handler="tgi", max_new_tokens=50)
    assert model.invoke("Once") == "Once"
    assert emulator.calls[-1].json["parameters"]["max_new_tokens"] == 50
    assert "authorization" not in emulator.calls[-1].headers
    assert "".join([piece async for piece in model.astream("one two")]) == "one two"
    assert pickle.loads(pickle.dumps(model)).invoke("Once") == "Once"
