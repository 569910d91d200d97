"""vLLM and the servers that speak its wire: what they refuse, and how they differ."""

import pytest

from sagewire.emulator import Call, EngineFailure, Reply, Scripted

from .containers import Container
from .test_dialects import CHAT, SAID, TOOL, joined_chat


class TestVllm:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"temperature": -1}, "temperature must be in [0, 2], got -1."),
            ({"temperature": 2.5}, "temperature must be"),
            ({"top_p": 0}, "top_p must be in (0, 1], got 0."),
            ({"top_k": -2}, "top_k must be"),
            ({"max_tokens": 0}, "max_tokens must be at least 1, got 0."),
            ({"n": 0}, "n must be at least 1"),
            ({"stop": ""}, "stop cannot contain an empty string."),
            ({"max_tokens": 40000}, "This model's maximum context length is 32768 tokens."),
            (
                {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}]},
                "URL must be",
            ),
            (
                {
                    "messages": [
                        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}]}
                    ]
                },
                "not valid JSON",
            ),
        ],
    )
    def test_what_the_engine_refuses_is_told_on_both_routes(self, body, words):
        for path in ("/invocations", "/v1/chat/completions"):
            answer = Container("openai_chat").ask(CHAT | body, path)
            assert answer.status == 400
            assert words in answer.json["error"]["message"]
            assert answer.json["error"]["type"] == "BadRequestError"

    @pytest.mark.parametrize(
        "body",
        [
            {"temperature": "hot"},
            {"stream_options": {"include_usage": True}},
            {"tools": []},
            {"tool_choice": "auto"},
            {"top_logprobs": 2},
            {"response_format": {"type": "xml"}},
            {"messages": [{"role": "robot", "content": "x"}]},
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        ],
    )
    def test_what_does_not_fit_the_schema_is_hidden_by_the_dispatch(self, body):
        direct = Container("openai_chat").ask(CHAT | body, "/v1/chat/completions")
        hidden = Container("openai_chat").ask(CHAT | body)
        assert (direct.status, hidden.status) == (400, 400)
        assert hidden.json["error"]["message"] == (
            "Cannot find suitable handler for request. Expected one of: ['ChatCompletionRequest', 'CompletionRequest']"
        )
        assert direct.json["error"]["message"] != hidden.json["error"]["message"]

    def test_models_are_checked_and_adapters_are_models(self):
        container = Container("openai_chat", adapters=["lora"])
        assert container.ask(CHAT | {"model": "gpt-4"}).json["error"]["code"] == 404
        for model in ("", "lora", "Qwen/Qwen3-8B"):
            assert container.ask(CHAT | {"model": model}).status == 200
        listed = container.ask(b"", "/v1/models", "GET").json["data"]
        assert [card["id"] for card in listed] == ["Qwen/Qwen3-8B", "lora"]

    def test_tool_choice_auto_needs_a_parser(self):
        container = Container("openai_chat", environment={"SM_VLLM_TOOL_CALL_PARSER": ""})
        assert "--enable-auto-tool-choice" in container.ask(CHAT | {"tools": [TOOL]}).json["error"]["message"]
        assert container.ask(CHAT | {"tools": [TOOL], "tool_choice": "none"}).status == 200

    def test_tool_calls_are_streamed_in_pieces(self):
        script = [Reply("I will.", calls=[Call("f", '{"a": "ü"}', "id-1"), Call("g")])]
        documents = Container("openai_chat", Scripted(script)).ask(CHAT | {"stream": True, "tools": [TOOL]}).documents
        deltas = [
            delta for d in documents for choice in d["choices"] for delta in choice["delta"].get("tool_calls", ())
        ]
        assert deltas[0] == {"index": 0, "id": "id-1", "type": "function", "function": {"name": "f", "arguments": ""}}
        assert "".join(d["function"]["arguments"] for d in deltas if d["index"] == 0) == '{"a": "ü"}'
        assert len([d for d in deltas if d["index"] == 0]) > 3
        assert deltas[-1]["index"] == 1
        assert documents[-1]["choices"][0]["finish_reason"] == "tool_calls"

    def test_a_named_tool_choice_ends_with_stop(self):
        named = {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}}
        choice = Container("openai_chat", "schema").ask(CHAT | named).json["choices"][0]
        assert (choice["message"]["tool_calls"][0]["function"]["name"], choice["finish_reason"]) == ("f", "stop")
        choice = (
            Container("openai_chat", "schema")
            .ask(CHAT | {"tools": [TOOL], "tool_choice": "required"})
            .json["choices"][0]
        )
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] is None

    def test_usage_is_streamed_only_on_request(self):
        container = Container("openai_chat")
        plain = container.ask(CHAT | {"stream": True})
        assert plain.events[-1] == "[DONE]"
        assert not any("usage" in document for document in plain.documents)
        asked = container.ask(CHAT | {"stream": True, "stream_options": {"include_usage": True}}).documents
        assert asked[-1]["choices"] == []
        assert asked[-1]["usage"] == container.ask(CHAT).json["usage"]
        every = container.ask(CHAT | {"stream": True, "stream_options": {"continuous_usage_stats": True}}).documents
        assert all("usage" in document for document in every)

    def test_several_answers_are_streamed_side_by_side(self):
        documents = Container("openai_chat").ask(CHAT | {"stream": True, "n": 2}).documents
        order = [d["choices"][0]["index"] for d in documents]
        assert order[:6] == [0, 1, 0, 1, 0, 1]
        assert len(Container("openai_chat").ask(CHAT | {"n": 2}).json["choices"]) == 2

    def test_the_stop_string_is_cut_and_named(self):
        choice = Container("openai_chat").ask(CHAT | {"stop": ["two"]}).json["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"], choice["stop_reason"]) == (
            "One, ",
            "stop",
            "two",
        )
        kept = Container("openai_chat").ask(CHAT | {"stop": "two", "include_stop_str_in_output": True}).json
        assert kept["choices"][0]["message"]["content"] == "One, two"
        short = Container("openai_chat").ask(CHAT | {"max_tokens": 2}).json["choices"][0]
        assert (short["message"]["content"], short["finish_reason"]) == ("One,", "length")

    def test_log_probabilities(self):
        body = CHAT | {"logprobs": True, "top_logprobs": 2}
        content = Container("openai_chat").ask(body).json["choices"][0]["logprobs"]["content"]
        assert "".join(item["token"] for item in content) == SAID
        assert bytes(content[-1]["bytes"]).decode() == content[-1]["token"]
        assert len(content[0]["top_logprobs"]) == 2
        streamed = Container("openai_chat").ask(body | {"stream": True}).documents
        pieces = [choice["logprobs"] for d in streamed for choice in d["choices"] if choice["logprobs"]]
        assert [item for piece in pieces for item in piece["content"]] == content

    def test_reasoning_has_a_field_with_a_parser_and_tags_without(self):
        script = [Reply("Yes.", thinking="Let me see.")] * 2
        container = Container("openai_chat", Scripted(script))
        message = container.ask(CHAT).json["choices"][0]["message"]
        assert (message["content"], message["reasoning"]) == ("Yes.", "Let me see.")
        deltas = [d["choices"][0]["delta"] for d in container.ask(CHAT | {"stream": True}).documents]
        assert "".join(delta.get("reasoning") or "" for delta in deltas) == "Let me see."
        bare = Container("openai_chat", Scripted(script), environment={"SM_VLLM_REASONING_PARSER": ""})
        text = bare.ask(CHAT).json["choices"][0]["message"]["content"]
        assert text == "<think>\nLet me see.\n</think>\n\nYes."
        assert joined_chat(bare.ask(CHAT | {"stream": True}).documents) == text

    def test_custom_attributes_reach_other_routes(self):
        answer = Container("openai_chat").ask(
            {"prompt": "x"}, x_amzn_sagemaker_custom_attributes="route=/v1/completions"
        )
        assert answer.json["object"] == "text_completion"
        assert Container("openai_chat").ask({}, x_amzn_sagemaker_custom_attributes="route=/v1/nothing").status == 404

    def test_another_media_type_is_refused(self):
        assert Container("openai_chat").ask(CHAT, content_type="text/plain").status == 400

    def test_failures_before_and_in_a_stream(self):
        early = Container("openai_chat", Scripted([EngineFailure("boom")])).ask(CHAT | {"stream": True})
        assert (early.status, early.json["error"]["message"]) == (500, "boom")
        empty = Container("openai_chat", "scripted").ask(CHAT)
        assert "no more replies" in empty.json["error"]["message"]

    def test_a_script_may_hold_raw_bytes(self):
        script = Scripted([Reply(raw=b"<html>", content_type="text/html", status=200)] * 2)
        for body in (CHAT, CHAT | {"stream": True}):
            script.add(Reply(raw=b"<html>", content_type="text/html"))
            answer = Container("openai_chat", script).ask(body)
            assert (answer.status, answer.content_type, answer.body) == (200, "text/html", b"<html>")

    def test_completions_echo_and_take_several_prompts(self):
        answer = Container("openai_completions").ask({"prompt": ["a b", "c"], "echo": True, "logprobs": 1}).json
        assert [choice["text"] for choice in answer["choices"]] == ["a ba b", "cc"]
        assert answer["choices"][0]["logprobs"]["tokens"] == ["a", " b", "a", " b"]
        assert [score is None for score in answer["choices"][0]["logprobs"]["token_logprobs"]] == [True] + [False] * 3
        assert answer["choices"][0]["logprobs"]["text_offset"] == [0, 1, 3, 4]
        assert "chat template" in Container("openai_completions").ask(CHAT).json["error"]["message"]
        assert (
            Container("openai_completions").ask({"prompt": "a " * 99}).json["choices"][0]["finish_reason"] == "length"
        )

    def test_a_prompt_is_scored_without_an_answer(self):
        asked = {"prompt": [[7, 8, 9], [10]], "echo": True, "logprobs": 1, "max_tokens": 0}
        for stream in (False, True):
            answer = Container("openai_completions").ask(asked | {"stream": stream})
            choices = [choice for one in answer.documents for choice in one["choices"]]
            scored = [choice["logprobs"]["tokens"] for choice in choices if choice["logprobs"]]
            assert scored == [[" <7>", " <8>", " <9>"], [" <10>"]]
            assert "".join(choice["text"] for choice in choices) == " <7> <8> <9> <10>"
            assert {choice["finish_reason"] for choice in choices} == ({"length", None} if stream else {"length"})
        for wrong in ({"echo": False}, {"max_tokens": -1}):
            assert Container("openai_completions").ask(asked | wrong).status == 400


class TestOtherOpenAiServers:
    def test_sglang_has_flat_errors_and_tells_the_real_one(self):
        error = Container("sglang").ask(CHAT | {"tool_choice": "auto"}).json
        assert error["object"] == "error"
        assert "`tools` must be set" in error["message"]
        assert Container("sglang").ask({"prompt": "x"}).status == 400

    def test_sglang_writes_its_own_fields(self):
        choice = Container("sglang").ask(CHAT | {"stop": ["two"]}).json["choices"][0]
        assert (choice["matched_stop"], choice["message"]["reasoning_content"]) == ("two", None)
        deltas = [d["choices"][0]["delta"] for d in Container("sglang").ask(CHAT | {"stream": True}).documents]
        assert all("reasoning_content" in delta for delta in deltas)
        container = Container("sglang", adapters=["lora"])
        assert container.ask(CHAT | {"model": "base:lora"}).status == 200
        assert container.ask(CHAT | {"model": "base:other"}).status == 404

    def test_sglang_streams_its_reasoning(self):
        engine = Scripted([Reply("Four.", thinking="Two and two.")])
        container = Container("sglang", engine, environment={"SM_SGLANG_REASONING_PARSER": "qwen3"})
        deltas = [d["choices"][0]["delta"] for d in container.ask(CHAT | {"stream": True}).documents if d["choices"]]
        assert "".join(delta["reasoning_content"] or "" for delta in deltas) == "Two and two."

    def test_sglangs_own_stream_is_cumulative(self):
        answer = Container("sglang").ask({"text": "a b c", "stream": True}, "/generate")
        texts = [document["text"] for document in answer.documents]
        assert texts == ["a", "a b", "a b c", "a b c"]
        assert answer.documents[-1]["meta_info"]["finish_reason"] == {"type": "stop", "matched": None}

    def test_llamacpp_puts_the_code_first_and_ends_with_timings(self):
        assert Container("llamacpp").ask({"messages": []}).json["error"]["code"] == 400
        assert "timings" in Container("llamacpp").ask(CHAT | {"stream": True}).documents[-1]

    def test_nova_has_no_tools_and_jamba_streams_without_being_asked(self):
        assert "not supported" in Container("nova").ask(CHAT | {"tools": [TOOL]}).json["error"]["message"]
        answer = Container("ai21_jamba").ask(CHAT, x_amzn_sagemaker_forwarded_api="InvokeEndpointWithResponseStream")
        assert answer.events[-1] == "[DONE]"
