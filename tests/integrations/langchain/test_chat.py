"""`ChatSagemakerEndpoint` as an object: its settings on the wire, traces, copies, caches and limits."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import threading
import time
from contextlib import aclosing

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps, load
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.rate_limiters import InMemoryRateLimiter

from sagewire import Message, UsageError, assume_role_session, get_format
from sagewire.emulator.engines import Reply, Scripted
from sagewire.errors import ModelError
from sagewire.integrations.langchain import ChatModelContentHandler, ChatSagemakerEndpoint

from ...cases import each

SECRET = "do-not-show/this-0123456789"


def chat(endpoint="echo", **settings):
    settings.setdefault("content_handler", "openai_chat")
    return ChatSagemakerEndpoint(endpoint_name=endpoint, **settings)


def add_up(left: int, right: int) -> int:
    """Add two numbers."""
    return left + right


class TestOnTheWire:
    def test_settings_in_order_of_precedence(self, last_call):
        model = chat(
            temperature=0.5, max_tokens=5, stop=["END"], model_kwargs={"temperature": 0.1, "top_k": 3, "min_tokens": 2}
        )
        model.invoke("Hi", max_tokens=7, priority=1, extra_body={"guided_choice": ["a"]})
        sent = last_call("echo")
        assert {name: sent[name] for name in ("temperature", "top_k", "min_tokens", "priority", "guided_choice")} == {
            "temperature": 0.5, "top_k": 3, "min_tokens": 2, "priority": 1, "guided_choice": ["a"],
        }  # fmt: skip
        assert sent.get("max_completion_tokens", sent.get("max_tokens")) == 7
        assert sent["stop"] == ["END"]

    @each("spelling", ["max_tokens", "max_new_tokens", "max_completion_tokens"])
    def test_one_setting_under_every_spelling(self, last_call, spelling):
        chat(**{spelling: 5}).invoke("Hi")
        assert last_call("echo")["max_tokens"] == 5
        model = chat(max_tokens=5, model_kwargs={"top_k": 3})
        model.invoke("Hi", model_kwargs={spelling: 7, "priority": 1}, priority=2)
        sent = last_call("echo")
        assert {name: sent.get(name) for name in ("max_tokens", "top_k", "priority", "model_kwargs")} == {
            "max_tokens": 7, "top_k": 3, "priority": 2, "model_kwargs": None,
        }  # fmt: skip
        other = "max_new_tokens" if spelling == "max_tokens" else "max_tokens"
        assert chat(**{spelling: 5, other: 5}).max_tokens == 5
        with pytest.raises(UsageError, match="are one setting"):
            chat(**{spelling: 5, other: 6})

    def test_stop_strings_of_the_call_replace_those_of_the_model(self, last_call):
        model = chat(stop=["one"])
        assert model.invoke("a one two three", stop=["two"]).content == "a one "
        assert model.invoke("a one two three", stop="two").content == "a one "
        assert last_call("echo")["stop"] == ["two"]
        assert model.invoke("a one two").content == "a "
        assert "".join(chunk.content for chunk in model.stream("a one two")) == "a "

    def test_stop_strings_are_text_and_not_patterns(self):
        assert chat().invoke("what (a) day.", stop=["("]).content == "what "
        assert chat().invoke("what a day", stop=["."]).content == "what a day"

    def test_stop_strings_are_enforced_where_the_container_leaves_them_in(self, add):
        endpoint = add("tgi", "echo")
        model = chat(endpoint, content_handler="tgi", prompt_format="chatml")
        assert "two" not in model.invoke("one two three", stop=["two"]).content

    def test_tools_and_what_is_said_of_them(self, last_call):
        bound = chat().bind_tools([add_up], tool_choice="any", parallel_tool_calls=False, strict=True)
        bound.invoke("Hi")
        sent = last_call("echo")
        assert sent["tools"][0]["function"]["name"] == "add_up"
        assert sent["tools"][0]["function"]["strict"] is True
        assert (sent["tool_choice"], sent["parallel_tool_calls"]) == ("required", False)

    def test_endpoint_kwargs_of_model_and_call(self, emulator, last_call):
        model = chat(endpoint_kwargs={"InferenceId": "a"})
        model.invoke("Hi", endpoint_kwargs={"CustomAttributes": "k=v"})
        call = emulator.calls[-1]
        assert call.headers["x-amzn-sagemaker-custom-attributes"] == "k=v"
        assert "endpoint_kwargs" not in call.json

    def test_tools_given_with_the_call_are_described(self, last_call):
        chat().invoke("Hi", tools=[add_up], tool_choice={"type": "function", "function": {"name": "add_up"}})
        sent = last_call("echo")
        assert sent["tools"][0]["function"]["name"] == "add_up"
        assert sent["tool_choice"] == {"type": "function", "function": {"name": "add_up"}}

    def test_an_empty_list_of_tools_is_not_sent(self, last_call):
        chat().bind_tools([], response_format={"type": "json_object"}).invoke("Hi")
        sent = last_call("echo")
        assert "tools" not in sent
        assert sent["response_format"] == {"type": "json_object"}

    def test_a_conversation_with_tool_results(self, last_call):
        chat().invoke(
            [
                SystemMessage("Be brief."),
                HumanMessage("1+1?"),
                AIMessage("", tool_calls=[{"name": "add_up", "args": {"left": 1, "right": 1}, "id": "c1"}]),
                ToolMessage("2", tool_call_id="c1"),
                HumanMessage("Thanks", name="ada"),
            ]
        )
        sent = last_call("echo")["messages"]
        assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool", "user"]
        assert sent[2]["tool_calls"][0]["function"] == {"name": "add_up", "arguments": '{"left": 1, "right": 1}'}
        assert sent[3]["tool_call_id"] == "c1"
        assert sent[4]["name"] == "ada"

    def test_images_reach_the_container(self, add, last_call):
        endpoint = add("openai_chat", "schema")
        picture = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
        answer = chat(endpoint).invoke([HumanMessage([{"type": "text", "text": "What is this?"}, picture])])
        assert "1 image" in answer.content
        parts = last_call(endpoint)["messages"][0]["content"]
        assert parts[1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}

    def test_several_answers(self, add):
        endpoint = add("openai_chat", Scripted(["a", "b"], loop=True))
        result = chat(endpoint, n=2).generate([[HumanMessage("Hi")]])
        assert [generation.text for generation in result.generations[0]] == ["a", "b"]
        with_usage = [generation.message.usage_metadata is not None for generation in result.generations[0]]
        assert with_usage == [True, False]

    def test_log_probabilities(self):
        message = chat(logprobs=True, top_logprobs=2).invoke("Hi there")
        tokens = message.response_metadata["logprobs"]["content"]
        assert "".join(token["token"] for token in tokens) == "Hi there"
        assert len(tokens[0]["top_logprobs"]) == 2

    def test_usage_of_several_prompts_is_summed(self):
        messages = [[HumanMessage("Hi")], [HumanMessage("Hello you")]]
        result = chat().generate(messages)
        whole = sum(g[0].message.usage_metadata["total_tokens"] for g in result.generations)
        assert result.llm_output["token_usage"]["total_tokens"] == whole

    def test_a_container_that_cannot_take_a_setting_says_so(self):
        with pytest.raises(Exception, match="cannot express the option 'min_p'"):
            chat("tgi", content_handler="tgi", prompt_format="chatml").invoke("Hi", min_p=0.1)

    def test_the_endpoint_is_asked_where_no_handler_is_named(self, add):
        endpoint = add("openai_chat", "echo")
        assert ChatSagemakerEndpoint(endpoint_name=endpoint).invoke("Hi").content == "Hi"

    async def test_the_endpoint_is_asked_without_blocking_the_loop(self, add):
        endpoint = add("tgi", "schema", model_id="Qwen/Qwen2.5-7B-Instruct")
        model = ChatSagemakerEndpoint(endpoint_name=endpoint).bind_tools([add_up])
        pieces = [chunk async for chunk in model.astream("Use the tool: add_up(1, 2)")]
        calls = [call for chunk in pieces for call in chunk.tool_call_chunks]
        assert calls[0]["name"] == "add_up"


class TestMisuse:
    def test_a_text_container_needs_a_format_and_says_so_at_once(self):
        with pytest.raises(ValueError, match="prompt_format='llama3_1'"):
            chat(content_handler="tgi")

    def test_unknown_arguments_are_refused_with_a_hint(self):
        with pytest.raises(ValueError, match="did you mean 'temperature'"):
            chat(temprature=1)

    def test_unknown_handlers_are_refused_at_once(self):
        with pytest.raises(ValueError, match="openai_chat"):
            chat(content_handler="openai_chta")

    def test_contradictions_are_refused_at_once_without_printing_secrets(self):
        with pytest.raises(ValueError, match="contradict") as caught:
            chat(credentials_profile_name="p", aws_access_key_id="AKIA", aws_secret_access_key=SECRET)
        assert SECRET not in str(caught.value)
        assert SECRET not in repr(caught.value)

    @pytest.mark.parametrize("choice", ["add", {"type": "function", "function": {"name": "nothing"}}])
    def test_a_tool_that_is_not_on_offer(self, choice):
        with pytest.raises(UsageError, match="tool choice"):
            chat().bind_tools([add_up], tool_choice=choice)

    def test_a_forced_tool_without_tools(self):
        with pytest.raises(UsageError, match="no tools"):
            chat().bind_tools([], tool_choice="any")

    def test_tools_that_run_at_a_provider(self):
        with pytest.raises(UsageError, match="runs at a provider"):
            chat().bind_tools([{"type": "web_search"}])

    def test_an_api_key_is_accepted_and_of_no_use(self, emulator, caplog):
        with caplog.at_level(logging.INFO, "sagewire"):
            model = chat(api_key=SECRET)
        assert "api_key is not used" in caplog.text
        model.invoke("Hi")
        assert all(SECRET not in value for value in emulator.calls[-1].headers.values())


class TestTraces:
    def test_parameters_for_tracing(self):
        model = chat(model="m", temperature=0.5, max_tokens=3, stop=["x"])
        params = model._get_ls_params()
        assert params["ls_provider"] == "sagewire"
        assert params["ls_model_name"] == "m"
        assert (params["ls_temperature"], params["ls_max_tokens"], params["ls_stop"]) == (0.5, 3, ["x"])
        assert model._get_ls_params(model="other")["ls_model_name"] == "other"
        assert chat()._get_ls_params()["ls_model_name"] == "echo"

    def test_the_provider_of_messages_is_that_of_traces(self):
        message = chat().invoke("Hi")
        assert message.response_metadata["model_provider"] == chat()._get_ls_params()["ls_provider"]

    def test_what_identifies_a_model(self):
        model = chat(
            inference_component_name="ic", region_name="us-east-1", endpoint_kwargs={"TargetVariant": "b"},
            temperature=1, model_kwargs={"top_k": 1}, aws_access_key_id="AKIA", aws_secret_access_key=SECRET,
        )  # fmt: skip
        known = model._identifying_params
        assert "AKIA" not in known.pop("aws_access_key_id")
        assert known == {
            "endpoint_name": "echo", "inference_component_name": "ic", "region_name": "us-east-1",
            "endpoint_kwargs": {"TargetVariant": "b"}, "content_handler": "openai_chat", "temperature": 1,
            "model_kwargs": {"top_k": 1},
        }  # fmt: skip
        assert SECRET not in str(model._get_invocation_params())

    def test_no_secret_reaches_a_callback(self):
        seen = []

        class Listener(BaseCallbackHandler):
            def on_chat_model_start(self, *args, **kwargs):
                seen.append(repr((args, kwargs)))

        model = chat(aws_access_key_id="AKIA", aws_secret_access_key=SECRET, max_retries=0)
        with pytest.raises(Exception, match=r"(?i)security token|credentials"):
            model.invoke("Hi", config={"callbacks": [Listener()]})
        assert seen
        assert SECRET not in "".join(seen)
        assert SECRET not in repr(model) + str(model)

    def test_the_version_is_recorded(self):
        assert "sagewire" in chat().metadata["lc_versions"]

    def test_profile_of_a_chat_container(self):
        assert chat().profile["tool_calling"] is True
        # It would promise that a schema and tools can be sent together.
        assert chat().profile["structured_output"] is False
        assert chat().profile["audio_inputs"] is True
        assert chat(profile={"max_input_tokens": 9}).profile == {"max_input_tokens": 9}
        assert ChatSagemakerEndpoint(endpoint_name="echo").profile is None

    def test_the_endpoint_completes_the_profile(self, add):
        endpoint = add(
            "openai_chat",
            environment={"SM_VLLM_MAX_MODEL_LEN": "4096", "SM_VLLM_TOOL_CALL_PARSER": "hermes"},
            model_id="Qwen/Qwen3-8B",
        )
        model = ChatSagemakerEndpoint(endpoint_name=endpoint).discover()
        assert model.profile["max_input_tokens"] == 4096
        assert model.profile["name"] == "Qwen/Qwen3-8B"
        assert model.profile["tool_calling"] is True

    async def test_the_endpoint_completes_the_profile_awaited(self, add):
        endpoint = add("tgi", environment={"MAX_TOTAL_TOKENS": "2048"})
        model = await chat(endpoint, content_handler="tgi", prompt_format="qwen2_5").adiscover()
        assert model.profile["max_input_tokens"] == 2048
        assert model.profile["tool_calling"] is True


class OwnClient:
    """A client that holds what can be neither copied nor pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def invoke_endpoint(self, **_):
        raise NotImplementedError


class TestCopies:
    def test_pickle_works_and_asks_the_same_endpoint(self):
        model = chat(temperature=0.5)
        model.invoke("Hi")
        again = pickle.loads(pickle.dumps(model))
        assert again.invoke("Hi").content == "Hi"
        assert again.temperature == 0.5

    def test_pickle_with_a_role(self, emulator):
        session = assume_role_session(emulator.role_arn, region_name="us-east-1")
        again = pickle.loads(pickle.dumps(chat(session=session)))
        assert again.session.recipe == session.recipe

    @pytest.mark.parametrize("name", ["aws_session_token", "api_key", "client"])
    def test_secrets_and_connections_are_never_pickled(self, name):
        keys = {"aws_access_key_id": "AKIA", "aws_secret_access_key": SECRET} if name.startswith("aws") else {}
        model = chat(**{name: OwnClient() if name == "client" else SECRET, **keys})
        with pytest.raises(UsageError, match=r"never pickled|cannot be pickled"):
            pickle.dumps(model)

    def test_deep_copies_share_what_is_alive(self):
        model = chat(client=OwnClient(), model_kwargs={"a": [1]})
        twin = copy.deepcopy(model)
        assert twin.client is model.client
        assert twin.model_kwargs == model.model_kwargs
        assert twin.model_kwargs is not model.model_kwargs

    def test_a_changed_copy_asks_the_endpoint_it_names(self, add, emulator):
        other = add("openai_chat", Scripted(["other"], loop=True))
        model = chat()
        model.invoke("Hi")
        twin = model.model_copy(update={"endpoint_name": other})
        assert (twin.invoke("Hi").content, model.invoke("Hi").content) == ("other", "Hi")
        model.endpoint_name = other
        assert model.invoke("Hi").content == "other"

    @pytest.mark.filterwarnings("ignore:The function `load` is in beta")
    def test_written_down_without_secrets_and_made_again(self, monkeypatch):
        model = chat(temperature=0.5, aws_access_key_id="AKIA", aws_secret_access_key=SECRET, stop=["x"])
        written = dumpd(model)
        assert SECRET not in json.dumps(written)
        assert SECRET not in dumps(model)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
        again = load(
            written, allowed_objects=[ChatSagemakerEndpoint], valid_namespaces=["sagewire"], secrets_from_env=True
        )
        assert dumpd(again) == written
        assert again.aws_secret_access_key.get_secret_value() == SECRET

    def test_a_boto3_client_is_not_written_down(self):
        assert "client" not in dumpd(chat(client=OwnClient()))["kwargs"]


class TestCache:
    def test_the_same_question_is_asked_once(self, emulator):
        model = chat(cache=InMemoryCache())
        emulator.clear()
        first, second = model.invoke("cached?"), model.invoke("cached?")
        assert first.content == second.content
        assert len(emulator.calls) == 1
        model.invoke("cached?", temperature=1)
        model.invoke("cached?", stop=["x"])
        assert len(emulator.calls) == 3

    def test_the_same_name_in_two_accounts_is_two_models(self):
        arns = [f"arn:aws:iam::{account}:role/r" for account in ("111111111111", "222222222222")]
        sessions = [assume_role_session(arn, region_name="us-east-1") for arn in arns]
        keys = [chat(session=session)._get_llm_string() for session in sessions]
        assert keys[0] != keys[1]

    def test_a_change_inside_endpoint_kwargs_is_noticed(self, emulator):
        model = chat(endpoint_kwargs={"CustomAttributes": "a=1"})
        model.invoke("Hi")
        model.endpoint_kwargs["CustomAttributes"] = "a=2"
        model.invoke("Hi")
        assert emulator.calls[-1].headers["x-amzn-sagemaker-custom-attributes"] == "a=2"

    @pytest.mark.parametrize(
        "change",
        [
            {"endpoint_name": "lmi"},
            {"credentials_profile_name": "default"},
            {"inference_component_name": "x"},
            {"region_name": "eu-west-1"},
            {"content_handler": "tgi_chat"},
            {"model_kwargs": {"a": 1}},
            {"temperature": 0.3},
            {"model": "m"},
            {"adapter": "a"},
        ],
    )
    def test_models_that_differ_have_keys_that_differ(self, change):
        model = chat()
        other = ChatSagemakerEndpoint(**({"endpoint_name": "echo", "content_handler": "openai_chat"} | change))
        assert model._get_llm_string() != other._get_llm_string()
        assert model._get_llm_string() == chat()._get_llm_string()


class TestUsageOfStreams:
    REFUSAL = Reply(raw=b'{"message": "Extra inputs are not permitted: stream_options"}', status=400)

    def test_a_server_that_refuses_to_count_is_asked_once(self, add, emulator):
        endpoint = add("openai_chat", Scripted([self.REFUSAL, "one two", "three"]))
        model = chat(endpoint)
        assert "".join(chunk.text for chunk in model.stream("?")) == "one two"
        assert "".join(chunk.text for chunk in model.stream("?")) == "three"
        asked = ["stream_options" in call.json for call in emulator.calls if call.endpoint == endpoint]
        assert asked == [True, False, False]

    async def test_a_server_that_refuses_to_count_is_asked_once_awaited(self, add, emulator):
        endpoint = add("openai_chat", Scripted([self.REFUSAL, "one two", "three"]))
        model = chat(endpoint)
        assert "".join([chunk.text async for chunk in model.astream("?")]) == "one two"
        assert "".join([chunk.text async for chunk in model.astream("?")]) == "three"
        asked = ["stream_options" in call.json for call in emulator.calls if call.endpoint == endpoint]
        assert asked == [True, False, False]

    def test_other_refusals_are_not_taken_for_that(self, add, emulator):
        endpoint = add("openai_chat", Scripted([Reply(raw=b'{"message": "no"}', status=400), "one"]))
        with pytest.raises(ModelError, match="no"):
            list(chat(endpoint).stream("?"))


class TestConcurrency:
    def test_the_rate_limiter_is_asked(self):
        limiter = InMemoryRateLimiter(requests_per_second=1000, check_every_n_seconds=0.001, max_bucket_size=1)
        asked = []
        acquire = limiter.acquire
        limiter.acquire = lambda *, blocking=True: asked.append(blocking) or acquire(blocking=blocking)
        model = chat(rate_limiter=limiter)
        model.invoke("Hi")
        list(model.stream("Hi"))
        assert asked == [True, True]

    async def test_sixty_four_calls_wait_together_on_one_thread(self, add):
        endpoint = add("openai_chat", "echo", latency=0.2)
        model = chat(endpoint)
        await model.ainvoke("warm up")
        before, started = threading.active_count(), time.perf_counter()
        answers = await asyncio.gather(*(model.ainvoke(f"question {number}") for number in range(64)))
        seconds = time.perf_counter() - started
        assert [answer.content for answer in answers] == [f"question {number}" for number in range(64)]
        # One after the other they would take 12.8 s.
        assert seconds < 6
        assert threading.active_count() - before <= 1

    def test_two_event_loops_one_after_the_other(self):
        model = chat()
        assert [asyncio.run(model.ainvoke("Hi")).content for _ in range(2)] == ["Hi", "Hi"]

    async def test_a_cancelled_call_is_cancelled(self, add):
        model = chat(add("openai_chat", "echo", latency=2))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(model.ainvoke("Hi"), 0.2)

    def test_leaving_a_stream_early_ends_it(self):
        for chunk in chat().stream("one two three four"):
            assert chunk.content
            break

    async def test_leaving_an_awaited_stream_early_ends_it(self):
        async with aclosing(chat().astream("one two three four")) as chunks:
            async for chunk in chunks:
                assert chunk.content
                break

    def test_streaming_lets_the_container_stream(self, add, last_call):
        endpoint = add()
        assert chat(endpoint, streaming=True).invoke("Hi there").content == "Hi there"
        assert last_call(endpoint)["stream"] is True


class TestTokens:
    class Tokenizer:
        def encode(self, text):
            return [ord(letter) for letter in text]

    def test_an_estimate_needs_no_tokenizer(self):
        model = chat()
        assert model.get_num_tokens("12345678") == 2
        assert model.get_num_tokens("東京") == 2
        assert model.get_num_tokens("") == 0
        assert model.get_num_tokens_from_messages([HumanMessage("Hello there")]) > 3
        with_tools = model.get_num_tokens_from_messages([HumanMessage("Hello there")], tools=[add_up])
        assert with_tools > model.get_num_tokens_from_messages([HumanMessage("Hello there")])
        with pytest.raises(UsageError, match="tokenizer"):
            model.get_token_ids("x")

    def test_a_tokenizer_makes_it_exact(self):
        model = chat(tokenizer=self.Tokenizer())
        assert model.get_num_tokens("12345678") == 8
        assert model.get_token_ids("AB") == [65, 66]
        assert model.get_num_tokens_from_messages([HumanMessage("AB"), AIMessage("C")]) == 3 + 2 * 4

    def test_a_format_makes_conversations_exact(self):
        model = chat("tgi", content_handler="tgi", prompt_format="chatml", tokenizer=self.Tokenizer())
        rendered = get_format("chatml").render([Message("user", "AB")])
        assert model.get_num_tokens_from_messages([HumanMessage("AB")]) == len(rendered)


class TestOwnHandlers:
    class Handler(ChatModelContentHandler):
        content_type = "application/json"
        accepts = "application/json"

        def transform_input(self, prompt, model_kwargs):
            return json.dumps({"messages": prompt, **model_kwargs}).encode()

        def transform_output(self, output):
            data = json.loads(output.read() if hasattr(output, "read") else output)
            message = data["choices"][0]["message"]
            usage = data["usage"]
            return AIMessage(
                message["content"],
                usage_metadata={
                    "input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"],
                    "total_tokens": usage["total_tokens"],
                },
                response_metadata={"model_name": data["model"], "finish_reason": "stop"},
            )  # fmt: skip

    def test_a_message_keeps_all_it_has(self, last_call):
        model = chat(content_handler=self.Handler(), model_kwargs={"temperature": 0.2, "stop": ["zzz"]})
        message = model.invoke([SystemMessage("s"), HumanMessage("Hi")])
        assert message.content == "Hi"
        assert message.usage_metadata["total_tokens"] > 0
        assert message.response_metadata["finish_reason"] == "stop"
        assert message.response_metadata["model_name"]
        sent = last_call("echo")
        assert sent["messages"][0] == {"role": "system", "content": "s"}
        # The handler's own model_kwargs reach it as they are.
        assert (sent["temperature"], sent["stop"]) == (0.2, ["zzz"])

    def test_one_client_serves_all_calls(self):
        model = chat(content_handler=self.Handler())
        assert model._clients is model._clients


def test_pieces_are_delivered_as_they_come(add):
    endpoint = add("openai_chat", "echo", faults=["slow_tokens:0.05"])
    arrivals = [time.perf_counter() for chunk in chat(endpoint).stream("one two three four") if chunk.content]
    assert len(arrivals) == 4
    assert arrivals[-1] - arrivals[0] > 0.1
