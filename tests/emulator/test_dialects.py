"""What each container takes, answers and refuses, as the reference of its wire says."""

import json
import re

import pytest

from sagewire.emulator import DIALECTS, Call, EngineFailure, Reply, Scripted

from ..cases import each
from .containers import Container

SAID = "One, two! Grüße 世界 🎉"
CHAT = {"messages": [{"role": "user", "content": SAID}]}
PROMPT = {"inputs": SAID, "parameters": {"return_full_text": False}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}


def joined_chat(documents):
    return "".join(choice["delta"].get("content") or "" for d in documents for choice in d["choices"])


WIRES = {
    "openai_chat": (CHAT, lambda d: d["choices"][0]["message"]["content"], joined_chat),
    "sglang": (CHAT, lambda d: d["choices"][0]["message"]["content"], joined_chat),
    "llamacpp": (CHAT, lambda d: d["choices"][0]["message"]["content"], joined_chat),
    "nova": (CHAT, lambda d: d["choices"][0]["message"]["content"], joined_chat),
    "ai21_jamba": (CHAT, lambda d: d["choices"][0]["message"]["content"], joined_chat),
    "lmi_async": (CHAT, lambda d: d["choices"][0]["message"]["content"], joined_chat),
    "tgi_chat": (CHAT, lambda d: d["choices"][0]["message"]["content"], joined_chat),
    "openai_completions": (
        {"prompt": SAID, "max_tokens": 99},
        lambda d: d["choices"][0]["text"],
        lambda ds: "".join(choice["text"] for d in ds for choice in d["choices"]),
    ),
    "tgi": (
        PROMPT,
        lambda d: d[0]["generated_text"],
        lambda ds: "".join(d["token"]["text"] for d in ds if not d["token"]["special"]),
    ),
    "lmi": (PROMPT, lambda d: d["generated_text"], lambda ds: "".join(d["token"]["text"] for d in ds)),
    "lmi_tgi_compat": (PROMPT, lambda d: d[0]["generated_text"], lambda ds: "".join(d["token"]["text"] for d in ds)),
    "triton_stream": (
        {"text_input": SAID, "max_tokens": 99},
        None,
        lambda ds: "".join(d["text_output"] for d in ds),
    ),
    "cohere": (
        {"message": SAID},
        lambda d: d["text"],
        lambda ds: "".join(d.get("text", "") for d in ds if d["event_type"] == "text-generation"),
    ),
}


@pytest.mark.parametrize("dialect", WIRES)
def test_a_stream_joins_to_the_whole_answer(dialect):
    body, whole, joined = WIRES[dialect]
    container = Container(dialect)
    if whole is not None:
        answer = container.ask(body)
        assert answer.status == 200
        assert whole(answer.json) == SAID
    stream = container.ask(body | {"stream": True})
    assert len(stream.parts) >= 8
    assert joined(stream.documents) == SAID


@each("dialect", sorted(DIALECTS))
@each(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"{}",
        b'{"inputs": {}}',
        b'{"messages": 3}',
        b'{"messages": [3], "prompt": [[]]}',
        b'{"text_input": 3}',
        b'{"query": 1, "documents": [1]}',
        b'{"input": [[{}]]}',
        b'{"inputs": [[{"role": 1}]], "parameters": 3}',
    ],
)
def test_garbage_is_refused_and_never_breaks_a_container(dialect, body):
    answer = Container(dialect).ask(body, x_amzn_sagemaker_custom_attributes="accept_eula=true")
    # LMI's asynchronous handler answers with status 500 what vLLM refuses with 400.
    assert 400 <= answer.status < 500 or (answer.status == 500 and dialect in ("lmi_async", "lmi_chat"))
    assert answer.body
    assert b"Error: " not in answer.body


@each("dialect", sorted(DIALECTS))
def test_unknown_paths_are_refused_and_pings_answered(dialect):
    container = Container(dialect)
    assert container.ask({}, "/nowhere").status in (404, 405)
    assert container.ask(b"", "/ping", "GET").status == 200


class TestTgi:
    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({"temperature": 0}, "`temperature` must be strictly positive"),
            ({"top_p": 1.0}, "`top_p` must be > 0.0 and < 1.0"),
            ({"typical_p": 0.0}, "`typical_p` must be"),
            ({"top_k": 0}, "`top_k` must be strictly positive"),
            ({"repetition_penalty": 0}, "`repetition_penalty` must be"),
            ({"frequency_penalty": 3}, "`frequency_penalty` must be"),
            ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
            ({"max_new_tokens": 9000}, "`inputs` tokens + `max_new_tokens` must be <= 8192."),
            ({"stop": list("abcde")}, "`stop` supports up to 4 stop sequences. Given: 5"),
            ({"best_of": 3}, "`best_of` must be > 0 and <= 2"),
            ({"best_of": 2}, "you must use sampling when `best_of` is > 1"),
            ({"top_n_tokens": 6}, "`top_n_tokens` must be"),
        ],
    )
    def test_what_validation_refuses(self, parameters, words):
        answer = Container("tgi").ask({"inputs": "x", "parameters": parameters})
        assert answer.status == 422
        assert answer.json["error_type"] == "validation"
        assert answer.json["error"].startswith(f"Input validation error: {words}")
        streamed = Container("tgi").ask({"inputs": "x", "parameters": parameters, "stream": True})
        assert (streamed.status, streamed.documents) == (200, [answer.json])

    @pytest.mark.parametrize(
        "parameters", [{"temperature": "hot"}, {"stop": "x"}, {"max_new_tokens": 1.5}, {"stop": [1]}]
    )
    def test_what_does_not_parse_is_plain_text(self, parameters):
        answer = Container("tgi").ask({"inputs": "x", "parameters": parameters})
        assert (answer.status, answer.content_type) == (422, "text/plain; charset=utf-8")

    def test_the_prompt_is_echoed_unless_refused(self):
        container = Container("tgi")
        assert container.ask({"inputs": "ab"}).json == [{"generated_text": "abab"}]
        assert container.ask({"inputs": "ab"}, "/generate").json == {"generated_text": "ab"}
        assert container.ask({"inputs": "ab", "stream": True}).documents[-1]["generated_text"] == "abab"

    def test_the_stop_string_stays(self):
        body = {"inputs": SAID, "parameters": {"stop": ["two"], "return_full_text": False, "details": True}}
        answer = Container("tgi").ask(body).json[0]
        assert answer["generated_text"] == "One, two"
        assert answer["details"]["finish_reason"] == "stop_sequence"
        assert answer["details"]["generated_tokens"] == 3

    def test_a_stream_numbers_its_tokens_and_ends_with_the_text(self):
        body = {"inputs": "a b", "parameters": {"details": True, "return_full_text": False}, "stream": True}
        answer = Container("tgi").ask(body)
        assert [document["index"] for document in answer.documents] == [1, 2, 3]
        last = answer.documents[-1]
        assert (last["token"]["special"], last["generated_text"]) == (True, "a b")
        assert last["details"] == {"finish_reason": "eos_token", "generated_tokens": 3, "seed": None, "input_length": 3}
        assert answer.body.startswith(b"data: {")
        assert Container("tgi_1").ask(body).body.startswith(b"data:{")
        assert "[DONE]" not in answer.events

    def test_versions_differ(self):
        long = {"inputs": "a " * 300, "parameters": {"details": True, "return_full_text": False}}
        assert Container("tgi_1").ask(long).json[0]["details"]["generated_tokens"] == 100
        assert Container("tgi").ask(long).json[0]["details"]["finish_reason"] == "eos_token"
        assert Container("tgi_1").ask(CHAT).status == 422
        assert Container("tgi_chat").ask(PROMPT).status == 422

    def test_chat_has_its_quirks(self):
        container = Container("tgi", Scripted([Reply(calls=[Call("f", '{"a": 1}')])] * 3))
        choice = container.ask(CHAT | {"tools": [TOOL]}).json["choices"][0]
        assert choice["finish_reason"] == "stop"
        assert choice["message"]["tool_calls"][0]["id"] == "0"
        assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
        assert "content" not in choice["message"]
        old = Container("tgi_chat", Scripted([Reply(calls=[Call("f", '{"a": 1}')])]))
        assert old.ask(CHAT | {"tools": [TOOL]}).json["choices"][0]["message"]["tool_calls"][0]["function"][
            "arguments"
        ] == {"a": 1}
        assert Container("tgi").ask(CHAT | {"stop": "x"}).status == 422
        assert Container("tgi").ask(CHAT | {"temperature": 0}).status == 200
        assert Container("tgi").ask(CHAT | {"stop": ["two"]}).json["choices"][0]["finish_reason"] == "stop_sequence"
        wrong = Container("tgi").ask(CHAT | {"top_p": 1.0, "stream": True})
        assert (wrong.status, wrong.events[-1]) == (200, "[DONE]")
        assert wrong.documents[0]["error"]["http_status_code"] == 422

    def test_guided_answers(self):
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
        grammar = {"grammar": {"type": "json", "value": schema}, "return_full_text": False}
        text = Container("tgi", "schema").ask({"inputs": "7", "parameters": grammar}).json[0]["generated_text"]
        assert json.loads(text) == {"a": 7}
        regex = {"grammar": {"type": "regex", "value": r"\d{3}"}, "return_full_text": False}
        assert Container("tgi", "schema").ask({"inputs": "7", "parameters": regex}).json[0]["generated_text"] == "000"


class TestLmi:
    def test_rolling_batch_answers_an_object_and_lines(self):
        container = Container("lmi")
        body = {"inputs": "a b", "parameters": {"details": True}}
        assert container.ask(body).json["details"]["tokens"][0].keys() == {"id", "text", "log_prob"}
        stream = container.ask(body | {"stream": True})
        assert stream.content_type == "application/jsonlines"
        assert stream.documents[-1]["generated_text"] == "a b"
        assert stream.documents[-1]["details"]["finish_reason"] == "eos_token"
        assert "generated_text" not in stream.documents[0]

    def test_thirty_tokens_unless_asked(self):
        answer = Container("lmi").ask({"inputs": "a " * 99, "parameters": {"details": True}}).json
        assert (answer["details"]["generated_tokens"], answer["details"]["finish_reason"]) == (30, "length")

    def test_stop_names_differ(self):
        stops = {"inputs": SAID, "parameters": {"stop_sequences": ["two"]}}
        assert Container("lmi").ask(stops).json["generated_text"] == "One, "
        assert Container("lmi_async").ask(stops).json["generated_text"] == SAID
        stops["parameters"] = {"stop": ["two"]}
        assert Container("lmi_async").ask(stops).json["generated_text"] == "One, "

    def test_async_lines_have_a_constant_index_and_blank_lines_at_the_end(self):
        stream = Container("lmi_async").ask({"inputs": "a b", "stream": True, "parameters": {"details": True}})
        assert {document["index"] for document in stream.documents} == {0}
        assert stream.documents[-1]["details"] == {
            "finish_reason": "stop",
            "seed": None,
            "generated_tokens": 4,
            "input_length": 3,
        }
        assert stream.body.endswith(b"}\n\n\n")
        chat = Container("lmi_async").ask(CHAT | {"stream": True})
        assert chat.body.endswith(b"}\n\n")
        assert b"data:" not in chat.body
        assert b"DONE" not in chat.body

    def test_errors(self):
        assert Container("lmi_async").ask({"x": 1}).json["error"].startswith("Input parsing failed")
        bad = Container("lmi_async").ask(CHAT | {"temperature": -1})
        assert (bad.status, "ErrorResponse(" in bad.json["error"]) == (500, True)
        failed = Container("lmi", Scripted([EngineFailure("boom")])).ask({"inputs": "x"})
        assert (failed.json["generated_text"], failed.json["error"]) == (None, "boom")


class TestScriptsAndPipelines:
    def test_a_dialog_needs_the_licence_and_turns_in_order(self):
        dialog = {"inputs": [[{"role": "user", "content": "hi"}]]}
        container = Container("jumpstart_dialog")
        refused = container.ask(dialog)
        assert (refused.status, "accept_eula=true" in refused.json["error"]) == (424, True)
        accepted = {"x_amzn_sagemaker_custom_attributes": "a=b;accept_eula=false;accept_eula=true"}
        assert container.ask(dialog, **accepted).json == [{"generation": {"role": "assistant", "content": " hi"}}]
        wrong = {"inputs": [[{"role": "assistant", "content": "hi"}]]}
        assert "only supports" in container.ask(wrong, **accepted).json["error"]
        base = Container("jumpstart_llama2").ask({"inputs": "hi"}, **accepted)
        assert base.json == [{"generation": "hi"}]

    def test_text_scripts_take_two_media_types(self):
        container = Container("jumpstart_text2text")
        assert container.ask("grüße".encode(), content_type="application/x-text").json == {"generated_text": "grüße"}
        assert container.ask({"text_inputs": ["a", "b"], "num_return_sequences": 2}).json == {
            "generated_texts": list("aabb")
        }
        assert "invalid key ['foo']" in container.ask({"text_inputs": "a", "foo": 1}).json["error"]
        assert Container("jumpstart_textgeneration").ask({"text_inputs": "a"}).json == [[{"generated_text": "a"}]]

    @pytest.mark.parametrize(
        ("dialect", "body", "expected"),
        [
            ("hf_pipeline", {"inputs": "a"}, [{"generated_text": "aa"}]),
            ("hf_pipeline", {"inputs": ["a"], "parameters": {"return_full_text": False}}, [[{"generated_text": "a"}]]),
            ("hf_text2text", {"inputs": "a"}, [{"generated_text": "a"}]),
            ("hf_summarization", {"inputs": "a"}, [{"summary_text": "a"}]),
            ("hf_translation", {"inputs": "a"}, [{"translation_text": "a"}]),
            ("hf_classification", {"inputs": "I love it"}, [{"label": "POSITIVE", "score": 0.9}]),
            (
                "hf_question_answering",
                {"inputs": {"question": "How tall is it?", "context": "It is red. It is 3 m tall."}},
                {"score": 0.9, "start": 11, "end": 26, "answer": "It is 3 m tall."},
            ),
        ],
    )
    def test_pipelines_answer_in_their_shapes(self, dialect, body, expected):
        assert Container(dialect).ask(body).json == expected

    def test_the_other_pipelines(self):
        entities = Container("hf_token_classification").ask({"inputs": "I met Tom"}).json
        assert (entities[0]["word"], entities[0]["start"], entities[0]["end"]) == ("Tom", 6, 9)
        zero = Container("hf_zero_shot").ask(
            {"inputs": "my phone broke", "parameters": {"candidate_labels": ["food", "phone"]}}
        )
        assert zero.json["labels"][0] == "phone"
        assert sum(zero.json["scores"]) == pytest.approx(1, abs=1e-4)
        filled = Container("hf_fill_mask").ask({"inputs": "a [MASK] day"}).json
        assert filled[0]["sequence"] == "a good day"
        rows = Container("hf_feature_extraction", dimensions=5).ask({"inputs": "a b"}).json
        assert (len(rows), len(rows[0]), len(rows[0][0])) == (1, 4, 5)

    def test_every_error_is_an_internal_one_with_status_400(self):
        answer = Container("hf_pipeline").ask({"inputs": "x", "parameters": {"stop": ["a"], "x": "'"}})
        assert (answer.status, answer.body[:15]) == (400, b'{\n  "code": 400')
        assert answer.json["type"] == "InternalServerException"
        assert b"\\u0027stop\\u0027" in answer.body
        assert "is not supported" in Container("hf_pipeline").ask(b"x", content_type="image/png").json["message"]
        csv = Container("hf_classification").ask(b"inputs\nI love it\nso bad\n", content_type="text/csv").json
        assert [item["label"] for item in csv] == ["POSITIVE", "NEGATIVE"]

    def test_triton_has_one_mode_per_deployment(self):
        body = {"id": "42", "text_input": "a b", "max_tokens": 16, "stream": True}
        assert Container("triton").ask(body).json == {
            "id": "42",
            "model_name": "ensemble",
            "model_version": "1",
            "text_output": "a b",
        }
        assert len(Container("triton_stream").ask(body).documents) == 2
        assert (
            Container("triton_llm_api").ask({"text_input": "a", "sampling_param_max_tokens": 3}).json["text_output"]
            == "aa"
        )
        infer = Container("triton", environment={"SAGEMAKER_TRITON_INFERENCE_TYPE": "infer"})
        assert infer.ask(body).json["error"].startswith("Unable to parse 'inputs': attempt to access non-existing")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"name": "text"}, "unexpected inference input 'text' for model 'ensemble'"),
            ({"datatype": "FP32"}, "data-type is 'FP32', but model 'ensemble' expects 'BYTES'"),
            ({"shape": [1]}, "unexpected shape for input 'text_input'"),
            ({"data": ["a", "b"]}, "unexpected total number of elements 2"),
            ({"data": [5]}, "Unable to parse 'data'"),
            ({}, r"missing required input\(s\) \['max_tokens'\]"),
        ],
    )
    def test_tritons_tensors_are_checked_against_the_model(self, change, words):
        tensor = {"name": "text_input", "datatype": "BYTES", "shape": [1, 1], "data": ["a"], **change}
        answer = Container("triton_infer").ask({"inputs": [tensor]})
        assert (answer.status, bool(re.search(words, answer.json["error"]))) == (400, True)

    def test_cohere_chats_generates_and_streams_because_the_api_does(self):
        container = Container("cohere", Scripted([Reply("yes", calls=[Call("f", '{"a": 1}')])] * 2))
        body = {"message": "hi", "preamble": "p", "chat_history": [{"role": "USER", "message": "a"}]}
        whole = container.ask(body).json
        assert (whole["text"], whole["tool_calls"], whole["finish_reason"]) == (
            "yes",
            [{"name": "f", "parameters": {"a": 1}}],
            "COMPLETE",
        )
        assert [turn["role"] for turn in whole["chat_history"]] == ["USER", "USER", "CHATBOT"]
        stream = container.ask(body, x_amzn_sagemaker_forwarded_api="InvokeEndpointWithResponseStream").documents
        assert [event["event_type"] for event in stream] == [
            "stream-start",
            "text-generation",
            "tool-calls-generation",
            "stream-end",
        ]
        assert stream[-1]["response"]["text"] == "yes"
        generated = Container("cohere").ask({"prompt": "a b", "num_generations": 2, "max_tokens": 1}).json
        assert [item["text"] for item in generated["generations"]] == ["a", "a"]
        assert generated["generations"][0]["finish_reason"] == "MAX_TOKENS"

    def test_jurassic(self):
        answer = Container("ai21_j2").ask({"prompt": "a b", "maxTokens": 1, "numResults": 2}).json
        assert [item["data"]["text"] for item in answer["completions"]] == ["a", "a"]
        assert answer["completions"][0]["finishReason"]["reason"] == "length"
