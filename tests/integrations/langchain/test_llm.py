"""`SagemakerEndpoint`: completions, many at once, with the users' own content handlers."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
import time

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.load import dumpd
from langchain_core.prompts import PromptTemplate

from sagewire import UsageError
from sagewire.emulator.engines import EngineFailure, Scripted
from sagewire.integrations.langchain import LLMContentHandler, SagemakerEndpoint

HANDLERS = ["tgi", "openai_chat", "lmi"]
ENDPOINTS = {"tgi": "tgi", "openai_chat": "echo", "lmi": "lmi"}


class ContentHandler(LLMContentHandler):
    content_type = "application/json"
    accepts = "application/json"

    def transform_input(self, prompt, model_kwargs):
        return json.dumps({"inputs": prompt, "parameters": model_kwargs}).encode("utf-8")

    def transform_output(self, output):
        data = json.loads(output.read().decode("utf-8"))
        return data[0]["generated_text"]


class TokenHandler(ContentHandler):
    """One that can read lines of a stream as well, given as bytes."""

    def transform_input(self, prompt, model_kwargs):
        return json.dumps({"inputs": prompt, "parameters": model_kwargs, "stream": True}).encode("utf-8")

    def transform_output(self, output):
        token = json.loads(output.decode("utf-8").removeprefix("data:"))["token"]
        return "" if token["special"] else token["text"]


def llm(endpoint="tgi", **settings):
    settings.setdefault("content_handler", "tgi")
    return SagemakerEndpoint(endpoint_name=endpoint, **settings)


@pytest.mark.parametrize("handler", HANDLERS)
class TestOnEveryWire:
    @pytest.fixture
    def model(self, handler):
        return llm(ENDPOINTS[handler], content_handler=handler)

    def test_invoke(self, model):
        assert model.invoke("Once upon a time") == "Once upon a time"

    async def test_ainvoke(self, model):
        assert await model.ainvoke("Once upon a time") == "Once upon a time"

    def test_stream(self, model):
        pieces = list(model.stream("Once upon a time"))
        assert "".join(pieces) == "Once upon a time"
        assert len(pieces) > 2

    async def test_astream(self, model):
        assert "".join([piece async for piece in model.astream("Once upon a time")]) == "Once upon a time"

    def test_batch_keeps_the_order(self, model):
        prompts = [f"prompt {number}" for number in range(40)]
        assert model.batch(prompts) == prompts

    async def test_abatch_keeps_the_order(self, model):
        prompts = [f"prompt {number}" for number in range(40)]
        assert await model.abatch(prompts) == prompts

    def test_stop_is_enforced(self, model):
        assert model.invoke("one two three", stop=[" two"]) == "one"
        assert "".join(model.stream("one two three", stop=[" two"])) == "one"

    def test_generation_info(self, model):
        result = model.generate(["Hi", "Hello you"])
        infos = [generations[0].generation_info for generations in result.generations]
        assert [info["finish_reason"] for info in infos] == ["stop", "stop"]
        assert all(info["model_name"] and info["request_id"] for info in infos)
        total = sum(info["token_usage"]["completion_tokens"] for info in infos)
        assert result.llm_output["token_usage"]["completion_tokens"] == total > 0


class TestConcurrency:
    def test_prompts_of_one_call_run_together(self, add):
        model = llm(add("tgi", "echo", latency=0.2))
        started = time.perf_counter()
        assert model.batch([f"p{number}" for number in range(16)]) == [f"p{number}" for number in range(16)]
        assert time.perf_counter() - started < 2.8

    async def test_awaited_prompts_run_together_on_one_thread(self, add):
        model = llm(add("tgi", "echo", latency=0.2), max_concurrency=64)
        await model.ainvoke("warm up")
        before, started = threading.active_count(), time.perf_counter()
        assert len(await model.abatch([f"p{number}" for number in range(64)])) == 64
        assert time.perf_counter() - started < 6
        assert threading.active_count() - before <= 1

    async def test_no_more_than_asked_for(self, add):
        model = llm(add("tgi", "echo", latency=0.1), max_concurrency=2)
        started = time.perf_counter()
        await model.agenerate(["a", "b", "c", "d"])
        assert time.perf_counter() - started >= 0.2

    async def test_one_failure_ends_the_others(self, add):
        endpoint = add("tgi", Scripted([EngineFailure("broken", 500)], loop=True))
        model = llm(endpoint, max_retries=0)
        with pytest.raises(Exception, match="broken"):
            await model.agenerate(["a", "b", "c"])
        with pytest.raises(Exception, match="broken"):
            model.generate(["a", "b", "c"])
        assert len(asyncio.all_tasks()) == 1


class TestOwnHandlers:
    def test_a_handler_of_the_tutorials(self, last_call):
        model = llm(content_handler=ContentHandler(), model_kwargs={"temperature": 0.7, "return_full_text": False})
        assert model.invoke("Hi there") == "Hi there"
        assert last_call("tgi") == {
            "inputs": "Hi there", "parameters": {"temperature": 0.7, "return_full_text": False},
        }  # fmt: skip

    def test_call_arguments_win(self, last_call):
        model = llm(content_handler=ContentHandler(), model_kwargs={"temperature": 0.7, "return_full_text": False})
        model.invoke("Hi", temperature=0.1)
        assert last_call("tgi")["parameters"]["temperature"] == 0.1

    def test_stop_is_enforced_as_text(self):
        model = llm(content_handler=ContentHandler(), model_kwargs={"return_full_text": False})
        assert model.invoke("what (a) day.", stop=["("]) == "what "
        assert model.invoke("what a day", stop=["."]) == "what a day"

    def test_streams_line_by_line(self):
        model = llm(content_handler=TokenHandler(), model_kwargs={"return_full_text": False})
        assert "".join(model.stream("one two three")) == "one two three"

    def test_a_stream_without_a_last_line_break_ends(self):
        model = llm("tgi--no-final-newline", content_handler=TokenHandler(), model_kwargs={"return_full_text": False})
        assert "".join(model.stream("one two three")) == "one two three"

    def test_an_error_inside_a_stream_is_an_error(self):
        model = llm("tgi--model-stream-error", content_handler=TokenHandler(), max_retries=0)
        with pytest.raises(Exception, match=r"(?i)stream|error"):
            list(model.stream("one two three"))

    def test_a_class_instead_of_an_object(self):
        assert llm(content_handler=ContentHandler, model_kwargs={"return_full_text": False}).invoke("Hi") == "Hi"


class Listener(BaseCallbackHandler):
    def __init__(self):
        self.tokens, self.ends = [], []

    def on_llm_new_token(self, token, **kwargs):
        self.tokens.append(token)

    def on_llm_end(self, response, **kwargs):
        self.ends.append(response)


class AwaitedListener(AsyncCallbackHandler):
    def __init__(self):
        self.tokens = []

    async def on_llm_new_token(self, token, **kwargs):
        self.tokens.append(token)


def test_usage_of_a_stream_can_be_left_out(add, last_call):
    endpoint = add("openai_completions", "echo")
    model = llm(endpoint, content_handler="openai_completions")
    *_, last = model._stream("one two")
    assert last.generation_info["token_usage"]["total_tokens"] > 0
    model.stream_usage = False
    *_, last = model._stream("one two")
    assert "token_usage" not in last.generation_info
    assert "stream_options" not in last_call(endpoint)


class TestAsAnObject:
    def test_a_prompt_format_makes_it_an_instruction(self, last_call):
        llm(prompt_format="chatml").invoke("Say hi")
        assert last_call("tgi")["inputs"].startswith("<|im_start|>user\nSay hi<|im_end|>")

    def test_streaming_tells_tokens(self):
        listener = Listener()
        assert llm(streaming=True).invoke("one two", config={"callbacks": [listener]}) == "one two"
        assert listener.tokens == ["one", " two"]
        assert listener.ends[0].generations[0][0].generation_info["finish_reason"] == "stop"
        assert llm(streaming=True).batch(["one two", "three"]) == ["one two", "three"]

    async def test_awaited_streaming_tells_tokens(self):
        listener = AwaitedListener()
        assert await llm(streaming=True).ainvoke("one two", config={"callbacks": [listener]}) == "one two"
        assert listener.tokens == ["one", " two"]

    def test_last_chunk_says_why(self):
        *_, last = llm()._stream("one two")
        assert last.generation_info["finish_reason"] == "stop"

    def test_several_answers(self, add):
        endpoint = add("openai_chat", Scripted(["a", "b"], loop=True))
        model = llm(endpoint, content_handler="openai_chat", n=2)
        assert [g.text for g in model.generate(["Hi"]).generations[0]] == ["a", "b"]
        with pytest.raises(UsageError, match="n > 1"):
            list(model.stream("Hi"))

    def test_pickle_copy_cache_and_identity(self, emulator):
        model = llm(temperature=0.5, cache=InMemoryCache())
        assert pickle.loads(pickle.dumps(llm())).invoke("Hi") == "Hi"
        assert copy.deepcopy(model).invoke("Hi") == "Hi"
        emulator.clear()
        assert model.invoke("cached") == model.invoke("cached") == "cached"
        assert len(emulator.calls) == 1
        assert model._identifying_params == {
            "endpoint_name": "tgi", "region_name": "us-east-1", "content_handler": "tgi", "temperature": 0.5,
            "model_kwargs": {},
        }  # fmt: skip
        assert dumpd(model)["id"] == ["sagewire", "integrations", "langchain", "llm", "SagemakerEndpoint"]
        assert model._get_ls_params()["ls_provider"] == "sagewire"
        assert model._get_ls_params()["ls_model_name"] == "tgi"

    def test_in_a_chain(self):
        chain = PromptTemplate.from_template("Say {what}") | llm()
        assert chain.invoke({"what": "hi"}) == "Say hi"

    def test_token_counts_need_no_tokenizer(self):
        assert llm().get_num_tokens("12345678") == 2
